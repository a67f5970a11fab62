// Streams by number beside the one of the calls: one side waits for a number, the other dials it. Both sides are alike.
// It knows nothing of what travels on them. Source of the rules: go-plugin mux_broker.go.

import { PluginError } from 'plugwire'
import type { Session, Stream } from 'plugwire/mux'

/** Milliseconds that an id waits for its stream, and a stream for somebody who wants it. Source: mux_broker.go `Accept`, `timeoutWait`. */
const WINDOW_MS = 5_000
/** Milliseconds that a dial waits for its answer. Go waits for ever, but gives a stream that nobody wants back after five seconds. */
const DIAL_MS = 10_000
/** Streams of the peer that have not been accepted yet; one more is closed. Source: yamux `AcceptBacklog`. */
const MAX_WAITING = 256
const ID_BYTES = 4

export interface MuxBrokerOptions {
  /** Milliseconds that an id waits for its stream, and a stream for its id to be accepted. Default 5_000, as in go-plugin. */
  readonly windowMs?: number
  /** Milliseconds that a dial waits to be accepted. Default 10_000. */
  readonly dialMs?: number
  /** Told of streams that were closed because nobody wanted them. */
  readonly onSurplus?: (reason: string) => void
}

interface Waiting {
  readonly resolve: (stream: Stream) => void
  readonly reject: (cause: PluginError) => void
  readonly timer: ReturnType<typeof setTimeout>
}

/** A stream that was dialled and that nobody has accepted yet. */
interface Parked {
  readonly stream: Stream
  readonly timer: ReturnType<typeof setTimeout>
}

/**
 * The broker of one session.
 *
 * An id means something only on the side that accepts it, so that side takes it from `nextId` and tells the other, which dials. Either
 * may come first. Unlike Go's, no timeout here makes anything else wait: a stream that is silent, surplus or too late is reset.
 */
export class MuxBroker {
  readonly #session: Session
  readonly #windowMs: number
  readonly #dialMs: number
  readonly #onSurplus: ((reason: string) => void) | undefined
  #lastId = 0
  readonly #accepting = new Map<number, Waiting>()
  readonly #parked = new Map<number, Parked>()
  readonly #dialling = new Set<number>()
  /** Streams whose id has not come yet. */
  #silent = 0

  constructor(session: Session, options: MuxBrokerOptions = {}) {
    this.#session = session
    this.#windowMs = options.windowMs ?? WINDOW_MS
    this.#dialMs = options.dialMs ?? DIAL_MS
    this.#onSurplus = options.onSurplus
  }

  /** A new id, for `accept` on this side and `dial` on the other. The first is 1. */
  nextId(): number {
    // 0 is what Go omits from a struct, and so no id.
    this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1
    return this.#lastId
  }

