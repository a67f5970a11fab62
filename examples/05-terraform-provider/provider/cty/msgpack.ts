// The part of MessagePack that Terraform's values use, written item by item in the shortest form and read item by item from bytes that are not trusted.
// Knows of no types of Terraform. Source: msgpack/msgpack spec.md.
//
// It is written by hand because the codec above it goes by type: a number comes as integer, float or text and must not be rounded on the way, a
// text is written where the value is made, an unknown value is an extension with items inside, and errors name the attribute. A general library
// builds a tree first, which then has to be walked and checked once more, and rounds what it takes for a number.

import { CtyError } from './type.ts'

const MIN_INT64 = -(2n ** 63n)
const MAX_INT64 = 2n ** 63n - 1n

export function fitsInt64(value: bigint): boolean {
  return value >= MIN_INT64 && value <= MAX_INT64
}

/** Appends items to one growing buffer. */
export class Writer {
  #bytes: Buffer
  #length = 0

  /** @param capacity Bytes to begin with. */
  constructor(capacity = 512) {
    this.#bytes = Buffer.allocUnsafe(capacity)
  }

  /** What was written. The writer is not to be used any more. */
  end(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  null(): void {
    this.#byte(0xc0)
  }

  boolean(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2)
  }

  /** @param value Within 64 bits. */
  integer(value: number | bigint): void {
    if (typeof value === 'bigint' || value > 0xffff_ffff || value < -0x8000_0000) {
      const at = this.#room(9)
      this.#bytes[at] = value >= 0 ? 0xcf : 0xd3
      this.#bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)), at + 1)
    } else if (value >= 0) {
      if (value < 0x80) this.#byte(value)
      else if (value <= 0xff) this.#sized(0xcc, value, 1)
      else if (value <= 0xffff) this.#sized(0xcd, value, 2)
      else this.#sized(0xce, value, 4)
    } else if (value >= -0x20) this.#byte(value & 0xff)
    else if (value >= -0x80) this.#sized(0xd0, value & 0xff, 1)
    else if (value >= -0x8000) this.#sized(0xd1, value & 0xffff, 2)
    else this.#sized(0xd2, value >>> 0, 4)
  }

  float(value: number): void {
    const at = this.#room(9)
    this.#bytes[at] = 0xcb
    this.#bytes.writeDoubleBE(value, at + 1)
  }

  string(value: string): void {
    const length = Buffer.byteLength(value)
    if (length < 0x20) this.#byte(0xa0 | length)
    else if (length <= 0xff) this.#sized(0xd9, length, 1)
    else if (length <= 0xffff) this.#sized(0xda, length, 2)
    else this.#sized(0xdb, length, 4)
    const at = this.#room(length)
    this.#bytes.write(value, at, length)
  }

  bytes(value: Uint8Array): void {
    if (value.length <= 0xff) this.#sized(0xc4, value.length, 1)
    else if (value.length <= 0xffff) this.#sized(0xc5, value.length, 2)
    else this.#sized(0xc6, value.length, 4)
    this.#raw(value)
  }

  /** The head of an array: that many items follow. */
  array(length: number): void {
    if (length < 0x10) this.#byte(0x90 | length)
    else if (length <= 0xffff) this.#sized(0xdc, length, 2)
    else this.#sized(0xdd, length, 4)
  }

  /** The head of a map: that many pairs of items follow. */
  map(length: number): void {
    if (length < 0x10) this.#byte(0x80 | length)
    else if (length <= 0xffff) this.#sized(0xde, length, 2)
    else this.#sized(0xdf, length, 4)
  }

  extension(type: number, body: Uint8Array): void {
    const fixed = [1, 2, 4, 8, 16].indexOf(body.length)
    if (fixed >= 0) this.#byte(0xd4 + fixed)
    else if (body.length <= 0xff) this.#sized(0xc7, body.length, 1)
    else if (body.length <= 0xffff) this.#sized(0xc8, body.length, 2)
    else this.#sized(0xc9, body.length, 4)
    this.#byte(type)
    this.#raw(body)
  }

  #byte(value: number): void {
    const at = this.#room(1)
    this.#bytes[at] = value
  }

  #sized(format: number, value: number, bytes: 1 | 2 | 4): void {
    const at = this.#room(1 + bytes)
    this.#bytes[at] = format
    this.#bytes.writeUIntBE(value, at + 1, bytes)
  }

  #raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
  }

  /** Where the next `bytes` bytes go. */
  #room(bytes: number): number {
    const at = this.#length
    this.#length += bytes
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
    }
    return at
  }
}

/** What kind of item comes next. */
export type Item = 'null' | 'boolean' | 'integer' | 'float' | 'string' | 'bytes' | 'array' | 'map' | 'extension'

