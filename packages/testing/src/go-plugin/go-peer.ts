// A go-plugin host reduced to what can be seen from outside: starts a plugin with the variables that Go hosts set, reads its line, keeps what it writes.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { type Command, resolveCommand } from 'plugwire/host'

/** What a launch says. */
export interface GoLaunchOptions {
  readonly cookie: { readonly key: string; readonly value: string }
  /** Contract versions offered; null: no list at all, as hosts before versions were negotiated. */
  readonly versions: readonly number[] | null
  readonly env: Readonly<Record<string, string>>
  /** The host's certificate as PEM: AutoMTLS. */
  readonly clientCertificate?: string
  readonly multiplex?: boolean
  readonly socketDir?: string
  readonly socketGroup?: string
  /** Milliseconds until the line, and for whatever is waited for later. */
  readonly deadlineMs: number
}

/** The plugin did not do what every host waits for. */
export class GoPeerError extends Error {}

/** How a plugin ended. */
export interface GoExit {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** Characters that are kept of what a plugin prints; the demands are about the first of them. */
const MAX_KEPT_LENGTH = 4 * 1024 * 1024

const strays = [
  'PLUGIN_CLIENT_CERT',
  'PLUGIN_MULTIPLEX_GRPC',
  'PLUGIN_UNIX_SOCKET_DIR',
  'PLUGIN_UNIX_SOCKET_GROUP',
  'PLUGIN_PROTOCOL_VERSIONS',
  'PLUGWIRE_HOST',
]

/** A plugin that runs. Disposing kills it. */
export class GoPeer implements AsyncDisposable {
  readonly process: ChildProcess
  /** Fields of the handshake line. */
  fields: readonly string[] = []
  line = ''
  readonly exited: Promise<GoExit>
  readonly sockets: net.Socket[] = []
  #stdout = ''
  #stderr = ''
  readonly #deadlineMs: number

  /** @throws GoPeerError when no line comes. */
  static async launch(command: string | URL | Command, options: GoLaunchOptions): Promise<GoPeer> {
    const peer = new GoPeer(command, options)
    try {
      await peer.#readLine()
      return peer
    } catch (cause) {
      await peer[Symbol.asyncDispose]()
      throw cause
    }
  }

  private constructor(command: string | URL | Command, options: GoLaunchOptions) {
    this.#deadlineMs = options.deadlineMs
    const env: Record<string, string | undefined> = { ...process.env, ...options.env }
    for (const name of strays) delete env[name]
    Object.assign(env, { [options.cookie.key]: options.cookie.value, PLUGIN_MIN_PORT: '10000', PLUGIN_MAX_PORT: '25000' })
    if (options.versions !== null) env['PLUGIN_PROTOCOL_VERSIONS'] = options.versions.join(',')
    if (options.clientCertificate !== undefined) env['PLUGIN_CLIENT_CERT'] = options.clientCertificate
    if (options.multiplex) env['PLUGIN_MULTIPLEX_GRPC'] = 'true'
    if (options.socketDir !== undefined) env['PLUGIN_UNIX_SOCKET_DIR'] = options.socketDir
    if (options.socketGroup !== undefined) env['PLUGIN_UNIX_SOCKET_GROUP'] = options.socketGroup
    const program = resolveCommand(command, env)
    this.process = spawn(program.file, program.args, {
      cwd: program.cwd,
      env: { ...env, ...program.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, which ends as a whole: the command may be a script that starts the plugin.
      detached: process.platform !== 'win32',
    })
    this.exited = new Promise(resolve => {
      this.process.once('error', () => resolve({ exitCode: null, signal: null }))
      this.process.once('close', (exitCode, signal) => resolve({ exitCode, signal }))
    })
    this.process.stdout?.on('data', (chunk: Buffer) => {
      if (this.#stdout.length < MAX_KEPT_LENGTH) this.#stdout += chunk.toString('utf8')
    })
    this.process.stderr?.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < MAX_KEPT_LENGTH) this.#stderr += chunk.toString('utf8')
    })
  }

  /** All that it wrote to the real stdout, the handshake line included. */
  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  get network(): string {
    return this.fields[2] ?? ''
  }

  get address(): string {
    return this.fields[3] ?? ''
  }

  /** `netrpc` where the line is so old that it names none. */
  get protocol(): string {
    return this.fields[4] || 'netrpc'
  }

  async connect(): Promise<net.Socket> {
    const socket =
      this.network === 'unix'
        ? net.connect(this.address)
        : net.connect({ port: Number(this.address.split(':').at(-1)), host: this.address.replace(/:\d+$/, '') || '127.0.0.1' })
    this.sockets.push(socket)
    socket.on('error', () => {})
    const failed = new Promise<never>((_resolve, reject) =>
      socket.once('error', cause => reject(new GoPeerError(`${this.network} ${this.address}: ${cause.message}`))),
    )
    await this.within(Promise.race([once(socket, 'connect'), failed]), `no connection to ${this.address}`)
    return socket
  }

  /** Waits as long as the deadline allows. @throws GoPeerError */
  async within<T>(step: Promise<T>, otherwise: string, ms: number = this.#deadlineMs): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new GoPeerError(`${otherwise} within ${ms} ms`)), ms)
    })
    return Promise.race([step, late]).finally(() => clearTimeout(timer))
  }

  async #readLine(): Promise<void> {
    const line = new Promise<string>((resolve, reject) => {
      const look = (): void => {
        const end = this.#stdout.indexOf('\n')
        if (end >= 0) resolve(this.#stdout.slice(0, end).trim())
      }
      this.process.stdout?.on('data', look)
      void this.exited.then(({ exitCode, signal }) =>
        reject(
          new GoPeerError(
            `it ended with ${signal ?? `exit code ${exitCode}`} before its handshake line${this.#stderr.trim() && `; on stderr: ${this.#stderr.trim().slice(-300)}`}`,
          ),
        ),
      )
    })
    this.line = await this.within(line, 'no handshake line on stdout')
    this.fields = this.line.split('|')
    if (this.fields.length < 4) throw new GoPeerError(`the first line on stdout is no handshake: ${this.line.slice(0, 200)}`)
  }

  #kill(): void {
    const { pid } = this.process
    try {
      if (pid !== undefined && process.platform !== 'win32') process.kill(-pid, 'SIGKILL')
      else this.process.kill('SIGKILL')
    } catch {
      // all of the group have ended
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.#kill()
    // A process outside of the group may hold them open.
    this.process.stdout?.destroy()
    this.process.stderr?.destroy()
    await this.exited
  }
}
