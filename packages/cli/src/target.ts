// The plugin that a command is about: its program, the contract to launch it with, and where that contract is known from.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import { type Contract, isPluginError, contract as makeContract, openContract } from 'plugwire'
import {
  type HandRun,
  type LaunchOptions,
  type Logger,
  launch,
  type Plugin,
  type Command as Program,
  runByHand,
  type ServedContract,
  stderrLogger,
} from 'plugwire/host'
import { CommandFailure, ExitCode, usage } from './failure.ts'

/** Options of every command that launches a plugin. */
export interface TargetOptions {
  readonly name?: string
  readonly cookie?: { readonly key: string; readonly value: string }
  readonly contract?: string
  readonly version?: readonly number[]
  readonly arg?: readonly string[]
  readonly env?: readonly (readonly [string, string])[]
  readonly cwd?: string
  readonly wire?: 'fd' | 'unix' | 'tcp' | 'stdio'
  readonly tls?: boolean
  readonly startTimeout?: number
  readonly quiet?: boolean
  /** The plugin is the name or the address of an installed one. */
  readonly installed?: boolean
  readonly lock?: string
  readonly allowUnsigned?: boolean
  readonly json?: boolean
  readonly debug?: boolean
}

export function addTargetOptions(command: Command): Command {
  return command
    .option('--contract <module[#export]>', 'take the contract from your own module (.js; .ts where it can be run)')
    .option('--name <name>', "the contract's name; the cookie is derived from it")
    .option('--cookie <KEY=VALUE>', 'the cookie of a plugin that has one of its own', readCookie)
    .option('--version <list>', 'contract versions to offer, e.g. 2 or 1,2 (default: all that the plugin has)', readVersions)
    .option('--arg <value>', 'an argument for the plugin; may be repeated', collect)
    .option('--env <KEY=VALUE>', 'a variable for the plugin; may be repeated', collectVariable)
    .option('--cwd <directory>', "the plugin's working directory")
    .option('--wire <wire>', 'fd, unix, tcp or stdio (default: fd)', readWire)
    .option('--tls', 'encrypt the connection, also where it has no address')
    .option('--start-timeout <ms>', 'milliseconds until the plugin must be connected (default: 60000)', readMilliseconds)
    .option('--quiet', "drop the plugin's log and output")
    .option(
      '--installed',
      '<plugin> is the name or the address of an installed one: verified again, and started from exactly the verified bytes',
    )
    .option('--lock <file>', 'with --installed: the lock file (default: plugwire.lock)')
    .option('--allow-unsigned', 'with --installed: also one that nobody signed, if it is what the lock file holds')
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

export function collectVariable(
  value: string,
  before: readonly (readonly [string, string])[] = [],
): readonly (readonly [string, string])[] {
  return [...before, pairOf(value, '--env')]
}

function pairOf(text: string, option: string): readonly [string, string] {
  const at = text.indexOf('=')
  if (at <= 0) throw usage(`${option} ${text}: write KEY=VALUE`)
  return [text.slice(0, at), text.slice(at + 1)]
}

export function readCookie(text: string): { readonly key: string; readonly value: string } {
  const [key, value] = pairOf(text, '--cookie')
  if (value === '') throw usage(`--cookie ${text}: a cookie has a value`)
  return { key, value }
}

function readVersions(text: string): readonly number[] {
  if (!/^[1-9]\d{0,8}(,[1-9]\d{0,8})*$/.test(text)) throw usage(`--version ${text}: write whole numbers from 1, separated by commas`)
  return text.split(',').map(Number)
}

function readWire(text: string): NonNullable<TargetOptions['wire']> {
  if (text === 'fd' || text === 'unix' || text === 'tcp' || text === 'stdio') return text
  throw usage(`--wire ${text}: it is one of fd, unix, tcp, stdio`)
}

export function readMilliseconds(text: string): number {
  const ms = Number(text)
  if (Number.isSafeInteger(ms) && ms > 0 && ms < 2 ** 31) return ms
  throw usage(`${text}: milliseconds are a whole number above 0`)
}

/** What was named, as a program: a file relative to the working directory, or else the name of a program in PATH. */
export function programOf(plugin: string, options: TargetOptions): Program {
  const file = resolve(plugin)
  const isName = !plugin.includes('/') && !existsSync(file)
  return { command: isName ? plugin : file, args: options.arg ?? [], ...(options.cwd !== undefined && { cwd: resolve(options.cwd) }) }
}

/** What the options say about a contract; undefined when they say nothing that could launch a plugin. */
export async function contractOfOptions(options: TargetOptions): Promise<Contract | undefined> {
  const { name, cookie, version } = options
  if (options.contract !== undefined) {
    if (name !== undefined || cookie !== undefined) throw usage('--contract says name and cookie; leave --name and --cookie out')
    const loaded = await loadContract(options.contract)
    return version === undefined ? loaded : only(loaded, version)
  }
  if (name === undefined && cookie === undefined) return undefined
  return openContract({ name: name ?? 'plugin', versions: version ?? [1], ...(cookie !== undefined && { cookie }) })
}

function only(contract: Contract, versions: readonly number[]): Contract {
  const kept = contract.versions.filter(({ version }) => versions.includes(version))
  if (kept.length > 0) return { ...contract, versions: kept }
  throw usage(`--version ${versions.join(',')}: the contract has ${contract.versions.map(({ version }) => version).join(', ')}`)
}

/** The contract that a plugin told. */
export function contractOfServed({ name, cookie, versions }: ServedContract, wanted: readonly number[] | undefined): Contract {
  return openContract({ name, cookie, versions: wanted ?? versions.map(({ version }) => version) })
}

/** Imports `module#export`; without an export the only one that is a contract. */
async function loadContract(place: string): Promise<Contract> {
  const hash = place.lastIndexOf('#')
  const [path, name] = hash < 0 ? [place, undefined] : [place.slice(0, hash), place.slice(hash + 1)]
  const file = resolve(path)
  if (!existsSync(file)) throw usage(`--contract ${place}: there is no file ${file}`)
  const exports = await importModule(file)
  if (name !== undefined) {
    const found = exports[name]
    if (isContract(found)) return found
    const what = name in exports ? 'is no contract' : 'does not exist'
    throw usage(`--contract ${place}: the export ${name} ${what}; the module exports ${Object.keys(exports).join(', ') || 'nothing'}`)
  }
  const found = Object.entries(exports).filter(([, value]) => isContract(value))
  if (found.length === 1) return found[0]?.[1] as Contract
  if (found.length === 0) throw usage(`--contract ${place}: the module exports no contract`)
  throw usage(
    `--contract ${place}: the module exports several contracts; name one: ${found.map(([other]) => `${path}#${other}`).join(', ')}`,
  )
}

/** It may come from another copy of the library. */
function isContract(value: unknown): value is Contract {
  if (typeof value !== 'object' || value === null) return false
  const { name, cookie, versions } = value as Partial<Contract>
  return typeof name === 'string' && typeof cookie === 'object' && cookie !== null && Array.isArray(versions)
}

async function importModule(file: string): Promise<Record<string, unknown>> {
  const isTyped = ['.ts', '.mts', '.cts'].includes(extname(file))
  const canType =
    'bun' in process.versions || 'deno' in process.versions || Boolean((process.features as { typescript?: unknown }).typescript)
  const url = pathToFileURL(file).href
  try {
    if (!isTyped || canType) return (await import(url)) as Record<string, unknown>
    const tsx = loaderBeside(file)
    if (tsx !== undefined) {
      const { tsImport } = (await import(pathToFileURL(tsx).href)) as {
        tsImport(url: string, parent: string): Promise<Record<string, unknown>>
      }
      return await tsImport(url, url)
    }
  } catch (cause) {
    throw new CommandFailure('CLI_USAGE', `--contract ${file} cannot be loaded: ${(cause as Error).message}`, ExitCode.usage, undefined, {
      cause,
    })
  }
  throw usage(
    `--contract ${file}: Node ${process.version} cannot run TypeScript as it is`,
    'Name the compiled .js file, or use Node 22.18 or later, or install tsx beside it (npm install --save-dev tsx).',
  )
}

function loaderBeside(file: string): string | undefined {
  for (const from of [dirname(file), process.cwd()]) {
    try {
      return createRequire(resolve(from, 'noop.js')).resolve('tsx/esm/api')
    } catch {
      // Not installed there.
    }
  }
  return undefined
}

/** A plugin with a contract to launch it. */
export interface Target {
  readonly program: Program
  readonly contract: Contract
  /** Where the contract is known from: the plugin told it, or the options, or a module, or the manifest of an installed plugin. */
  readonly source: 'plugin' | 'options' | 'module' | 'manifest'
  /** What the plugin told when it was asked. */
  readonly served: ServedContract | undefined
  readonly describeMs: number | undefined
}

/** Finds out how to launch a plugin: by what the options say, else by asking the plugin. */
export async function findTarget(plugin: string, options: TargetOptions, signal: AbortSignal): Promise<Target> {
  if (options.installed) return installedTarget(plugin, options)
  const program = programOf(plugin, options)
  const given = await contractOfOptions(options)
  if (given !== undefined) {
    return {
      program,
      contract: given,
      source: options.contract === undefined ? 'options' : 'module',
      served: undefined,
      describeMs: undefined,
    }
  }
  const run = await runByHand(program, {
    ...environmentOf(options),
    signal,
    ...(options.startTimeout !== undefined && { timeoutMs: options.startTimeout }),
  })
  const { contract: served, durationMs } = run
  if (served === undefined) throw unknownContract(plugin, run)
  return { program, contract: contractOfServed(served, options.version), source: 'plugin', served, describeMs: durationMs }
}

/** An installed plugin, as its signed manifest describes it. Nothing is asked of the program before it is verified. */
async function installedTarget(plugin: string, options: TargetOptions): Promise<Target> {
  const { ContentStore, openPlugin } = await import('@plugwire/store')
  const { readLockFile, readTrustFile, trustPolicy } = await import('@plugwire/trust')
  const lock = await readLockFile(resolve(options.lock ?? 'plugwire.lock'))
  const policy = trustPolicy(await readTrustFile(), options.allowUnsigned ? { require: 'digest' } : {})
  const opened = await openPlugin(plugin, { store: await ContentStore.open(), lock, policy })
  const verified = await opened.program()
  process.once('exit', () => verified.close())
  const { name, versions } = opened.verdict.manifest.contract
  return {
    program: { command: verified, args: options.arg ?? [], ...(options.cwd !== undefined && { cwd: resolve(options.cwd) }) },
    contract: (await contractOfOptions(options)) ?? openContract({ name, versions: options.version ?? versions }),
    source: 'manifest',
    served: undefined,
    describeMs: undefined,
  }
}

export const contractRemedy: string =
  'Say what it is with --name NAME (a plugwire contract), --cookie KEY=VALUE (any go-plugin cookie) or --contract MODULE (your own contract file).'

function unknownContract(plugin: string, run: HandRun): CommandFailure {
  const how = run.timedOut
    ? 'it went on running'
    : run.signal !== null
      ? `it was ended by ${run.signal}`
      : `it exited with code ${run.exitCode}`
  const words = (run.stderrTail || run.stdoutTail).trimEnd()
  const said = words === '' ? 'and said nothing' : `and said:\n${words.replace(/^/gm, '  | ')}`
  const remedy = `${contractRemedy}\nWhen it does not start at all: plugwire doctor ${plugin}`
  return new CommandFailure(
    'CLI_CONTRACT_UNKNOWN',
    `${plugin} does not tell its contract when asked; ${how}, ${said}`,
    ExitCode.failed,
    remedy,
  )
}

export function environmentOf(options: TargetOptions): { env: Record<string, string> } {
  return { env: Object.fromEntries(options.env ?? []) }
}

export function launchOptionsOf(options: TargetOptions, signal: AbortSignal, logger?: Logger): LaunchOptions {
  return {
    ...environmentOf(options),
    signal,
    logger: options.quiet ? false : (logger ?? stderrLogger()),
    ...(options.wire !== undefined && { wire: options.wire }),
    ...(options.tls && { tls: true }),
    ...(options.startTimeout !== undefined && { startTimeoutMs: options.startTimeout }),
  }
}

/** Launches; when nobody said which versions to offer, a refusal tells those that the plugin has. */
export async function launchTarget(
  { program, contract, source }: Pick<Target, 'program' | 'contract' | 'source'>,
  options: TargetOptions,
  launchOptions: LaunchOptions,
): Promise<Plugin<Contract>> {
  try {
    return await launch(contract, program, launchOptions)
  } catch (cause) {
    if (source !== 'options' || options.version !== undefined || !isPluginError(cause, 'ERR_VERSION_MISMATCH')) throw cause
    const { name, cookie } = contract
    return launch(openContract({ name, cookie, versions: cause.facts.pluginVersions }), program, launchOptions)
  }
}

/** The cookie that a name stands for. */
export const cookieOf = (name: string): { readonly key: string; readonly value: string } => makeContract({ name, version: 1 }).cookie
