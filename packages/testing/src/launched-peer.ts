// A plugin that was started as a host starts it, with its session in the hands of a raw peer. Knows the launch, not what is checked.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, type Readable, type Writable } from 'node:stream'
import { type Command, resolveCommand } from 'plugwire/host'
import { PeerError, RawPeer, type RawPeerOptions } from './raw-peer.ts'

/** Wires without an address that others could reach; `tcp` is always encrypted and left to plugwire's own tests. */
export type PeerWire = 'fd' | 'unix' | 'stdio'

export interface PeerLaunchOptions extends RawPeerOptions {
  readonly cookie: { readonly key: string; readonly value: string }
  /** Contract versions that are offered; null leaves the variable out. Default `[1]`. */
  readonly versions?: readonly number[] | null
  /** Default `fd`. */
  readonly wire?: PeerWire
  /** Variables beside those of the launch. */
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds until the handshake line must be there. Default 10,000. */
  readonly startMs?: number
}

export interface PeerExit {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
}

/** Bytes of a handshake line. */
export const MAX_LINE_BYTES: number = 16 * 1024
const DEFAULT_START_MS = 10_000
const MAX_TAIL = 16 * 1024
/** What a launch puts into the environment, beside the cookie. */
export const launchVariables: readonly string[] = [
  'PLUGIN_PROTOCOL_VERSIONS',
  'PLUGIN_MIN_PORT',
  'PLUGIN_MAX_PORT',
  'PLUGIN_CLIENT_CERT',
  'PLUGIN_UNIX_SOCKET_DIR',
  'PLUGIN_UNIX_SOCKET_GROUP',
  'PLUGWIRE_HOST',
]

/** A started plugin whose session is a raw peer's. Nothing was sent yet: the test opens the call stream. */
export interface LaunchedPeer extends AsyncDisposable {
  readonly peer: RawPeer
  /** The handshake line without its newline. */
  readonly line: string
  readonly pid: number
  /** What it printed so far, without the handshake; the last 16 KiB. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** Resolves when the process is gone. */
  readonly exited: Promise<PeerExit>
  /** Ends everything that tells the plugin of its host: the connection and, where there is one, the guard. */
  readonly abandon: () => void
  readonly kill: (signal: NodeJS.Signals) => void
}

/**
 * Starts a plugin with the environment of a launch and reads its handshake line.
 *
 * @throws PeerError when no line comes; PluginError as `launch` does for what cannot be started.
 */
export async function launchPeer(plugin: string | URL | Command, options: PeerLaunchOptions): Promise<LaunchedPeer> {
  const launch = new Launch(plugin, options)
  try {
    return await launch.run()
  } catch (cause) {
    await launch.dispose()
    throw cause
  }
}

class Launch {
  readonly #options: PeerLaunchOptions
  readonly #wire: PeerWire
  readonly #directory: string | undefined
  readonly #child: ChildProcess
  readonly #exited: Promise<PeerExit>
  #failed: Error | undefined
  #stdout = ''
  #stderr = ''

