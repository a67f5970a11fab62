// A stream of a multiplexer as a stream of Node, so that HTTP/2 and TLS can run on it. Credit of the multiplexer follows what is read here.

import { Duplex } from 'node:stream'
import type { Stream } from 'plugwire/mux'

/** Bytes that wait on the Node side before the multiplexer is told to hold back. */
const HIGH_WATER_BYTES = 256 * 1024

/**
 * The stream belongs to the duplex from then on: destroying one resets the other unless both directions have ended. With the first bytes of the
 * other side the duplex emits 'answered'.
 */
export function streamDuplex(stream: Stream): Duplex {
  return new StreamDuplex(stream)
}

class StreamDuplex extends Duplex {
  readonly #stream: Stream
  #remoteEnded = false
  #answered = false

  constructor(stream: Stream) {
    super({ readableHighWaterMark: HIGH_WATER_BYTES, writableHighWaterMark: HIGH_WATER_BYTES, decodeStrings: true })
    this.#stream = stream
    stream.consume({
      chunk: (bytes, start, end) => {
        if (!this.#answered) {
          this.#answered = true
          this.emit('answered')
        }
        // The session's memory is valid for this call alone.
        if (!this.push(Buffer.from(bytes.subarray(start, end)))) stream.pause()
      },
      end: () => {
        this.#remoteEnded = true
        this.#endWhenRead()
      },
      fail: cause => {
        // After the other side's end there is nothing left to fail for a reader; a writer hears of it with its next write.
        if (!this.#remoteEnded) this.destroy(cause)
      },
    })
  }

  override _read(): void {
    this.#stream.resume()
    if (this.#remoteEnded) this.#endWhenRead()
  }

  /**
   * The other side's end is the end of both directions, as soon as all that it sent was read: nobody who speaks HTTP/2 or TLS ends one alone. Said as
   * an ordinary end, Node would shut down the TLS or HTTP/2 above, and fail an assertion when that writes its last words at the same time.
   */
  #endWhenRead(): void {
    setImmediate(() => {
      if (this.readableLength === 0) this.destroy()
    })
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    try {
      if (this.#stream.write(chunk)) callback()
      else this.#stream.onceWritable(() => callback(this.#stream.failure))
    } catch (error) {
      callback(error as Error)
    }
  }

  override _final(callback: () => void): void {
    this.#stream.end()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#remoteEnded && error === null) this.#stream.end()
    else if (!this.writableFinished || !this.#remoteEnded) this.#stream.reset()
    callback(error)
  }

  /** Sockets have these; HTTP/2 and TLS call them. A multiplexer sends at once, and its own socket holds the event loop. */
  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}
