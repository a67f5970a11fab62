// `plugwire conformance`: does a plugin, in whatever language, keep what docs/protocol.md demands, or what hosts of go-plugin rely on?

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { CheckResult, GoCheckResult, GoReport, PeerWire, Report } from '@plugwire/testing'
import type { Command } from 'commander'
import type { Command as PluginCommand } from 'plugwire/host'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { ExitCode, usage } from '../failure.ts'
import { collectVariable, findTarget, readCookie, readMilliseconds } from '../target.ts'

interface ConformanceOptions {
  readonly name?: string
  readonly cookie?: { readonly key: string; readonly value: string }
  readonly contract?: string
  readonly kind?: string
  readonly config?: unknown
  readonly environmentMethod?: string
  readonly wire?: PeerWire
  readonly env?: readonly (readonly [string, string])[]
  readonly cwd?: string
  readonly only?: readonly string[]
  readonly deadline?: number
  readonly for?: KnownHost
  readonly offer?: readonly number[]
  readonly json?: boolean
  readonly debug?: boolean
}

type KnownHost = 'terraform' | 'vault' | 'nomad'

/** What `--json` writes for a plugin of go-plugin. */
export interface GoConformanceReport extends GoReport {
  readonly plugin: readonly string[]
}

/** What `--json` writes. */
export interface ConformanceReport extends Report {
  readonly plugin: readonly string[]
}

export function addConformance(program: Command, context: Context): void {
  const command = program
    .command('conformance')
    .summary('does a plugin speak the protocol as it is written?')
    .description(
      'For plugins that are made without plugwire, in any language. Starts the plugin again and again, speaks to it frame by frame, well and badly, ' +
        'and says of each demand whether it is met: of docs/protocol.md for plugins of our own protocol, and for those that speak gRPC or net/rpc of ' +
        'what hosts of go-plugin rely on, with what such a host would show.\n\n' +
        'Exits with 0 when none has failed, else with 1. Put -- before arguments of the plugin that begin with a dash.',
    )
    .argument('<command...>', 'what launch takes, or a program and its arguments')
    .option('--contract <module[#export]>', 'take the cookie from the contract of your own module')
    .option('--name <name>', 'the name of a plugwire contract, from which the cookie is derived')
    .option('--cookie <KEY=VALUE>', 'the cookie', readCookie)
    .option('--for <host>', 'cookie and versions of terraform, vault or nomad', readKnownHost)
    .option('--offer <versions>', 'contract versions to offer to a plugin of go-plugin, e.g. 5,6 (default: 1 to 10)', readVersions)
    .option('--kind <kind>', 'the kind to dispense (default: the first that the plugin describes; over net/rpc: none)')
    .option('--config <json>', 'what it is dispensed with', readJson)
    .option('--environment-method <name>', "a method of the kind that returns the plugin's environment")
    .option('--wire <wire>', 'fd, unix or stdio (default: fd)', readPeerWire)
    .option('--env <KEY=VALUE>', 'a variable for the plugin; may be repeated', collectVariable)
    .option('--cwd <directory>', "the plugin's working directory")
    .option('--only <check>', 'a check, or a group of them; may be repeated', (part: string, before: readonly string[] = []) => [
      ...before,
      part,
    ])
    .option('--deadline <ms>', 'milliseconds for each answer, and each end (default: 5000)', readMilliseconds)
  context.finish(command, [
    'plugwire conformance ./plugin.js',
    'plugwire conformance python3 plugin.py --cookie PLUGWIRE_SNAKE=a-snake',
    'plugwire conformance ./terraform-provider-random --for terraform',
    'plugwire conformance ./greeter --cookie BASIC_PLUGIN=hello --offer 1 --kind greeter',
    'plugwire conformance ./plugin --name kv --kind store --config \'{"region":"eu"}\' --wire unix',
    'plugwire conformance ./plugin --name kv --only breaches --json',
  ])
  command.action((words: readonly string[], options: ConformanceOptions) => context.run(options, () => examine(words, options, context)))
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw usage(`--config ${text}: write JSON`)
  }
}

function readPeerWire(text: string): PeerWire {
  if (text === 'fd' || text === 'unix' || text === 'stdio') return text
  throw usage(`--wire ${text}: it is one of fd, unix, stdio`)
}

function readKnownHost(text: string): KnownHost {
  if (text === 'terraform' || text === 'vault' || text === 'nomad') return text
  throw usage(`--for ${text}: it is one of terraform, vault, nomad; for other hosts give --cookie`)
}

function readVersions(text: string): readonly number[] {
  if (/^\d{1,9}(,\d{1,9})*$/.test(text)) return text.split(',').map(Number)
  throw usage(`--offer ${text}: write numbers with commas between them`)
}

