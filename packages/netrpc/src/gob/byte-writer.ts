// The primitive encodings of gob, written into a growing buffer. Source: encoding/gob encode.go encodeUint, encodeInt, floatBits.

/** Messages are cut one after the other from blocks of this size; a larger message gets a block of its own. */
const BLOCK_BYTES = 32 * 1024
/** A larger block is given up with its message: the small ones after it would keep all of it in memory. */
const MAX_KEPT_BYTES = 1024 * 1024
/** Up to this many characters a loop is faster than a call out of JavaScript. */
const SHORT_STRING = 24
const TWO_32 = 0x1_0000_0000

const noBytes = Buffer.alloc(0)
const scratch = new DataView(new ArrayBuffer(8))

type RawBuffer = Buffer & { utf8Write?(text: string, at: number, length: number): number }

export class ByteWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  /** Where what `take` returns begins. */
  start = 0
  at = 0

  /** Bytes for the caller to keep: nothing is ever written over them. */
  take(): Uint8Array {
    const { buffer, byteOffset } = this.bytes
    const taken = new Uint8Array(buffer, byteOffset + this.start, this.at - this.start)
    this.start = this.at
    if (this.bytes.length > MAX_KEPT_BYTES) {
      this.bytes = noBytes
      this.start = 0
      this.at = 0
    }
    return taken
  }

  room(count: number): void {
    if (this.bytes.length - this.at < count) this.#grow(count)
  }

  #grow(count: number): void {
    const pending = this.at - this.start
    let size = BLOCK_BYTES
    while (size < pending * 2 || size < pending + count) size *= 2
    const next = Buffer.allocUnsafeSlow(size)
    this.bytes.copy(next, 0, this.start, this.at)
    this.bytes = next
    this.at = pending
    this.start = 0
  }

  byte(value: number): void {
    if (this.at === this.bytes.length) this.#grow(1)
    this.bytes[this.at++] = value
  }

  /** @param value An integer from 0 to 2^54, exact as a number. */
  uint(value: number): void {
    if (this.bytes.length - this.at < 9) this.#grow(9)
    if (value <= 0x7f) this.bytes[this.at++] = value
    else if (value < TWO_32) this.at = uint32(this.bytes, this.at, value)
    else this.#wide(Math.floor(value / TWO_32), value >>> 0)
  }

  /** @param value From -2^63 to 2^63 - 1. */
  int(value: number): void {
    if (value >= 0) this.uint(value * 2)
    else if (value > -(2 ** 52)) this.uint(-2 * value - 1)
    else this.bigInt(BigInt(value))
  }

  bigUint(value: bigint): void {
    this.room(9)
    scratch.setBigUint64(0, value)
    const high = scratch.getUint32(0)
    const low = scratch.getUint32(4)
    if (high !== 0) this.#wide(high, low)
    else this.uint(low)
  }

  bigInt(value: bigint): void {
    this.bigUint(BigInt.asUintN(64, value >= 0n ? value << 1n : (~value << 1n) | 1n))
  }

  /** A number of more than 32 bits; room has been made. */
  #wide(high: number, low: number): void {
    const { bytes } = this
    let { at } = this
    const head = at++
    for (let shift = 24; shift >= 0; shift -= 8) if (at > head + 1 || high >>> shift !== 0) bytes[at++] = high >>> shift
    bytes[at++] = low >>> 24
    bytes[at++] = low >>> 16
    bytes[at++] = low >>> 8
    bytes[at++] = low
    bytes[head] = 256 - (at - head - 1)
    this.at = at
  }

  /** The bytes of the double from its end, where round numbers have zeros, which are left out. */
  float(value: number): void {
    this.room(9)
    scratch.setFloat64(0, value, true)
    const high = scratch.getUint32(0)
    const low = scratch.getUint32(4)
    if (high !== 0) this.#wide(high, low)
    else if (low <= 0x7f) this.bytes[this.at++] = low
    else this.at = uint32(this.bytes, this.at, low)
  }

  rawBytes(value: Uint8Array): void {
    const { length } = value
    this.uint(length)
    this.room(length)
    this.bytes.set(value, this.at)
    this.at += length
  }

  /** Its length in bytes, then UTF-8; a lone surrogate becomes U+FFFD. Returns the length in bytes. */
  string(value: string): number {
    const { length } = value
    this.room(length * 3 + 9)
    if (length <= SHORT_STRING) {
      const { bytes } = this
      const from = this.at
      let at = from + 1
      let i = 0
      for (; i < length; i++) {
        const unit = value.charCodeAt(i)
        if (unit > 0x7f) break
        bytes[at++] = unit
      }
      if (i === length) {
        bytes[from] = length
        this.at = at
        return length
      }
    }
    // Most text is ASCII: guess the size of the length by that, and move only what proves the guess wrong.
    const guess = uintSize(length)
    const written = utf8Write(this.bytes, value, this.at + guess, length * 3)
    const size = uintSize(written)
    if (size !== guess) this.bytes.copyWithin(this.at + size, this.at + guess, this.at + guess + written)
    this.uint(written)
    this.at += written
    return written
  }

  /** Begins something preceded by its length: leaves room for a length of `guess` bytes and returns where that is. */
  open(guess: number): number {
    this.room(9)
    const mark = this.at - this.start
    this.at += guess
    return mark
  }

  /** Ends it: fills in the length. Returns how many bytes the length took. */
  close(mark: number, guess: number): number {
    this.room(9)
    const from = this.start + mark
    const length = this.at - from - guess
    const size = uintSize(length)
    if (size !== guess) this.bytes.copyWithin(from + size, from + guess, this.at)
    this.at = from
    this.uint(length)
    this.at = from + size + length
    return size
  }

  /** Puts bytes in before what was written from `mark` on. */
  insert(mark: number, bytes: Uint8Array): void {
    this.room(bytes.length)
    const from = this.start + mark
    this.bytes.copyWithin(from + bytes.length, from, this.at)
    this.bytes.set(bytes, from)
    this.at += bytes.length
  }
}

function uint32(bytes: Uint8Array, at: number, value: number): number {
  if (value <= 0xff) bytes[at++] = 0xff
  else {
    if (value <= 0xffff) bytes[at++] = 0xfe
    else {
      if (value <= 0xff_ffff) bytes[at++] = 0xfd
      else {
        bytes[at++] = 0xfc
        bytes[at++] = value >>> 24
      }
      bytes[at++] = value >>> 16
    }
    bytes[at++] = value >>> 8
  }
  bytes[at++] = value
  return at
}

/** How many bytes `uint` takes for a length. */
function uintSize(value: number): number {
  if (value <= 0x7f) return 1
  if (value <= 0xff) return 2
  if (value <= 0xffff) return 3
  if (value <= 0xff_ffff) return 4
  return value < TWO_32 ? 5 : 6
}

/** Node's own, without the checks of `write`, where the runtime has it. */
const utf8Write: (bytes: Buffer, text: string, at: number, room: number) => number =
  typeof (Buffer.prototype as RawBuffer).utf8Write === 'function'
    ? (bytes, text, at, room) => (bytes as Required<RawBuffer>).utf8Write(text, at, room)
    : (bytes, text, at, room) => bytes.write(text, at, room, 'utf8')
