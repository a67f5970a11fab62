// From what the user names as a plugin to the program that is spawned, with every reason why it cannot be, found before anything runs.
// There is never a shell in between.

import * as fs from 'node:fs'
import * as path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { PluginError } from '../errors.ts'
import { foreignMachine, formatOf } from './executable.ts'
import { type StartPlan, startPlanOf, type VerifiedProgram } from './verified/start-plan.ts'

/** A plugin's program in full. */
export interface Command {
  /**
   * A file (`.js`, `.mjs`, `.cjs`, `.ts`, `.mts`, `.cts` run under the host's own runtime, anything else by itself), or the bare name of a program that is
   * looked up in PATH. A relative path counts from `cwd`. Or a program that was verified (`verifyProgram`).
   */
  readonly command: string | URL | VerifiedProgram
  readonly args?: readonly string[]
  /** The plugin's working directory. Default: the host's. */
  readonly cwd?: string | URL
  /** Arguments for the runtime when `command` is a script, e.g. `['--inspect']`. */
  readonly execArgv?: readonly string[]
}

/** What is handed to spawn. */
export interface Program {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  /** The file that the user meant: the script, or `file` itself. For texts and for diagnosis. */
  readonly path: string
  /** Variables that the runtime needs in order to be one. */
  readonly env: Readonly<Record<string, string>>
  /** How it is started when it was verified. */
  readonly verified?: StartPlan
}

const scripts: ReadonlySet<string> = new Set(['.js', '.mjs', '.cjs'])
const typed: ReadonlySet<string> = new Set(['.ts', '.mts', '.cts'])
const windows = process.platform === 'win32'

/** The runtime that the host itself runs on. */
const runtime = {
  bun: 'bun' in process.versions,
  deno: 'deno' in process.versions,
  electron: 'electron' in process.versions,
}

/**
 * Finds the program.
 *
 * @param env The environment that the plugin will get; its PATH is searched before the host's.
 * @throws PluginError `ERR_PLUGIN_NOT_FOUND`, `ERR_PLUGIN_NOT_EXECUTABLE`, `ERR_TYPESCRIPT_UNSUPPORTED`, `ERR_PLUGIN_START`.
 */
export function resolveCommand(plugin: PluginSource, env: Readonly<Record<string, string | undefined>>): Program {
  const full = commandOf(plugin)
  const cwd = path.resolve(full.cwd === undefined ? process.cwd() : toPath(full.cwd))
  checkDirectory(cwd)
  const args = full.args ?? []
  if (typeof full.command !== 'string' && !(full.command instanceof URL))
    return verifiedCommand(full.command, args, cwd, full.execArgv ?? [])
  const named = toPath(full.command)
  const extension = path.extname(named).toLowerCase()
  const isScript = scripts.has(extension) || typed.has(extension)
  const isBare = full === plugin && typeof full.command === 'string' && !named.includes('/') && !(windows && named.includes('\\'))
  const file = isBare && !isScript ? searchPath(named, env) : path.resolve(cwd, named)
  checkFile(file, named, isScript)
  if (isScript) {
    const loader = typed.has(extension) ? typescriptArguments(file, cwd, env) : []
    return { ...underRuntime(file, args, [...loader, ...(full.execArgv ?? [])]), cwd, path: file }
  }
  if (!windows) checkExecutable(file)
  return { file, args, cwd, path: file, env: {} }
}

/** What `launch` takes: a file, a program that was verified, or a command in full. */
export type PluginSource = string | URL | VerifiedProgram | Command

/** The command in full. */
export const commandOf = (plugin: PluginSource): Command =>
  typeof plugin === 'object' && 'command' in plugin ? plugin : { command: plugin }

function verifiedCommand(program: VerifiedProgram, args: readonly string[], cwd: string, execArgv: readonly string[]): Program {
  const plan = startPlanOf(program)
  if (plan === undefined) {
    throw new PluginError('ERR_PLUGIN_START', {
      command: String(program),
      reason: 'it is no file, no command, and no program that was verified',
      remedy: 'Pass a path, or what verifyProgram returned.',
    })
  }
  plan.check()
  if (plan.pipe !== undefined) checkRuntime(program.name)
  const ofRuntime = plan.pipe === undefined ? [] : execArgv
  const env: Record<string, string> = plan.pipe !== undefined && runtime.electron ? { ELECTRON_RUN_AS_NODE: '1' } : {}
  return { file: plan.file, args: [...ofRuntime, ...plan.args, ...args], cwd, path: program.name, env, verified: plan }
}