  /**
   * Waits for the peer to dial an id of ours.
   *
   * @returns The stream, paused: consume it, then `resume()`.
   * @throws PluginError `ERR_BROKER_TIMEOUT` when nobody dials in time, `ERR_BROKER_REFUSED` when the id is being accepted already, or why
   * the session ended.
   */
  accept(id: number): Promise<Stream> {
    checkId(id)
    if (this.#accepting.has(id)) return Promise.reject(refused(id, 'it is being accepted already'))
    const parked = this.#parked.get(id)
    if (parked !== undefined) {
      this.#parked.delete(id)
      clearTimeout(parked.timer)
      return Promise.resolve(acknowledged(parked.stream, id))
    }
    if (this.#session.ended) return Promise.reject(new PluginError('ERR_SESSION_CLOSED', { reason: 'the other side is gone' }))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#accepting.delete(id)
        reject(new PluginError('ERR_BROKER_TIMEOUT', { brokerId: id, reason: 'nobody dialled it', timeoutMs: this.#windowMs }))
      }, this.#windowMs)
      timer.unref?.()
      this.#accepting.set(id, { resolve, reject, timer })
    })
  }

  /**
   * Opens a stream to an id that the peer accepts.
   *
   * @returns The stream, paused: consume it, then `resume()`.
   * @throws PluginError `ERR_BROKER_TIMEOUT` when the peer does not answer, `ERR_BROKER_REFUSED` when it closes the stream, answers with
   * another id, or the id is being dialled already (which would stop a broker in Go for good), or why no stream could be opened.
   */
  dial(id: number): Promise<Stream> {
    checkId(id)
    if (this.#dialling.has(id)) return Promise.reject(refused(id, 'it is being dialled already'))
    let stream: Stream
    try {
      stream = this.#session.open()
      // At once: a reader in Go waits for these bytes before it looks at any other stream.
      stream.write(littleEndian(id))
    } catch (cause) {
      return Promise.reject(cause)
    }
    this.#dialling.add(id)
    return new Promise<Stream>((resolve, reject) => {
      let settled = false
      const settle = (): boolean => {
        if (settled) return false
        settled = true
        clearTimeout(timer)
        return true
      }
      const timer = setTimeout(() => {
        settle()
        // The id stays taken: the peer may still keep this stream, and there a second one could do harm.
        reject(new PluginError('ERR_BROKER_TIMEOUT', { brokerId: id, reason: 'nobody accepted it', timeoutMs: this.#dialMs }))
        stream.reset()
      }, this.#dialMs)
      timer.unref?.()
      readId(
        stream,
        answer => {
          if (!settle()) return
          this.#dialling.delete(id)
          if (answer === id) return resolve(stream)
          reject(refused(id, `the other side answered with ${answer}`))
          stream.reset()
        },
        cause => {
          if (!settle()) return
          this.#dialling.delete(id)
          reject(cause === undefined || cause.code === 'ERR_STREAM_RESET' ? refused(id, 'the other side closed it') : cause)
          if (cause === undefined) stream.reset()
        },
      )
    })
  }

  /** Takes a stream that the peer opened. Given to the session as `onStream`, after the streams that go-plugin opens first. */
  take(stream: Stream): void {
    if (this.#silent + this.#parked.size >= MAX_WAITING) {
      this.#drop(stream, `more than ${MAX_WAITING} brokered streams that nobody has accepted`)
      return
    }
    this.#silent++
    let settled = false
    const settle = (): boolean => {
      if (settled) return false
      settled = true
      this.#silent--
      clearTimeout(timer)
      return true
    }
    const timer = setTimeout(() => {
      if (settle()) this.#drop(stream, `stream ${stream.id} was opened and did not say its id within ${this.#windowMs} ms`)
    }, this.#windowMs)
    timer.unref?.()
    readId(
      stream,
      id => {
        if (settle()) this.#arrived(stream, id)
      },
      cause => {
        if (settle() && cause === undefined) stream.reset()
      },
    )
  }

  /** The session ended: nobody will come any more. */
  close(reason: PluginError): void {
    for (const { reject, timer } of this.#accepting.values()) {
      clearTimeout(timer)
      reject(reason)
    }
    this.#accepting.clear()
    for (const { timer } of this.#parked.values()) clearTimeout(timer)
    this.#parked.clear()
  }

  #arrived(stream: Stream, id: number): void {
    const waiting = this.#accepting.get(id)
    if (waiting !== undefined) {
      this.#accepting.delete(id)
      clearTimeout(waiting.timer)
      waiting.resolve(acknowledged(stream, id))
      return
    }
    if (this.#parked.has(id)) {
      this.#drop(stream, `the id ${id} was dialled twice`)
      return
    }
    const timer = setTimeout(() => {
      this.#parked.delete(id)
      this.#drop(stream, `nobody accepted the id ${id} within ${this.#windowMs} ms`)
    }, this.#windowMs)
    timer.unref?.()
    this.#parked.set(id, { stream, timer })
    // Its peer may give it up before anybody accepts it.
    stream.onForgotten = () => {
      if (this.#parked.get(id)?.stream !== stream) return
      clearTimeout(timer)
      this.#parked.delete(id)
    }
  }

  #drop(stream: Stream, reason: string): void {
    stream.reset()
    this.#onSurplus?.(reason)
  }
}

/** Reads the four bytes at the beginning of a brokered stream, and leaves the stream paused behind them. */
function readId(stream: Stream, done: (id: number) => void, failed: (cause: PluginError | undefined) => void): void {
  const bytes = Buffer.allocUnsafe(ID_BYTES)
  let have = 0
  stream.consume({
    chunk(chunk, start, end) {
      const taken = Math.min(ID_BYTES - have, end - start)
      chunk.copy(bytes, have, start, start + taken)
      have += taken
      if (have < ID_BYTES) return
      stream.pause()
      if (start + taken < end) stream.deliver(chunk, start + taken, end)
      done(bytes.readUInt32LE())
    },
    end: () => failed(undefined),
    fail: failed,
  })
}

function acknowledged(stream: Stream, id: number): Stream {
  stream.onForgotten = undefined
  if (stream.failure === undefined) stream.write(littleEndian(id))
  return stream
}

function littleEndian(id: number): Buffer {
  const bytes = Buffer.allocUnsafe(ID_BYTES)
  bytes.writeUInt32LE(id)
  return bytes
}

function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 0 || id > 0xffff_ffff) throw new RangeError(`a broker id is a whole number of 32 bits, not ${id}`)
}

function refused(brokerId: number, reason: string): PluginError {
  return new PluginError('ERR_BROKER_REFUSED', { brokerId, reason })
}
