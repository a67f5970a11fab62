// Starts a plugin: spawns it, waits for its handshake line wherever it comes first, checks it, connects. Or fails with all that is known, and nothing
// left behind. Knows nothing of sessions and calls; stands on the way of every launch, so what only some wires need is imported when asked for.

import type * as net from 'node:net'
import * as path from 'node:path'
import type { Duplex } from 'node:stream'
import type { LastWords } from '../errors.ts'
import { isPluginError, PluginError } from '../errors.ts'
import type { Link, LinkReader } from '../mux/link.ts'
import { defaultPorts } from '../wire/environment.ts'
import type { Handshake, Network } from '../wire/handshake.ts'
import { CORE_VERSION, parseHandshake } from '../wire/handshake.ts'
import type { AttachRecord } from './attach.ts'
import type { TlsIdentity } from './certificate.ts'
import type { Child, ExitStatus } from './child.ts'
import { lastWordsOf, startChild } from './child.ts'
import { addLaunchVariables, applicationEnvironment } from './child-environment.ts'
import type { ClosingOptions, Ending } from './closing.ts'
import { closeProcess, killProcess } from './closing.ts'
import { commandOf, resolveCommand } from './command.ts'
import { connectTo } from './connect.ts'
import { startRemedy } from './executable.ts'
import type { Scan } from './handshake-lines.ts'
import { FirstLine, StdoutLines } from './handshake-lines.ts'
import type { OutputMode } from './output.ts'
import { Output } from './output.ts'
import { startOf } from './process-tree.ts'
import type { SocketDirectory } from './socket-directory.ts'
import { makeSocketDirectory, removeSocket } from './socket-directory.ts'
import { socketLink } from './socket-link.ts'
import type { Plan, StartOptions } from './start-options.ts'
import { hostVariable, needsStdout, planOf } from './start-options.ts'
import type { Digest } from './verified/digest.ts'

export type { StartOptions }

export interface Timings {
  /** Milliseconds from the call until the process was started. */
  readonly spawnMs: number
  /** From there until its handshake line was read. */
  readonly handshakeMs: number
  /** From there until the link was ready: 0 on `fd` without TLS. */
  readonly connectMs: number
}

/** A plugin that has introduced itself. Nothing here holds the event loop until `hold`. */
export interface StartedPlugin {
  readonly name: string
  readonly pid: number
  readonly handshake: Handshake
  readonly version: number
  readonly wire: Network
  /** Not opened yet; there only for the protocol `plugwire`. Owned by the caller, and destroyed when the process has ended. */
  readonly link: Link | undefined
  /** Another connection to the plugin's address, in clear; for protocols other than ours, whose drivers bring their own use of `tls`. Rejects with `ERR_CONNECT`. */
  connect(): Promise<net.Socket>
  /** Both sides' certificates, when the plugin encrypts. */
  readonly tls: { readonly identity: TlsIdentity /** PEM */; readonly pluginCertificate: string } | undefined
  /** The plugin's outputs, where the mode is `pipe`. Reading them does not hold the event loop. */
  readonly stdout: import('node:stream').Readable | undefined
  readonly stderr: import('node:stream').Readable | undefined
  /** How the process ended; undefined while it runs. */
  readonly status: ExitStatus | undefined
  /** Resolves when the process has ended and its output was read. Never rejects, does not hold the event loop. */
  readonly exited: Promise<ExitStatus>
  /** What is known of the process now. */
  lastWords(): LastWords
  /** The same once it has ended; holds the event loop until then. For a link that closed: the exit is near, but not yet told. */
  ended(): Promise<LastWords>
  /** Keeps the event loop alive while calls are in flight. One level, not counted. */
  hold(): void
  release(): void
  /** Ends the plugin step by step, and everything it started. Never rejects; a second call joins the first. */
  close(options?: ClosingOptions): Promise<Ending>
  /** Ends it at once. */
  kill(): Promise<Ending>
  /**
   * Waits for what still belongs to the start of a plugin of another protocol, and holds the event loop meanwhile. Rejects as the start would: aborted, too
   * late, exited; what comes after that is handed to `discard`.
   */
  ready<T>(step: Promise<T>, discard: (late: T) => void): Promise<T>
  /** Adds output of the plugin that came over its connection, where its wire could not carry it otherwise. */
  output(descriptor: number, bytes: Uint8Array): Promise<void> | undefined
  /** There when the plugin was started `detached`. */
  readonly record: AttachRecord | undefined
  readonly timings: Timings
}

