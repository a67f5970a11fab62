// Role plugin: the services of all kinds of a version, on one server that hosts connect to. go-plugin's hosts say nothing when they dispense: there is one
// instance of each kind, made before the first host can come.

import type { Socket } from 'node:net'
import type { ConnectionOptions, TlsOptions } from 'node:tls'
import type { Kind } from 'plugwire'
import { type ForeignService, type ServedProtocol, type SideListener, socketLink } from 'plugwire/driver'
import { AddressLine } from '../broker/address-line.ts'
import { KnockLine } from '../broker/knock-line.ts'
import { hear, InfoQueue, type Line, type LineGround } from '../broker/line.ts'
import { SharedConnection } from '../broker/shared-connection.ts'
import type { GrpcKindDriver } from '../kind.ts'
import type { ConnInfo, StdioData } from '../plugin-services/control-messages.ts'
import { Health } from '../plugin-services/health.ts'
import { ownFiles } from '../plugin-services/own-files.ts'
import { addPluginServices, type PluginServices } from '../plugin-services/plugin-services.ts'
import { addReflection } from '../plugin-services/reflection.ts'
import { StdioFeed } from '../plugin-services/stdio-feed.ts'
import { openChannel } from '../transport/channel.ts'
import type { Dial, GrpcContext, GrpcServer, TlsIdentity } from '../transport/seam.ts'
import { createGrpcServer } from '../transport/server.ts'
import { Brokers } from './brokers.ts'
import { type ChannelGuard, guardChannel } from './guarded-channel.ts'
import { type Gathered, gather } from './registrar.ts'
import { serviceFiles } from './service-files.ts'
import { identityOf, secureClient, secureServer } from './tls.ts'

/** Milliseconds that answers have to leave when the plugin ends. */
const ANSWER_GRACE_MS = 1_000
/** Milliseconds that a host which told us to end is given to take what was printed before that. */
const STDIO_GRACE_MS = 200
/** Milliseconds that a dial through the broker may take once the other side has answered. */
const BROKER_CONNECT_MS = 10_000

export async function serve(service: ForeignService): Promise<ServedProtocol> {
  const server = new PluginServer(service)
  await server.start()
  return server
}

class PluginServer implements ServedProtocol, PluginServices {
  readonly #service: ForeignService
  readonly #tls: TlsIdentity | undefined
  readonly #brokers = new Brokers()
  readonly #stdio: StdioFeed
  readonly #health = new Health()
  /** By kind. */
  readonly #instances = new Map<string, object>()
  /** What the kinds put onto every server. */
  readonly #gathered: Gathered[] = []
  readonly #servers = new Set<GrpcServer>()
  readonly #shared = new Set<SharedConnection>()
  #main: GrpcServer | undefined
  /** Resolves when there is something to serve. */
  #ready: Promise<void> = Promise.resolve()
  #listener: SideListener | undefined
  #closing: Promise<void> | undefined

  constructor(service: ForeignService) {
    this.#service = service
    this.#tls = service.tls && identityOf(service.tls)
    this.#stdio = new StdioFeed(sink => service.onOutput(sink))
  }

