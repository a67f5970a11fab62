// Brokered connections as connections of their own: whoever serves listens and tells the address, whoever dials connects to it.
// Source of the rules: go-plugin grpc_broker.go; where they make one id spoil another, this side does not follow.

import { PluginError } from 'plugwire/driver'
import type { ConnInfo } from '../plugin-services/control-messages.ts'
import type { Channel, GrpcServer } from '../transport/seam.ts'
import { Dialled, Served } from './endings.ts'
import {
  type BrokeredService,
  type DialOptions,
  type InfoQueue,
  type Line,
  type LineGround,
  lineEnded,
  MAX_UNCLAIMED_IDS,
  MEETING_MS,
} from './line.ts'

interface Waiting {
  resolve(info: ConnInfo): void
  reject(cause: unknown): void
}

export class AddressLine implements Line {
  readonly #ground: LineGround
  readonly #say: InfoQueue
  readonly #meetingMs: number
  readonly #served = new Map<number, Served>()
  /** Announced and not dialled yet. */
  readonly #announced = new Map<number, { readonly info: ConnInfo; readonly timer: ReturnType<typeof setTimeout> }>()
  /** Dialled and not announced yet, in the order of the dials. */
  readonly #waiting = new Map<number, Waiting[]>()
  readonly #dialled = new Dialled()
  #end: PluginError | undefined

  constructor(ground: LineGround, say: InfoQueue) {
    this.#ground = ground
    this.#say = say
    this.#meetingMs = ground.meetingMs ?? MEETING_MS
  }

  get ended(): boolean {
    return this.#end !== undefined
  }

  get callsServed(): number {
    return [...this.#served.values()].reduce((calls, { server }) => calls + server.callsInFlight, 0)
  }

  async serve(id: number, register: (server: GrpcServer) => void): Promise<BrokeredService> {
    if (this.#end !== undefined) throw this.#end
    if (this.#served.has(id)) throw new PluginError('ERR_BROKER_REFUSED', { brokerId: id, reason: 'it is served already' })
    const server = this.#ground.createServer()
    let stopListening = (): void => {}
    const served = new Served(id, server, () => {
      this.#served.delete(id)
      stopListening()
    })
    this.#served.set(id, served)
    try {
      register(server)
      const listener = await this.#ground.listen(socket => {
        if (served.ended) return void socket.destroy()
        // It comes paused.
        socket.resume()
        server.inject(socket)
      })
      stopListening = () => listener.close()
      // Ended while the listener was made.
      if (this.#end !== undefined) throw this.#end
      this.#say.push({ serviceId: id, network: listener.network, address: listener.address, knock: undefined })
    } catch (cause) {
      stopListening()
      served.destroy()
      throw cause
    }
    return served
  }

  async dial(id: number, { timeoutMs = this.#meetingMs, signal }: DialOptions = {}): Promise<Channel> {
    const { network, address } = await this.#announcement(id, timeoutMs, signal)
    if (network !== 'unix' && network !== 'tcp') {
      const reason = `the other side serves it on ${JSON.stringify(network)}, not on unix or tcp`
      throw new PluginError('ERR_BROKER_REFUSED', { brokerId: id, reason })
    }
    const channel = this.#ground.createChannel(async unwanted => {
      const socket = await this.#ground.connectTo(network, address)
      if (unwanted.aborted) socket.destroy()
      unwanted.throwIfAborted()
      return socket
    })
    await this.#dialled.connect(id, channel, signal)
    if (this.#end === undefined) return channel
    channel.destroy(this.#end)
    throw this.#end
  }

  #announcement(id: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<ConnInfo> {
    if (this.#end !== undefined) return Promise.reject(this.#end)
    signal?.throwIfAborted()
    const announced = this.#announced.get(id)
    if (announced !== undefined) {
      clearTimeout(announced.timer)
      this.#announced.delete(id)
      return Promise.resolve(announced.info)
    }
    return new Promise((resolve, reject) => {
      const settled = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const waiting: Waiting = {
        resolve: info => {
          settled()
          resolve(info)
        },
        reject: cause => {
          settled()
          reject(cause)
        },
      }
      const giveUp = (cause: unknown): void => {
        const others = (this.#waiting.get(id) ?? []).filter(other => other !== waiting)
        if (others.length === 0) this.#waiting.delete(id)
        else this.#waiting.set(id, others)
        waiting.reject(cause)
      }
      const abort = (): void => giveUp(signal?.reason)
      const timer = setTimeout(
        () => giveUp(new PluginError('ERR_BROKER_TIMEOUT', { brokerId: id, reason: 'the other side did not announce it', timeoutMs })),
        timeoutMs,
      )
      signal?.addEventListener('abort', abort)
      const others = this.#waiting.get(id)
      if (others === undefined) this.#waiting.set(id, [waiting])
      else others.push(waiting)
    })
  }

  /** One announcement is for one dial. A second one of an id takes the place of the first: what it names is newer. */
  receive(info: ConnInfo): void {
    // A knock has no meaning here.
    if (this.#end !== undefined || info.knock !== undefined) return
    const id = info.serviceId
    const [first, ...others] = this.#waiting.get(id) ?? []
    if (first !== undefined) {
      if (others.length === 0) this.#waiting.delete(id)
      else this.#waiting.set(id, others)
      first.resolve(info)
      return
    }
    const earlier = this.#announced.get(id)
    if (earlier !== undefined) this.#forget(id)
    else if (this.#announced.size >= MAX_UNCLAIMED_IDS) for (const oldest of this.#announced.keys()) return void this.#forget(oldest, info)
    this.#keep(info)
  }

  #keep(info: ConnInfo): void {
    const timer = setTimeout(() => this.#announced.delete(info.serviceId), this.#meetingMs)
    timer.unref()
    this.#announced.set(info.serviceId, { info, timer })
  }

  /** Forgets an announcement, for the sake of another. */
  #forget(id: number, instead?: ConnInfo): void {
    clearTimeout(this.#announced.get(id)?.timer)
    this.#announced.delete(id)
    if (instead !== undefined) this.#keep(instead)
  }

  end(cause?: unknown): void {
    if (this.#end !== undefined) return
    this.#end = lineEnded(cause)
    this.#say.end()
    for (const id of [...this.#announced.keys()]) this.#forget(id)
    for (const waiting of [...this.#waiting.values()].flat()) waiting.reject(this.#end)
    this.#waiting.clear()
    for (const served of [...this.#served.values()]) served.destroy()
    this.#dialled.destroyAll(this.#end)
  }
}
