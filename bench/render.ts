// The tables of bench/README.md, from a result file.

import type { Verdict } from './goals.ts'
import { median, number, paired } from './harness/statistics.ts'
import { type Pin, pins } from './measures.ts'
import { type Results, series } from './results.ts'
import { rows } from './rows.ts'

const begin = '<!-- begin: written by `npm run bench -- --render` -->'
const end = '<!-- end -->'

/** Puts the tables between the markers of a README. */
export function insert(readme: string, tables: string): string {
  const from = readme.indexOf(begin)
  const to = readme.indexOf(end)
  if (from < 0 || to < from) throw new Error('bench/README.md has lost its markers')
  return `${readme.slice(0, from + begin.length)}\n\n${tables.trim()}\n\n${readme.slice(to)}`
}

export function render(results: Results): string {
  const { machine, versions, rounds, milliseconds, command, when } = results
  const met = results.goals.filter(goal => goal.met === true).length
  const missed = results.goals.filter(goal => goal.met === false).length
  const unmeasured = results.goals.length - met - missed
  return `${[
    `Measured ${when.slice(0, 10)} with \`${command}\`: ${rounds} rounds, slices of ${milliseconds} ms, on Node ${machine.node}, ${machine.kernel}, ${machine.cores} x ${machine.cpu}.`,
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
    '### Goals',
    `${met} met, ${missed} missed${unmeasured > 0 ? `, ${unmeasured} not measured` : ''}. Where two pins count, the worse one is shown.`,
    goalTable(results.goals),
    '### Side by side',
    'In brackets: how many times better (or, below 1, worse) plugwire is, as the median of the ratios of each round.',
    ...pins.flatMap(pin => sideBySide(results, pin)),
    ...(results.failures.length > 0 ? ['### Failures', results.failures.map(failure => `- ${failure.split('\n')[0]}`).join('\n')] : []),
  ].join('\n\n')}\n`
}

export function goalTable(goals: readonly Verdict[]): string {
  const lines = goals.map(({ words, pin, goal, measured, middleHalf, met, unit }) => {
    const spread = middleHalf && measured !== undefined ? `${number(middleHalf[0])} … ${number(middleHalf[1])}` : ''
    const verdict = met === undefined ? 'not measured' : met ? 'met' : '**missed**'
    return [words, pin ?? '', `${goal}${unit && ` ${unit}`}`, measured === undefined ? '—' : number(measured), spread, verdict]
  })
  return table(['what', 'pin', 'goal', 'measured', 'middle half', ''], lines)
}

interface Column {
  readonly head: string
  readonly figure: string
  readonly lowerIsBetter: boolean
  /** Rows in the host's own process have no CPU time and no memory of their own. */
  readonly ofProcess?: true
}

const calls: readonly Column[] = [
  { head: 'p50 µs', figure: 'latency.p50', lowerIsBetter: true },
  { head: 'p99 µs', figure: 'latency.p99', lowerIsBetter: true },
  { head: '64 in flight /s', figure: 'flight64.rate', lowerIsBetter: false },
  { head: '1 000 in flight /s', figure: 'flight1000.rate', lowerIsBetter: false },
  { head: 'host CPU µs at 64', figure: 'flight64.hostCpu', lowerIsBetter: true, ofProcess: true },
  { head: '1 KiB record at 64 /s', figure: 'record64.rate', lowerIsBetter: false },
  { head: '1 KiB bytes at 64 /s', figure: 'bytes1k.rate', lowerIsBetter: false },
  { head: '64 KiB bytes at 16 /s', figure: 'bytes64k.rate', lowerIsBetter: false },
]

const streams: readonly Column[] = [
  { head: 'upload MB/s', figure: 'upload.rate', lowerIsBetter: false },
  { head: 'download MB/s', figure: 'download.rate', lowerIsBetter: false },
  { head: 'owned up MB/s', figure: 'uploadOwned.rate', lowerIsBetter: false },
  { head: 'owned down MB/s', figure: 'downloadOwned.rate', lowerIsBetter: false },
  { head: '100 streams MB/s', figure: 'streams100.rate', lowerIsBetter: false },
]

const apart: readonly Column[] = [
  { head: 'p50 µs', figure: 'latency.p50', lowerIsBetter: true },
  { head: 'p99 µs', figure: 'latency.p99', lowerIsBetter: true },
  { head: 'p50 µs beside an upload', figure: 'loadedUp.p50', lowerIsBetter: true },
  { head: 'p50 µs beside a download', figure: 'loadedDown.p50', lowerIsBetter: true },
]

const starts: readonly Column[] = [
  { head: 'spawn to first call ms', figure: 'start.ms', lowerIsBetter: true },
  { head: 'idle RSS MB', figure: 'memory.rss', lowerIsBetter: true, ofProcess: true },
  { head: 'private MB', figure: 'memory.private', lowerIsBetter: true, ofProcess: true },
  { head: 'import on the host ms', figure: 'imports.host', lowerIsBetter: true },
  { head: 'import in the plugin ms', figure: 'imports.plugin', lowerIsBetter: true },
]

const tablesOf: Readonly<Record<Pin, { readonly title: string; readonly groups: readonly (readonly Column[])[] }>> = {
  'one-core': { title: 'Host and plugin on one core:', groups: [calls] },
  'two-cores': { title: 'Host on one core, plugin on another:', groups: [apart] },
  free: { title: 'Free cores:', groups: [calls, streams, starts] },
}

function sideBySide(results: Results, pin: Pin): string[] {
  const { title, groups } = tablesOf[pin]
  const tables = groups.map(columns => columnsTable(results, pin, columns)).filter(text => text !== '')
  return tables.length === 0 ? [] : [title, ...tables]
}

function columnsTable({ samples }: Results, pin: Pin, columns: readonly Column[]): string {
  const lines: string[][] = []
  for (const row of rows) {
    const cells = columns.map(column => {
      const own = series(samples, pin, `${row.id} ${column.figure}`)
      if (!own.some(Number.isFinite) || (row.sameProcess && column.ofProcess)) return '—'
      const plugwire = series(samples, pin, `plugwire ${column.figure}`)
      const ratios = paired(plugwire, own, (a, b) => (column.lowerIsBetter ? b / a : a / b))
      return `${number(median(own))}${row.id !== 'plugwire' && ratios.length > 0 ? ` (${number(median(ratios))})` : ''}`
    })
    if (cells.some(cell => cell !== '—')) lines.push([row.words, ...cells])
  }
  return lines.length === 0 ? '' : table(['', ...columns.map(column => column.head)], lines)
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const align = head.map((_, index) => (index === 0 ? '---' : '---:'))
  return [head, align, ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}
