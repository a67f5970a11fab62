// Which host runs which plugin in which mode, what is known to fail and whose fault it is, and the table of it all in docs/interop.md.

import { runBattery, type Verdict } from './battery.ts'
import { buildPeer, goPluginVersion, type PeerName } from './peers.ts'
import { typescriptPrograms } from './typescript.ts'

export type Protocol = 'grpc' | 'netrpc'

/** How host and plugin are connected. */
export interface Mode {
  readonly title: string
  /** For hosts of today. */
  readonly host: readonly string[]
  /** For hosts with an old go-plugin; undefined where they do not know the mode. */
  readonly oldHost?: readonly string[]
  readonly plugin: readonly string[]
}

const modes: { readonly [Name in 'plain' | 'mtls' | 'mux' | 'mtls-mux' | 'static']: Mode } = {
  plain: { title: 'plain', host: [], oldHost: [], plugin: [] },
  mtls: { title: 'AutoMTLS', host: ['-tls', 'auto'], oldHost: ['--mtls'], plugin: [] },
  mux: { title: 'multiplexed', host: ['-mux'], plugin: [] },
  'mtls-mux': { title: 'AutoMTLS, multiplexed', host: ['-tls', 'auto', '-mux'], plugin: [] },
  static: { title: 'own TLS', host: ['-tls', 'static'], plugin: ['--tls'] },
}
export type ModeName = keyof typeof modes

export type Side = 'typescript' | PeerName

export interface Cell {
  readonly protocol: Protocol
  readonly host: Side
  readonly plugin: Side
  readonly mode: ModeName
}

const protocolModes: { readonly [P in Protocol]: readonly ModeName[] } = {
  grpc: ['plain', 'mtls', 'mux', 'mtls-mux', 'static'],
  netrpc: ['plain', 'mtls', 'static'],
}

/** What old peers know of. */
const oldChecks = ['launch', 'ping', 'kv', 'broker-to-host', 'broker-to-plugin', 'stdio', 'kill']

/** All cells, the newest first. */
export function cells(): Cell[] {
  const all: Cell[] = []
  const sides = ['peer', 'typescript'] as const
  for (const protocol of ['grpc', 'netrpc'] as const) {
    for (const mode of protocolModes[protocol]) {
      for (const host of sides) for (const plugin of sides) all.push({ protocol, host, plugin, mode })
    }
    for (const old of ['old-1.4', 'old-1.0'] as const) {
      for (const mode of ['plain', 'mtls'] as const) {
        for (const side of sides) all.push({ protocol, host: old, plugin: side, mode }, { protocol, host: side, plugin: old, mode })
      }
    }
  }
  return all
}

export function titleOf({ protocol, host, plugin, mode }: Cell): string {
  return `${protocol}: ${nameOf(host)} runs ${nameOf(plugin)}, ${modes[mode].title}`
}

function nameOf(side: Side): string {
  return side === 'typescript' ? 'TypeScript' : `go-plugin ${goPluginVersion(side)}`
}

function isOld(side: Side): side is 'old-1.0' | 'old-1.4' {
  return side === 'old-1.0' || side === 'old-1.4'
}

/** Runs one cell. */
async function runCell({ protocol, host, plugin, mode }: Cell): Promise<Verdict[]> {
  const { host: flags, oldHost, plugin: pluginFlags } = modes[mode]
  const pluginCommand = [...(await pluginProgram(plugin, protocol)), ...pluginFlags]
  if (isOld(host)) return runBattery([await buildPeer(host), `host-${protocol}`, ...(oldHost ?? []), ...pluginCommand])
  // Some of them wait for what an old plugin never does.
  const only = isOld(plugin) ? ['-only', oldChecks.join(','), '-patience', '8s'] : []
  return runBattery([...(await hostProgram(host, protocol)), ...flags, ...only, ...pluginCommand])
}

async function hostProgram(side: 'typescript' | 'peer', protocol: Protocol): Promise<readonly string[]> {
  return side === 'peer' ? [await buildPeer(side), `host-${protocol}`] : typescriptPrograms[protocol].host
}

