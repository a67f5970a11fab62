// go-plugin's net/rpc protocol in both roles: three streams that the host opens first, then those of the broker. Source: go-plugin rpc_client.go,
// rpc_server.go.

import type { Socket } from 'node:net'
import { isPluginError, PluginError } from 'plugwire'
import type { Conversation, ForeignPlugin, ForeignService, ProtocolDriver, ServedProtocol } from 'plugwire/driver'
import type { Stream } from 'plugwire/mux'
import { bodyOf } from './broker/references.ts'
import { bool, type Schema, string, uint32 } from './gob/schema.ts'
import type { NetrpcDriver } from './kind.ts'
import { Peer } from './peer.ts'
import type { Body, WireMethod } from './rpc/body.ts'
import { RpcClient } from './rpc/client.ts'
import { CONTROL_PING, CONTROL_QUIT, DISPENSE, emptyStruct } from './rpc/headers.ts'
import { rememberCarrier, remoteObject } from './rpc/remote.ts'
import { RpcServer, type ServedMethod, type ServedMethods } from './rpc/server.ts'
import { hostLink, pluginLink } from './tls.ts'

const anything: Body = { schema: bool, ignored: true }
const ping: WireMethod = controlMethod(CONTROL_PING, bool, anything)
const quit: WireMethod = controlMethod(CONTROL_QUIT, bool, anything)
const dispense: WireMethod = controlMethod(DISPENSE, string, bodyOf(uint32))

function controlMethod(serviceMethod: string, arg: Schema<never, never> | Schema<string> | Schema<boolean>, reply: Body): WireMethod {
  return { name: serviceMethod, serviceMethod, arg: bodyOf(arg), reply }
}

/** Speaks net/rpc for kinds that `netrpc` made. */
export const driver: ProtocolDriver = {
  async converse(plugin: ForeignPlugin): Promise<Conversation> {
    const socket = await plugin.connect()
    return new NetrpcConversation(plugin, await hostLink(socket, plugin.name, plugin.tls, plugin.customTls))
  },

  async serve(service: ForeignService): Promise<ServedProtocol> {
    const server = new NetrpcServer(service)
    const listener = await service.listen(socket => void server.connected(socket))
    return {
      network: listener.network,
      address: listener.address,
      multiplex: undefined,
      async close() {
        listener.close()
        await server.close()
      },
    }
  },
}

/** The methods of a kind of ours. */
function methodsOf(kind: string, kinds: ForeignPlugin['kinds']): readonly WireMethod[] {
  const { methods } = (kinds[kind]?.driver ?? {}) as Partial<NetrpcDriver>
  if (methods === undefined) throw new PluginError('ERR_KIND_NOT_FOUND', { kind, kinds: Object.keys(kinds) })
  return methods
}

// ------------------------------------------------------------------------------------------------ role host

class NetrpcConversation implements Conversation {
  readonly #plugin: ForeignPlugin
  readonly #peer: Peer
  readonly #control: RpcClient
  readonly #output: readonly Stream[]
  #destroyed: PluginError | undefined
  /** The plugin knows that it is to end; what it still prints is wanted. */
  #told = false

