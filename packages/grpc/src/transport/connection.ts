// One connection of a client: dialled, perhaps wrapped in TLS, and an HTTP/2 session on it. Redialling is the channel's matter.

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type OutgoingHttpHeaders } from 'node:http2'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { CallCarrier } from './client-call.ts'
import { sessionOptions, sessionSettings } from './http2-session.ts'
import type { ChannelOptions, Dial } from './seam.ts'
import { connectTls } from './tls.ts'

/** Milliseconds that a peer may take to close its side once we have closed ours. */
const LINGER_MS = 100

/** Streams that a session may use up before it is replaced: ids end at 2^31, and every call takes two. */
const REQUEST_LIMIT = 2 ** 30 - 1_000_000

/** Milliseconds between two looks at whether HTTP/2 still speaks. */
const PULSE_MS = 5_000

type Held = Duplex & {
  ref?(): unknown
  unref?(): unknown
  readonly bytesRead?: number
  readonly _handle?: { writeQueueSize?: number } | null
}

export class Connection implements CallCarrier {
  readonly scheme: string
  readonly authority: string
  readonly #session: ClientHttp2Session
  readonly #socket: Held
  readonly #onGone: () => void
  #requests = 0
  #failure: Error | undefined
  #goingAway = false
  #gone = false
  #held = true
  readonly #pulse: NodeJS.Timeout
  #bytesRead: number | undefined
  /** While it was asked for a sign of life: what waited to be sent before. */
  #unsent: number | undefined

  /**
   * Dials and waits until the server has shown that it speaks HTTP/2.
   *
   * @param onGone Called once when no new call can be made: after a GOAWAY, or when the connection is lost.
   * @throws What the dial, the TLS handshake or the session failed with; the reason of `signal` once that is aborted.
   */
  static async open(dial: Dial, options: ChannelOptions, signal: AbortSignal, onGone: () => void): Promise<Connection> {
    const dialled: Held = await dial(signal)
    let socket: Duplex = dialled
    try {
      signal.throwIfAborted()
      if (options.tls !== undefined) socket = await connectTls(dialled, options.tls, signal)
      const connection = new Connection(dialled, socket, options, onGone)
      await connection.#settled(signal)
      return connection
    } catch (error) {
      socket.destroy()
      dialled.destroy()
      throw error
    }
  }

  private constructor(dialled: Held, socket: Duplex, options: ChannelOptions, onGone: () => void) {
    this.scheme = options.tls === undefined ? 'http' : 'https'
    this.authority = options.authority ?? options.tls?.serverName ?? 'localhost'
    this.#socket = dialled
    this.#onGone = onGone
    const session = connect(`${this.scheme}://localhost`, { ...sessionOptions(sessionSettings()), createConnection: () => socket })
    this.#session = session
    // As in server-connections.ts: Node would end the writing side in the middle of HTTP/2's last words, and fail an assertion.
    if (!(socket instanceof Socket)) session.socket.allowHalfOpen = true
    socket.once('end', () => session.destroy())
    this.#pulse = setInterval(() => this.#feelPulse(), PULSE_MS)
    this.#pulse.unref()
    session.on('goaway', (code: number) => {
      this.#goingAway = true
      if (code !== constants.NGHTTP2_NO_ERROR) this.#failure ??= new Error(`the server ended the connection with HTTP/2 code ${code}`)
      this.#leave()
    })
    session.on('error', error => this.#lose(error))
    session.on('close', () => this.#lose())
    for (const stream of new Set<Duplex>([dialled, socket])) {
      stream.on('error', error => this.#lose(error))
      stream.on('close', () => this.#lose())
    }
  }

  /** Why the connection is gone; undefined while calls on it may still get their answers. */
  get lost(): Error | undefined {
    return this.#session.destroyed || this.#socket.destroyed ? (this.#failure ?? new Error('it was closed')) : undefined
  }

  get takesCalls(): boolean {
    return !this.#gone && !this.#goingAway && !this.#session.closed && !this.#session.destroyed && this.#requests < REQUEST_LIMIT
  }

  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    this.#requests++
    return this.#session.request(headers, requestOptions)
  }

  ref(): void {
    this.#held = true
    this.#socket.ref?.()
  }

  unref(): void {
    this.#held = false
    this.#socket.unref?.()
  }

  /** Ends in order: resolves when the connection is closed, or the other side was too slow to agree. */
  close(): Promise<void> {
    if (this.#socket.destroyed) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(() => this.destroy(undefined), LINGER_MS)
      this.#socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      this.#session.close()
    })
  }

  destroy(cause: Error | undefined): void {
    this.#failure ??= cause
    this.#gone = true
    this.#session.destroy()
    this.#socket.destroy()
  }

  /**
   * When the other side breaks HPACK, as with a header of more than 64 KiB, nghttp2 says GOAWAY and then nothing for ever, and Node tells nobody: calls would never
   * end. What is said after that stays in its queue. So while calls wait and nothing comes, it is given something to say. Whether the other side answers
   * does not matter, it may be in a debugger.
   */
  #feelPulse(): void {
    const { bytesRead } = this.#socket
    const quiet = bytesRead === undefined || bytesRead === this.#bytesRead
    this.#bytesRead = bytesRead
    if (!this.#held || !quiet || this.#session.closed || this.#session.destroyed) return
    const unsent = this.#session.state.outboundQueueSize ?? 0
    if (this.#unsent === undefined) {
      // Calls that the other side does not take yet may wait, too.
      this.#unsent = unsent
      this.#session.settings({}, () => {
        this.#unsent = undefined
      })
      return
    }
    // What the other side does not read keeps the rest waiting, too.
    const blocked = this.#socket.writableLength > 0 || (this.#socket._handle?.writeQueueSize ?? 0) > 0
    if (unsent > this.#unsent && !blocked) this.destroy(new Error('the server sent headers that HTTP/2 cannot read'))
  }

  /** Resolves with the server's settings: grpc-go, too, counts a connection as ready only then. */
  #settled(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => settle(() => reject(signal.reason))
      const lost = (): void => settle(() => reject(this.#failure ?? new Error('the server closed the connection before it said anything')))
      const settle = (finish: () => void): void => {
        signal.removeEventListener('abort', aborted)
        this.#session.off('remoteSettings', ready).off('close', lost)
        finish()
      }
      const ready = (): void => settle(resolve)
      signal.addEventListener('abort', aborted)
      this.#session.once('remoteSettings', ready).once('close', lost)
    })
  }

  #lose(error?: Error): void {
    clearInterval(this.#pulse)
    this.#failure ??= error
    this.#gone = true
    // Over a stream that is no socket a session may not hear of its end.
    if (this.#socket.destroyed && !this.#session.destroyed) this.#session.destroy()
    this.#leave()
  }

  #left = false
  #leave(): void {
    if (this.#left) return
    this.#left = true
    this.#onGone()
  }
}

const requestOptions = { endStream: false } as const
