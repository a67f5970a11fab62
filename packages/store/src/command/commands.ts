// A program whose commands are plugins, fetched when they are first used: from what was typed to an exit code. What goes wrong for the user's part is said on
// stderr and is no exception. Knows no protocol of a source and no format of a signature.

import { mkdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { LOCK_FILE_NAME } from '@plugwire/trust'
import { isPluginError, PluginError } from 'plugwire'
import { isRemoteError, type LaunchOptions, launch, type VerifiedProgram } from 'plugwire/host'
import { userDataDirectory } from '../content/places.ts'
import { ContentStore } from '../content/store.ts'
import { ensurePlugin } from '../install/ensure.ts'
import { type Installed, type InstallOptions, install } from '../install/install.ts'
import type { StoredPlugin } from '../install/stored-plugin.ts'
import type { HttpRetry } from '../sources/http/client.ts'
import { command } from './contract.ts'
import { inOneLine, ProgressLine } from './progress-line.ts'

export interface CommandsOptions extends Omit<InstallOptions, 'dryRun' | 'platforms' | 'signal' | 'onFailure'> {
  /** What the program is called: in texts, and for the directory of its lock file. A plain word. */
  readonly program: string
  /** Default: `<program>/plugwire.lock` among the user's data. The one that a program was released with makes everybody run what was tested. */
  readonly lockFile?: string
  /** How commands are launched, e.g. with which part of the environment (`inheritEnv`). They have the user's terminal unless this says otherwise. */
  readonly launch?: LaunchOptions
  /** Runs plugins of a contract of the application's own, and returns the exit code. Default: the contract `command`. */
  readonly start?: (program: VerifiedProgram, call: CommandCall) => Promise<number>
  /** Takes the lines about fetching and refusals. Default `process.stderr`. */
  readonly messages?: Writable
}

/** One use of a command. */
export interface CommandCall {
  /** As in the table of commands. */
  readonly command: string
  /** What stands behind it. */
  readonly args: readonly string[]
  /** `<program> <command>`, for texts. */
  readonly name: string
  /** Aborted by Ctrl-C; the second one ends this process and with it the plugin. */
  readonly signal: AbortSignal
  readonly plugin: StoredPlugin
}

/** Runs one command: its name and its arguments. Never rejects for what a user, a source or a plugin can bring about. */
export type RunCommand = (args?: readonly string[]) => Promise<number>

const Exit = { failed: 1, usage: 2, interrupted: 128 + constants.signals.SIGINT } as const

/**
 * Makes commands of plugins: `process.exitCode = await commands({ aws: 'npm:@acme/aws-plugin@^2' }, { program: 'acme', policy })()`.
 *
 * A command is looked up in the lock file; what is not in the store yet is fetched, verified under the policy, stored and locked, with one line of
 * progress; then exactly the verified bytes are launched. In front of the command may stand `--dry-run`, which says what would be done and by whom it is
 * signed, and `--offline`, which uses what is stored.
 *
 * @param addresses By command: where its plugin comes from.
 * @returns Takes what was typed (default `process.argv` from the third on) and resolves to the exit code: the command's own; 1 when it was refused or
 * failed; 2 when there is no such command; 130 after Ctrl-C.
 */
export function commands(addresses: Readonly<Record<string, string>>, options: CommandsOptions): RunCommand {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(options.program)) throw new TypeError(`${JSON.stringify(options.program)} is no plain word`)
  const table = new Map(Object.entries(addresses))
  return async (args = process.argv.slice(2)) => {
    const messages = options.messages ?? process.stderr
    const { flags, name, rest } = taken(args)
    const address = table.get(name)
    const unknown = [...flags].find(flag => !known.has(flag))
    if (address !== undefined && unknown === undefined && !flags.has('--help')) {
      return new CommandRun(options, messages, name, address, rest).run(flags.has('--dry-run'), options.offline || flags.has('--offline'))
    }
    const wrong = unknown === undefined ? (name === '' ? undefined : `there is no command ${name}`) : `there is no option ${unknown}`
    const usage = `usage: ${options.program} [--dry-run] [--offline] <command> …\ncommands: ${[...table.keys()].sort().join(', ')}\n`
    messages.write(wrong === undefined ? usage : `${options.program}: ${wrong}\n${usage}`)
    return flags.has('--help') && wrong === undefined ? 0 : Exit.usage
  }
}

const known: ReadonlySet<string> = new Set(['--dry-run', '--offline', '--help'])

/** What stands in front of the command is ours, what stands behind it is the command's. */
function taken(args: readonly string[]): { readonly flags: ReadonlySet<string>; readonly name: string; readonly rest: readonly string[] } {
  const at = args.findIndex(argument => !argument.startsWith('-'))
  const place = at < 0 ? args.length : at
  const flags = args.slice(0, place).map(flag => (flag === '-h' ? '--help' : flag))
  return { flags: new Set(flags), name: args[place] ?? '', rest: args.slice(place + 1) }
}

class CommandRun {
  readonly #options: CommandsOptions
  readonly #messages: Writable
  readonly #command: string
  readonly #address: string
  readonly #args: readonly string[]
  readonly #name: string

  constructor(options: CommandsOptions, messages: Writable, command: string, address: string, args: readonly string[]) {
    this.#options = options
    this.#messages = messages
    this.#command = command
    this.#address = address
    this.#args = args
    this.#name = `${options.program} ${command}`
  }

