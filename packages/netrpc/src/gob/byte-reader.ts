// The primitive encodings of gob, read from one message, and the definitions of types. It trusts no length.
// Source: encoding/gob decode.go decodeUintReader, type.go wireType.

import { type Fault, limitFault, malformed, valueFault } from './fault.ts'
import type { GobLimits } from './gob-limits.ts'
import { MAX_NAME_BYTES, OBJECT_ITEMS } from './gob-limits.ts'
import type { WireType, WireTypes } from './wire-types.ts'
import { builtinTypes, markClosed } from './wire-types.ts'

const TWO_32 = 0x1_0000_0000
const FIRST_USER_ID = 64

/** Thrown when a value goes on in a message that has not arrived: the decoder then passes over it in a way that can pause. */
export const NEED_MORE: unique symbol = Symbol('need more')

const scratch = new DataView(new ArrayBuffer(8))
type RawBuffer = Buffer & { utf8Slice?(from: number, to: number): string; latin1Slice?(from: number, to: number): string }
const { fromCharCode } = String

/** Longer strings are read one by one. */
const MAX_CUT = 96
/** Where there is no window, up to this length characters are put together one by one. */
const MAX_SPELT = 10
const WINDOW_BYTES = 2048
/** With less of the message left, a window is not worth it. */
const MIN_WINDOW_BYTES = 96

export class ByteReader {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  /** End of the message at hand. */
  end = 0
  /** End of what has arrived. */
  arrived = 0
  /** Offset of `bytes` on the stream. */
  base = 0
  /** Where the value at hand began, for the limit of its bytes. */
  valueStart = 0
  depth = 0
  /** Elements and fields that the value at hand may still have. */
  items = 0
  readonly types: WireTypes = builtinTypes()
  /** Ids defined since the value at hand began. */
  readonly fresh: number[] = []
  readonly limits: GobLimits
  #typeBytes = 0
  /** Where the definition at hand has to end, for the limit of them all. */
  #definitionEnd = 0
  /**
   * A stretch of the message as text, of which short strings are cut: one call out of JavaScript for many of them. A cut string may
   * keep its window in memory, so windows are small.
   */
  #window = ''
  /** Where on the stream it begins. */
  #windowFrom = 0
  /** Upper and lower half of the last number of more than 48 bits. */
  #high = 0
  #low = 0

  constructor(limits: GobLimits) {
    this.limits = limits
  }

  malformed(reason: string): Fault {
    return malformed(reason, this.base + this.at)
  }

  /** One more level down; every call is paired with `depth--` unless something is thrown. */
  enter(): void {
    if (++this.depth > this.limits.maxDepth) throw limitFault('levels (maxDepth)', this.limits.maxDepth)
  }

  spend(items: number): void {
    if ((this.items -= items) < 0) throw limitFault('items (maxItems)', this.limits.maxItems)
  }