  constructor(plugin: string | URL | Command, options: PeerLaunchOptions) {
    this.#options = options
    this.#wire = options.wire ?? 'fd'
    const env = baseEnvironment(options.env)
    const program = resolveCommand(plugin, env)
    this.#directory = this.#wire === 'unix' ? mkdtempSync(join(tmpdir(), 'pw-')) : undefined
    const { versions = [1], cookie } = options
    Object.assign(env, program.env, { [cookie.key]: cookie.value, PLUGIN_MIN_PORT: '10000', PLUGIN_MAX_PORT: '25000' })
    env['PLUGWIRE_HOST'] = { fd: '1|fd|3|plugwire|', unix: `1|unix|${this.#directory}/|plugwire|3`, stdio: '1|stdio|-|plugwire|' }[
      this.#wire
    ]
    if (versions !== null) env['PLUGIN_PROTOCOL_VERSIONS'] = versions.join(',')
    this.#child = spawn(program.file, program.args, {
      cwd: program.cwd,
      env,
      stdio: [this.#wire === 'stdio' ? 'pipe' : 'ignore', 'pipe', 'pipe', ...(this.#wire === 'stdio' ? [] : ['pipe' as const])],
      // A group of its own, so that nothing it starts is left behind.
      detached: true,
    })
    const child = this.#child
    for (const stream of child.stdio) stream?.on('error', () => {}) // They end with the process, however it ends.
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_TAIL)
    })
    this.#exited = new Promise(resolve => {
      child.on('error', (cause: Error) => {
        this.#failed = cause
        resolve({ exitCode: null, signal: null })
      })
      child.on('exit', (exitCode, signal) => resolve({ exitCode, signal }))
    })
  }

  async run(): Promise<LaunchedPeer> {
    const child = this.#child
    const stdout = child.stdout as Readable
    const channel = child.stdio[3] as Duplex | undefined
    const isDescriptor = this.#wire === 'fd'
    const note = (chunk: Buffer): void => {
      this.#stdout = (this.#stdout + chunk.toString('utf8')).slice(-MAX_TAIL)
    }
    if (isDescriptor) stdout.on('data', note)
    const { line, rest } = await this.#line(isDescriptor ? (channel as Duplex) : stdout)
    let session: Duplex
    if (isDescriptor) session = channel as Duplex
    else if (this.#wire === 'stdio') session = Duplex.from({ readable: stdout, writable: child.stdin as Writable })
    else {
      stdout.on('data', note).resume()
      note(rest)
      session = connect(line.split('|')[3] ?? '')
      await once(session, 'connect')
    }
    const peer = new RawPeer(session, { ...this.#options, ...(this.#wire !== 'unix' && { first: rest }) })
    const abandon = (): void => {
      session.destroy()
      channel?.destroy()
      child.stdin?.destroy()
    }
    return {
      peer,
      line,
      pid: child.pid as number,
      stdout: () => this.#stdout,
      stderr: () => this.#stderr,
      exited: this.#exited,
      abandon,
      kill: signal => void child.kill(signal),
      [Symbol.asyncDispose]: async () => {
        abandon()
        await this.dispose()
      },
    }
  }

  /** Kills what is left, with everything it started. */
  async dispose(): Promise<void> {
    const { pid } = this.#child
    if (pid !== undefined) {
      try {
        process.kill(-pid, 'SIGKILL')
      } catch {
        // It is gone, and all of its group.
      }
    }
    for (const stream of this.#child.stdio) stream?.destroy()
    await this.#exited
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true })
  }

  /** Reads up to the first newline. */
  #line(source: Readable): Promise<{ readonly line: string; readonly rest: Buffer }> {
    return new Promise((resolve, reject) => {
      let read: Buffer = Buffer.alloc(0)
      const done = (outcome: () => void): void => {
        clearTimeout(timer)
        source.off('data', take).pause()
        outcome()
      }
      const fail = (reason: 'late' | 'ended', why: string): void =>
        done(() => reject(new PeerError(reason, `${why}${this.#stderr === '' ? '' : `; on stderr: ${this.#stderr.trim().slice(-300)}`}`)))
      const startMs = this.#options.startMs ?? DEFAULT_START_MS
      const timer = setTimeout(() => fail('late', `no handshake line within ${startMs} ms`), startMs)
      const take = (chunk: Buffer): void => {
        read = Buffer.concat([read, chunk])
        const end = read.indexOf(10)
        if (end >= 0) done(() => resolve({ line: read.subarray(0, end).toString('utf8'), rest: read.subarray(end + 1) }))
        else if (read.length > MAX_LINE_BYTES) fail('ended', `no newline in the first ${read.length} bytes`)
      }
      source.on('data', take)
      void this.#exited.then(({ exitCode, signal }) =>
        fail('ended', this.#failed?.message ?? `it ended before its handshake line (${signal ?? `exit code ${exitCode}`})`),
      )
    })
  }
}

/** This process's environment without what may be left of a launch. */
function baseEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries({ ...process.env, ...more }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^PLUG(?:IN|WIRE)_/.test(entry[0]),
  )
  return Object.fromEntries(kept)
}