/** A single executable runs what is in it, whatever its arguments: it would start itself, which would start itself. */
function checkRuntime(script: string): void {
  const sea = (process.getBuiltinModule as (name: string) => { isSea(): boolean } | undefined)('node:sea')
  if (sea?.isSea() !== true) return
  throw new PluginError('ERR_PLUGIN_START', {
    command: script,
    reason: 'this host is a single executable, which runs no other scripts',
    remedy: "Carry the plugin in it (plugwire/program), or name a runtime: { command: 'node', args: [script] }.",
  })
}

const toPath = (place: string | URL): string =>
  place instanceof URL ? fileURLToPath(place) : place.startsWith('file://') ? fileURLToPath(place) : place

function underRuntime(file: string, args: readonly string[], execArgv: readonly string[]): Omit<Program, 'cwd' | 'path'> {
  checkRuntime(file)
  if (runtime.deno) return { file: process.execPath, args: ['run', '-A', ...execArgv, file, ...args], env: {} }
  return {
    file: process.execPath,
    args: [...execArgv, file, ...args],
    env: runtime.electron ? { ELECTRON_RUN_AS_NODE: '1' } : {},
  }
}

function checkDirectory(cwd: string): void {
  const found = fs.statSync(cwd, { throwIfNoEntry: false })
  if (found?.isDirectory()) return
  throw new PluginError('ERR_PLUGIN_START', {
    command: cwd,
    reason: found === undefined ? 'the working directory does not exist' : 'the working directory is no directory',
    remedy: 'Correct the option `cwd`.',
  })
}

function checkFile(file: string, named: string, isScript: boolean): void {
  let found: fs.Stats | undefined
  try {
    found = fs.statSync(file, { throwIfNoEntry: false })
  } catch (cause) {
    const { code = 'an error' } = cause as NodeJS.ErrnoException
    throw new PluginError(
      'ERR_PLUGIN_NOT_FOUND',
      { path: file, remedy: `Looking it up failed with ${code}; check the path and its permissions.` },
      { cause },
    )
  }
  if (found === undefined) throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: file, remedy: whereItMightBe(file, named) })
  if (found.isDirectory())
    throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: file, remedy: 'It is a directory; name the file in it that is the plugin.' })
  if (!isScript) return
  try {
    fs.accessSync(file, fs.constants.R_OK)
  } catch (cause) {
    const remedy = `Its mode is ${modeOf(found)} and this process may not read it; try chmod +r ${quoted(file)}.`
    throw new PluginError('ERR_PLUGIN_NOT_EXECUTABLE', { path: file, remedy }, { cause })
  }
}

function whereItMightBe(file: string, named: string): string {
  const extension = path.extname(file)
  const stem = extension === '' ? file : file.slice(0, -extension.length)
  const near = [...typed, ...scripts].map(other => stem + other).find(other => other !== file && fs.existsSync(other))
  if (near !== undefined) return `There is ${near}; did you mean that?`
  if (path.isAbsolute(named)) return 'Check the path.'
  return 'A relative path counts from `cwd`, by default the working directory of the host; new URL(…, import.meta.url) counts from a module.'
}

function searchPath(name: string, env: Readonly<Record<string, string | undefined>>): string {
  const searched = env['PATH'] ?? env['Path'] ?? process.env['PATH'] ?? ''
  const endings = windows ? ['', ...(process.env['PATHEXT'] ?? '.EXE;.COM').split(';')] : ['']
  for (const dir of searched.split(path.delimiter)) {
    for (const ending of endings) {
      const candidate = path.join(dir || '.', name + ending)
      // An empty entry of PATH would mean the working directory, which is never searched.
      if (dir !== '' && isExecutableFile(candidate)) return path.resolve(candidate)
    }
  }
  const remedy = `A bare name is looked up in PATH (${searched || 'empty'}); for a file beside you write ./${name}.`
  throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: name, remedy })
}

function isExecutableFile(file: string): boolean {
  try {
    if (!fs.statSync(file).isFile()) return false
    fs.accessSync(file, fs.constants.X_OK)
    return true
  } catch {
    return false // Missing or forbidden is the usual answer of a search.
  }
}

