// The broker as programs see it: over whatever conversations there are with brokers of other sides, one for each `StartStream`.

import { PluginError } from 'plugwire/driver'
import { type BrokeredService, type DialOptions, type Line, lineEnded, MEETING_MS } from '../broker/line.ts'
import type { Channel, GrpcContext } from '../transport/seam.ts'
import { gather, type Register } from './registrar.ts'

/** Connections beside the main one, in both directions: whoever serves tells the other side the id in a message of the application, and that dials it. */
export interface Broker {
  /** An id that this side has not given before. The ids of both sides are independent. */
  nextId(): number
  /**
   * Serves under an id, until it is closed or the other side's broker is gone. Both may come first: serving or dialling, within 5 s.
   *
   * @throws PluginError `ERR_BROKER_REFUSED` when the id is served already, `ERR_SESSION_CLOSED`, `ERR_BROKER_TIMEOUT` when the other side has no broker.
   */
  serve(id: number, register: Register): Promise<BrokeredService>
  /** The same, but resolves only when it is served no longer; go-plugin's `AcceptAndServe`. */
  acceptAndServe(id: number, register: Register): Promise<void>
  /**
   * Connects to what the other side serves under an id. The channel is yours to close; it ends with the connection to the other side at the latest.
   *
   * @throws PluginError `ERR_BROKER_TIMEOUT`, `ERR_BROKER_REFUSED`, `ERR_CONNECT`, `ERR_SESSION_CLOSED`.
   */
  dial(id: number, options?: DialOptions): Promise<Channel>
  /** Role plugin with several hosts: the broker of the host that makes this call. Without it, the host that came last is meant. */
  for(context: Pick<GrpcContext, 'peer'>): Broker
}

/** Milliseconds after which a connection without a conversation of its own is taken for another one of the same host. */
const OWN_LINE_MS = 1_000

/** The conversations that are open. */
export class Brokers implements Broker {
  readonly #lines = new Map<object, Line>()
  /** Connections on which no conversation was begun. */
  readonly #without = new WeakSet<object>()
  #waiting: (() => void)[] = []
  #lastId = 0
  #ended = false
  #absent: string | undefined
  readonly #during: <T>(work: Promise<T>) => Promise<T>

  /** @param during Keeps the process alive while somebody waits. */
  constructor(during: <T>(work: Promise<T>) => Promise<T> = work => work) {
    this.#during = during
  }

  get callsServed(): number {
    return [...this.#lines.values()].reduce((calls, line) => calls + line.callsServed, 0)
  }

  /** @param peer The connection on which the conversation is. */
  add(peer: object, line: Line): void {
    this.#lines.delete(peer) // so that it is the last again
    this.#lines.set(peer, line)
    this.#without.delete(peer)
    for (const check of this.#waiting.splice(0)) check()
  }

  delete(peer: object, line: Line): void {
    if (this.#lines.get(peer) === line) this.#lines.delete(peer)
  }

  /** The other side has no broker; whoever asks for it hears why. */
  lack(reason: string): void {
    this.#absent = reason
    for (const check of this.#waiting.splice(0)) check()
  }

  /** No conversation can come any more. */
  end(): void {
    this.#ended = true
    for (const line of this.#lines.values()) line.end()
    this.#lines.clear()
    for (const check of this.#waiting.splice(0)) check()
  }

  nextId(): number {
    this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1
    return this.#lastId
  }

  serve(id: number, register: Register): Promise<BrokeredService> {
    return this.#serve(undefined, id, register)
  }

  async acceptAndServe(id: number, register: Register): Promise<void> {
    await (await this.serve(id, register)).closed
  }

  dial(id: number, options?: DialOptions): Promise<Channel> {
    return this.#dial(undefined, id, options)
  }

  for({ peer }: Pick<GrpcContext, 'peer'>): Broker {
    const serve = (id: number, register: Register): Promise<BrokeredService> => this.#serve(peer, id, register)
    return {
      nextId: () => this.nextId(),
      serve,
      acceptAndServe: async (id, register) => await (await serve(id, register)).closed,
      dial: (id, options) => this.#dial(peer, id, options),
      for: context => this.for(context),
    }
  }

  async #serve(peer: object | undefined, id: number, register: Register): Promise<BrokeredService> {
    checkId(id)
    const [line, gathered] = await Promise.all([this.#line(peer, id), gather(register)])
    return line.serve(id, server => gathered.addTo(server))
  }

  #dial(peer: object | undefined, id: number, options?: DialOptions): Promise<Channel> {
    checkId(id)
    return this.#during(this.#line(peer, id, options).then(line => line.dial(id, options)))
  }

  /**
   * The conversation that is meant, or will be: the first call of a host may come before its broker does. A host that has reconnected may still
   * talk on its old connection, when that was only told to take no new calls; so after a while any conversation will do.
   */
  async #line(peer: object | undefined, id: number, { timeoutMs = MEETING_MS, signal }: DialOptions = {}): Promise<Line> {
    const started = performance.now()
    for (;;) {
      signal?.throwIfAborted()
      if (this.#ended) throw lineEnded()
      const own = peer === undefined ? undefined : this.#lines.get(peer)
      if (own !== undefined) return own
      const waited = performance.now() - started
      const ownMayCome = peer !== undefined && !this.#without.has(peer) && waited < OWN_LINE_MS
      if (!ownMayCome) {
        if (peer !== undefined) this.#without.add(peer)
        const last = [...this.#lines.values()].at(-1)
        if (last !== undefined) return last
        if (this.#absent !== undefined) throw new PluginError('ERR_BROKER_REFUSED', { brokerId: id, reason: this.#absent })
      }
      const left = (ownMayCome ? Math.min(OWN_LINE_MS, timeoutMs) : timeoutMs) - waited
      if (left <= 0) {
        const reason = 'the other side did not start its broker'
        throw new PluginError('ERR_BROKER_TIMEOUT', { brokerId: id, reason, timeoutMs })
      }
      await this.#change(left, signal)
    }
  }

  /** Resolves when something has changed, or nobody waits any longer. */
  #change(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise(resolve => {
      const settle = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', settle)
        resolve()
      }
      const timer = setTimeout(settle, timeoutMs)
      signal?.addEventListener('abort', settle)
      this.#waiting.push(settle)
    })
  }
}

function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 0 || id > 0xffff_ffff)
    throw new RangeError(`the id of a brokered connection is a number of 32 bits, not ${id}`)
}
