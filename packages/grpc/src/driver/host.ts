// Role host: one plugin, as the core's plugin object asks for it. Everything travels over one main connection: the application's calls, what the
// plugin prints, and what the brokers of both sides tell each other.

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions, TlsOptions } from 'node:tls'
import type { Kind } from 'plugwire'
import { type Conversation, type ForeignPlugin, isPluginError, PluginError, socketLink } from 'plugwire/driver'
import { AddressLine } from '../broker/address-line.ts'
import { KnockLine } from '../broker/knock-line.ts'
import { hear, InfoQueue, type Line, type LineGround } from '../broker/line.ts'
import { SharedConnection } from '../broker/shared-connection.ts'
import type { GrpcKindDriver } from '../kind.ts'
import { empty, StdioChannel } from '../plugin-services/control-messages.ts'
import { shutdown, startStream, streamStdio } from '../plugin-services/definitions.ts'
import { healthCheck, PLUGIN_HEALTH_SERVICE, ServingStatus } from '../plugin-services/health.ts'
import { openChannel } from '../transport/channel.ts'
import { GrpcError } from '../transport/grpc-error.ts'
import type { Channel, ChannelOptions, Dial } from '../transport/seam.ts'
import { createGrpcServer } from '../transport/server.ts'
import { Status } from '../transport/status.ts'
import { Brokers } from './brokers.ts'
import { type ChannelGuard, guardChannel } from './guarded-channel.ts'
import { LoopHold } from './loop-hold.ts'
import { identityOf, secureClient, secureServer } from './tls.ts'

/** Milliseconds within which a process that is ending is expected to have ended, once its connection is gone. */
const EXIT_PATIENCE_MS = 500
/** Milliseconds that a plugin has to answer a ping. */
const PING_TIMEOUT_MS = 10_000
/** Milliseconds that a dial through the broker may take once the other side has answered. */
const BROKER_CONNECT_MS = 10_000

/** Begins to talk. When brokered connections are to share the main one, that must be there within 5 s of the plugin's handshake. */
export async function converse(plugin: ForeignPlugin): Promise<Conversation> {
  const conversation = new GrpcConversation(plugin)
  const connected = conversation.connected()
  if (plugin.multiplex) await connected
  // Else it is connected while the host goes on; what fails is told by what needs it first.
  else connected.catch(() => {})
  return conversation
}

class GrpcConversation implements Conversation, ChannelGuard {
  readonly #plugin: ForeignPlugin
  readonly #hold = new LoopHold()
  readonly #brokers: Brokers
  readonly #channel: Channel
  readonly #guarded: Channel
  readonly #tls: ChannelOptions['tls']
  readonly #instances = new Map<string, object>()
  #shared: Promise<SharedConnection> | undefined
  #sharedNow: SharedConnection | undefined
  #connected: Promise<void> | undefined
  #refusal: PluginError | undefined
  /** The plugin was told to end, or it was left: its connection may go. */
  #ending = false
  #destroyed = false
  #lost: Promise<PluginError> | undefined

