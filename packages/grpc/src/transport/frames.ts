// Messages on a stream: a flag that tells whether the message is compressed, its length as four bytes, and its bytes. Source: grpc/grpc
// doc/PROTOCOL-HTTP2.md "Length-Prefixed-Message". Pure: no streams, no sockets.

import { GrpcError } from './grpc-error.ts'
import { Status } from './status.ts'

const PREFIX_BYTES = 5
/** Messages up to here get their memory as soon as their length is known; larger ones once half of them is there. */
const EAGER_BYTES = 1024 * 1024
/** From here on a message is sent beside its prefix rather than copied behind it. */
const COPY_BYTES = 64 * 1024

const empty = Buffer.alloc(0)

/** What is to be written for a message: its prefix and bytes as one, or two parts for one that is too large to copy. */
export function encodeFrame(message: Uint8Array): Buffer | [prefix: Buffer, message: Uint8Array] {
  const { length } = message
  if (length >= COPY_BYTES) {
    const prefix = Buffer.allocUnsafe(PREFIX_BYTES)
    prefix[0] = 0
    prefix.writeUInt32BE(length, 1)
    return [prefix, message]
  }
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + length)
  frame[0] = 0
  frame.writeUInt32BE(length, 1)
  frame.set(message, PREFIX_BYTES)
  return frame
}

/** Takes messages out of a stream that may be cut anywhere. Each message gets memory of its own, so that keeping it keeps nothing else. */
export class FrameReader {
  readonly #maxBytes: number
  readonly #deliver: (message: Buffer, compressed: boolean) => void

  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixBytes = 0
  /** Of the message under way. */
  #length = 0
  #received = 0
  #target: Buffer | undefined
  #parts: Buffer[] = []

  /** @param maxBytes A longer message is refused as soon as its length is known. */
  constructor(maxBytes: number, deliver: (message: Buffer, compressed: boolean) => void) {
    this.#maxBytes = maxBytes
    this.#deliver = deliver
  }

  /** True when the bytes so far end in the middle of a message. */
  get midMessage(): boolean {
    return this.#prefixBytes > 0
  }

  /** @throws GrpcError RESOURCE_EXHAUSTED for a message beyond the limit, INTERNAL for an unknown flag. */
  push(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        const count = Math.min(PREFIX_BYTES - this.#prefixBytes, chunk.length - offset)
        chunk.copy(this.#prefix, this.#prefixBytes, offset, offset + count)
        this.#prefixBytes += count
        offset += count
        if (this.#prefixBytes < PREFIX_BYTES) return
        this.#begin()
        if (this.#length > 0) continue
      } else {
        const count = Math.min(this.#length - this.#received, chunk.length - offset)
        this.#take(chunk, offset, offset + count)
        offset += count
        if (this.#received < this.#length) return
      }
      this.#end()
    }
  }

  #begin(): void {
    const flag = this.#prefix[0] as number
    if (flag > 1) throw new GrpcError(Status.INTERNAL, `a message begins with the flag ${flag}, which has no meaning`)
    this.#length = this.#prefix.readUInt32BE(1)
    if (this.#length > this.#maxBytes) {
      throw new GrpcError(Status.RESOURCE_EXHAUSTED, `a message of ${this.#length} bytes is larger than the limit of ${this.#maxBytes}`)
    }
    this.#received = 0
    this.#target = this.#length === 0 ? empty : this.#length <= EAGER_BYTES ? Buffer.allocUnsafe(this.#length) : undefined
  }

  #take(chunk: Buffer, start: number, end: number): void {
    const count = end - start
    // A peer may claim 4 GiB and send nothing: memory follows at most twice what came.
    if (this.#target === undefined && (this.#received + count) * 2 >= this.#length) {
      this.#target = Buffer.allocUnsafeSlow(this.#length)
      let filled = 0
      for (const part of this.#parts) filled += part.copy(this.#target, filled)
      this.#parts = []
    }
    if (this.#target === undefined) this.#parts.push(chunk.subarray(start, end))
    else chunk.copy(this.#target, this.#received, start, end)
    this.#received += count
  }

  #end(): void {
    const message = this.#target as Buffer
    this.#target = undefined
    this.#prefixBytes = 0
    this.#deliver(message, this.#prefix[0] === 1)
  }
}
