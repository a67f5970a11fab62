// `plugwire inspect`: what a plugin is, what it can do, and how long it took to say so.

import { performance } from 'node:perf_hooks'
import type { Command } from 'commander'
import { type Contract, isPluginError } from 'plugwire'
import { methodsOf, type Plugin, resolveCommand } from 'plugwire/host'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { type FailureRecord, recordOf } from '../failure.ts'
import { addTargetOptions, findTarget, launchOptionsOf, launchTarget, type Target, type TargetOptions } from '../target.ts'
import { readConfig } from './call.ts'

interface InspectOptions extends TargetOptions {
  readonly config?: string
  /** False with `--no-dispense`. */
  readonly dispense: boolean
}

type KindReport = { readonly name: string } & ({ readonly methods: readonly string[] } | { readonly error: FailureRecord } | object)

export interface InspectReport {
  readonly plugin: string
  readonly program: { readonly file: string; readonly args: readonly string[]; readonly cwd: string }
  readonly contract: {
    readonly name: string
    readonly cookie: { readonly key: string; readonly value: string }
    /** Who told it. */
    readonly source: Target['source']
  }
  readonly versions: {
    readonly plugin: readonly number[]
    readonly offered: readonly number[]
    /** What was agreed on. */
    readonly agreed: number
  }
  readonly protocol: string
  readonly coreVersion: number
  readonly wire: string
  readonly address: string
  readonly secure: boolean
  readonly pid: number
  readonly runtime: string
  readonly plugwire: string
  readonly kinds: readonly KindReport[]
  /** Kinds by version, as the plugin told when asked. */
  readonly kindsByVersion?: Readonly<Record<number, readonly string[]>>
  readonly timings: {
    readonly describeMs?: number
    readonly spawnMs: number
    readonly handshakeMs: number
    readonly connectMs: number
    readonly firstCallMs: number
    readonly pingMs: number
  }
}

export function addInspect(program: Command, context: Context): void {
  const command = program
    .command('inspect')
    .summary('what a plugin is, and what it can do')
    .description(
      'Launches a plugin and shows its handshake, versions, wire, kinds, methods and timings.\n\n' +
        'A plugin made with plugwire tells its contract when asked (PLUGWIRE_DESCRIBE=1), so nothing else is needed. For any other, ' +
        'say what it is with --contract, --name or --cookie.\n\n' +
        'To learn the methods of a kind, one instance of it is dispensed and disposed again; --no-dispense leaves that out.',
    )
    .argument('<plugin>', 'a file (.js, .ts, or anything executable), or a program in PATH')
  addTargetOptions(command)
    .option('--config <json>', 'what to dispense the kinds with')
    .option('--no-dispense', 'list the kinds without their methods')
  context.finish(command, [
    'plugwire inspect ./plugin.js',
    'plugwire inspect ./plugin.js --json | jq .kinds',
    'plugwire inspect ./plugin --cookie BASIC_PLUGIN=hello',
    'plugwire inspect ./plugin.js --wire tcp',
  ])
  command.action((plugin: string, options: InspectOptions) => context.run(options, () => inspect(plugin, options, context)))
}

async function inspect(name: string, options: InspectOptions, context: Context): Promise<void> {
  const { output, signal } = context
  const config = await readConfig(options.config)
  const target = await findTarget(name, options, signal)
  let plugin: Plugin<Contract>
  try {
    plugin = await launchTarget(target, options, launchOptionsOf(options, signal))
  } catch (cause) {
    if (!isPluginError(cause, 'ERR_PROTOCOL_UNSUPPORTED')) throw cause
    return foreign(name, cause.facts, options, context)
  }
  try {
    const report = await examine(name, target, plugin, config, options, signal)
    if (options.json) await output.document(report)
    else for (const line of sheetOf(report, options)) await output.line(line)
  } finally {
    await plugin.close()
  }
}