/** A text file that may be executed but begins with no `#!` would be given to /bin/sh by the C library; that is refused like any other program of no kind. */
function checkExecutable(file: string): void {
  try {
    fs.accessSync(file, fs.constants.X_OK)
  } catch (cause) {
    const remedy = `Its mode is ${modeOf(fs.statSync(file))}; try chmod +x ${quoted(file)}.`
    throw new PluginError('ERR_PLUGIN_NOT_EXECUTABLE', { path: file, remedy }, { cause })
  }
  checkFormat(file, file)
}

/**
 * Refuses what the system would not execute, or give to a shell.
 *
 * @param file Where the program can be read.
 * @param named What it is called in texts.
 */
export function checkFormat(file: string, named: string): void {
  const format = formatOf(file)
  if (format === undefined) return
  if (format.kind === 'text') {
    throw new PluginError('ERR_PLUGIN_START', {
      command: named,
      reason: 'it is a text file that names no interpreter',
      remedy: 'Begin it with a line such as #!/usr/bin/env node, or give it the extension .js or .ts.',
    })
  }
  const foreign = foreignMachine(format)
  if (foreign !== undefined) {
    throw new PluginError('ERR_PLUGIN_START', {
      command: named,
      reason: `it is a program for ${foreign}, this host runs on ${process.platform} ${process.arch}`,
      remedy: 'Build or install the plugin for this machine.',
    })
  }
}

const modeOf = (found: fs.Stats): string => `0${(found.mode & 0o7777).toString(8)}`
const quoted = (file: string): string => (/^[\w./@%+-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`)

/** Arguments with which this runtime runs a TypeScript file; the host's own loader before all others. */
function typescriptArguments(file: string, cwd: string, env: Readonly<Record<string, string | undefined>>): string[] {
  if (runtime.bun || runtime.deno) return []
  const own = loaderArguments(process.execArgv)
  if (own.length > 0) return own
  // Not those of the host, which the plugin may not get.
  if (loaderArguments((env['NODE_OPTIONS'] ?? '').split(/\s+/)).length > 0) return []
  if ((process.features as { typescript?: string | false }).typescript) return []
  for (const from of [path.dirname(file), cwd, process.cwd()]) {
    const tsx = resolveFrom(from, 'tsx')
    if (tsx !== undefined) return ['--import', pathToFileURL(tsx).href]
  }
  throw new PluginError('ERR_TYPESCRIPT_UNSUPPORTED', {
    path: file,
    runtime: `Node ${process.version}`,
    remedy: 'Compile it to .js, or use Node 22.18 or later, or install tsx beside it (npm install --save-dev tsx).',
  })
}

const loaderFlags: ReadonlySet<string> = new Set(['--import', '--loader', '--experimental-loader', '--require', '-r', '--conditions', '-C'])
const stripFlags: ReadonlySet<string> = new Set(['--experimental-strip-types', '--experimental-transform-types'])

const knownLoaders = /\b(tsx|ts-node|ts|swc|esbuild|oxc|jiti|babel|sucrase)\b/i

/**
 * Of a Node command line, those arguments that teach it TypeScript, with what they need; none when nothing does (`--import` may just as well bring in a
 * tracer). What they name is made absolute, as the plugin's directory may differ.
 */
function loaderArguments(argv: readonly string[]): string[] {
  const found: string[] = []
  const hostIsTyped = typed.has(path.extname(process.argv[1] ?? '').toLowerCase())
  let teaches = false
  for (let index = 0; index < argv.length; index++) {
    const [flag = '', ...inline] = (argv[index] as string).split('=')
    if (stripFlags.has(flag)) {
      found.push(flag)
      teaches = true
    } else if (loaderFlags.has(flag)) {
      const value = inline.length > 0 ? inline.join('=') : argv[++index]
      if (value === undefined) continue
      const names = flag !== '--conditions' && flag !== '-C'
      found.push(flag, names ? absolute(value, flag === '--require' || flag === '-r') : value)
      if (names && (hostIsTyped || knownLoaders.test(value))) teaches = true
    }
  }
  return teaches ? found : []
}

function absolute(specifier: string, isRequire: boolean): string {
  if (/^[a-z][a-z+.-]+:/i.test(specifier)) return specifier
  const file = specifier.startsWith('.') || path.isAbsolute(specifier) ? path.resolve(specifier) : resolveFrom(process.cwd(), specifier)
  if (file === undefined) return specifier
  return isRequire ? file : pathToFileURL(file).href
}

function resolveFrom(dir: string, specifier: string): string | undefined {
  try {
    return process.getBuiltinModule('node:module').createRequire(path.join(dir, 'noop.js')).resolve(specifier)
  } catch {
    return undefined // Not installed there.
  }
}
