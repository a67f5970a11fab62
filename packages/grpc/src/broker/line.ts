// What is common to both ways in which brokers come to connections: one conversation with the other side's broker, for as long as one
// `StartStream` call lasts. Types, and the queue of what this side says; the two ways are address-line.ts and knock-line.ts.

import type { Socket } from 'node:net'
import { PluginError, type SideListener } from 'plugwire/driver'
import type { ConnInfo } from '../plugin-services/control-messages.ts'
import type { Channel, Dial, GrpcServer } from '../transport/seam.ts'

/** Milliseconds within which the two sides of a brokered connection have to meet; go-plugin's number, which its programs rely on. */
export const MEETING_MS = 5_000
/** Ids that the other side may mention without anybody here caring for them. */
export const MAX_UNCLAIMED_IDS = 1_024
/** Messages that wait for a peer that does not read; one more ends the conversation. */
const MAX_UNSENT_INFOS = 4_096

/** What a line stands on. */
export interface LineGround {
  createServer(): GrpcServer
  /** The channel dials again, by the same function, when its connection was lost. */
  createChannel(dial: Dial): Channel
  listen(onConnection: (socket: Socket) => void): Promise<SideListener>
  connectTo(network: string, address: string): Promise<Socket>
  /** Default `MEETING_MS`; for tests. */
  readonly meetingMs?: number
}

export interface DialOptions {
  /** Milliseconds to wait for the other side. Default 5_000, go-plugin's number. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Something that is served under an id. */
export interface BrokeredService {
  readonly id: number
  /** Resolves when it is served no longer: closed, or the conversation with the other side has ended. */
  readonly closed: Promise<void>
  /** Takes no new calls and lets those under way end for at most `graceMs` (default 0). Never rejects. */
  close(graceMs?: number): Promise<void>
}

/** One conversation of two brokers. */
export interface Line {
  readonly ended: boolean
  /** Calls of the other side that are being served. */
  readonly callsServed: number
  /**
   * Serves under an id and tells the other side.
   *
   * @throws PluginError `ERR_BROKER_REFUSED` when the id is served already, `ERR_SESSION_CLOSED`, and what listening throws.
   */
  serve(id: number, register: (server: GrpcServer) => void): Promise<BrokeredService>
  /**
   * Connects to what the other side serves under an id.
   *
   * @throws PluginError `ERR_BROKER_TIMEOUT`, `ERR_BROKER_REFUSED`, `ERR_CONNECT`, `ERR_SESSION_CLOSED`.
   */
  dial(id: number, options?: DialOptions): Promise<Channel>
  /** The other side says something. */
  receive(info: ConnInfo): void
  /** The conversation is over: what is served and dialled ends with it. Twice is fine. */
  end(cause?: unknown): void
}

/** What one side says, as messages of a call. */
export class InfoQueue implements AsyncIterable<ConnInfo> {
  readonly #infos: ConnInfo[] = []
  #wake: (() => void) | undefined
  #ended = false

  /** @throws PluginError `ERR_SESSION_CLOSED` when the call has ended, `ERR_MUX_LIMIT` when the other side has not read for very long. */
  push(info: ConnInfo): void {
    if (this.#ended) throw lineEnded()
    if (this.#infos.length >= MAX_UNSENT_INFOS) {
      this.end()
      throw new PluginError('ERR_MUX_LIMIT', { limit: 'messages that the other broker has not read', max: MAX_UNSENT_INFOS })
    }
    this.#infos.push(info)
    this.#wake?.()
  }

  /** What was pushed before still leaves. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ConnInfo, void, undefined> {
    for (;;) {
      const info = this.#infos.shift()
      if (info !== undefined) yield info
      else if (this.#ended) return
      else await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}

export const lineEnded = (cause?: unknown): PluginError =>
  new PluginError('ERR_SESSION_CLOSED', { reason: 'the broker of this connection has ended' }, cause === undefined ? undefined : { cause })

/** Gives what arrives to a line, until it ends. Resolves to what it ended by; undefined when the other side said all it had to say. */
export async function hear(line: Line, infos: AsyncIterable<ConnInfo>): Promise<unknown> {
  try {
    for await (const info of infos) line.receive(info)
    line.end()
    return undefined
  } catch (cause) {
    line.end(cause)
    return cause
  }
}
