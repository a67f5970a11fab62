// `plugwire doctor`: why does a plugin not start? Looks at the file first, then runs it as a person would, then as a host does.

import { accessSync, constants, existsSync, type Stats, statSync } from 'node:fs'
import { delimiter, extname, isAbsolute, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Command } from 'commander'
import { type Contract, isPluginError } from 'plugwire'
import {
  foreignMachine,
  formatOf,
  type HandRun,
  type Logger,
  type Plugin,
  type PluginRecord,
  type Program,
  resolveCommand,
  runByHand,
} from 'plugwire/host'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { ExitCode } from '../failure.ts'
import {
  addTargetOptions,
  contractOfOptions,
  contractOfServed,
  contractRemedy,
  environmentOf,
  launchOptionsOf,
  launchTarget,
  programOf,
  type Target,
  type TargetOptions,
} from '../target.ts'

type Check =
  | 'file'
  | 'kind'
  | 'permissions'
  | 'interpreter'
  | 'by hand'
  | 'contract'
  | 'start'
  | 'stdout'
  | 'protocol'
  | 'versions'
  | 'timing'
  | 'call'
  | 'end'

export interface Finding {
  readonly check: Check
  readonly status: 'ok' | 'warn' | 'fail'
  readonly says: string
  /** What to do about it. */
  readonly remedy?: string
}

export interface DoctorReport {
  readonly plugin: string
  /** No finding is a `fail`. */
  readonly healthy: boolean
  readonly findings: readonly Finding[]
}

/** Milliseconds to a handshake above which a start is called slow; a bare plugin needs about 50. */
const SLOW_START_MS = 1_000
/** The same for the first call, which finds everything loaded. */
const SLOW_CALL_MS = 250

export function addDoctor(program: Command, context: Context): void {
  const command = program
    .command('doctor')
    .summary('why does a plugin not start?')
    .description(
      'Checks everything that has to be right for a plugin to start, in order, and says for each what it found and what to do: ' +
        'the file, its kind and architecture, permissions, the interpreter, what it says when run by hand, its contract and cookie, ' +
        'its start and handshake, what else it prints on stdout, protocol, versions, timing, a first call, and whether it ends when told.\n\n' +
        'The checks that depend on one that failed are left out. Exits with 0 when nothing failed, else with 1.',
    )
    .argument('<plugin>', 'a file (.js, .ts, or anything executable), or a program in PATH')
  addTargetOptions(command)
  context.finish(command, [
    'plugwire doctor ./plugin.js',
    'plugwire doctor ./plugin --cookie BASIC_PLUGIN=hello',
    'plugwire doctor ./plugin.js --json | jq \'.findings[] | select(.status != "ok")\'',
  ])
  command.action((plugin: string, options: TargetOptions) => context.run(options, () => doctor(plugin, options, context)))
}

async function doctor(name: string, options: TargetOptions, context: Context): Promise<ExitCode> {
  const { output, signal } = context
  const given = await contractOfOptions(options)
  const findings: Finding[] = []
  const found = async (finding: Finding): Promise<void> => {
    findings.push(finding)
    if (!options.json) for (const line of linesOf(finding)) await output.line(line)
  }
  const examination = new Examination(name, given, options, signal, found)
  await examination.run()
  const failed = findings.filter(({ status }) => status === 'fail').length
  const warned = findings.filter(({ status }) => status === 'warn').length
  const report: DoctorReport = { plugin: name, healthy: failed === 0, findings }
  if (options.json) await output.document(report)
  else await output.line(`\n${verdictOf(failed, warned)}`)
  return report.healthy ? ExitCode.ok : ExitCode.failed
}

const marks: Readonly<Record<Finding['status'], () => string>> = {
  ok: () => paint('green', 'ok  '),
  warn: () => paint('yellow', 'warn'),
  fail: () => paint('bold', paint('red', 'FAIL')),
}

