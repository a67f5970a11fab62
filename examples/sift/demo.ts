// The whole story in ten seconds, on real input: sift on this repository, then one scene for each promise, then a table of what was seen.
import { fileURLToPath } from 'node:url'
import { type Outcome, scenes } from './demo/scenes.ts'
import { filesUnder, history } from './host/sources.ts'
import { size, Terminal } from './host/terminal.ts'
import { sift } from './sift.ts'

const started = performance.now()
const repository = fileURLToPath(new URL('../../../', import.meta.url))
const terminal = new Terminal(process.stdout)
const seen: (Outcome & { readonly title: string })[] = []

async function perform(title: string, play: () => Promise<Outcome>): Promise<void> {
  const outcome = await play().catch((error: unknown) => ({
    happened: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
    measured: '',
    ok: false,
  }))
  seen.push({ title, ...outcome })
  const mark = outcome.ok ? terminal.style('green', 'ok') : terminal.style(['red', 'bold'], 'NOT OK')
  terminal.line(`${terminal.style('bold', title)}: ${outcome.happened}. ${outcome.measured} ${mark}`)
}

async function application(): Promise<Outcome> {
  const sources = await filesUnder([repository], true)
  const log = await history(repository)
  if (log !== undefined) sources.push(log)
  const report = await sift({
    sources,
    parallel: 8,
    deadlineMs: 1_000,
    outputs: [],
    top: 3,
    signal: new AbortController().signal,
    onProgress: progress => terminal.progress(progress),
    onTrouble: trouble => terminal.trouble(trouble),
  })
  const words = report.tops.find(({ title }) => title === 'words')?.rows.map(({ label, value }) => `${label} ${value}`)
  const crashes = report.troubles.filter(({ code }) => code === 'ERR_PLUGIN_EXITED').length
  const hangs = report.troubles.filter(({ code }) => code === 'ERR_CALL_TIMEOUT').length
  return {
    happened: `${report.files} files of this repository through ${report.plugins.length} plugins; ${crashes} crashes and ${hangs} hangs on purpose, the rest went on. Most used words: ${words?.join(', ')}`,
    measured: `${size(report.bytes)}, ${report.findings.toLocaleString('en')} findings, ${report.seconds.toFixed(2)} s`,
    ok: report.files + report.troubles.filter(({ then }) => then === 'skipped').length === sources.length && crashes > 0 && hangs > 0,
  }
}

await perform('sift', application)
for (const { title, play } of scenes) await perform(title, play)

// The table: as wide as the terminal, long cells over several lines.
const width = Math.max(72, Math.min(terminal.columns, 150))
const titles = Math.max(...seen.map(({ title }) => title.length))
const measured = Math.floor((width - titles - 12) * 0.4)
const happened = width - titles - 12 - measured
const rule = terminal.style('dim', `${'─'.repeat(titles)}  ${'─'.repeat(happened)}  ${'─'.repeat(measured)}  ──────`)
terminal.line()
terminal.line(terminal.style('bold', `${'scene'.padEnd(titles)}  ${'what happened'.padEnd(happened)}  ${'measured'.padEnd(measured)}  ok`))
terminal.line(rule)
for (const scene of seen) {
  const [left, right] = [wrap(scene.happened, happened), wrap(scene.measured, measured)]
  for (let line = 0; line < Math.max(left.length, right.length); line++) {
    const mark = line > 0 ? '' : scene.ok ? terminal.style('green', 'ok') : terminal.style(['red', 'bold'], 'NOT OK')
    const title = (line === 0 ? scene.title : '').padEnd(titles)
    terminal.line(`${title}  ${(left[line] ?? '').padEnd(happened)}  ${(right[line] ?? '').padEnd(measured)}  ${mark}`.trimEnd())
  }
}
const failed = seen.filter(({ ok }) => !ok).length
terminal.line(rule)
terminal.line(`${seen.length - failed} of ${seen.length} scenes went as promised, ${((performance.now() - started) / 1_000).toFixed(1)} s`)
process.exitCode = failed === 0 ? 0 : 1

function wrap(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}