  constructor(plugin: ForeignPlugin, link: Awaited<ReturnType<typeof hostLink>>) {
    this.#plugin = plugin
    const peer = new Peer(link, {
      role: 'host',
      stayAlive: false,
      onEnded: cause => this.#destroyed ?? plugin.lost(cause),
      warn: (message, fields) => plugin.log('warn', message, fields),
    })
    this.#peer = peer
    // The plugin tells them apart by their order alone, so nothing may come between.
    this.#control = new RpcClient(peer, peer.session.open(), {
      label: 'its control stream',
      internal: true,
      // Without it nothing can be dispensed or ended any more.
      onEnded: cause => {
        if (!peer.session.ended && !this.#told)
          peer.session.destroy(cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: 'the plugin ended its control stream' }))
      },
    })
    this.#output = [this.#openOutput(1), this.#openOutput(2)]
  }

  #openOutput(descriptor: 1 | 2): Stream {
    const stream = this.#peer.session.open()
    stream.consume({
      chunk: (bytes, start, end) => this.#plugin.output(descriptor, Buffer.from(bytes.subarray(start, end))),
      end: () => stream.end(),
      fail: () => undefined,
    })
    return stream
  }

  get callsInFlight(): number {
    return this.#peer.callsInFlight
  }
  get callsServed(): number {
    return this.#peer.callsServed
  }
  get streamCount(): number {
    // Beside those that carry calls: control, both outputs, and one for each instance or service.
    return Math.max(0, this.#peer.session.streamCount - 3 - this.#peer.serviceStreams)
  }

  async dispense(kind: string): Promise<object> {
    const methods = methodsOf(kind, this.#plugin.kinds)
    if (this.#peer.refusal !== undefined) throw this.#peer.refusal
    const id = (await this.#control.call(dispense, kind, undefined, `dispense ${kind}`)) as number
    this.#peer.hold()
    try {
      return remoteObject(this.#peer, await this.#peer.broker.dial(id), kind, methods)
    } finally {
      this.#peer.letGo()
    }
  }

  async ping(): Promise<number> {
    const started = performance.now()
    await this.#control.call(ping, true, undefined, 'ping')
    return performance.now() - started
  }

  describe(): undefined {
    return undefined
  }

  /** As a Go host does it: the call, its answer, then the end of the streams that the host opened first. */
  async tellToEnd(): Promise<void> {
    try {
      await this.#control.call(quit, true, undefined, 'quit')
      this.#told = true
      this.#control.finish()
      for (const stream of this.#output) stream.end()
    } catch {
      // It has gone by itself.
    }
  }

  refuseCalls(reason: PluginError): void {
    this.#peer.refusal ??= reason
  }

  close(): void {
    this.#destroyed ??= new PluginError('ERR_PLUGIN_CLOSED', { plugin: this.#plugin.name })
    this.#peer.session.close()
  }

  destroy(reason: PluginError): void {
    this.#destroyed ??= reason
    this.#peer.session.destroy(reason)
  }
}

// ------------------------------------------------------------------------------------------------ role plugin

/** Bytes of output that wait on a stream whose host does not read; what is printed beyond them is dropped. */
const MAX_UNREAD_OUTPUT_BYTES = 1024 * 1024

class NetrpcServer {
  readonly #service: ForeignService
  readonly #hosts = new Set<ServedHost>()
  #closing = false

  constructor(service: ForeignService) {
    this.#service = service
  }

  async connected(socket: Socket): Promise<void> {
    const { tls, customTls } = this.#service
    try {
      const link = await pluginLink(socket, tls, customTls)
      if (this.#closing) return link.destroy()
      const host: ServedHost = new ServedHost(this.#service, link, () => {
        this.#hosts.delete(host)
        // Output goes to the host that came last; when it has left, to the one before.
        const last = [...this.#hosts].at(-1)
        if (last === undefined) this.#service.onOutput(undefined)
        else last.takeOutput()
      })
      this.#hosts.add(host)
    } catch (cause) {
      this.#service.log('warn', `a connection was refused: ${(cause as Error).message}`)
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    await Promise.all([...this.#hosts].map(host => host.close()))
  }
}

/** One connection of a host. */
class ServedHost {
  readonly #service: ForeignService
  readonly #peer: Peer
  readonly #instances = new Set<object>()
  readonly #output: Stream[] = []
  #opened = 0
  /** Since the host has read for the last time. */
  #drops = false
  readonly #ended: Promise<void>

  constructor(service: ForeignService, link: Awaited<ReturnType<typeof pluginLink>>, onEnded: () => void) {
    this.#service = service
    let end = (): void => undefined
    this.#ended = new Promise(resolve => {
      end = resolve
    })
    this.#peer = new Peer(link, {
      role: 'plugin',
      stayAlive: true,
      onStream: stream => this.#onStream(stream),
      onEnded: () => {
        if (this.#opened > 0) service.hostLeft()
        onEnded()
        void this.#disposeAll().then(end)
        return undefined
      },
      warn: (message, fields) => service.log('warn', message, fields),
    })
  }

  /** The first three have their meaning from their order. */
  #onStream(stream: Stream): boolean {
    const place = this.#opened++
    if (place === 0) {
      // Who only looks whether somebody listens opens no stream.
      this.#service.hostCame()
      new RpcServer(this.#peer, stream, this.#controlMethods(), cause => {
        // As in Go, a control stream that ends in order does not end the connection; one that was broken does.
        if (cause !== undefined && !this.#peer.session.ended) this.#peer.session.destroy(cause)
      })
      return true
    }
    if (place > 2) return false
    this.#output.push(stream)
    stream.consume({ chunk: () => undefined, end: () => stream.end(), fail: () => undefined })
    if (place === 2) this.takeOutput()
    return true
  }

  /** What this process prints goes to this host from now on. */
  takeOutput(): void {
    if (this.#output.length === 2) this.#service.onOutput((descriptor, bytes) => this.#print(descriptor, bytes))
  }

  #print(descriptor: 1 | 2, bytes: Uint8Array): void {
    const stream = this.#output[descriptor - 1]
    if (stream === undefined || stream.failure !== undefined) return
    if (stream.queuedBytes > MAX_UNREAD_OUTPUT_BYTES) {
      if (!this.#drops) this.#service.log('warn', 'the host does not read what this plugin prints; it is dropped')
      this.#drops = true
      return
    }
    this.#drops = false
    try {
      stream.write(bytes)
    } catch (cause) {
      // The host has ended this stream, and so does not want it.
      if (!isPluginError(cause)) throw cause
    }
  }

  #controlMethods(): ServedMethods {
    const reply: Body = { schema: emptyStruct, ignored: true, toWire: () => ({}) }
    const control = new Map<string, ServedMethod>([
      ['Ping', { arg: anything, reply, run: () => undefined }],
      ['Quit', { arg: anything, reply, run: () => this.#quit() }],
    ])
    const { arg, reply: id } = dispense
    const dispenser = new Map<string, ServedMethod>([['Dispense', { arg, reply: id, run: kind => this.#dispense(kind as string) }]])
    return new Map([
      ['Control', control],
      ['Dispenser', dispenser],
    ])
  }

  #quit(): void {
    // Behind the answer, which is written in this turn.
    setImmediate(() => this.#peer.session.onceFlushed(() => this.#service.end()))
  }

  async #dispense(kind: string): Promise<number> {
    if (!Object.hasOwn(this.#service.kinds, kind)) throw new Error(`unknown plugin type: ${kind}`)
    const methods = methodsOf(kind, this.#service.kinds)
    const instance = await this.#service.make(kind, undefined)
    rememberCarrier(instance, this.#peer)
    this.#instances.add(instance)
    const { broker } = this.#peer
    const id = broker.nextId()
    broker.accept(id).then(
      stream => this.#peer.serve(stream, kind, methods, instance, () => void this.#dispose(instance)),
      () => void this.#dispose(instance),
    )
    return id
  }

  async #dispose(instance: object): Promise<void> {
    if (!this.#instances.delete(instance)) return
    const disposable = instance as Partial<AsyncDisposable & Disposable>
    try {
      if (disposable[Symbol.asyncDispose] === undefined) disposable[Symbol.dispose]?.()
      else await disposable[Symbol.asyncDispose]?.()
    } catch (cause) {
      this.#service.log('error', `an instance could not be disposed: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
  }

  async #disposeAll(): Promise<void> {
    await Promise.all([...this.#instances].map(instance => this.#dispose(instance)))
  }

  /** Lets answers leave, disposes the instances, and ends the connection. */
  async close(): Promise<void> {
    await this.#disposeAll()
    this.#peer.session.close()
    await this.#ended
  }
}
