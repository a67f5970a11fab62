// Messages of an iterable onto an HTTP/2 stream, no faster than the other side reads.

import type { Http2Stream } from 'node:http2'
import { encodeFrame } from './frames.ts'

/** Bytes that wait to be sent before the iterable is asked for no more. */
const HIGH_WATER_BYTES = 256 * 1024

/** Writes one message. False when the stream has enough: await `drained` before the next. */
export function writeMessage(stream: Http2Stream, message: Uint8Array): boolean {
  const frame = encodeFrame(message)
  if (!Array.isArray(frame)) stream.write(frame)
  else {
    stream.cork()
    stream.write(frame[0])
    stream.write(frame[1])
    stream.uncork()
  }
  return stream.writableLength < HIGH_WATER_BYTES
}

/** Writes the only message, and the end with it: a server that has answered must not find the end still missing. */
export function endWithMessage(stream: Http2Stream, message: Uint8Array): void {
  const frame = encodeFrame(message)
  if (!Array.isArray(frame)) stream.end(frame)
  else {
    stream.cork()
    stream.write(frame[0])
    stream.write(frame[1])
    stream.end()
    stream.uncork()
  }
}

/** Resolves when everything written has left, or never will. */
export function drained(stream: Http2Stream): Promise<void> {
  if (stream.destroyed || stream.closed || !stream.writableNeedDrain) return Promise.resolve()
  return new Promise(resolve => {
    const settle = (): void => {
      stream.off('drain', settle).off('close', settle).off('aborted', settle)
      resolve()
    }
    stream.on('drain', settle).on('close', settle).on('aborted', settle)
  })
}

/** A source of messages that can be stopped from outside while it is being asked for the next one. */
export class Outflow<T> {
  readonly #source: AsyncIterable<T> | Iterable<T>
  #iterator: AsyncIterator<T> | Iterator<T> | undefined
  #stopped = false

  constructor(source: AsyncIterable<T> | Iterable<T>) {
    this.#source = source
  }

  /** Throws what the source does, as a stream that somebody else reads. */
  #iterate(): AsyncIterator<T> | Iterator<T> {
    const source = this.#source
    this.#iterator ??= Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    return this.#iterator
  }

  /** Writes every message and resolves after the last, or once stopped. Rejects with what the source or `serialize` throws. */
  async run(stream: Http2Stream, serialize: (message: T) => Uint8Array): Promise<void> {
    while (!this.#stopped) {
      const result = await this.#iterate().next()
      // The other side may have reset the stream meanwhile, without an error: it has heard enough.
      if (stream.closed || stream.destroyed) this.stop()
      if (this.#stopped) return
      if (result.done) {
        this.#stopped = true
        return
      }
      let message: Uint8Array
      try {
        message = serialize(result.value)
      } catch (cause) {
        this.stop()
        throw cause
      }
      if (!writeMessage(stream, message)) await drained(stream)
    }
  }

  /** Asks for no more; the source's `finally` runs. What it throws then has no reader left, since the call has ended. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    try {
      Promise.resolve(this.#iterate().return?.()).catch(() => {})
    } catch {
      // it may throw at once: the same as above
    }
  }
}
