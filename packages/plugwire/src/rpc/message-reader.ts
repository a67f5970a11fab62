// Cuts a byte stream into messages: length u32, then that many bytes. Linear work, however the bytes are cut.

import { PluginError } from '../errors.ts'
import type { ByteSink, Stream } from '../mux/stream.ts'
import { LENGTH_BYTES } from '../wire/call-frames.ts'

/** Takes one message; `bytes` is valid until it returns unless `owned`, then it may be kept. */
export type MessageHandler = (bytes: Buffer, view: DataView, start: number, end: number, owned: boolean) => void

/**
 * Reads the messages of one stream where they lie; only a message that is cut across reads is copied, once,
 * and the missing part of a long one is read straight into place.
 */
export class MessageReader implements ByteSink {
  readonly #stream: Stream
  readonly #maxBytes: number
  readonly #onMessage: MessageHandler
  readonly #onEnd: (cause: PluginError | undefined) => void
  #viewed: Buffer | undefined
  #view: DataView | undefined
  /** The first bytes of a length that was cut. */
  readonly #lengthBytes: Buffer = Buffer.alloc(LENGTH_BYTES)
  #lengthHave = 0
  #received = 0

  /**
   * @param maxBytes Longest message; a longer one is a breach, known before anything is allocated for it.
   * @param onMessage May throw: the session ends with what it throws.
   */
  constructor(stream: Stream, maxBytes: number, onMessage: MessageHandler, onEnd: (cause: PluginError | undefined) => void) {
    this.#stream = stream
    this.#maxBytes = maxBytes
    this.#onMessage = onMessage
    this.#onEnd = onEnd
  }

  /** Bytes received before the chunk that is being read, for error texts. */
  get received(): number {
    return this.#received
  }

  chunk(bytes: Buffer, start: number, end: number): void {
    if (bytes !== this.#viewed) {
      this.#viewed = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const view = this.#view as DataView
    let position = start
    if (this.#lengthHave > 0) {
      while (this.#lengthHave < LENGTH_BYTES && position < end) this.#lengthBytes[this.#lengthHave++] = bytes[position++] as number
      if (this.#lengthHave < LENGTH_BYTES) return
      this.#lengthHave = 0
      const length = this.#admit(this.#lengthBytes.readUInt32BE(0), position)
      if (end - position < length) {
        this.#assemble(bytes, position, end, length)
        return
      }
      this.#onMessage(bytes, view, position, position + length, false)
      position += length
    }
    while (end - position >= LENGTH_BYTES) {
      const length = view.getUint32(position)
      if (length > this.#maxBytes) this.#admit(length, position)
      const from = position + LENGTH_BYTES
      if (end - from < length) {
        this.#assemble(bytes, from, end, length)
        this.#received += end - start
        return
      }
      position = from + length
      this.#onMessage(bytes, view, from, position, false)
    }
    while (position < end) this.#lengthBytes[this.#lengthHave++] = bytes[position++] as number
    this.#received += end - start
  }

  end(): void {
    this.#onEnd(undefined)
  }

  fail(cause: PluginError): void {
    this.#onEnd(cause)
  }

  #admit(length: number, position: number): number {
    if (length > this.#maxBytes) {
      throw new PluginError('ERR_CALL_FRAME', {
        reason: `a message of ${length} bytes, ${this.#maxBytes} are allowed`,
        offset: this.#received + position,
      })
    }
    return length
  }

  /** The message goes on in the next read: gather it in memory of its own. */
  #assemble(bytes: Buffer, start: number, end: number, length: number): void {
    const message = length < 4_096 ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length)
    bytes.copy(message, 0, start, end)
    this.#stream.fill(message, end - start, () => {
      this.#received += length - (end - start)
      this.#onMessage(message, new DataView(message.buffer, message.byteOffset, length), 0, length, true)
    })
  }
}