function linesOf({ check, status, says, remedy }: Finding): string[] {
  const [first = '', ...rest] = says.split('\n')
  const indent = ' '.repeat(18)
  return [
    `${marks[status]()}  ${paint('dim', check.padEnd(11))} ${first}`,
    ...rest.map(line => `${indent}${line}`),
    ...(remedy === undefined
      ? []
      : remedy.split('\n').map((line, index) => `${indent}${index === 0 ? paint('bold', `-> ${line}`) : line}`)),
  ]
}

function verdictOf(failed: number, warned: number): string {
  const warnings = warned === 0 ? '' : `, ${warned} ${warned === 1 ? 'thing' : 'things'} to look at`
  return failed === 0
    ? paint('green', `The plugin is well${warnings}.`)
    : paint('red', `The plugin does not work: see ${failed === 1 ? 'the FAIL' : `the ${failed} FAILs`} above${warnings}.`)
}

/** Thrown when no later check can be made: one failed on which they depend, or the plugin speaks another protocol. */
const hopeless = Symbol('hopeless')

class Examination {
  readonly #name: string
  readonly #given: Contract | undefined
  readonly #options: TargetOptions
  readonly #signal: AbortSignal
  readonly #tell: (finding: Finding) => Promise<void>

  constructor(
    name: string,
    given: Contract | undefined,
    options: TargetOptions,
    signal: AbortSignal,
    tell: (finding: Finding) => Promise<void>,
  ) {
    this.#name = name
    this.#given = given
    this.#options = options
    this.#signal = signal
    this.#tell = tell
  }

  async run(): Promise<void> {
    try {
      const program = programOf(this.#name, this.#options)
      const resolved = await this.#lookAtFile(program)
      const told = await this.#runByHand(program)
      await this.#launch({ program, ...(await this.#contract(told)) }, resolved)
    } catch (cause) {
      if (cause !== hopeless) throw cause
    }
  }

  #ok(check: Check, says: string): Promise<void> {
    return this.#tell({ check, status: 'ok', says })
  }

