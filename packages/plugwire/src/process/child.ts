// One child process: started without a shell, watched to its end, ended with everything it started. Knows no handshake and no protocol.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type * as net from 'node:net'
import type { Writable } from 'node:stream'
import type { LastWords } from '../errors.ts'
import { PluginError } from '../errors.ts'
import type { Program } from './command.ts'
import { startRemedy } from './executable.ts'
import type { SeenProcess } from './process-tree.ts'
import { descendantsOf, killLeftovers, killTree, signal } from './process-tree.ts'
import { PROGRAM_DESCRIPTOR } from './verified/start-plan.ts'

export interface ExitStatus {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that can be ended step by step: a child, or one that was attached to. */
export interface Endable {
  readonly pid: number
  readonly ownGroup: boolean
  readonly status: ExitStatus | undefined
  readonly exited: Promise<ExitStatus>
  hold(): void
  release(): void
  kill(name: NodeJS.Signals): boolean
  killTree(name: NodeJS.Signals): void
  lookAround(): void
}

/** What the plugin's stdin is: nothing, the host's own (a terminal to prompt on), or a pipe. */
export type StdinMode = 'ignore' | 'inherit' | 'pipe'

export interface ChildOptions {
  readonly program: Program
  readonly env: Readonly<Record<string, string>>
  readonly stdin: StdinMode
  readonly stdout: 'inherit' | 'pipe' | 'ignore'
  readonly stderr: 'inherit' | 'pipe' | 'ignore'
  /** Whether descriptor 3 is one end of a socketpair (on Windows a named pipe). */
  readonly channel: boolean
  /** Nothing is left running behind an ended child, unless it was started to outlive its host. */
  readonly keepLeftovers?: boolean
  /** Nothing that the host has open reaches the child but what is given to it. */
  readonly strict?: boolean
}

/** Milliseconds after its exit that a child's output is still awaited: a grandchild may hold the pipes open for ever. */
const DRAIN_MS = 200

/**
 * Starts the program.
 *
 * @throws PluginError `ERR_PLUGIN_START` when the system refuses at once; a refusal it tells later comes as `failed`.
 */
export function startChild(options: ChildOptions): Child {
  return new Child(options)
}

/**
 * Children that have not introduced themselves. A plugin that serves notices by itself that its host is gone, and disposes what it holds;
 * these may never come that far, so a host that exits takes them along.
 */
const unknown = new Set<Child>()
const endUnknown = (): void => {
  for (const child of unknown) child.killTree('SIGKILL')
}

export class Child implements Endable {
  /** What was started; `pid` is 0 when it was refused, which `failed` tells. */
  readonly pid: number
  /** Resolves when the process has ended and its output was read. Never rejects. Does not hold the event loop by itself. */
  readonly exited: Promise<ExitStatus>
  /** Rejects with `ERR_PLUGIN_START` when the system refused after all; else stays pending. */
  readonly failed: Promise<never>
  readonly stdin: Writable | undefined
  readonly stdout: net.Socket | undefined
  readonly stderr: net.Socket | undefined
  /** The host's end of descriptor 3. Whoever takes it over ends it. */
  readonly channel: net.Socket | undefined
  /** True when the child leads a process group of its own. */
  readonly ownGroup: boolean
  readonly #process: ChildProcess
  readonly #keepLeftovers: boolean
  #status: ExitStatus | undefined
  #seen: readonly SeenProcess[] = []