async function pluginProgram(side: Side, protocol: Protocol): Promise<readonly string[]> {
  if (side === 'typescript') return typescriptPrograms[protocol].plugin
  return [await buildPeer(side), isOld(side) ? 'plugin' : `plugin-${protocol}`]
}

// ---- what is known to fail

/** A failure that is neither ours nor to be repaired here. */
interface Known {
  readonly why: string
  readonly checks: readonly string[]
  readonly in: (cell: Cell) => boolean
}

const knownFailures: readonly Known[] = [
  {
    why: 'A Go plugin leaves the sockets of brokered services behind.',
    checks: ['files-broker'],
    in: ({ protocol, host, plugin, mode }) => protocol === 'grpc' && host === 'peer' && plugin === 'peer' && !mode.includes('mux'),
  },
  {
    why: 'A Go plugin leaves its own socket behind when connections are multiplexed.',
    checks: ['files', 'files-broker'],
    in: ({ host, plugin, mode }) => host === 'peer' && plugin === 'peer' && mode.includes('mux'),
  },
  {
    why: 'Before v1.1.0 go-plugin has no stdio service for gRPC: what the plugin prints is lost.',
    checks: ['stdio'],
    in: ({ protocol, host, plugin }) => protocol === 'grpc' && (host === 'old-1.0' || plugin === 'old-1.0'),
  },
  {
    why: 'Before v1.4.4 a Go plugin cannot dial a service of its host under AutoMTLS: it expects the name `unused` in the certificate.',
    checks: ['broker-to-host'],
    in: ({ protocol, plugin, mode }) => protocol === 'grpc' && plugin === 'old-1.0' && mode === 'mtls',
  },
]

/** What came of a cell. */
export interface Outcome {
  readonly cell: Cell
  readonly passed: readonly string[]
  readonly skipped: readonly Verdict[]
  /** Known to fail. */
  readonly known: readonly string[]
  /** Failed, and nobody knows why. */
  readonly failed: readonly Verdict[]
}

function judge(cell: Cell, verdicts: readonly Verdict[]): Outcome {
  const known = new Set(knownFailures.filter(failure => failure.in(cell)).flatMap(({ checks }) => checks))
  const ran = verdicts.filter(({ skip }) => skip === undefined)
  // Some of the known ones are races, which go well now and then.
  const judged = ran.filter(({ check }) => !known.has(check))
  return {
    cell,
    passed: judged.filter(({ ok }) => ok).map(({ check }) => check),
    skipped: verdicts.filter(({ skip }) => skip !== undefined),
    known: ran.filter(({ check }) => known.has(check)).map(({ check }) => check),
    failed: judged.filter(({ ok }) => !ok),
  }
}

/** Times that a cell without a side of ours is tried: multiplexed, go-plugin with go-plugin now and then gives a brokered stream to the wrong listener. */
const FOREIGN_TRIES = 3

/** Runs a cell and says what came of it. */
export async function outcomeOf(cell: Cell): Promise<Outcome> {
  const ours = cell.host === 'typescript' || cell.plugin === 'typescript'
  for (let turn = 1; ; turn++) {
    const outcome = judge(cell, await runCell(cell))
    if (outcome.failed.length === 0 || ours || turn === FOREIGN_TRIES) return outcome
  }
}

// ---- the table

const START = '<!-- interop:start -->'
const END = '<!-- interop:end -->'

/** The part of the page between the markers. @throws When the page has none. */
export function tablesIn(page: string): string {
  const start = page.indexOf(START)
  const end = page.indexOf(END)
  if (start < 0 || end < start) throw new Error(`docs/interop.md has no part between ${START} and ${END}`)
  return page.slice(start + START.length, end).trim()
}

export function withTables(page: string, tables: string): string {
  const before = page.slice(0, page.indexOf(START) + START.length)
  const after = page.slice(page.indexOf(END))
  return `${before}\n\n${tables}\n\n${after}`
}

