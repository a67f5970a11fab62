// Steering a stream while its data flows: its share of the connection, its ceiling, and its bytes where they lie.

import type { ByteSink, Stream } from '../mux/stream.ts'
import { INITIAL_WINDOW_BYTES } from '../wire/yamux.ts'

/** Sends what steers the other side's sending. */
export interface FlowOwner {
  sendTune(streamId: number, weight: number, maxBytesPerSecond: number): void
}

/**
 * The flow of one stream that travels between the processes. Either side may steer it while data flows:
 * the side that sends does so at once, the other by telling it.
 */
export interface Flow {
  /** Share of the connection, relative to other streams that are sending. Default 1; any number above 0. */
  weight: number
  /** Ceiling in bytes per second. Default Infinity. */
  maxBytesPerSecond: number
  /** Bytes that the other side may send before this side has read any. Default 262_144; it only grows. */
  windowBytes: number
  /**
   * Reads a received byte stream where its bytes lie, in place of the stream itself: no copy and no allocation for a chunk.
   * `sink.chunk(bytes, start, end)` may use the bytes until it returns; then the other side may send that many more.
   *
   * @throws TypeError when the stream was not received, is no byte stream, or has been read already.
   */
  borrow(sink: ByteSink): void
}

const flows = new WeakMap<object, FlowState>()

/** @internal The flow of one stream; steered before the stream has come, it is steered when it comes. */
export class FlowState implements Flow {
  readonly #owner: FlowOwner
  readonly #sends: boolean
  #take: ((sink: ByteSink) => void) | undefined
  #stream: Stream | undefined
  #weight = 1
  #maxBytesPerSecond = Number.POSITIVE_INFINITY
  #windowBytes = 0

  /** @param take Hands the bytes to a sink instead of the stream that the application holds; for received byte streams. */
  constructor(owner: FlowOwner, sends: boolean, take?: (sink: ByteSink) => void) {
    this.#owner = owner
    this.#sends = sends
    this.#take = take
  }

  /** The stream has come. */
  bind(stream: Stream): this {
    this.#stream = stream
    if (this.#weight !== 1) this.weight = this.#weight
    if (this.#maxBytesPerSecond !== Number.POSITIVE_INFINITY) this.maxBytesPerSecond = this.#maxBytesPerSecond
    if (this.#windowBytes > 0) stream.growWindow(this.#windowBytes)
    return this
  }

  get weight(): number {
    return this.#weight
  }

  set weight(weight: number) {
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY)) throw new RangeError(`a weight is a number above 0, not ${weight}`)
    this.#weight = weight
    if (this.#stream === undefined) return
    if (this.#sends) this.#stream.weight = weight
    else this.#owner.sendTune(this.#stream.id, weight, 0)
  }

  get maxBytesPerSecond(): number {
    return this.#maxBytesPerSecond
  }

  set maxBytesPerSecond(rate: number) {
    if (!(rate >= 1)) throw new RangeError(`a ceiling is a number of bytes per second of at least 1, not ${rate}`)
    this.#maxBytesPerSecond = rate
    if (this.#stream === undefined) return
    if (this.#sends) this.#stream.maxBytesPerSecond = rate
    else this.#owner.sendTune(this.#stream.id, 0, rate)
  }

  get windowBytes(): number {
    return this.#stream?.window.size ?? Math.max(this.#windowBytes, INITIAL_WINDOW_BYTES)
  }

  set windowBytes(bytes: number) {
    this.#windowBytes = bytes
    this.#stream?.growWindow(bytes)
  }

  borrow(sink: ByteSink): void {
    if (this.#take === undefined) throw new TypeError('only a byte stream that was received, and that nobody has read yet, lends its bytes')
    this.#take(sink)
    this.#take = undefined
  }

  /** The application has begun to read the stream itself. */
  touched(): void {
    this.#take = undefined
  }
}

/** @internal Remembers which flow belongs to a stream in the hands of the application. */
export function trackFlow(handle: object, flow: FlowState): void {
  flows.set(handle, flow)
}

/**
 * The flow of a stream that was sent to the other side or received from it: an async iterable, a web stream or a Node stream.
 *
 * `flow(download).weight = 4`. A stream that was sent has its flow from the moment the call was made.
 *
 * @throws TypeError when the stream does not travel, or not yet.
 */
export function flow(stream: object): Flow {
  const found = flows.get(stream)
  if (found === undefined) throw new TypeError('this stream does not travel between processes (yet)')
  return found
}