/**
 * Starts a plugin and connects to it.
 *
 * @throws PluginError of the launch: see `ErrorFacts`. Then the process and all it started have ended, and its directory is gone.
 */
export async function startPlugin(options: StartOptions): Promise<StartedPlugin> {
  if (options.checksum !== undefined) return startChecked(options, options.checksum)
  const begunAt = performance.now()
  const plan = planOf(options)
  checkAborted(plan, options.signal)
  // On the default wire everything up to here and the spawn itself happens before the first `await`: the child starts while the host goes on.
  const identity = plan.tls ? (await import('./certificate.ts')).createIdentity(options.curve) : undefined
  for (let attempt = 1; ; attempt++) {
    checkAborted(plan, options.signal)
    let launch: Launch | undefined
    try {
      // Some refusals of the system are thrown here already.
      launch = new Launch(options, plan, identity, begunAt)
      return await launch.run()
    } catch (cause) {
      const told = launch === undefined ? cause : await launch.abandon(cause)
      // Another thread was just starting a process, which held the file open for writing for a moment.
      if (plan.program.verified === undefined || attempt === MAX_BUSY_STARTS || !isBusy(told)) throw told
      await new Promise(resolve => setTimeout(resolve, 2 * attempt))
    }
  }
}

const MAX_BUSY_STARTS = 10
const isBusy = (cause: unknown): boolean => isPluginError(cause, 'ERR_PLUGIN_START') && cause.facts.reason === 'ETXTBSY'

/** Verifies the file that the user meant, and starts what was verified. */
async function startChecked(options: StartOptions, checksum: Digest): Promise<StartedPlugin> {
  const { verifyProgram } = await import('./verified/verify.ts')
  const { command: given } = commandOf(options.plugin)
  if (typeof given === 'object' && !(given instanceof URL))
    throw new PluginError('ERR_CONTRACT', { reason: 'the plugin was verified already; a checksum is for a file' })
  const named = resolveCommand(options.plugin, applicationEnvironment(options))
  const program = await verifyProgram(named.path, checksum)
  const { args, cwd, execArgv } = commandOf(options.plugin)
  const command = { command: program, ...(args && { args }), ...(cwd && { cwd }), ...(execArgv && { execArgv }) }
  try {
    // The environment stays as the caller wants it: only the program was verified.
    const started = await startPlugin({ ...options, checksum: undefined, plugin: command, inheritEnv: options.inheritEnv ?? true })
    void started.exited.then(() => program.close())
    return started
  } catch (cause) {
    program.close()
    throw cause
  }
}

function checkAborted(plan: Plan, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new PluginError('ERR_LAUNCH_ABORTED', { plugin: plan.name }, { cause: signal.reason })
}

/** Bytes of memory for reading a handshake line; the session brings its own. */
const LINE_MEMORY_BYTES = 4 * 1024
const DEFAULT_START_TIMEOUT_MS = 60_000
/** Where the handshake line was found, and how its stream goes on. */
interface Line {
  readonly text: string
  readonly source: 'channel' | 'stdout'
}

type SecureLink = typeof import('./tls.ts').secureLink

async function prepareTls(): Promise<SecureLink> {
  const { secureLink } = await import('./tls.ts')
  process.getBuiltinModule('node:tls')
  return secureLink
}

class Launch {
  readonly #options: StartOptions
  readonly #plan: Plan
  readonly #identity: TlsIdentity | undefined
  readonly #child: Child
  /** The plugin has introduced itself, with a protocol that is not ours. */
  #foreign = false
  readonly #stdout: Output
  readonly #stderr: Output
  readonly #directory: SocketDirectory | undefined
  readonly #begunAt: number
  readonly #spawnedAt: number
  readonly #timer: NodeJS.Timeout
  readonly #line: Promise<Line>
  #found: (line: Line) => void = () => {}
  #interrupt: (cause: unknown) => void = () => {}
  /** Rejects when the launch cannot go on: aborted, timed out, exited, a line that breaks the rules. */
  readonly #interrupted: Promise<never>
  /** Stops looking for the line on stdout; what was held back becomes output. */
  #settleStdout: (() => void) | undefined
  #channelLink: ReturnType<typeof socketLink> | undefined
  #secureLink: Promise<SecureLink> | undefined
  #link: Link | undefined
  #lineFound = false
  /** The address of its handshake. */
  #address: string | undefined
  #network: Network | undefined
  #closing: Promise<Ending> | undefined
  #killed: Promise<Ending> | undefined

