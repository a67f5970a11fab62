// Finds the RST_STREAM frames in what a client sends, and takes out those that would be too many. Pure: bytes in, bytes out.
//
// nghttp2 ends a connection whose client resets more than 1000 streams, and 33 a second from then on; a Go host that cancels calls does that with
// ease, and loses broker and stdio with the connection. Node has options for it from 22.12 and 23 on. Before, this is the way: what is taken out is
// reset from our side instead, which counts for nothing.

/** `PRI * HTTP/2.0 …`, which precedes the first frame of a client. Source: RFC 9113 section 3.4. */
const PREFACE_BYTES = 24
/** Source: RFC 9113 section 4.1. */
const HEADER_BYTES = 9
const RST_STREAM = 3
const RST_FRAME_BYTES = HEADER_BYTES + 4

/** Resets that pass at once, and those that pass per second later on: half of what nghttp2 lets pass. */
const BURST = 500
const PER_SECOND = 16

const none = Buffer.alloc(0)

export class ResetFilter {
  readonly #reset: (streamId: number) => void
  readonly #now: () => number
  /** Bytes that belong to what began earlier and pass unseen. */
  #passing = PREFACE_BYTES
  /** The beginning of a frame whose kind is still to come. */
  #held: Buffer = none
  #tokens = BURST
  #refilledAt: number

  /**
   * @param reset Told of each frame that was taken out, after the bytes before it have been passed on.
   * @param now Milliseconds of any clock.
   */
  constructor(reset: (streamId: number) => void, now: () => number = () => performance.now()) {
    this.#reset = reset
    this.#now = now
    this.#refilledAt = now()
  }

  /** Passes on what is left of the bytes. */
  push(chunk: Buffer, pass: (bytes: Buffer) => void): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = none
    let from = 0
    let offset = Math.min(this.#passing, bytes.length)
    this.#passing -= offset
    while (offset < bytes.length) {
      const left = bytes.length - offset
      const length = left < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + bytes.readUIntBE(offset, 3)
      // One of another length is a breach that HTTP/2 itself has to see.
      const isReset = length === RST_FRAME_BYTES && bytes[offset + 3] === RST_STREAM
      if (left < HEADER_BYTES || (isReset && left < length)) {
        this.#held = Buffer.from(bytes.subarray(offset))
        break
      }
      if (isReset && !this.#takeToken()) {
        if (offset > from) pass(bytes.subarray(from, offset))
        this.#reset(bytes.readUInt32BE(offset + 5) & 0x7fffffff)
        from = offset + length
      }
      offset += length
    }
    const end = bytes.length - this.#held.length
    this.#passing = Math.max(this.#passing, offset - bytes.length, 0)
    if (end > from) pass(bytes.subarray(from, end))
  }

  #takeToken(): boolean {
    const now = this.#now()
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#refilledAt) / 1_000) * PER_SECOND)
    this.#refilledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