async function examine(
  name: string,
  target: Target,
  plugin: Plugin<Contract>,
  config: unknown,
  options: InspectOptions,
  signal: AbortSignal,
): Promise<InspectReport> {
  const { handshake, timings } = plugin
  if (handshake === undefined || timings === undefined) throw new TypeError('a launched plugin has a handshake')
  const calledAt = performance.now()
  const description = await plugin.describe({ signal })
  const firstCallMs = performance.now() - calledAt
  const pingMs = await plugin.ping()
  const kinds: KindReport[] = []
  for (const kind of description.kinds) {
    if (signal.aborted) break
    kinds.push(options.dispense ? await reportOf(kind, plugin, config, options.debug ?? false) : { name: kind })
  }
  const program = resolveCommand(target.program, process.env)
  // How a verified program is started says nothing about it; its name does.
  const { command } = target.program
  const isVerified = typeof command === 'object' && 'rung' in command
  const { file, args, cwd } = isVerified ? { file: `${command.name} (verified, ${command.rung})`, args: [], cwd: program.cwd } : program
  return {
    plugin: name,
    program: { file, args, cwd },
    contract: { name: description.name, cookie: target.contract.cookie, source: target.source },
    versions: { plugin: handshake.versions, offered: target.contract.versions.map(({ version }) => version), agreed: plugin.version },
    protocol: handshake.protocol,
    coreVersion: handshake.coreVersion,
    wire: plugin.wire,
    address: handshake.address,
    secure: plugin.secure,
    pid: plugin.pid,
    runtime: description.runtime,
    plugwire: description.plugwire,
    kinds,
    ...(target.served !== undefined && {
      kindsByVersion: Object.fromEntries(target.served.versions.map(({ version, kinds }) => [version, kinds])),
    }),
    timings: { ...(target.describeMs !== undefined && { describeMs: target.describeMs }), ...timings, firstCallMs, pingMs },
  }
}

async function reportOf(kind: string, plugin: Plugin<Contract>, config: unknown, debug: boolean): Promise<KindReport> {
  try {
    const instance = (await plugin.dispense(kind, config)) as AsyncDisposable
    const methods = methodsOf(instance)
    await instance[Symbol.asyncDispose]()
    return { name: kind, methods }
  } catch (cause) {
    if (isPluginError(cause, 'ERR_PLUGIN_EXITED') || isPluginError(cause, 'ERR_PLUGIN_CLOSED')) throw cause
    return { name: kind, error: recordOf(cause, debug) }
  }
}

function sheetOf(report: InspectReport, options: InspectOptions): string[] {
  const { contract, versions, timings } = report
  const field = (label: string, text: string): string => `  ${paint('dim', label.padEnd(10))} ${text}`
  const ms = (value: number): string => `${value.toFixed(1)} ms`
  const sources = { plugin: 'told by the plugin', options: 'by your options', module: 'by your module', manifest: 'by its manifest' }
  const others = Object.entries(report.kindsByVersion ?? {}).filter(([version]) => Number(version) !== versions.agreed)
  return [
    `${paint('bold', contract.name)} ${versions.agreed}   ${paint('dim', [report.program.file, ...report.program.args].join(' '))}`,
    '',
    field('cookie', `${contract.cookie.key}=${contract.cookie.value} (${sources[contract.source]})`),
    field('versions', `${versions.agreed}, of ${versions.plugin.join(', ')} in the plugin and ${versions.offered.join(', ')} offered`),
    field('protocol', `${report.protocol}, core ${report.coreVersion}`),
    field('wire', `${report.wire} ${report.address}, ${report.secure ? 'encrypted by one-time certificates' : 'not encrypted'}`),
    field('process', `${report.pid}, ${report.runtime}, plugwire ${report.plugwire}`),
    field(
      'timings',
      `spawn ${ms(timings.spawnMs)}, handshake ${ms(timings.handshakeMs)}, connect ${ms(timings.connectMs)}, first call ${ms(timings.firstCallMs)}, ping ${ms(timings.pingMs)}`,
    ),
    '',
    ...report.kinds.flatMap(kind => linesOf(kind, options)),
    ...others.map(
      ([version, kinds]) =>
        `  ${paint('dim', `version ${version} has:`)} ${kinds.join(', ')} ${paint('dim', `(--version ${version} shows their methods)`)}`,
    ),
  ]
}

function linesOf(kind: KindReport, options: InspectOptions): string[] {
  const name = `  ${paint('cyan', kind.name)}`
  if ('methods' in kind)
    return [name, ...(kind.methods.length === 0 ? [`    ${paint('dim', 'no methods')}`] : kind.methods.map(method => `    ${method}`))]
  if (!('error' in kind)) return [name]
  const remedy =
    options.config === undefined ? 'If it needs a configuration, give one with --config JSON.' : 'It was dispensed with your --config.'
  return [name, `    ${paint('yellow', 'could not be dispensed')}: ${kind.error.message}`, `    ${paint('dim', remedy)}`]
}

/** A plugin of go-plugin's own protocols: its handshake is all that can be seen. */
async function foreign(
  name: string,
  facts: { readonly protocol: string; readonly line: string },
  options: InspectOptions,
  { output }: Context,
): Promise<void> {
  const { protocol, line } = facts
  if (options.json) return output.document({ plugin: name, protocol, handshake: line.trim(), kinds: null })
  await output.line(`${paint('bold', name)} speaks ${protocol}, a protocol of go-plugin`)
  await output.line(`  ${paint('dim', 'handshake'.padEnd(10))} ${line.trim()}`)
  await output.line('  It started and introduced itself as it should. Its kinds cannot be listed: this protocol has no words for that.')
}
