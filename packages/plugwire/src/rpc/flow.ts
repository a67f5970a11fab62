// Steering a stream while its data flows: its share of the connection, its ceiling, and its bytes where they lie.

import type { ByteSink, Stream } from '../mux/stream.ts'

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
}

const flows = new WeakMap<object, FlowState>()

/** @internal */
export class FlowState implements Flow {
  readonly #stream: Stream
  readonly #owner: FlowOwner
  readonly #sends: boolean
  #weight = 1
  #maxBytesPerSecond = Number.POSITIVE_INFINITY

  constructor(stream: Stream, owner: FlowOwner, sends: boolean) {
    this.#stream = stream
    this.#owner = owner
    this.#sends = sends
  }

  get weight(): number {
    return this.#weight
  }

  set weight(weight: number) {
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY)) throw new RangeError(`a weight is a number above 0, not ${weight}`)
    this.#weight = weight
    if (this.#sends) this.#stream.weight = weight
    else this.#owner.sendTune(this.#stream.id, weight, 0)
  }

  get maxBytesPerSecond(): number {
    return this.#maxBytesPerSecond
  }

  set maxBytesPerSecond(rate: number) {
    if (!(rate >= 1)) throw new RangeError(`a ceiling is a number of bytes per second of at least 1, not ${rate}`)
    this.#maxBytesPerSecond = rate
    if (this.#sends) this.#stream.maxBytesPerSecond = rate
    else this.#owner.sendTune(this.#stream.id, 0, rate)
  }

  get windowBytes(): number {
    return this.#stream.window.size
  }

  set windowBytes(bytes: number) {
    this.#stream.growWindow(bytes)
  }

  /** @internal */
  take(sink: ByteSink): void {
    this.#stream.consume(sink)
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