/** Takes items from bytes. Every length is compared with what is there before anything is made of it. */
export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length
  }

  /** @throws CtyError at the end. */
  peek(): Item {
    const format = this.#format()
    if (format <= 0x7f || format >= 0xe0) return 'integer'
    if (format <= 0x8f) return 'map'
    if (format <= 0x9f) return 'array'
    if (format <= 0xbf) return 'string'
    const item = items[format - 0xc0]
    if (item === undefined) return this.#fail('an item of no known format', this.#at)
    return item
  }

  null(): void {
    this.#expect('null')
    this.#at++
  }

  boolean(): boolean {
    this.#expect('boolean')
    return this.#bytes[this.#at++] === 0xc3
  }

  integer(): bigint | number {
    this.#expect('integer')
    const format = this.#bytes[this.#at++]!
    if (format <= 0x7f) return format
    if (format >= 0xe0) return format - 0x100
    const at = this.#take(2 ** (format & 3))
    if (format === 0xcf) return this.#bytes.readBigUInt64BE(at)
    if (format === 0xd3) return this.#bytes.readBigInt64BE(at)
    const bytes = this.#at - at
    return format < 0xd0 ? this.#bytes.readUIntBE(at, bytes) : this.#bytes.readIntBE(at, bytes)
  }

  float(): number {
    this.#expect('float')
    const double = this.#bytes[this.#at++] === 0xcb
    const at = this.#take(double ? 8 : 4)
    return double ? this.#bytes.readDoubleBE(at) : this.#bytes.readFloatBE(at)
  }

  string(): string {
    this.#expect('string')
    const at = this.#take(this.#length(0xa0, 0x1f, 0xd9))
    return this.#bytes.toString('utf8', at, this.#at)
  }

  bytes(): Uint8Array {
    this.#expect('bytes')
    const at = this.#take(this.#length(0x100, 0, 0xc4))
    return this.#bytes.subarray(at, this.#at)
  }

  /** The head of an array; returns how many items follow. Each needs a byte at least, so the number is one that memory can hold. */
  array(): number {
    this.#expect('array')
    return this.#count(this.#length(0x90, 0x0f, 0xdc, 1), 1)
  }

  /** The head of a map; returns how many pairs of items follow. */
  map(): number {
    this.#expect('map')
    return this.#count(this.#length(0x80, 0x0f, 0xde, 1), 2)
  }

  extension(): { readonly type: number; readonly body: Uint8Array } {
    this.#expect('extension')
    const format = this.#bytes[this.#at]!
    let length = 2 ** (format - 0xd4)
    if (format >= 0xd4) this.#at++
    else length = this.#length(0x100, 0, 0xc7)
    const type = this.#bytes.readInt8(this.#take(1))
    const at = this.#take(length)
    return { type, body: this.#bytes.subarray(at, this.#at) }
  }

  /** Takes one item with all that is in it. */
  skip(): void {
    // Counted, not nested: the depth is the sender's to choose.
    for (let open = 1; open > 0; open--) {
      const item = this.peek()
      if (item === 'array') open += this.array()
      else if (item === 'map') open += 2 * this.map()
      else this[item]()
    }
  }

  /**
   * The length that an item's head tells. `base` is the format whose low bits (`mask`) hold it; from `sized` on it follows in 1, 2 and 4 bytes,
   * beginning with `2 ** skip`.
   */
  #length(base: number, mask: number, sized: number, skip = 0): number {
    const format = this.#bytes[this.#at++]!
    if (format >= base && format <= base + mask) return format & mask
    const bytes = 2 ** (format - sized + skip)
    return this.#bytes.readUIntBE(this.#take(bytes), bytes)
  }

  #count(items: number, bytesEach: number): number {
    if (items * bytesEach > this.#bytes.length - this.#at) this.#fail(`${items} items are announced and not there`, this.#at)
    return items
  }

  #take(bytes: number): number {
    const at = this.#at
    if (bytes > this.#bytes.length - at) this.#fail(`the value ends in the middle: ${bytes} bytes are announced and not there`, at)
    this.#at += bytes
    return at
  }

  #expect(item: Item): void {
    const found = this.peek()
    if (found !== item) this.#fail(`${item} expected, ${found} found`, this.#at)
  }

  #format(): number {
    return this.#bytes[this.#at] ?? this.#fail('the value ends in the middle', this.#at)
  }

  #fail(problem: string, at: number): never {
    throw new CtyError(`${problem} (byte ${at})`)
  }
}

/** By format, from 0xc0 on. */
const items: readonly (Item | undefined)[] = [
  ...(['null', undefined, 'boolean', 'boolean', 'bytes', 'bytes', 'bytes', 'extension', 'extension', 'extension'] as const),
  ...(['float', 'float', 'integer', 'integer', 'integer', 'integer', 'integer', 'integer', 'integer', 'integer'] as const),
  ...(['extension', 'extension', 'extension', 'extension', 'extension'] as const),
  ...(['string', 'string', 'string', 'array', 'array', 'map', 'map'] as const),
]