  /**
   * An unsigned integer. Up to 48 bits it is the result; what is longer gives -1 and is in `#high` and `#low`.
   */
  #uint(): number {
    const { bytes, end } = this
    let { at } = this
    if (at >= end) throw this.malformed('a number is cut off')
    const first = bytes[at++] as number
    if (first <= 0x7f) {
      this.at = at
      return first
    }
    const count = 256 - first
    if (count > 8) throw this.malformed(`a number of ${count} bytes`)
    if (end - at < count) throw this.malformed('a number is cut off')
    const to = at + count
    let value = 0
    if (count <= 6) {
      while (at < to) value = value * 256 + (bytes[at++] as number)
      this.at = at
      return value
    }
    while (at < to - 4) value = value * 256 + (bytes[at++] as number)
    this.#high = value
    this.#low = bytes.readUInt32BE(at)
    this.at = to
    return -1
  }

  /** A count, a length or the number of a field. */
  count(): number {
    const { at } = this
    if (at < this.end) {
      const first = this.bytes[at] as number
      if (first <= 0x7f) {
        this.at = at + 1
        return first
      }
    }
    const value = this.#uint()
    if (value >= 0) return value
    if (this.#high < 0x20_0000) return this.#high * TWO_32 + this.#low
    throw this.malformed('a length beyond all bounds')
  }

  /** A number whose value does not matter. */
  passUint(): void {
    this.#uint()
  }

  bool(): boolean {
    // Go takes every number but 0 for true.
    const value = this.#uint()
    return value !== 0 && (value > 0 || this.#high !== 0 || this.#low !== 0)
  }

  /** A signed integer as a number. @throws Fault when no number can say it exactly. */
  int(): number {
    const { at } = this
    if (at < this.end) {
      const first = this.bytes[at] as number
      if (first <= 0x7f) {
        this.at = at + 1
        return (first >>> 1) ^ -(first & 1)
      }
    }
    const value = this.#uint()
    if (value >= 0) return value % 2 === 0 ? value / 2 : -(value - 1) / 2 - 1
    const big = this.#bigInt()
    const number = Number(big)
    if (Number.isSafeInteger(number)) return number
    throw valueFault(`is ${big}, beyond what a number holds exactly: the schema wants int64`)
  }

  uint(): number {
    const value = this.#uint()
    if (value >= 0) return value
    if (this.#high < 0x20_0000) return this.#high * TWO_32 + this.#low
    throw valueFault(`is ${this.#bigUint()}, beyond what a number holds exactly: the schema wants uint64`)
  }

  bigInt(): bigint {
    const value = this.#uint()
    return value >= 0 ? BigInt(value % 2 === 0 ? value / 2 : -(value - 1) / 2 - 1) : this.#bigInt()
  }

  bigUint(): bigint {
    const value = this.#uint()
    return value >= 0 ? BigInt(value) : this.#bigUint()
  }

  #bigUint(): bigint {
    scratch.setUint32(0, this.#high)
    scratch.setUint32(4, this.#low)
    return scratch.getBigUint64(0)
  }

  #bigInt(): bigint {
    const raw = this.#bigUint()
    return raw & 1n ? ~(raw >> 1n) : raw >> 1n
  }

  float(): number {
    const value = this.#uint()
    if (value >= 0) {
      scratch.setUint32(0, Math.floor(value / TWO_32))
      scratch.setUint32(4, value >>> 0)
    } else {
      scratch.setUint32(0, this.#high)
      scratch.setUint32(4, this.#low)
    }
    return scratch.getFloat64(0, true)
  }

  /** A length that the message has room for. */
  length(): number {
    const length = this.count()
    if (length > this.end - this.at) throw this.malformed(`${length} bytes announced, ${this.end - this.at} left`)
    return length
  }

  string(): string {
    const length = this.length()
    const from = this.at
    const to = from + length
    this.at = to
    if (length > MAX_CUT) return utf8Slice(this.bytes, from, to)
    if (!isAscii(this.bytes, from, to)) return utf8Slice(this.bytes, from, to)
    const windowAt = from + this.base - this.#windowFrom
    if (windowAt >= 0 && windowAt + length <= this.#window.length) return this.#window.slice(windowAt, windowAt + length)
    if (length <= MAX_SPELT) return spell(this.bytes, from, to)
    const windowEnd = Math.min(this.end, from + WINDOW_BYTES)
    if (windowEnd - from < MIN_WINDOW_BYTES) return latin1Slice(this.bytes, from, to)
    this.#window = latin1Slice(this.bytes, from, windowEnd)
    this.#windowFrom = from + this.base
    return this.#window.slice(0, length)
  }

  /** A copy: what the stream delivered may be large, and held by others. */
  copy(): Uint8Array {
    const length = this.length()
    this.spend(OBJECT_ITEMS)
    const copy = new Uint8Array(length)
    if (length > 0) copy.set(this.bytes.subarray(this.at, this.at + length))
    this.at += length
    return copy
  }

  pass(): void {
    const length = this.length()
    this.at += length
  }

  /** The name of the type in an interface value; empty is nil. */
  name(): string {
    const length = this.length()
    if (length > MAX_NAME_BYTES) throw this.malformed(`the name of a type has ${length} bytes`)
    this.at += length
    return length === 0 ? '' : utf8Slice(this.bytes, this.at - length, this.at)
  }

  /** Goes on to the next message. @returns false when not all of it has arrived; nothing has changed then. */
  nextMessage(): boolean {
    const { bytes } = this
    let at = this.end
    if (at >= this.arrived) return false
    let length = bytes[at++] as number
    if (length > 0x7f) {
      const count = 256 - length
      if (count > 8) throw malformed(`the length of a message has ${count} bytes`, this.base + at - 1)
      if (this.arrived - at < count) return false
      length = 0
      for (let i = 0; i < count; i++) length = length * 256 + (bytes[at++] as number)
    }
    const { maxValueBytes } = this.limits
    if (length + (at - this.valueStart) > maxValueBytes) throw limitFault('bytes (maxValueBytes)', maxValueBytes, true)
    if (this.arrived - at < length) return false
    this.at = at
    this.end = at + length
    return true
  }

  /**
   * The definitions inside an interface value, up to the id of the type of the value. Messages go on where definitions end them.
   * Source: decoder.go decodeTypeSequence.
   */
  interfaceType(): number {
    for (;;) {
      if (this.at === this.end && !this.nextMessage()) throw NEED_MORE
      const id = this.typeId()
      if (id >= 0) {
        // The count that follows may cover a part of the value only: Go takes no notice of it, and no more may anyone.
        this.passUint()
        return id
      }
      this.define(-id)
      if (this.at < this.end) this.passUint()
    }
  }

  typeId(): number {
    const value = this.#uint()
    const id = value % 2 === 0 ? value / 2 : -(value - 1) / 2 - 1
    if (value < 0 || id > 0x7fff_ffff || id < -0x7fff_ffff) throw this.malformed('the id of a type beyond 32 bits')
    return id
  }

  type(id: number): WireType {
    const type = this.types.get(id)
    if (type === undefined) throw this.malformed(`type ${id} was never defined`)
    return type
  }

  /**
   * Whether a value of this type ends in the message in which it begins, as all do that hold no interface. Types never defined are found
   * here: Go sends every definition before the first value that needs it.
   */
  closed(id: number): boolean {
    const type = this.type(id)
    if (type.closed === undefined) markClosed(type, part => this.type(part))
    return type.closed as boolean
  }

  /** Reads the definition of a type. */
  define(id: number): void {
    if (id < FIRST_USER_ID) throw this.malformed(`type ${id} cannot be defined`)
    if (this.types.has(id)) throw this.malformed(`type ${id} is defined twice`)
    const { maxTypes, maxTypeBytes } = this.limits
    if (this.types.size >= maxTypes) throw limitFault('types (maxTypes)', maxTypes, true)
    const from = this.at
    this.#definitionEnd = from + maxTypeBytes - this.#typeBytes
    const type = this.#wireType()
    if (this.at > this.#definitionEnd) throw this.#tooManyTypeBytes()
    this.#typeBytes += this.at - from
    this.types.set(id, type)
    this.fresh.push(id)
  }

  /** Forgets what was defined since the value at hand began, before it is read once more. */
  undefine(bytesOfTypes: number): void {
    for (const id of this.fresh) this.types.delete(id)
    this.fresh.length = 0
    this.#typeBytes = bytesOfTypes
  }

  get typeBytes(): number {
    return this.#typeBytes
  }

  #wireType(): WireType {
    const which = this.count()
    if (which < 1 || which > 7) throw this.malformed(`a definition of kind ${which}`)
    let name = ''
    let elem = 0
    let key = 0
    let length = 0
    let fields: { name: string; id: number }[] = []
    for (let field = -1, delta: number; (delta = this.count()) !== 0; ) {
      field += delta
      if (field === 0) name = this.#common()
      else if (which === 3 && field === 1) fields = this.#fields()
      else if ((which === 1 || which === 2) && field === 1) elem = this.typeId()
      else if (which === 1 && field === 2) length = this.int()
      else if (which === 4 && field === 1) key = this.typeId()
      else if (which === 4 && field === 2) elem = this.typeId()
      else throw this.malformed(`a definition with a field ${field}`)
    }
    if (this.count() !== 0) throw this.malformed('a definition of two kinds')
    const common = { name, plans: new Map(), closed: undefined }
    switch (which) {
      case 1:
        if (length < 0) throw this.malformed(`an array of ${length} elements`)
        return { kind: 'array', elem, length, ...common }
      case 2:
        return { kind: 'slice', elem, ...common }
      case 3:
        return { kind: 'struct', fields, ...common }
      case 4:
        return { kind: 'map', key, elem, ...common }
      default:
        return { kind: 'opaque', wire: which as 5 | 6 | 7, ...common, closed: true }
    }
  }

  #common(): string {
    let name = ''
    for (let field = -1, delta: number; (delta = this.count()) !== 0; ) {
      field += delta
      if (field === 0) name = this.#definedName()
      else if (field === 1) this.typeId()
      else throw this.malformed(`a type's name with a field ${field}`)
    }
    return name
  }

  /** A name in a definition. All that a definition makes us keep has one, so its limit holds here, before anything is kept. */
  #definedName(): string {
    const { at } = this
    if (this.length() + this.at > this.#definitionEnd) throw this.#tooManyTypeBytes()
    this.at = at
    return this.string()
  }

  #tooManyTypeBytes(): Fault {
    return limitFault('bytes of types (maxTypeBytes)', this.limits.maxTypeBytes, true)
  }

  #fields(): { name: string; id: number }[] {
    const count = this.count()
    if (count > this.end - this.at) throw this.malformed(`${count} fields announced, ${this.end - this.at} bytes left`)
    const fields: { name: string; id: number }[] = []
    for (let i = 0; i < count; i++) {
      let name = ''
      let id = 0
      for (let field = -1, delta: number; (delta = this.count()) !== 0; ) {
        field += delta
        if (field === 0) name = this.#definedName()
        else if (field === 1) id = this.typeId()
        else throw this.malformed(`the field of a struct with a field ${field}`)
      }
      if (name === '') throw this.malformed('the field of a struct without a name')
      fields.push({ name, id })
    }
    return fields
  }
}

function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if ((bytes[i] as number) > 0x7f) return false
  return true
}

function spell(bytes: Uint8Array, from: number, to: number): string {
  let text = ''
  for (let i = from; i < to; i++) text += fromCharCode(bytes[i] as number)
  return text
}

/** Node's own, without the checks of `toString`, where the runtime has it. Both put U+FFFD for what is not UTF-8. */
const utf8Slice: (bytes: Buffer, from: number, to: number) => string =
  typeof (Buffer.prototype as RawBuffer).utf8Slice === 'function'
    ? (bytes, from, to) => (bytes as Required<RawBuffer>).utf8Slice(from, to)
    : (bytes, from, to) => bytes.toString('utf8', from, to)

const latin1Slice: (bytes: Buffer, from: number, to: number) => string =
  typeof (Buffer.prototype as RawBuffer).latin1Slice === 'function'
    ? (bytes, from, to) => (bytes as Required<RawBuffer>).latin1Slice(from, to)
    : (bytes, from, to) => bytes.toString('latin1', from, to)