  #warn(check: Check, says: string, remedy: string): Promise<void> {
    return this.#tell({ check, status: 'warn', says, remedy })
  }

  async #fail(check: Check, says: string, remedy?: string): Promise<never> {
    await this.#tell({ check, status: 'fail', says, ...(remedy !== undefined && { remedy }) })
    throw hopeless
  }

  // ---- the file

  async #lookAtFile(command: Parameters<typeof resolveCommand>[0]): Promise<Program> {
    const env = { ...process.env, ...environmentOf(this.#options).env }
    let program: Program | undefined
    let refusal: unknown
    try {
      program = resolveCommand(command, env)
    } catch (cause) {
      if (!isPluginError(cause)) throw cause
      if (isPluginError(cause, 'ERR_PLUGIN_NOT_FOUND'))
        return this.#fail('file', `there is no plugin at ${cause.facts.path}`, cause.facts.remedy)
      refusal = cause
    }
    const path = program?.path ?? String((command as { command: string }).command)
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return this.#fail('file', `${path}: ${refusal instanceof Error ? refusal.message : 'cannot be found'}`)
    await this.#ok('file', `${path}, ${stats.size} bytes, changed ${stats.mtime.toISOString()}`)
    await this.#lookAtKind(path)
    await this.#lookAtPermissions(path, stats, refusal)
    if (program === undefined) {
      if (isPluginError(refusal, 'ERR_PLUGIN_START')) return this.#fail('kind', `${path}: ${refusal.facts.reason}`, refusal.facts.remedy)
      if (isPluginError(refusal, 'ERR_TYPESCRIPT_UNSUPPORTED'))
        return this.#fail('interpreter', `${refusal.facts.runtime} cannot run it as it is`, refusal.facts.remedy)
      return this.#fail('start', refusal instanceof Error ? refusal.message : String(refusal))
    }
    await this.#lookAtInterpreter(program, env)
    return program
  }

  async #lookAtKind(path: string): Promise<void> {
    const extension = extname(path).toLowerCase()
    if (['.js', '.mjs', '.cjs'].includes(extension)) return this.#ok('kind', 'JavaScript, run by the runtime of its host')
    if (['.ts', '.mts', '.cts'].includes(extension)) return this.#ok('kind', 'TypeScript, run by the runtime of its host where that can')
    const format = formatOf(path)
    const here = `${process.platform} ${process.arch}`
    if (format === undefined) return this.#warn('kind', 'it cannot be read, so its kind is unknown', 'That is no obstacle to running it.')
    if (format.kind === 'text')
      return this.#fail(
        'kind',
        'a text that names no interpreter',
        'Begin it with a line such as #!/usr/bin/env node, or give it the extension .js or .ts.',
      )
    if (format.kind === 'script') return this.#ok('kind', `a script: ${format.line.trim()}`)
    if (!('machines' in format))
      return this.#warn('kind', 'no kind of program that is known here', 'Check that it is the right file, and that it was copied whole.')
    const machine = `${{ elf: 'ELF', 'mach-o': 'Mach-O', pe: 'PE' }[format.kind]} program for ${format.machines.join(', ') || 'an unknown machine'}`
    if (foreignMachine(format) === undefined) return this.#ok('kind', `${machine}; this is ${here}`)
    return this.#fail('kind', `${machine}, but this is ${here}`, `Build or install it for ${here}.`)
  }

  async #lookAtPermissions(path: string, stats: Stats, refusal: unknown): Promise<void> {
    if (process.platform === 'win32') return
    const mode = `0${(stats.mode & 0o7777).toString(8)}`
    const me = process.getuid?.()
    const owner = stats.uid === me ? 'you' : `user ${stats.uid}`
    if (isPluginError(refusal, 'ERR_PLUGIN_NOT_EXECUTABLE'))
      return this.#fail('permissions', `mode ${mode}, owned by ${owner}: it cannot be executed by you`, refusal.facts.remedy)
    if ((stats.mode & 0o002) !== 0) {
      return this.#warn(
        'permissions',
        `mode ${mode}, owned by ${owner}: everybody may change it, and so run code as you`,
        `chmod o-w ${path}`,
      )
    }
    if (stats.uid !== me && stats.uid !== 0 && me !== 0) {
      return this.#warn(
        'permissions',
        `mode ${mode}, owned by ${owner}, who may change it and so run code as you`,
        'Use a copy that you or root own, unless you trust them.',
      )
    }
    return this.#ok('permissions', `mode ${mode}, owned by ${owner}`)
  }

  async #lookAtInterpreter({ path, file, args }: Program, env: NodeJS.ProcessEnv): Promise<void> {
    if (path !== file) return this.#ok('interpreter', [file, ...args.slice(0, args.indexOf(path))].join(' '))
    const format = formatOf(path)
    if (format?.kind !== 'script') return
    const { interpreter, line } = format
    if (line.endsWith('\r'))
      return this.#fail(
        'interpreter',
        "its first line ends in a carriage return, which becomes a part of the interpreter's name",
        'Save the file with Unix line ends (dos2unix).',
      )
    if (!isAbsolute(interpreter))
      return this.#fail(
        'interpreter',
        `its first line asks for ${interpreter || 'nothing'}`,
        'Name the interpreter by its full path, or by /usr/bin/env.',
      )
    if (!existsSync(interpreter))
      return this.#fail(
        'interpreter',
        `its first line asks for ${interpreter}, which does not exist here`,
        'Install it, or correct the first line; #!/usr/bin/env NAME finds NAME in PATH.',
      )
    if (!isExecutable(interpreter))
      return this.#fail(
        'interpreter',
        `its first line asks for ${interpreter}, which cannot be executed`,
        `Check its permissions, or correct the first line.`,
      )
    if (!/(^|\/)env$/.test(interpreter)) return this.#ok('interpreter', interpreter)
    const wanted = programOfEnv(line)
    if (wanted === undefined) return this.#ok('interpreter', interpreter)
    const found = isAbsolute(wanted) ? (isExecutable(wanted) ? wanted : undefined) : findInPath(wanted, env['PATH'] ?? '')
    if (found === undefined)
      return this.#fail(
        'interpreter',
        `its first line asks env for ${wanted}, which is not in PATH (${env['PATH'] || 'empty'})`,
        `Install ${wanted}, or give the plugin a PATH that has it (--env PATH=…, or launch with { env }).`,
      )
    return this.#ok('interpreter', `${wanted} is ${found}`)
  }

  // ---- run by hand

  async #runByHand(program: Parameters<typeof runByHand>[0]): Promise<HandRun | undefined> {
    const { startTimeout: timeoutMs } = this.#options
    const options = { ...environmentOf(this.#options), signal: this.#signal, ...(timeoutMs !== undefined && { timeoutMs }) }
    try {
      const asked = await runByHand(program, options)
      const plain = asked.contract === undefined ? asked : await runByHand(program, { ...options, describe: false })
      await this.#judgeHandRun(plain)
      return asked
    } catch (cause) {
      if (cause === hopeless || !isPluginError(cause) || this.#signal.aborted) throw cause
      return this.#fail('start', cause.message)
    }
  }

  async #judgeHandRun(run: HandRun): Promise<void> {
    const words = wordsOf(run)
    if (run.timedOut)
      return this.#warn(
        'by hand',
        `it runs on when started without a host${words}`,
        'A plugin says what it is and exits with 1 when its cookie is missing; check that this is a plugin.',
      )
    if (run.signal !== null)
      return this.#fail(
        'by hand',
        `it was ended by ${run.signal}${words}`,
        run.signal === 'SIGKILL'
          ? 'Someone ended it, perhaps the system for want of memory.'
          : 'It crashed before it could say anything; its own developer has to look at it.',
      )
    const known = failureIn(run)
    if (known !== undefined) return this.#fail('by hand', `it fails before it serves${words}`, known)
    if (run.exitCode === 0)
      return this.#warn(
        'by hand',
        `it exits with 0, as if it had nothing to do${words}`,
        'A plugin exits with 1 when its cookie is missing. Does it call serve(), and wait for it?',
      )
    if (run.stderrTail === '' && run.stdoutTail === '')
      return this.#warn('by hand', `it exits with ${run.exitCode} and says nothing`, 'A plugin says what it is when its cookie is missing.')
    return this.#ok('by hand', `it says what it is and exits with ${run.exitCode}${run.exitCode === 1 ? '' : ' (usual is 1)'}${words}`)
  }

  async #contract(asked: HandRun | undefined): Promise<Pick<Target, 'contract' | 'source'>> {
    const told = asked?.contract
    const given = this.#given
    if (given !== undefined) {
      const { key, value } = given.cookie
      if (told !== undefined && (told.cookie.key !== key || told.cookie.value !== value)) {
        return this.#fail(
          'contract',
          `your cookie is ${key}=${value}, the plugin's is ${told.cookie.key}=${told.cookie.value} (contract ${told.name})`,
          'Host and plugin have to import the same contract, or contracts of the same name or cookie.',
        )
      }
      await this.#ok(
        'contract',
        `${given.name}, cookie ${key}=${value} (by your options${told === undefined ? '' : '; the plugin tells the same'})`,
      )
      return { contract: given, source: this.#options.contract === undefined ? 'options' : 'module' }
    }
    if (asked?.timedOut && asked.stdoutTail === '')
      return this.#fail(
        'contract',
        'it never wrote its handshake, nor does it tell its contract: it runs on and prints nothing on stdout',
        `Does it call serve()? Something before that may take too long or wait for ever. A plugin made without plugwire tells no contract. ${contractRemedy}`,
      )
    if (told === undefined)
      return this.#fail('contract', 'it does not tell its contract when asked, so its cookie is unknown', contractRemedy)
    const versions = told.versions.map(({ version, kinds }) => `${version} (${kinds.join(', ')})`).join(', ')
    await this.#ok('contract', `${told.name}, cookie ${told.cookie.key}=${told.cookie.value}, versions ${versions}`)
    return { contract: contractOfServed(told, this.#options.version), source: 'plugin' }
  }

  // ---- launch

  async #launch(target: Pick<Target, 'program' | 'contract' | 'source'>, resolved: Program): Promise<void> {
    const records: PluginRecord[] = []
    const collect: Logger = record => void (records.length < 1_000 && records.push(record))
    let plugin: Plugin<Contract>
    try {
      plugin = await launchTarget(target, this.#options, { ...launchOptionsOf(this.#options, this.#signal), logger: collect })
    } catch (cause) {
      return this.#explainStart(cause, records)
    }
    try {
      await this.#ok('start', `it prints its handshake (pid ${plugin.pid}, ${plugin.wire}${plugin.secure ? ', encrypted' : ''})`)
      await this.#judgeStdout(records)
      await this.#ok('protocol', `${plugin.handshake?.protocol}, core ${plugin.handshake?.coreVersion}`)
      await this.#ok(
        'versions',
        `${plugin.version}, of ${plugin.handshake?.versions.join(', ')} in the plugin and ${target.contract.versions.map(({ version }) => version).join(', ')} here`,
      )
      await this.#judgeTiming(plugin, resolved)
      await this.#judgeCall(plugin)
    } finally {
      const closedAt = performance.now()
      const ending = await plugin.close()
      const tookMs = performance.now() - closedAt
      if (ending === 'told' || ending === 'gone') await this.#ok('end', `it ends when told to, in ${tookMs.toFixed(0)} ms`)
      else
        await this.#warn(
          'end',
          `it did not end when told to: it was ${ending}`,
          'Does onClose, or the disposal of an instance, wait for something that never comes?',
        )
    }
  }

  async #explainStart(cause: unknown, records: readonly PluginRecord[]): Promise<never> {
    if (this.#signal.aborted || !isPluginError(cause)) throw cause
    const options = this.#options
    if (isPluginError(cause, 'ERR_PROTOCOL_UNSUPPORTED')) {
      await this.#ok('start', `it prints its handshake: ${cause.facts.line.trim()}`)
      await this.#judgeStdout(records)
      const { protocol } = cause.facts
      await this.#warn(
        'protocol',
        `it speaks ${protocol}, a protocol of go-plugin; no call is tried`,
        `It is a sound plugin so far, for a host whose contract has kinds of the protocol ${protocol}. plugwire conformance looks at the rest.`,
      )
      throw hopeless
    }
    if (isPluginError(cause, 'ERR_VERSION_MISMATCH')) {
      const { pluginVersions, hostVersions } = cause.facts
      await this.#ok('start', 'it prints its handshake')
      const remedy = options.contract === undefined ? `--version ${pluginVersions.join(',')}` : cause.facts.remedy
      return this.#fail(
        'versions',
        `the plugin has ${pluginVersions.join(', ')}, the host understands ${hostVersions.join(', ')}: none in common`,
        remedy,
      )
    }
    if (isPluginError(cause, 'ERR_HANDSHAKE_LINE'))
      return this.#fail(
        'stdout',
        `what it prints first is no handshake, ${JSON.stringify(cause.facts.line)}: ${cause.facts.reason}`,
        cause.facts.remedy,
      )
    if (isPluginError(cause, 'ERR_HANDSHAKE_EXIT')) {
      const { exitCode, signal } = cause.facts
      const isCookie = this.#given !== undefined && exitCode === 1
      const remedy = isCookie
        ? 'That is what a plugin does whose cookie is another one: check --name or --cookie against its source.'
        : cause.facts.remedy
      return this.#fail(
        isCookie ? 'contract' : 'start',
        `it exited before its handshake (${signal ?? `exit code ${exitCode}`})${wordsOf(cause.facts)}`,
        failureIn(cause.facts) ?? remedy,
      )
    }
    if (isPluginError(cause, 'ERR_HANDSHAKE_TIMEOUT')) {
      return this.#fail(
        'start',
        `it printed no handshake within ${cause.facts.timeoutMs} ms${wordsOf(cause.facts)}`,
        'Does it call serve()? Is there something slow, or a wait without an end, before that? --start-timeout gives it more time.',
      )
    }
    return this.#fail('start', cause.message)
  }

  async #judgeStdout(records: readonly PluginRecord[]): Promise<void> {
    const lines = records.filter(({ stream }) => stream === 'stdout').map(({ message }) => message)
    if (lines.length === 0) return this.#ok('stdout', 'nothing but the handshake')
    const shown = lines
      .slice(0, 3)
      .map(line => `\n  | ${line.slice(0, 200)}`)
      .join('')
    await this.#warn(
      'stdout',
      `it prints ${lines.length === 1 ? 'a line' : `${lines.length} lines`} of its own while it starts${shown}`,
      'A plugwire host takes that as output. A Go host takes the first line for the handshake and gives up: print to stderr, or only after serve().',
    )
  }

  async #judgeTiming(plugin: Plugin<Contract>, { file, path }: Program): Promise<void> {
    const { timings } = plugin
    if (timings === undefined) return
    const says = `handshake ${timings.handshakeMs.toFixed(0)} ms after its start, connected ${timings.connectMs.toFixed(0)} ms later`
    if (timings.handshakeMs < SLOW_START_MS) return this.#ok('timing', says)
    const remedy =
      file === path
        ? 'What does it do before it serves?'
        : 'What does it import? node --cpu-prof tells; import what only some calls need when they come.'
    return this.#warn('timing', says, remedy)
  }

  async #judgeCall(plugin: Plugin<Contract>): Promise<void> {
    const calledAt = performance.now()
    try {
      const { kinds, runtime, plugwire } = await plugin.describe({ signal: this.#signal, timeoutMs: this.#options.startTimeout ?? 10_000 })
      const tookMs = performance.now() - calledAt
      const says = `answered in ${tookMs.toFixed(1)} ms (${runtime}, plugwire ${plugwire}; kinds ${kinds.join(', ')})`
      if (tookMs < SLOW_CALL_MS) await this.#ok('call', says)
      else await this.#warn('call', says, 'It was busy: what runs right after serve()?')
    } catch (cause) {
      if (this.#signal.aborted || !isPluginError(cause)) throw cause
      await this.#fail('call', cause.message, 'It introduced itself and then did not answer: does something block its event loop?')
    }
  }
}

/** Lines of a process's last words that are shown. */
const SHOWN_LINES = 8
/** The runtime's own part of a stack, which says nothing about the plugin. */
const runtimeLine = /^\s+at .*\(?node:|^Node\.js v|^node:internal/

/** The last lines of what a process said, indented, for the end of a sentence. */
function wordsOf({ stdoutTail, stderrTail }: { readonly stdoutTail: string; readonly stderrTail: string }): string {
  const lines = (stderrTail.trim() || stdoutTail.trim()).split('\n').filter(line => line.trim() !== '' && !runtimeLine.test(line))
  const shown = lines.slice(-SHOWN_LINES).map(line => `\n  | ${line.slice(0, 200)}`)
  return `${lines.length > SHOWN_LINES ? '\n  | …' : ''}${shown.join('')}`
}

/** Failures of runtimes that have one usual reason. For advice only: nothing is decided by it. */
function failureIn({ stderrTail }: { readonly stderrTail: string }): string | undefined {
  const missing = /Cannot find (?:package|module) '([^']+)'/.exec(stderrTail)?.[1]
  if (missing !== undefined)
    return /^[./]|^file:/.test(missing)
      ? 'A file that it imports is not there: is everything built?'
      : `Install what it imports, there where the plugin is: npm install ${missing}`
  if (/Cannot use import statement outside a module|Unexpected token 'export'/.test(stderrTail))
    return 'Its nearest package.json needs "type": "module", or the file the extension .mjs.'
  if (/^SyntaxError/m.test(stderrTail)) return `It cannot be parsed by Node ${process.version}: correct it, or compile it for this version.`
  if (/error while loading shared libraries/.test(stderrTail)) return 'A shared library is missing; ldd tells which.'
  if (/^\s+at .+\(?.+:\d+:\d+\)?$/m.test(stderrTail)) return 'It throws before it serves; the stack says where.'
  return undefined
}

/** What env is asked to run: the first word that is neither an option nor a variable. */
function programOfEnv(line: string): string | undefined {
  return line
    .slice(2)
    .trim()
    .split(/\s+/)
    .slice(1)
    .find(word => !word.startsWith('-') && !word.includes('='))
}

function findInPath(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter(dir => dir !== '')
    .map(dir => join(dir, name))
    .find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false // Missing or forbidden is the usual answer of a search.
  }
}