  constructor(options: StartOptions, plan: Plan, identity: TlsIdentity | undefined, begunAt: number) {
    // Closed since it was planned, its descriptor may lead to anything.
    plan.program.verified?.check()
    this.#options = options
    this.#plan = plan
    this.#identity = identity
    this.#begunAt = begunAt
    this.#interrupted = new Promise((_resolve, reject) => {
      this.#interrupt = reject
    })
    this.#interrupted.catch(() => {}) // Heard through a race as long as the launch lasts, by nobody afterwards.
    this.#line = new Promise(resolve => {
      this.#found = line => {
        this.#lineFound = true
        resolve(line)
      }
    })
    const { wire, detached } = plan
    // Go plugins leave sockets behind, so they get a place that goes with them; unless a group has to reach it.
    const foreign = plan.protocols.some(protocol => protocol !== 'plugwire') && options.socketGroup === undefined
    this.#directory = (wire === 'unix' || foreign) && typeof options.detached !== 'string' ? makeSocketDirectory() : undefined
    const socketDir = typeof options.detached === 'string' ? path.resolve(options.detached) : this.#directory?.path
    const ports = options.ports ?? defaultPorts
    addLaunchVariables(plan.env, {
      cookie: options.cookie,
      versions: options.versions,
      ports,
      host: hostVariable(plan, ports, socketDir),
      ...(identity !== undefined && { clientCertificate: identity.certificate }),
      ...(socketDir !== undefined && { socketDir }),
      ...(options.socketGroup !== undefined && { socketGroup: options.socketGroup }),
      multiplex: options.multiplex ?? false,
    })
    try {
      this.#child = startChild({
        program: plan.program,
        env: plan.env,
        stdin: wire === 'stdio' ? 'pipe' : (options.stdin ?? 'ignore'),
        stdout: needsStdout(plan) || plan.stdout !== 'inherit' ? 'pipe' : 'inherit',
        stderr: plan.stderr === 'inherit' ? 'inherit' : 'pipe',
        channel: wire !== 'stdio' && !detached,
        keepLeftovers: detached,
        strict: plan.strict,
      })
    } catch (cause) {
      this.#directory?.remove()
      throw cause
    }
    this.#spawnedAt = performance.now()

    const { name } = plan
    this.#stdout = this.#output('stdout', plan.stdout, this.#child.stdout)
    this.#stderr = this.#output('stderr', plan.stderr, this.#child.stderr)
    this.#child.stderr?.on('data', (chunk: Uint8Array) => this.#stderr.write(chunk))
    this.#child.stderr?.on('close', () => this.#closed(this.#stderr))
    if (wire === 'fd') this.#readChannel()
    this.#readStdout()

    // While the plugin starts there is time for what takes some.
    if (plan.tls) this.#secureLink = prepareTls()
    this.#child.failed.catch(this.#interrupt)
    void this.#child.exited.then(() => {
      this.#stdout.end()
      this.#stderr.end()
      if (!detached) this.#directory?.remove()
      this.#interrupt(
        this.#lineFound
          ? new PluginError('ERR_PLUGIN_EXITED', { plugin: name, ...this.#lastWords() })
          : new PluginError('ERR_HANDSHAKE_EXIT', { plugin: name, remedy: this.#exitRemedy(), ...this.#lastWords() }),
      )
    })
    const timeoutMs = options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS
    this.#timer = setTimeout(() => this.#timeOut(timeoutMs), Math.min(timeoutMs, 2 ** 31 - 1))
    options.signal?.addEventListener('abort', this.#abort, { once: true })
  }

  async run(): Promise<StartedPlugin> {
    const line = await Promise.race([this.#line, this.#interrupted])
    const readAt = performance.now()
    const handshake = this.#judge(line)
    this.#address = handshake.address
    this.#network = handshake.network
    this.#foreign = handshake.protocol !== 'plugwire'
    const pluginCertificate = await this.#pluginCertificate(handshake)
    // From now on stdout is ordinary output, unless it carries the session.
    if (handshake.network !== 'stdio') this.#goOnWithStdout()
    if (handshake.protocol === 'plugwire')
      this.#link = this.#plainDescriptor(line, handshake) ?? (await this.#openLink(handshake, pluginCertificate))
    // The driver of another protocol may have to connect; until it is waited for, the time that is left holds nobody.
    if (this.#foreign) this.#timer.unref()
    else this.#settle()
    if (this.#plan.detached) this.#directory?.keep()
    // The listener of a plugin of ours is closed after its one connection, so nobody needs the directory from here on.
    if (this.#link !== undefined && !this.#plan.detached) this.#directory?.remove()
    const connectedAt = performance.now()
    this.#child.introduced()
    return this.#started(handshake, pluginCertificate, {
      spawnMs: this.#spawnedAt - this.#begunAt,
      handshakeMs: readAt - this.#spawnedAt,
      connectMs: connectedAt - readAt,
    })
  }

  /** Leaves nothing behind. Returns what to throw. */
  async abandon(cause: unknown): Promise<unknown> {
    this.#settle()
    this.#child.lookAround()
    const wasRunning = this.#child.status === undefined && this.#child.pid !== 0
    this.#link?.destroy()
    this.#channelLink?.destroy()
    await killProcess(this.#child)
    this.#child.channel?.destroy()
    this.#child.stdin?.destroy()
    this.#directory?.remove()
    // Its last words may have come only now; that we killed it is none of them.
    if (!isPluginError(cause) || !('stderrTail' in cause.facts)) return cause
    const words = { ...this.#lastWords(), ...(wasRunning && { exitCode: null, signal: null }) }
    return new PluginError(
      cause.code,
      { ...cause.facts, ...words } as never,
      cause.cause === undefined ? undefined : { cause: cause.cause },
    )
  }

  #output(stream: 'stdout' | 'stderr', mode: OutputMode, source: net.Socket | undefined): Output {
    // An output that should be inherited and is read nevertheless is copied.
    const copyTo = mode === 'inherit' && source !== undefined ? process[stream] : undefined
    return new Output(
      { mode, plugin: this.#plan.name, stream, logger: this.#options.logger, copyTo },
      { pause: () => void source?.pause(), resume: () => void source?.resume() },
    )
  }

  #readChannel(): void {
    const { channel } = this.#child
    if (channel === undefined) return
    const first = new FirstLine()
    if (this.#plan.tls) {
      // What follows the line is TLS, which wants the socket itself.
      const read = (chunk: Uint8Array): void => {
        const scan = first.push(chunk)
        if (scan.found === 'nothing') return
        channel.off('data', read).pause()
        if (scan.found === 'line' && scan.rest.length > 0) channel.unshift(scan.rest)
        this.#scanned(scan, 'channel')
      }
      channel.on('data', read)
      return
    }
    const link = socketLink({ socket: channel })
    const memory = Buffer.allocUnsafe(LINE_MEMORY_BYTES)
    const reader: LinkReader = {
      buffer: () => memory,
      received: bytes => {
        const scan = first.push(memory.subarray(0, bytes))
        if (scan.found === 'nothing') return
        link.handBack(scan.found === 'line' ? scan.rest : new Uint8Array())
        this.#scanned(scan, 'channel')
      },
      written: () => {},
      closed: () => {}, // No plugin of ours; it may still speak on stdout. Or it has ended, which its exit tells.
    }
    link.open(reader)
    this.#channelLink = link
  }

  #readStdout(): void {
    const { stdout } = this.#child
    if (stdout === undefined) return
    const lines = new StdoutLines(bytes => this.#stdout.write(bytes))
    const pass = (chunk: Uint8Array): void => this.#stdout.write(chunk)
    const goOn = (): void => {
      this.#settleStdout = undefined
      stdout.off('data', read)
      lines.flush()
      stdout.on('data', pass)
    }
    const read = (chunk: Uint8Array): void => {
      const scan = lines.push(chunk)
      if (scan.found === 'nothing') return
      if (scan.found === 'line') {
        stdout.off('data', read).pause()
        if (scan.rest.length > 0) stdout.unshift(scan.rest)
      } else {
        goOn()
      }
      this.#scanned(scan, 'stdout')
    }
    this.#settleStdout = goOn
    stdout.on('data', read)
    stdout.on('close', () => {
      this.#settleStdout?.()
      this.#closed(this.#stdout)
    })
  }

  /** A descriptor was closed. In go-plugin 1.0 the garbage collector does that to the real stdout, while output goes on over the connection. */
  #closed(output: Output): void {
    if (!this.#foreign) output.end()
  }

  #goOnWithStdout(): void {
    this.#settleStdout?.()
    this.#child.stdout?.resume()
  }

  #scanned(scan: Scan, source: Line['source']): void {
    if (scan.found === 'line') this.#found({ text: scan.line, source })
    else if (scan.found === 'fault') this.#interrupt(this.#lineError(scan.line, scan.reason))
  }

  #judge(line: Line): Handshake {
    const { name, protocols } = this.#plan
    const parsed = parseHandshake(line.text)
    if ('fault' in parsed) {
      if (parsed.fault === 'line') throw this.#lineError(line.text, parsed.reason)
      const remedy = 'Build host and plugin with libraries that speak the same core protocol.'
      throw new PluginError('ERR_CORE_VERSION', {
        plugin: name,
        pluginCore: parsed.core,
        hostCore: String(CORE_VERSION),
        remedy,
        ...this.#lastWords(),
      })
    }
    const hostVersions = this.#options.versions
    if (!hostVersions.includes(parsed.version)) {
      const newer = Math.min(...parsed.versions) > Math.max(...hostVersions)
      const remedy = newer
        ? 'Update the host, or use an older plugin.'
        : 'Update the plugin, or let the host serve an older version as well.'
      throw new PluginError('ERR_VERSION_MISMATCH', {
        plugin: name,
        pluginVersions: parsed.versions,
        hostVersions,
        remedy,
        ...this.#lastWords(),
      })
    }
    if (!protocols.includes(parsed.protocol)) {
      const remedy = `Add a kind of the protocol ${parsed.protocol} to the contract.`
      throw new PluginError('ERR_PROTOCOL_UNSUPPORTED', {
        plugin: name,
        protocol: parsed.protocol,
        supported: protocols,
        line: line.text,
        remedy,
        ...this.#lastWords(),
      })
    }
    if (this.#options.multiplex === true && parsed.protocol === 'grpc' && parsed.multiplex !== true) {
      const remedy = 'Build it with go-plugin 1.6 or newer, or launch it without multiplex.'
      throw new PluginError('ERR_BROKER_MULTIPLEX', { plugin: name, line: line.text, remedy, ...this.#lastWords() })
    }
    const misplaced = this.#misplaced(line, parsed)
    if (misplaced !== undefined) throw this.#lineError(line.text, misplaced)
    return parsed
  }

  /** Why a handshake cannot be meant as it stands there, if so. */
  #misplaced(line: Line, { network, address, protocol }: Handshake): string | undefined {
    if (network === 'fd' && (line.source !== 'channel' || address !== '3'))
      return 'only descriptor 3 can carry a session, and only when the line came on it'
    if (network !== 'fd' && line.source === 'channel') return `a plugin on the wire ${network} writes its line on stdout`
    if (network === 'stdio' && this.#plan.wire !== 'stdio') return 'the host did not give it a stdin to talk over'
    if (protocol !== 'plugwire' && (network === 'fd' || network === 'stdio')) return `the protocol ${protocol} needs an address`
    return undefined
  }

  /** The plugin's certificate as PEM when the connection is to be encrypted. */
  async #pluginCertificate(handshake: Handshake): Promise<string | undefined> {
    const { certificate, protocol } = handshake
    if (this.#identity === undefined) {
      if (certificate !== undefined) throw this.#tlsError('it wants to encrypt the connection, which its host did not ask for')
      return undefined
    }
    if (certificate === undefined) {
      const known =
        protocol === 'plugwire'
          ? ''
          : '; does it know AutoMTLS? Launch it with tls: false, or with tlsOptions if it has certificates of its own'
      throw this.#tlsError(`it sent no certificate${known}`)
    }
    const pem = (await import('./certificate.ts')).certificateFromField(certificate)
    try {
      ;new (process.getBuiltinModule('node:crypto').X509Certificate)(pem)
    } catch (cause) {
      throw this.#tlsError('what it sent as its certificate is none', cause)
    }
    return pem
  }

  /** The default wire: the link on which the line was read goes on. */
  #plainDescriptor(line: Line, handshake: Handshake): Link | undefined {
    return line.source === 'channel' && handshake.network === 'fd' && !this.#plan.tls ? this.#channelLink : undefined
  }

  async #openLink(handshake: Handshake, pluginCertificate: string | undefined): Promise<Link> {
    const { name, tls } = this.#plan
    const { channel, stdin, stdout } = this.#child
    let carrier: Duplex
    let holders: net.Socket[] | undefined
    if (handshake.network === 'fd') {
      carrier = channel as net.Socket
    } else if (handshake.network === 'stdio') {
      const pair = { readable: stdout as net.Socket, writable: stdin as net.Socket }
      if (!tls) return (await import('../mux/duplex-link.ts')).duplexLink(pair)
      const { Duplex } = process.getBuiltinModule('node:stream')
      carrier = Duplex.from(pair)
      holders = [pair.readable, pair.writable]
    } else {
      const socket = await this.#race(this.#connect(handshake), late => late.destroy())
      if (!tls) return socketLink({ socket })
      carrier = socket
    }
    const secureLink = await (this.#secureLink as Promise<SecureLink>)
    const secured = secureLink(
      carrier,
      'client',
      this.#identity as TlsIdentity,
      { certificate: pluginCertificate as string },
      { plugin: name, timeoutMs: 2 ** 31 - 1, holders },
    )
    try {
      return await this.#race(secured, late => late.destroy())
    } catch (cause) {
      carrier.destroy()
      throw isPluginError(cause, 'ERR_TLS') ? this.#tlsError(cause.facts.reason, cause.cause) : cause
    }
  }

  #connect(handshake: Handshake): Promise<net.Socket> {
    const { name, detached } = this.#plan
    const foreign = handshake.protocol !== 'plugwire'
    const within = foreign || detached || this.#directory === undefined ? undefined : this.#directory.path
    return connectTo({ plugin: name, network: handshake.network, address: handshake.address, within, anyHost: foreign }, () =>
      this.#lastWords(),
    )
  }

  /** Waits for a step unless the launch is interrupted; what the step yields too late is given back. */
  async #race<T>(step: Promise<T>, discard: (late: T) => void): Promise<T> {
    try {
      return await Promise.race([step, this.#interrupted])
    } catch (cause) {
      step.then(discard, () => {})
      throw cause
    }
  }

  #settle(): void {
    clearTimeout(this.#timer)
    this.#options.signal?.removeEventListener('abort', this.#abort)
  }

  readonly #abort = (): void => {
    const { signal } = this.#options
    this.#interrupt(new PluginError('ERR_LAUNCH_ABORTED', { plugin: this.#plan.name, ...this.#lastWords() }, { cause: signal?.reason }))
  }

  #timeOut(timeoutMs: number): void {
    const plugin = this.#plan.name
    this.#interrupt(
      this.#lineFound
        ? new PluginError('ERR_CONNECT', {
            plugin,
            address: this.#address ?? '',
            reason: `no connection within ${timeoutMs} ms of its start`,
            ...this.#lastWords(),
          })
        : new PluginError('ERR_HANDSHAKE_TIMEOUT', { plugin, timeoutMs, ...this.#lastWords() }),
    )
  }

  #lineError(line: string, reason: string): PluginError {
    const remedy =
      'Nothing but the library may write to the stream of the handshake before it; let the plugin write to stderr, or only after it serves.'
    return new PluginError('ERR_HANDSHAKE_LINE', { plugin: this.#plan.name, line, reason, remedy, ...this.#lastWords() })
  }

  #tlsError(reason: string, cause?: unknown): PluginError {
    return new PluginError(
      'ERR_TLS',
      { plugin: this.#plan.name, reason, ...this.#lastWords() },
      cause === undefined ? undefined : { cause },
    )
  }

  #exitRemedy(): string {
    const { program } = this.#plan
    const { exitCode, signal } = this.#child.status ?? {}
    if (signal === 'SIGILL' || signal === 'SIGSEGV' || signal === 'SIGABRT') return 'It crashed; run it by hand to see where.'
    if (signal) return 'Someone ended it; when that is SIGKILL, the system may have run out of memory.'
    if (exitCode === 126 || exitCode === 127) return startRemedy(program.path)
    if (exitCode === 0) return 'It ended as if it had nothing to do: does it call serve(), and wait for it?'
    // What go-plugin says when the cookie is not there, or another one.
    if (this.#stderr.tail.includes('This binary is a plugin')) {
      return 'It found no cookie that it knows: does the `cookie` of the contract say what MagicCookieKey and MagicCookieValue of the plugin say?'
    }
    return 'What it wrote tells why; run by hand it writes the same.'
  }

  #lastWords(): LastWords {
    return lastWordsOf(this.#child.status, this.#stdout.tail, this.#stderr.tail)
  }

  #started(handshake: Handshake, pluginCertificate: string | undefined, timings: Timings): StartedPlugin {
    const child = this.#child
    const link = this.#link
    const { name, detached } = this.#plan
    // Its end is seen by itself, unless a stranger holds the other end. Two turns later all that was sent has been read.
    if (link !== undefined) void child.exited.then(() => setImmediate(() => setImmediate(() => link.destroy())))
    if (this.#channelLink !== undefined && this.#channelLink !== link) {
      // It stays open as the guard that tells the plugin of our end.
      const guard = this.#channelLink
      guard.unref()
      void child.exited.then(() => guard.destroy())
    }
    void child.exited.then(() => child.channel?.destroy())
    link?.unref()
    child.unrefPipes()
    child.release()
    const lastWords = (): LastWords => this.#lastWords()
    const identity = this.#identity
    const tls = identity !== undefined && pluginCertificate !== undefined ? { identity, pluginCertificate } : undefined
    return {
      name,
      pid: child.pid,
      handshake,
      version: handshake.version,
      wire: handshake.network,
      link,
      connect: () => this.#connect(handshake),
      tls,
      stdout: this.#stdout.readable,
      stderr: this.#stderr.readable,
      get status() {
        return child.status
      },
      exited: child.exited,
      lastWords,
      ended: async () => {
        child.hold()
        await child.exited
        return lastWords()
      },
      hold: () => child.hold(),
      release: () => {
        if (this.#closing === undefined) child.release()
      },
      close: closing => {
        this.#closing ??= this.#close(closing)
        return this.#closing
      },
      kill: () => {
        this.#killed ??= killProcess(child).then(gone => (gone ? 'killed' : 'stuck'))
        this.#closing ??= this.#killed.then(ending => this.#cleanUp(ending))
        return this.#closing
      },
      record: detached
        ? {
            name,
            pid: child.pid,
            startedAt: startOf(child.pid),
            ...(handshake.network === 'tcp' && { network: 'tcp' as const }),
            address: handshake.address,
            ...(this.#directory !== undefined && { directory: this.#directory.path }),
            protocol: handshake.protocol,
            version: handshake.version,
            versions: handshake.versions,
            ...(this.#options.multiplex === true && this.#foreign && { multiplex: true }),
            ...(tls && { tls: { key: tls.identity.key, certificate: tls.identity.certificate, pluginCertificate: tls.pluginCertificate } }),
          }
        : undefined,
      timings,
      ready: async (step, discard) => {
        child.hold()
        try {
          return await this.#race(step, discard)
        } finally {
          this.#settle()
          if (this.#closing === undefined) child.release()
        }
      },
      output: (descriptor, bytes) => {
        const output = descriptor === 2 ? this.#stderr : this.#stdout
        output.write(bytes)
        return output.held
      },
    }
  }

  async #close(closing: ClosingOptions | undefined): Promise<Ending> {
    const ending = await closeProcess(this.#child, closing)
    // Killed meanwhile, it did not end by the step that was waited for.
    return this.#cleanUp(await (this.#killed ?? ending))
  }

  #cleanUp(ending: Ending): Ending {
    this.#link?.destroy()
    this.#channelLink?.destroy()
    this.#child.channel?.destroy()
    this.#child.stdin?.destroy()
    this.#settle()
    if (this.#plan.detached && this.#address !== undefined)
      removeSocket(this.#network === 'tcp' ? '' : this.#address, this.#directory?.path)
    else this.#directory?.remove()
    this.#child.release()
    return ending
  }
}
