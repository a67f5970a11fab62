// One socket that is cut into streams, each of them a gRPC connection of its own: the main one and those of the broker. Nothing in a stream
// says which server it is for; what was agreed on before it says that, in order. Source: go-plugin internal/grpcmux.

import type { Duplex } from 'node:stream'
import type { PluginError } from 'plugwire/driver'
import { type Link, Session, type Stream } from 'plugwire/mux'
import { streamDuplex } from '../transport/stream-duplex.ts'

/** Streams that were agreed on and have not come yet, at most. */
const MAX_EXPECTED = 256

interface Expected {
  /** Undefined once nobody wants it any more; its stream still comes, and must not be taken for another. */
  take: ((connection: Duplex) => void) | undefined
  readonly timer: ReturnType<typeof setTimeout>
}

export interface SharedConnectionOptions {
  /** The host is the client. */
  readonly role: 'client' | 'server'
  /** Takes streams that nobody has agreed on: on the plugin's side they are for the main server. Left out, they are reset. */
  readonly onOther?: (connection: Duplex) => void
  readonly onEnded: (cause: PluginError | undefined) => void
}

export class SharedConnection {
  readonly #session: Session
  readonly #expected: Expected[] = []
  #ended = false

  constructor(link: Link, { role, onOther, onEnded }: SharedConnectionOptions) {
    this.#session = new Session(link, {
      role,
      onStream: stream => this.#sort(stream, onOther),
      onEnded: cause => {
        this.#ended = true
        for (const { timer } of this.#expected.splice(0)) clearTimeout(timer)
        onEnded(cause)
      },
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  get streamCount(): number {
    return this.#session.streamCount
  }

  /** @throws PluginError `ERR_SESSION_CLOSED`, `ERR_MUX_GO_AWAY`, `ERR_MUX_LIMIT`. */
  open(): Duplex {
    return connectionOn(this.#session.open())
  }

  /** Opens a stream that nobody needs and ends it, because the other side counts on one. */
  openInVain(): void {
    if (this.#ended) return
    const stream = this.#session.open()
    stream.consume({ chunk: () => {}, end: () => {}, fail: () => {} })
    stream.end()
  }

  /**
   * The next stream that is not expected yet goes to `take`. It is forgotten when it has not come after `timeoutMs`.
   *
   * @returns undefined when too many are expected; else a function by which `take` gets out of it.
   */
  expect(take: (connection: Duplex) => void, timeoutMs: number): (() => void) | undefined {
    if (this.#expected.length >= MAX_EXPECTED) return undefined
    const expected: Expected = {
      take,
      timer: setTimeout(() => {
        const index = this.#expected.indexOf(expected)
        if (index >= 0) this.#expected.splice(index, 1)
      }, timeoutMs),
    }
    expected.timer.unref()
    this.#expected.push(expected)
    return () => {
      expected.take = undefined
    }
  }

  #sort(stream: Stream, onOther: ((connection: Duplex) => void) | undefined): void {
    const expected = this.#expected.shift()
    clearTimeout(expected?.timer)
    const take = expected === undefined ? onOther : expected.take
    if (take === undefined) stream.reset()
    else take(connectionOn(stream))
  }

  ref(): void {
    this.#session.ref()
  }

  unref(): void {
    this.#session.unref()
  }

  /** Lets what was written leave, then ends the connection. */
  close(): void {
    this.#session.close()
  }

  destroy(): void {
    this.#session.destroy()
  }
}

/** Its error may come before anybody listens; its end tells the same. */
const connectionOn = (stream: Stream): Duplex => streamDuplex(stream).on('error', () => {})