  constructor(options: ChildOptions) {
    const { program } = options
    // A process that shares the host's terminal must stay in the terminal's session, or it cannot read from it.
    this.ownGroup = options.stdin !== 'inherit'
    this.#keepLeftovers = options.keepLeftovers ?? false
    const { verified } = program
    const stdio: ('pipe' | 'ignore' | 'inherit' | number)[] = [options.stdin, options.stdout, options.stderr]
    if (options.channel || verified !== undefined) stdio.push(options.channel ? 'pipe' : 'ignore')
    if (verified !== undefined) stdio.push(verified.inherit ?? (verified.pipe === undefined ? 'ignore' : 'pipe'))
    const mask = options.strict ? maskLeaks(stdio) : undefined
    try {
      this.#process = spawn(program.file, program.args, {
        cwd: program.cwd,
        env: { ...options.env, ...program.env },
        stdio,
        // On Windows `detached` opens a console window and means no group that could be signalled.
        detached: this.ownGroup && process.platform !== 'win32',
        windowsHide: true,
      })
    } catch (cause) {
      throw startError(program, cause as NodeJS.ErrnoException)
    } finally {
      if (mask !== undefined) process.getBuiltinModule('node:fs').closeSync(mask)
    }
    this.pid = this.#process.pid ?? 0
    this.failed = new Promise((_resolve, reject) => {
      this.#process.once('error', cause => {
        if (this.pid === 0) reject(startError(program, cause))
      })
    })
    this.failed.catch(() => {}) // Whoever launches hears it; nobody has to.
    // Without descriptors to spare there are no pipes, whatever the types say.
    const pipes = (this.#process.stdio as ChildProcess['stdio'] | undefined) ?? []
    if (verified?.pipe !== undefined) feed(pipes[PROGRAM_DESCRIPTOR] as Writable | null | undefined, verified.pipe)
    this.stdin = this.#process.stdin ?? undefined
    this.stdout = (this.#process.stdout as net.Socket | null) ?? undefined
    this.stderr = (this.#process.stderr as net.Socket | null) ?? undefined
    this.channel = (pipes[3] as net.Socket | null | undefined) ?? undefined
    // A pipe whose other end is gone is told by the exit; unheard, an 'error' event would end the host.
    for (const pipe of [this.stdin, this.stdout, this.stderr, this.channel]) pipe?.on('error', () => {})
    if (this.pid !== 0) {
      if (unknown.size === 0) process.once('exit', endUnknown)
      unknown.add(this)
    }
    this.exited = new Promise(resolve => {
      this.#process.once('exit', (exitCode, name) => {
        this.introduced()
        this.#status = { exitCode, signal: name }
        // At once, while no other group can have got the number.
        if (!this.#keepLeftovers) killLeftovers(this.pid, { ownGroup: this.ownGroup, seen: this.#seen })
        this.#drained(() => resolve(this.#status as ExitStatus))
      })
    })
  }

  /** It serves, so its end is its own matter when the host exits. */
  introduced(): void {
    if (unknown.delete(this) && unknown.size === 0) process.removeListener('exit', endUnknown)
  }

  /** How it ended; undefined while it runs. */
  get status(): ExitStatus | undefined {
    return this.#status
  }

  /** From now on this child keeps the event loop alive, until `release`. A new child is held. */
  hold(): void {
    this.#process.ref()
  }

  release(): void {
    this.#process.unref()
  }

  /** Lets an idle host exit in spite of the pipes; `hold` then needs to touch nothing but the process. */
  unrefPipes(): void {
    for (const pipe of [this.stdin as net.Socket | undefined, this.stdout, this.stderr, this.channel]) pipe?.unref?.()
  }

  /** Signals the process alone. False when it has ended. */
  kill(name: NodeJS.Signals): boolean {
    return this.pid !== 0 && this.#status === undefined && signal(this.pid, name)
  }

  /** Signals the process and everything it started. */
  killTree(name: NodeJS.Signals): void {
    if (this.pid === 0) return
    if (this.#status === undefined) killTree(this.pid, name, { ownGroup: this.ownGroup, seen: this.#seen })
    else killLeftovers(this.pid, { ownGroup: false, seen: this.#seen })
  }

  /** Notes what the process has started, so that it can be ended even when the process has gone before. */
  lookAround(): void {
    if (this.pid !== 0 && this.#status === undefined) this.#seen = descendantsOf(this.pid)
  }

  /** Calls back when both outputs have ended, or DRAIN_MS later; then they are given up, except one that waits for its reader. */
  #drained(done: () => void): void {
    const open = [this.stdout, this.stderr].filter(pipe => pipe !== undefined && !pipe.readableEnded && !pipe.destroyed) as net.Socket[]
    let left = open.length
    if (left === 0) {
      done()
      return
    }
    // Referenced: a host that waits for the end of its plugin must get it.
    const timer = setTimeout(() => {
      for (const pipe of open) if (!pipe.isPaused()) pipe.destroy()
      done()
    }, DRAIN_MS)
    for (const pipe of open) {
      pipe.once('close', () => {
        if (--left > 0) return
        clearTimeout(timer)
        done()
      })
    }
  }
}

/** The child reads all of it before it does anything else; one that is gone needs no more. */
function feed(pipe: Writable | null | undefined, pieces: readonly Uint8Array[]): void {
  pipe?.on('error', () => {})
  for (const piece of pieces) pipe?.write(piece)
  pipe?.end()
}

/** Puts /dev/null in the place of what would leak; returns its descriptor, to be closed after the spawn. Nobody can close them for the child instead. */
function maskLeaks(stdio: ('pipe' | 'ignore' | 'inherit' | number)[]): number | undefined {
  const leaks = leakingDescriptors().filter(leak => leak >= stdio.length || stdio[leak] === 'ignore')
  if (leaks.length === 0) return undefined
  const mask = process.getBuiltinModule('node:fs').openSync('/dev/null', 'r+')
  for (const leak of leaks) {
    while (stdio.length <= leak) stdio.push('ignore')
    stdio[leak] = mask
  }
  return mask
}

/**
 * Descriptors that a child would inherit although nobody gave them to it: those that the host itself inherited, without the mark that ends them at exec.
 * Node marks what it opens, and at its start what it finds, up to the first gap.
 */
function leakingDescriptors(): number[] {
  if (process.platform !== 'linux') return []
  const { readdirSync, readFileSync } = process.getBuiltinModule('node:fs')
  const leaks: number[] = []
  for (const name of readdirSync('/proc/self/fdinfo')) {
    if (Number(name) < 3) continue
    try {
      const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'latin1'))?.[1] ?? '', 8)
      if ((flags & CLOEXEC) === 0) leaks.push(Number(name))
    } catch {
      // The one through which the directory was read.
    }
  }
  return leaks
}

/** O_CLOEXEC of Linux. */
const CLOEXEC = 0o2000000

function startError(program: Program, cause: NodeJS.ErrnoException): PluginError<'ERR_PLUGIN_START'> {
  const { code } = cause
  const remedy =
    code === 'E2BIG'
      ? 'Its arguments and environment together are too large.'
      : code === 'EAGAIN' || code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM'
        ? 'The system has no more processes, descriptors or memory to give; close plugins that are not needed, or raise the limit.'
        : startRemedy(program.file)
  return new PluginError('ERR_PLUGIN_START', { command: program.path, reason: code ?? cause.message, remedy }, { cause })
}

/** What is known of a child for an error text. */
export function lastWordsOf(status: ExitStatus | undefined, stdoutTail: string, stderrTail: string): LastWords {
  return { exitCode: status?.exitCode ?? null, signal: status?.signal ?? null, stdoutTail, stderrTail }
}