  async run(dryRun: boolean, offline: boolean): Promise<number> {
    const interrupt = new AbortController()
    const interrupted = (): void => {
      // The first asks, the second ends: a plugin goes with its host.
      if (interrupt.signal.aborted) process.exit(Exit.interrupted)
      interrupt.abort()
    }
    process.on('SIGINT', interrupted)
    const progress = new ProgressLine(this.#messages, `${this.#name}: `)
    try {
      return dryRun
        ? await this.#describe(await this.#installing(offline, interrupt.signal))
        : await this.#use(await this.#installing(offline, interrupt.signal, progress), interrupt.signal)
    } catch (cause) {
      progress.clear()
      if (isPluginError(cause, 'ERR_PLUGIN_EXITED')) return this.#ended(cause.facts)
      if (interrupt.signal.aborted) return Exit.interrupted
      if (!isPluginError(cause) && !isRemoteError(cause)) throw cause
      this.#messages.write(
        `${this.#name}: ${cause.message.split('\n').map(inOneLine).join('\n')}${isPluginError(cause) ? ` (${cause.code})` : ''}\n`,
      )
      return Exit.failed
    } finally {
      process.off('SIGINT', interrupted)
    }
  }

  async #installing(
    offline: boolean,
    signal: AbortSignal,
    progress?: ProgressLine,
  ): Promise<InstallOptions & { readonly store: ContentStore }> {
    const { program, launch: _launch, start: _start, messages: _messages, onEvent, ...rest } = this.#options
    const lockFile = resolve(rest.lockFile ?? join(userDataDirectory(), program, LOCK_FILE_NAME))
    if (progress !== undefined) await mkdir(dirname(lockFile), { recursive: true, mode: 0o700 })
    const store = rest.store instanceof ContentStore ? rest.store : await ContentStore.open(rest.store)
    const onEvents: InstallOptions['onEvent'] = event => {
      progress?.take(event)
      onEvent?.(event)
    }
    const onRetry = (retry: HttpRetry): void => {
      progress?.retry(retry)
      rest.sources?.http?.onRetry?.(retry)
    }
    const sources = { ...rest.sources, http: { ...rest.sources?.http, onRetry } }
    return { ...rest, lockFile, store, offline, signal, sources, onEvent: onEvents }
  }

  async #describe(installing: InstallOptions): Promise<number> {
    const [found] = await install([this.#address], { ...installing, dryRun: true })
    process.stdout.write(`${this.#name} would run ${inOneLine(sentenceOf(found as Installed))}\n`)
    return 0
  }

  async #use(installing: InstallOptions, signal: AbortSignal): Promise<number> {
    let plugin = await ensurePlugin(this.#address, installing)
    const program = await plugin.program().catch(async (cause: unknown) => {
      // What was damaged on this disk is fetched again, once. Whoever damaged it gains nothing by it.
      if (!isPluginError(cause, 'ERR_STORE_CORRUPT') && !isPluginError(cause, 'ERR_CHECKSUM')) throw cause
      await install([this.#address], installing)
      plugin = await ensurePlugin(this.#address, installing)
      return plugin.program()
    })
    try {
      const call: CommandCall = { command: this.#command, args: this.#args, name: this.#name, signal, plugin }
      const code = await (this.#options.start?.(program, call) ?? this.#launch(program, call))
      return Number.isInteger(code) && code >= 0 && code <= 255 ? code : Exit.failed
    } finally {
      program.close()
    }
  }

  async #launch(program: VerifiedProgram, { args, name, signal, plugin: found }: CommandCall): Promise<number> {
    checkContract(found)
    const plugin = await launch(command, program, { name, terminal: true, ...this.#options.launch, signal })
    try {
      const line = await plugin.dispense('command')
      return await line.run(args, { name, signal })
    } finally {
      await plugin.close()
    }
  }

  /** A program may end by itself, and what it says by that counts. */
  #ended({ exitCode, signal }: { readonly exitCode: number | null; readonly signal: string | null }): number {
    if (exitCode !== null) return exitCode
    this.#messages.write(`${this.#name}: it was ended by ${signal}\n`)
    return 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)
  }
}

/** Said before it is started: as a program that was launched for another contract it could only say so in words of its own. */
function checkContract({ name, version, verdict }: StoredPlugin): void {
  const { contract } = verdict.manifest
  if (contract.name === command.name) return
  throw new PluginError('ERR_TRUST_OTHER_PLUGIN', {
    expected: command.name,
    actual: contract.name,
    reason: `${name} ${version} serves the contract ${contract.name}, and a command has to serve ${command.name}`,
    remedy: 'Look at the address of the command.',
  })
}

function sentenceOf({ name, version, action, address, verdict, findings }: Installed): string {
  const what = action === 'present' ? `${name} ${version}, which is here` : `${name} ${version}, to be fetched from ${address}`
  const signers = verdict?.signers.map(({ publisher, fingerprint }) => `signed by ${publisher} ${fingerprint}`).join(' and ')
  const by = verdict === undefined ? 'its signature is looked at when it has been fetched' : signers || 'unsigned'
  return [`${what}, ${by}`, ...findings.filter(({ state }) => state !== 'valid').map(({ text }) => text)].join('; ')
}