  constructor(plugin: ForeignPlugin) {
    this.#plugin = plugin
    this.#brokers = new Brokers(work => this.#hold.during(work))
    this.#tls = plugin.tls && identityOf(plugin.tls)
    const dial: Dial = plugin.multiplex ? async signal => this.#secured((await this.#share()).open(), signal) : signal => this.#dial(signal)
    this.#channel = openChannel(dial, {
      ...(this.#tls !== undefined && { tls: this.#tls }),
      hold: this.#hold.hold,
      release: this.#hold.release,
    })
    this.#guarded = guardChannel(this.#channel, this)
  }

  // ------------------------------------------------------------------------------------------------ the main connection

  async #dial(signal: AbortSignal): Promise<Duplex> {
    const socket = await this.#plugin.connect()
    if (signal.aborted) socket.destroy()
    signal.throwIfAborted()
    return this.#secured(this.#held(socket), signal)
  }

  /** Sockets hold the event loop only while somebody waits for something. */
  #held(socket: Socket): Socket {
    this.#hold.add(socket)
    socket.once('close', () => this.#hold.delete(socket))
    return socket
  }

  async #secured(connection: Duplex, signal: AbortSignal): Promise<Duplex> {
    const { customTls, name } = this.#plugin
    return customTls === undefined ? connection : secureClient(connection, customTls, name, signal)
  }

  /** The one socket that all connections share. It is never dialled twice: a Go plugin takes one. */
  #share(): Promise<SharedConnection> {
    this.#shared ??= this.#plugin.connect().then(socket => {
      const shared = new SharedConnection(socketLink({ socket }), {
        role: 'client',
        onEnded: cause => {
          this.#hold.delete(shared)
          if (!this.#ending) void this.#lose(cause)
        },
      })
      this.#sharedNow = shared
      this.#hold.add(shared)
      return shared
    })
    return this.#shared
  }

  /**
   * Resolves when the plugin can be called.
   *
   * @throws PluginError `ERR_CONNECT`, `ERR_TLS`, `ERR_PLUGIN_EXITED`.
   */
  connected(): Promise<void> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal)
    if (this.#channel.state === 'ready' && this.#connected !== undefined) return this.#connected
    this.#connected ??= this.#connect().catch((cause: unknown) => {
      this.#connected = undefined
      throw cause
    })
    return this.#connected
  }

  async #connect(): Promise<void> {
    try {
      await this.#channel.connect()
    } catch (error) {
      throw await this.#connectError(error)
    }
    const peer = {}
    void Promise.all([this.#readStdio(), this.#converseWithBroker(peer)]).then(([stdio, broker]) => {
      if (stdio === 'lost' || broker === 'lost') void this.#onLoss()
    })
  }

  async #connectError(error: unknown): Promise<unknown> {
    if (this.#refusal !== undefined) return this.#refusal
    const cause = error instanceof GrpcError ? error.cause : error
    if (await this.#hasExited()) return this.#plugin.lost(undefined)
    if (isPluginError(cause)) return cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    const { name, handshake } = this.#plugin
    const code = cause instanceof Error && (cause as NodeJS.ErrnoException).code
    if (
      this.#tls !== undefined &&
      typeof code === 'string' &&
      /^(ERR_(SSL|TLS|OSSL)|[A-Z_]*CERT|UNABLE_TO|EPROTO|SELF_SIGNED|DEPTH_ZERO)/.test(code)
    ) {
      return new PluginError('ERR_TLS', { plugin: name, reason, ...this.#plugin.lastWords() }, { cause: error })
    }
    return new PluginError(
      'ERR_CONNECT',
      { plugin: name, address: handshake?.address ?? 'its address', reason, ...this.#plugin.lastWords() },
      { cause: error },
    )
  }

  /** True as soon as the process has ended; false when it has not within a short time. */
  async #hasExited(): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const patience = new Promise<false>(resolve => (timer = setTimeout(resolve, EXIT_PATIENCE_MS, false)))
    const exited = await Promise.race([this.#plugin.exited.then(() => true), patience])
    clearTimeout(timer)
    return exited
  }

  /** The main connection broke off. A plugin that still runs may be reached again; what was kept on the connection begins anew. */
  async #onLoss(): Promise<void> {
    this.#connected = undefined
    if (this.#ending || this.#refusal !== undefined || this.#lost !== undefined) return
    if (await this.#hasExited()) return void this.#lose(undefined)
    if (this.#ending || this.#refusal !== undefined) return
    this.#plugin.log('debug', 'the connection to the plugin was lost, and is made again')
    this.connected().catch((cause: unknown) => this.#lose(isPluginError(cause) ? cause : undefined))
  }

  #lose(cause: PluginError | undefined): Promise<PluginError> {
    this.#lost ??= this.#plugin.lost(cause).then(reason => {
      this.destroy(reason)
      return reason
    })
    return this.#lost
  }

  // ------------------------------------------------------------------------------------------------ what is kept on the main connection

  async #readStdio(): Promise<'absent' | 'over' | 'lost'> {
    try {
      for await (const { channel, data } of this.#channel.serverStream(streamStdio, empty, { background: true })) {
        if (channel === StdioChannel.stdout || channel === StdioChannel.stderr) await this.#plugin.output(channel, data)
      }
      return 'over'
    } catch (error) {
      return this.#endOfStream(error)
    }
  }

  async #converseWithBroker(peer: object): Promise<'absent' | 'over' | 'lost'> {
    const say = new InfoQueue()
    const line = this.#line(say)
    this.#brokers.add(peer, line)
    try {
      const infos = this.#channel.bidi(startStream, say, { background: true })
      const failure = await hear(line, infos)
      const end = failure === undefined ? 'over' : this.#endOfStream(failure)
      if (end === 'absent') this.#brokers.lack('the plugin has no broker')
      return end
    } finally {
      this.#brokers.delete(peer, line)
    }
  }

  /** A plugin built with the first go-plugins has neither stdio nor a broker. */
  #endOfStream(error: unknown): 'absent' | 'lost' {
    return error instanceof GrpcError && error.code === Status.UNIMPLEMENTED ? 'absent' : 'lost'
  }

  #line(say: InfoQueue): Line {
    const { name, customTls } = this.#plugin
    const options = { ...(this.#tls !== undefined && { tls: this.#tls }), hold: this.#hold.hold, release: this.#hold.release }
    const onConnectionError = (error: Error): void => this.#plugin.log('debug', `a brokered connection broke off: ${error.message}`)
    const ground: LineGround = {
      createServer() {
        const server = createGrpcServer({ ...options, onConnectionError })
        return customTls === undefined ? server : secureServer(server, serverOptionsOf(customTls), onConnectionError)
      },
      createChannel: dial => {
        const secured: Dial =
          customTls === undefined ? dial : async signal => secureClient(await dial(signal), customTls, `a service of ${name}`, signal)
        return guardChannel(openChannel(secured, { ...options, connectTimeoutMs: BROKER_CONNECT_MS }), this)
      },
      listen: onConnection =>
        this.#plugin.listen(socket => {
          this.#held(socket)
          onConnection(socket)
        }),
      connectTo: async (network, address) => this.#held(await this.#plugin.connectTo(network, address)),
    }
    return this.#sharedNow === undefined ? new AddressLine(ground, say) : new KnockLine(ground, say, this.#sharedNow)
  }

  // ------------------------------------------------------------------------------------------------ calls

  get callsInFlight(): number {
    return this.#channel.callsInFlight
  }

  get callsServed(): number {
    return this.#brokers.callsServed
  }

  get streamCount(): number {
    // All but the main connection are brokered.
    return Math.max(0, (this.#sharedNow?.streamCount ?? 1) - 1)
  }

  async dispense(kind: string, config: unknown): Promise<object> {
    if (config !== undefined) throw new PluginError('ERR_CONTRACT', { reason: `${kind} is a kind of gRPC, which takes no configuration` })
    await this.#hold.during(this.connected())
    const known = this.#instances.get(kind)
    if (known !== undefined) return known
    const { form } = (this.#plugin.kinds[kind] as Kind).driver as GrpcKindDriver
    const instance: unknown = await form.client(this.#guarded, this.#brokers)
    if ((typeof instance !== 'object' && typeof instance !== 'function') || instance === null) {
      throw new PluginError('ERR_CONTRACT', {
        reason: `the client of ${kind} is ${instance === null ? 'null' : typeof instance}, not an object`,
      })
    }
    // There is one of each, however often it is dispensed: that is what go-plugin's services are.
    const first = this.#instances.get(kind) ?? instance
    this.#instances.set(kind, first)
    return first
  }

  async ping(): Promise<number> {
    await this.#hold.during(this.connected())
    const started = performance.now()
    let status: number
    try {
      const request = { service: PLUGIN_HEALTH_SERVICE }
      status = (await this.#channel.unary(healthCheck, request, { timeoutMs: PING_TIMEOUT_MS })).status
    } catch (error) {
      // It answers, so it is there.
      if (!(error instanceof GrpcError) || error.code !== Status.UNIMPLEMENTED) throw await this.explain(error)
      this.#plugin.log('debug', 'the plugin has no health service')
      status = ServingStatus.SERVING
    }
    const ms = performance.now() - started
    if (status === ServingStatus.SERVING) return ms
    throw new PluginError('ERR_NOT_SERVING', {
      subject: this.#plugin.name,
      reason: `its health service says ${statusNames.get(status) ?? status}`,
      remedy: 'Look at its log for the reason.',
      status,
    })
  }

  describe(): undefined {
    return undefined
  }

  // ------------------------------------------------------------------------------------------------ guard

  get refusal(): PluginError | undefined {
    return this.#refusal
  }

  metadata(): Readonly<Record<string, string>> | undefined {
    return this.#plugin.metadata?.()
  }

  async explain(error: unknown): Promise<unknown> {
    if (this.#refusal !== undefined && this.#destroyed) return this.#refusal
    if (!(error instanceof GrpcError) || this.#channel.state === 'ready' || !lossCodes.has(error.code)) return error
    if (this.#lost !== undefined) return this.#lost
    return (await this.#hasExited()) ? this.#lose(undefined) : error
  }

  // ------------------------------------------------------------------------------------------------ ending

  async tellToEnd(): Promise<void> {
    this.#ending = true
    try {
      if (!this.#destroyed) await this.#channel.unary(shutdown, empty, { background: true })
    } catch {
      // A Go plugin ends its connections in the middle of the call, an old one does not know it, and whoever does not end will be made to.
    }
  }

  refuseCalls(reason: PluginError): void {
    this.#refusal ??= reason
  }

  close(): void {
    if (this.#destroyed) return
    this.#ending = true
    this.#refusal ??= new PluginError('ERR_PLUGIN_CLOSED', { plugin: this.#plugin.name })
    this.#brokers.end()
    void this.#channel.close().then(() => this.#sharedNow?.close())
  }

  destroy(reason: PluginError): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.#ending = true
    this.#refusal = reason
    this.#brokers.end()
    this.#channel.destroy(reason)
    this.#sharedNow?.destroy()
  }
}

/** With what calls end whose connection broke off. */
const lossCodes: ReadonlySet<number> = new Set([Status.UNAVAILABLE, Status.INTERNAL, Status.UNKNOWN, Status.CANCELLED])

const statusNames: ReadonlyMap<number, string> = new Map(Object.entries(ServingStatus).map(([name, status]) => [status, name]))

/** The same certificates for what the host serves: both sides of go-plugin use one TLS configuration for everything. */
function serverOptionsOf(options: ConnectionOptions): TlsOptions {
  const { cert, key, pfx, passphrase, ca, minVersion, maxVersion, ciphers, secureContext } = options
  const given = { cert, key, pfx, passphrase, ca, minVersion, maxVersion, ciphers, secureContext }
  return {
    ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as TlsOptions),
    ...(ca && { requestCert: true }),
  }
}