/** All that ran, as Markdown. It holds no times, so that it is the same as long as the same passes. */
export function tablesOf(outcomes: readonly Outcome[]): string {
  const notes: string[] = []
  const parts: string[] = []
  for (const protocol of ['grpc', 'netrpc'] as const) {
    const mine = outcomes.filter(({ cell }) => cell.protocol === protocol)
    if (mine.length === 0) continue
    parts.push(`### ${protocol === 'grpc' ? 'gRPC' : 'net/rpc'}`)
    parts.push(
      table(
        mine.filter(({ cell }) => !isOld(cell.host) && !isOld(cell.plugin)),
        protocolModes[protocol],
        notes,
      ),
    )
    const old = mine.filter(({ cell }) => isOld(cell.host) || isOld(cell.plugin))
    if (old.length > 0) parts.push('With go-plugin as it was, the checks that old peers know:', table(old, ['plain', 'mtls'], notes))
  }
  if (notes.length > 0) parts.push(notes.map((why, i) => `${i + 1}. ${why}`).join('\n'))
  return parts.join('\n\n')
}

/** The same in short, for the README: by host and plugin of today and of old, what passed in all modes together. */
export function summaryOf(outcomes: readonly Outcome[]): string {
  const kinds = [...new Set(outcomes.map(({ cell }) => `${nameOf(cell.host)} | ${nameOf(cell.plugin)}`))]
  const count = (kind: string, protocol: Protocol): string => {
    const mine = outcomes.filter(({ cell }) => cell.protocol === protocol && `${nameOf(cell.host)} | ${nameOf(cell.plugin)}` === kind)
    const passed = mine.reduce((sum, outcome) => sum + outcome.passed.length, 0)
    const all = mine.reduce((sum, { known, failed }) => sum + known.length + failed.length, passed)
    return mine.length === 0 ? '' : `${passed} of ${all} in ${mine.length} modes`
  }
  // What does not concern us stands in docs/interop.md.
  const lines = kinds
    .filter(kind => kind.includes('TypeScript'))
    .map(kind => `| ${kind} | ${count(kind, 'grpc')} | ${count(kind, 'netrpc')} |`)
  return ['| host | plugin | gRPC | net/rpc |', '| --- | --- | --- | --- |', ...lines].join('\n')
}

function table(outcomes: readonly Outcome[], columns: readonly ModeName[], notes: string[]): string {
  const rows = [...new Set(outcomes.map(({ cell }) => `${nameOf(cell.host)} | ${nameOf(cell.plugin)}`))]
  const lines = rows.map(row => {
    const fields = columns.map(mode => {
      const outcome = outcomes.find(({ cell }) => cell.mode === mode && `${nameOf(cell.host)} | ${nameOf(cell.plugin)}` === row)
      return outcome === undefined ? '' : fieldOf(outcome, notes)
    })
    return `| ${row} | ${fields.join(' | ')} |`
  })
  const titles = columns.map(mode => modes[mode].title)
  return [`| host | plugin | ${titles.join(' | ')} |`, `|${' --- |'.repeat(columns.length + 2)}`, ...lines].join('\n')
}

/** `25 of 26 ¹`: what passed of what applies, and the numbers of the notes for the rest. */
function fieldOf({ cell, passed, known, failed }: Outcome, notes: string[]): string {
  const reasons = known.map(check => knownFailures.find(failure => failure.in(cell) && failure.checks.includes(check))?.why ?? check)
  const numbers = [...new Set(reasons)].map(why => {
    if (!notes.includes(why)) notes.push(why)
    return notes.indexOf(why) + 1
  })
  const marks = numbers.length > 0 ? ` (${numbers.sort().join(', ')})` : ''
  const broken = failed.length > 0 ? ` **fails: ${failed.map(({ check }) => check).join(', ')}**` : ''
  return `${passed.length} of ${passed.length + known.length + failed.length}${marks}${broken}`
}
