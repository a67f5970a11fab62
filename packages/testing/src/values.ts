// Values as docs/protocol-values.md writes them, as far as somebody needs them who speaks the protocol by hand. Written from the page
// alone: a mistake in plugwire's own encoder must not be repeated here.

/** A value by reference (first byte d8), in either direction. */
export interface ReferenceValue {
  readonly kind: number
  readonly id: number
  readonly detail: unknown
}

const references = new WeakSet<object>()

/** Makes a reference that `encodeValue` writes as one. */
export function referenceValue(kind: number, id: number, detail?: unknown): ReferenceValue {
  const reference: ReferenceValue = { kind, id, detail }
  references.add(reference)
  return reference
}

/** True for what `referenceValue` made and for what came as a reference; a plain object of the same form is none. */
export const isReferenceValue = (value: unknown): value is ReferenceValue =>
  typeof value === 'object' && value !== null && references.has(value)

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/**
 * Encodes JSON, undefined, bytes and references. Shapes are never defined: objects travel with their keys.
 *
 * @throws TypeError for everything else.
 */
export function encodeValue(value: unknown): Buffer {
  if (value === undefined) return Buffer.of(0xc1)
  if (value === null) return Buffer.of(0xc0)
  if (typeof value === 'boolean') return Buffer.of(value ? 0xc3 : 0xc2)
  if (typeof value === 'number') return encodeNumber(value)
  if (typeof value === 'string') return Buffer.concat([Buffer.of(0xc7), u32(Buffer.byteLength(value)), Buffer.from(value)])
  if (value instanceof Uint8Array) return Buffer.concat([Buffer.of(0xc8), u32(value.length), value])
  if (Array.isArray(value)) return Buffer.concat([Buffer.of(0xc9), u32(value.length), ...value.map(encodeValue)])
  if (isReferenceValue(value)) return Buffer.concat([Buffer.of(0xd8, value.kind), u32(value.id), encodeValue(value.detail)])
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} has no place here`)
  const fields = Object.entries(value)
  return Buffer.concat([Buffer.of(0xce), u32(fields.length), ...fields.flat().map(encodeValue)])
}

function encodeNumber(value: number): Buffer {
  if (Number.isInteger(value) && value >= 0 && value <= 127 && !Object.is(value, -0)) return Buffer.of(value)
  const isInt32 = Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0)
  const bytes = Buffer.alloc(isInt32 ? 5 : 9, isInt32 ? 0xc4 : 0xc5)
  if (isInt32) bytes.writeInt32BE(value, 1)
  else bytes.writeDoubleBE(value, 1)
  return bytes
}

/** The lists of keys that one direction has defined so far. */
export type Shapes = string[][]

/** What came is no value. */
export class ValueFault extends Error {}

const MAX_DEPTH = 500
const MAX_SHAPES = 65_536
/** Bytes of the elements by kind of a typed array. */
const elementBytes = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 1, 2]

/** Reads values from one message. */
export class ValueReader {
  readonly #bytes: Buffer
  readonly #shapes: Shapes
  #at: number

  constructor(bytes: Buffer, at: number, shapes: Shapes) {
    this.#bytes = bytes
    this.#at = at
    this.#shapes = shapes
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** @throws ValueFault when the bytes are malformed. */
  value(depth = 0): unknown {
    if (depth > MAX_DEPTH) throw this.#fault(`nested more than ${MAX_DEPTH} deep`)
    const tag = this.#u8()
    const next = (): unknown => this.value(depth + 1)
    if (tag <= 0x7f) return tag
    if (tag <= 0x9f) return this.#take(tag - 0x80).toString('latin1')
    if (tag <= 0xaf) return this.#array(tag - 0xa0, next)
    if (tag >= 0xe0) return this.#shaped(tag - 0xe0, next)
    switch (tag) {
      case 0xc0:
        return null
      case 0xc1:
        return undefined
      case 0xc2:
      case 0xc3:
        return tag === 0xc3
      case 0xc4:
        return this.#take(4).readInt32BE()
      case 0xc5:
        return this.#take(8).readDoubleBE()
      case 0xc6:
        return this.#counted().toString('latin1')
      case 0xc7:
        return this.#counted().toString('utf8')
      case 0xc8:
        return this.#counted()
      case 0xc9:
        return this.#array(this.#count(), next)
      case 0xca:
        return this.#shaped(this.#u16(), next)
      case 0xcb:
        return this.#definition(next)
      case 0xcc:
        return new Map(this.#times(this.#count(), () => [next(), next()] as const))
      case 0xcd:
        return new Set(this.#times(this.#count(), next))
      case 0xce:
        return this.#object(this.#count(), next)
      case 0xcf:
        return new Date(this.#take(8).readDoubleBE())
      case 0xd0:
        return this.#bigint()
      case 0xd1:
        return { source: this.#text(next), flags: this.#text(next) }
      case 0xd2:
        return this.#error(next)
      case 0xd3:
        return this.#typedArray()
      case 0xd4:
        return next()
      case 0xd5:
        return this.#text(next)
      case 0xd7:
        return this.#counted().toString('utf16le')
      case 0xd8:
        return referenceValue(this.#u8(), this.#take(4).readUInt32BE(), next())
      default:
        throw this.#fault(`no value begins with ${tag.toString(16)}`)
    }
  }

  /** @throws ValueFault when something is left. */
  end(): void {
    if (this.left > 0) throw this.#fault(`${this.left} bytes too many`)
  }

  #fault(reason: string): ValueFault {
    return new ValueFault(`${reason}, at byte ${this.#at}`)
  }

  #take(count: number): Buffer {
    if (count > this.left) throw this.#fault(`${count} bytes announced, ${this.left} there`)
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  #u8(): number {
    return this.#take(1).readUInt8()
  }

  #u16(): number {
    return this.#take(2).readUInt16BE()
  }

  /** A number of things that take at least a byte each. */
  #count(): number {
    const count = this.#take(4).readUInt32BE()
    if (count > this.left) throw this.#fault(`${count} items announced, ${this.left} bytes there`)
    return count
  }

  #counted(): Buffer {
    return this.#take(this.#take(4).readUInt32BE())
  }

  #times<T>(count: number, next: () => T): T[] {
    if (count > this.left) throw this.#fault(`${count} items announced, ${this.left} bytes there`)
    return Array.from({ length: count }, next)
  }

  #array(count: number, next: () => unknown): unknown[] {
    return this.#times(count, () => {
      if (this.#bytes[this.#at] !== 0xd6) return next()
      this.#at++
      return undefined
    })
  }

  #text(next: () => unknown): string {
    const text = next()
    if (typeof text !== 'string') throw this.#fault('a string is due')
    return text
  }

  #keys(keys: unknown): string[] {
    if (!Array.isArray(keys) || !keys.every(key => typeof key === 'string')) throw this.#fault('keys are an array of strings')
    if (new Set(keys).size < keys.length) throw this.#fault('a key twice')
    return keys
  }

  #definition(next: () => unknown): unknown {
    const id = this.#u16()
    if (id !== this.#shapes.length || id >= MAX_SHAPES) throw this.#fault(`shape ${id} defined, ${this.#shapes.length} is due`)
    const keys = this.#keys(next())
    if (keys.length > 64) throw this.#fault('a shape of more than 64 keys')
    this.#shapes.push(keys)
    return this.#shaped(id, next)
  }

  #shaped(id: number, next: () => unknown): unknown {
    const keys = this.#shapes[id]
    if (keys === undefined) throw this.#fault(`shape ${id} was never defined`)
    return Object.fromEntries(keys.map(key => [key, next()]))
  }

  #object(count: number, next: () => unknown): unknown {
    const fields = this.#times(count, () => [this.#text(next), next()] as const)
    this.#keys(fields.map(([key]) => key))
    return Object.fromEntries(fields)
  }

  #bigint(): bigint {
    const sign = this.#u8()
    if (sign > 1) throw this.#fault(`the sign ${sign}`)
    const magnitude = this.#counted().toString('hex')
    const value = magnitude === '' ? 0n : BigInt(`0x${magnitude}`)
    return sign === 1 ? -value : value
  }

  #error(next: () => unknown): Error {
    const parts = this.#u8()
    if (parts > 15) throw this.#fault('unknown parts of an error')
    const name = this.#text(next)
    const error = Object.assign(new Error(this.#text(next)), { name })
    if (parts & 1) error.stack = this.#text(next)
    if (parts & 2) error.cause = next()
    if (parts & 4) Object.assign(error, { errors: next() })
    if (parts & 8) Object.assign(error, { data: next() })
    return error
  }

  #typedArray(): Buffer {
    const size = elementBytes[this.#u8()]
    if (size === undefined) throw this.#fault('an unknown kind of typed array')
    const bytes = this.#counted()
    if (bytes.length % size !== 0) throw this.#fault(`${bytes.length} bytes are no multiple of ${size}`)
    return bytes
  }
}
