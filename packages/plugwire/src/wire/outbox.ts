// Where everything that leaves on a connection is encoded: pooled memory, cut into the parts of one write.
// Above nothing; knows neither frames nor values.

/** Bytes of one pooled buffer. */
const POOLED_BYTES = 256 * 1024
/** Buffers kept for reuse, by one outbox. */
const MAX_POOLED = 8
/** From this size on a byte array is written where it lies instead of being copied. */
export const ATTACH_BYTES: number = 32 * 1024

/**
 * Collects bytes for one write.
 *
 * The current buffer never moves: when it is full its part is cut off and a new buffer begins. So a position in
 * `view` that was remembered (to fill in a length later) stays valid as long as the same `view` is remembered with it.
 */
export class Outbox {
  /** The buffer being filled. After `reserve(n)`, n bytes may be written at `position`; the writer advances `position`. */
  bytes: Buffer
  view: DataView
  position = 0
  #start = 0
  #parts: Uint8Array[] = []
  #partBytes = 0
  #pool: Buffer[] = []
  #spent: Buffer[] = []

  constructor(bytes: number = POOLED_BYTES) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
    this.view = viewOf(this.bytes)
  }

  /** Bytes collected since the last `take` or `reset`. */
  get length(): number {
    return this.#partBytes + this.position - this.#start
  }

  /** Makes room for `bytes` more bytes at `position`, in one piece. */
  reserve(bytes: number): void {
    if (this.position + bytes > this.bytes.length) this.#renew(bytes)
  }

  /** Appends bytes: copied when they are few, else referred to; then they must not change until they have left. */
  append(bytes: Uint8Array): void {
    const length = bytes.length
    if (length >= ATTACH_BYTES) {
      this.cut()
      this.#parts.push(bytes)
      this.#partBytes += length
      return
    }
    this.reserve(length)
    this.bytes.set(bytes, this.position)
    this.position += length
  }

  /** Ends the current part; what follows is a part of its own. */
  cut(): void {
    if (this.position === this.#start) return
    this.#parts.push(this.bytes.subarray(this.#start, this.position))
    this.#partBytes += this.position - this.#start
    this.#start = this.position
  }

  /** Remembers the end of what was collected, for `rollback`. A mark that is of no use any more may be given to be filled anew. */
  mark(used?: Mark): Mark {
    const mark = used ?? { bytes: this.bytes, view: this.view, position: 0, start: 0, parts: 0, partBytes: 0, spent: 0 }
    if (mark.bytes !== this.bytes) {
      mark.bytes = this.bytes
      mark.view = this.view
    }
    mark.position = this.position
    mark.start = this.#start
    mark.parts = this.#parts.length
    mark.partBytes = this.#partBytes
    mark.spent = this.#spent.length
    return mark
  }

  /** Forgets everything since the mark. */
  rollback(mark: Mark): void {
    if (this.bytes !== mark.bytes) {
      // Buffers begun since then are free again; the marked one is the current one, not a spent one.
      this.#spent.push(this.bytes)
      this.release(this.#spent.splice(mark.spent).filter(bytes => bytes !== mark.bytes))
    }
    this.bytes = mark.bytes
    this.view = mark.view
    this.position = mark.position
    this.#start = mark.start
    this.#parts.length = mark.parts
    this.#partBytes = mark.partBytes
  }

  /** A copy of everything since the mark, which is then forgotten. */
  takeSince(mark: Mark): Uint8Array {
    const copy = Buffer.allocUnsafeSlow(this.length - (mark.partBytes + mark.position - mark.start))
    this.cut()
    let offset = 0
    // The part that held the mark may have been cut behind it: skip what came before.
    let skip = mark.position - mark.start
    for (const part of this.#parts.slice(mark.parts)) {
      copy.set(skip > 0 ? part.subarray(skip) : part, offset)
      offset += part.length - skip
      skip = 0
    }
    this.rollback(mark)
    return copy
  }

  /** Everything collected, in order. The parts stay valid until `recycle` (written at once) or `release` (written later). */
  take(): Uint8Array[] {
    const parts = this.#parts
    if (parts.length === 0 && this.position > this.#start) {
      const part = this.bytes.subarray(this.#start, this.position)
      this.#start = this.position
      return [part]
    }
    this.cut()
    this.#parts = []
    this.#partBytes = 0
    return parts
  }

  /** The parts of the last `take` have left: their memory is used again at once. */
  recycle(): void {
    this.position = 0
    this.#start = 0
    if (this.#spent.length > 0) this.release(this.#spent.splice(0))
  }

  /** The parts of the last `take` are still being written: begins a new buffer and returns the old ones for `release`. */
  retire(): Buffer[] {
    const spent = this.#spent.splice(0)
    spent.push(this.bytes)
    this.#use(this.#pool.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES))
    return spent
  }

  /** Gives buffers back that `retire` returned, once they were written. */
  release(buffers: readonly Buffer[]): void {
    for (const buffer of buffers) if (buffer.length === POOLED_BYTES && this.#pool.length < MAX_POOLED) this.#pool.push(buffer)
  }

  #renew(bytes: number): void {
    this.cut()
    this.#spent.push(this.bytes)
    this.#use(bytes <= POOLED_BYTES ? (this.#pool.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES)) : Buffer.allocUnsafeSlow(bytes))
  }

  #use(bytes: Buffer): void {
    this.bytes = bytes
    this.view = viewOf(bytes)
    this.position = 0
    this.#start = 0
  }
}

export interface Mark {
  bytes: Buffer
  view: DataView
  position: number
  start: number
  parts: number
  partBytes: number
  spent: number
}

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