  get network(): 'unix' | 'tcp' {
    return (this.#listener as SideListener).network
  }

  get address(): string {
    return (this.#listener as SideListener).address
  }

  /** That it can, whether the host asked for it or only asked. */
  get multiplex(): true {
    return true
  }

  async start(): Promise<void> {
    for (const kind of Object.keys(this.#service.kinds)) this.#instances.set(kind, await this.#service.make(kind, undefined))
    const accept = (socket: Socket): void => {
      if (this.#closing !== undefined || socket.destroyed) socket.destroy()
      else if (this.#service.multiplex) this.#acceptShared(socket)
      else this.#accept(socket, this.#main as GrpcServer)
    }
    let ready = (): void => {}
    this.#ready = new Promise(resolve => {
      ready = resolve
    })
    // A connection comes paused, so nothing of what it says before that is lost.
    this.#listener = await this.#service.listen(socket => void this.#ready.then(() => accept(socket)))
    // Codecs are loaded while the host reads the handshake line, which is written when this has returned.
    setImmediate(() => void this.#gather(ready))
  }

  /** What is wrong with the services is an error of the plugin's author, and ends the plugin with its stack. */
  async #gather(ready: () => void): Promise<void> {
    try {
      for (const [kind, implementation] of this.#instances) {
        const { form } = (this.#service.kinds[kind] as Kind).driver as GrpcKindDriver
        this.#gathered.push(await gather(registrar => form.server(registrar, this.#brokers, implementation as never), this.#health))
      }
      this.#main = this.#createServer(undefined)
      ready()
    } catch (cause) {
      setImmediate(() => {
        throw cause
      })
    }
  }

  // ------------------------------------------------------------------------------------------------ connections

  #accept(socket: Socket, server: GrpcServer): void {
    this.#service.hostCame()
    socket.once('close', () => this.#service.hostLeft())
    // It comes paused.
    socket.resume()
    server.inject(socket)
  }

  /** One socket is all that a host of go-plugin opens; each has streams, knocks and a server of its own. */
  #acceptShared(socket: Socket): void {
    this.#service.hostCame()
    const shared: SharedConnection = new SharedConnection(socketLink({ socket }), {
      role: 'server',
      onOther: connection => server.inject(connection),
      onEnded: cause => {
        if (cause !== undefined) this.#service.log('debug', `the connection of a host broke off: ${cause.message}`)
        this.#shared.delete(shared)
        this.#servers.delete(server)
        server.destroy()
        this.#service.hostLeft()
      },
    })
    const server = this.#createServer(shared)
    this.#shared.add(shared)
  }

  /** A server with everything on it. */
  #createServer(shared: SharedConnection | undefined): GrpcServer {
    const server = this.#plainServer()
    for (const gathered of this.#gathered) gathered.addTo(server)
    this.#health.addTo(server)
    addPluginServices(
      server,
      shared === undefined ? this : { ...this.#services(), broker: (infos, context) => this.#converse(infos, context, shared) },
    )
    addReflection(server, async () => [...(await serviceFiles(this.#gathered.flatMap(({ services }) => services))), ...ownFiles()])
    this.#servers.add(server)
    return server
  }

  #services(): PluginServices {
    return {
      shutdown: () => this.shutdown(),
      stdio: signal => this.stdio(signal),
      broker: (infos, context) => this.broker(infos, context),
    }
  }

  #plainServer(): GrpcServer {
    const onConnectionError = (error: Error): void => this.#service.log('debug', `a connection broke off: ${error.message}`)
    const server = createGrpcServer({ ...(this.#tls !== undefined && { tls: this.#tls }), onConnectionError })
    const { customTls } = this.#service
    return customTls === undefined ? server : secureServer(server, customTls, onConnectionError)
  }

  // ------------------------------------------------------------------------------------------------ what hosts say

  async shutdown(): Promise<void> {
    // A host of go-plugin closes the connection as soon as it is answered, and what it has not taken by then is lost.
    await this.#stdio.drained(STDIO_GRACE_MS)
    setImmediate(() => this.#service.end())
  }

  async *stdio(signal: AbortSignal): AsyncGenerator<StdioData, void, undefined> {
    for await (const piece of this.#stdio.read(signal)) {
      yield piece
      const dropped = this.#stdio.takeDroppedBytes()
      if (dropped > 0) this.#service.log('warn', `${dropped} bytes of output were dropped, because the host took them too slowly`)
    }
  }

  broker(infos: AsyncIterable<ConnInfo>, context: GrpcContext): AsyncIterable<ConnInfo> {
    return this.#converse(infos, context, undefined)
  }

  /** A broker for each host, for as long as the host is there: one that comes later finds a fresh one. */
  #converse(infos: AsyncIterable<ConnInfo>, { peer }: GrpcContext, shared: SharedConnection | undefined): AsyncIterable<ConnInfo> {
    const say = new InfoQueue()
    const line: Line = shared === undefined ? new AddressLine(this.#ground, say) : new KnockLine(this.#ground, say, shared)
    this.#brokers.add(peer, line)
    void hear(line, infos).then(() => this.#brokers.delete(peer, line))
    return say
  }

  readonly #guard: ChannelGuard = {
    refusal: undefined,
    metadata: () => this.#service.metadata?.(),
    explain: async error => error,
  }

  readonly #ground: LineGround = {
    createServer: () => this.#plainServer(),
    createChannel: dial => {
      const { customTls, name } = this.#service
      const secured: Dial =
        customTls === undefined
          ? dial
          : async signal => secureClient(await dial(signal), clientOptionsOf(customTls), `the host of ${name}`, signal)
      const options = { ...(this.#tls !== undefined && { tls: this.#tls }), connectTimeoutMs: BROKER_CONNECT_MS }
      return guardChannel(openChannel(secured, options), this.#guard)
    },
    listen: onConnection => this.#service.listen(onConnection),
    connectTo: (network, address) => this.#service.connectTo(network, address),
  }

  // ------------------------------------------------------------------------------------------------ ending

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#listener?.close()
    this.#stdio.end()
    this.#brokers.end()
    await Promise.all([...this.#servers].map(server => server.close(ANSWER_GRACE_MS)))
    for (const shared of this.#shared) shared.close()
    await Promise.all([...this.#instances.values()].map(instance => this.#dispose(instance)))
  }

  async #dispose(instance: object): Promise<void> {
    try {
      if (Symbol.asyncDispose in instance) await (instance as AsyncDisposable)[Symbol.asyncDispose]()
      else if (Symbol.dispose in instance) (instance as Disposable)[Symbol.dispose]()
    } catch (cause) {
      this.#service.log('error', `an instance could not be disposed: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
  }
}

/** The same certificates for what the plugin dials: both sides of go-plugin use one TLS configuration for everything. */
function clientOptionsOf({
  cert,
  key,
  pfx,
  passphrase,
  ca,
  minVersion,
  maxVersion,
  ciphers,
  secureContext,
}: TlsOptions): ConnectionOptions {
  const given = { cert, key, pfx, passphrase, ca, minVersion, maxVersion, ciphers, secureContext }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as ConnectionOptions
}