async function examine(words: readonly string[], options: ConformanceOptions, context: Context): Promise<ExitCode> {
  const { output, signal } = context
  const { checks, conformance, knownHosts, protocolForGo } = await import('@plugwire/testing')
  const { only, kind, config, environmentMethod, wire, deadline: deadlineMs } = options
  const known = options.for && knownHosts[options.for]
  const [first = '', ...args] = words
  const cookie = known?.cookie ?? (await findTarget(first, { ...options, arg: args }, signal)).contract.cookie
  const file = resolve(first)
  const command = {
    command: !first.includes('/') && !existsSync(file) ? first : file,
    args,
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  }
  const env = Object.fromEntries(options.env ?? [])
  if (wire === undefined) {
    const protocol = await protocolForGo(command, { cookie, env, ...(deadlineMs !== undefined && { deadlineMs }) })
    if (known !== undefined || protocol === 'grpc' || protocol === 'netrpc') {
      return examineGo(words, command, { ...options, cookie, ...(known && { offer: options.offer ?? known.versions }) }, context)
    }
  }
  checkNames(only, checks)
  let group = ''
  let printed = Promise.resolve()
  const print = (result: CheckResult): void => {
    const [next = ''] = result.id.split('.')
    const heading = next === group ? [] : [...(group === '' ? [] : ['']), paint('bold', next)]
    group = next
    printed = printed.then(async () => {
      for (const line of [...heading, ...linesOf(result)]) await output.line(line)
    })
  }
  const report: Report = await conformance(command, {
    signal,
    env,
    cookie,
    ...(only !== undefined && { only }),
    ...(kind !== undefined && { kind }),
    ...(config !== undefined && { config }),
    ...(environmentMethod !== undefined && { environmentMethod }),
    ...(wire !== undefined && { wire }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(!options.json && { onResult: print }),
  })
  await printed
  if (options.json) await output.document({ plugin: words, ...report } satisfies ConformanceReport)
  else await output.line(`\n${verdictOf(report)}`)
  return report.conforms ? ExitCode.ok : ExitCode.failed
}

function checkNames(only: readonly string[] | undefined, checks: readonly { readonly id: string }[]): void {
  const unknown = only?.find(part => !checks.some(({ id }) => id === part || id.startsWith(`${part}.`)))
  if (unknown !== undefined) throw usage(`--only ${unknown}: there is no such check; there are ${checks.map(({ id }) => id).join(', ')}`)
}

async function examineGo(
  words: readonly string[],
  command: PluginCommand,
  options: ConformanceOptions & { readonly cookie: { readonly key: string; readonly value: string } },
  { output, signal }: Context,
): Promise<ExitCode> {
  const { goPluginChecks, goPluginConformance } = await import('@plugwire/testing')
  const { only, kind, cookie, offer, deadline: deadlineMs } = options
  checkNames(only, goPluginChecks)
  let group = ''
  let printed = Promise.resolve()
  const report = await goPluginConformance(command, {
    signal,
    cookie,
    env: Object.fromEntries(options.env ?? []),
    ...(offer !== undefined && { versions: offer }),
    ...(only !== undefined && { only }),
    ...(kind !== undefined && { kind }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(!options.json && {
      onResult: result => {
        const [next = ''] = result.id.split('.')
        const heading = next === group ? [] : [...(group === '' ? [] : ['']), paint('bold', next)]
        group = next
        printed = printed.then(async () => {
          for (const line of [...heading, ...linesOfGo(result)]) await output.line(line)
        })
      },
    }),
  })
  await printed
  if (options.json) await output.document({ plugin: words, ...report } satisfies GoConformanceReport)
  else await output.line(`\n${verdictOf(report)}`)
  return report.conforms ? ExitCode.ok : ExitCode.failed
}

/** What Go hosts would show stands where the page stands for plugins of our own protocol. */
function linesOfGo({ otherwise, ...result }: GoCheckResult): string[] {
  const lines = linesOf({ ...result, section: '' })
  return result.verdict === 'fail' ? [...lines.slice(0, -1), `${' '.repeat(26)}a Go host: ${otherwise}`] : lines
}

const marks: Readonly<Record<CheckResult['verdict'], () => string>> = {
  pass: () => paint('green', '✓'),
  fail: () => paint('bold', paint('red', '✗')),
  skipped: () => paint('yellow', '-'),
}

/** One line for what is well; what is demanded, by which section, and what was seen for everything else. */
function linesOf({ id, section, demands, verdict, seen }: CheckResult): string[] {
  const name = id.slice(id.indexOf('.') + 1).padEnd(21)
  const indent = ' '.repeat(26)
  const line = `  ${marks[verdict]()} ${name} ${demands}`
  if (verdict === 'pass') return [line]
  if (verdict === 'skipped') return [line, `${indent}${paint('dim', `skipped: ${seen}`)}`]
  const [what = '', ...rest] = seen.split('\n')
  return [
    line,
    `${indent}${paint('red', `seen: ${what}`)}`,
    ...rest.map(more => `${indent}${more}`),
    `${indent}docs/protocol.md, ${section}`,
  ]
}

function verdictOf({ conforms, passed, failed, skipped }: Pick<Report, 'conforms' | 'passed' | 'failed' | 'skipped'>): string {
  const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`
  return conforms ? paint('green', `It conforms: ${counts}.`) : paint('red', `It does not conform: ${counts}.`)
}
