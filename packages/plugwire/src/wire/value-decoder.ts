// Bytes to values. Source: docs/protocol-values.md. Trusts nothing it reads: lengths are compared with what is there before memory is taken.
//
// The class has TypeScript-private members instead of `#` ones: generated code (shapes.ts) calls into it, and private methods check
// their receiver at each call, which costs about 5 % of a record of 500 bytes.

import { PluginError } from '../errors.ts'
import { latin1Slice, littleEndian, nothing, nothingView, pooled, swapped, utf8Slice } from './platform.ts'
import { defineField, type FieldReader, fitsShape, type Plan, planFor } from './shapes.ts'
import type { ErrorValue, ReferenceReader, ValueLimits } from './value-references.ts'
import {
  ALL_ERROR_PARTS,
  DATA_VIEW,
  ERROR_KEYS,
  ERROR_WEIGHT,
  ErrorPart,
  LOW_SHAPE,
  MAX_LOW_SHAPE,
  MAX_SHORT_ARRAY,
  MAX_SHORT_STRING,
  maxContainers,
  SHORT_ARRAY,
  SHORT_STRING,
  Tag,
  VIEW_KINDS,
} from './value-tags.ts'

/** Bytes of one window over short strings. A string that is kept may keep its window alive, so it is small. */
const WINDOW = 2048
/** A larger input is let go of as soon as it is decoded. */
const MAX_KEPT_INPUT = 1024 * 1024
/** Bytes of a byte array copied by a loop: making a view of them costs more. */
const LOOP_BYTES = 24
/** Up to this size memory for a byte array comes from the JavaScript heap and is cheap. */
const MAX_HEAP_BYTES = 64
/** Up to this size, and beyond the other, it is a part of Buffer's pool: memory of its own would cost four times as much as the copy. */
const MAX_POOLED_BYTES = 2048

/**
 * Decodes the values of one direction of a connection, in the order in which they were encoded.
 *
 * After it has thrown it must not be used again: shapes that were defined behind the failure are unknown to it.
 */
export class ValueDecoder implements FieldReader {
  /** After `decodeNext`: where the value ended. */
  position = 0
  /** Levels open; for generated code. */
  depth = 0

  private readonly references: ReferenceReader | undefined
  private readonly maxDepth: number
  private readonly maxValueBytes: number
  private readonly maxShapes: number
  private readonly maxContainers: number
  private readonly shapes: Plan[] = []
  private bytes: Buffer = nothing
  private view: DataView = nothingView
  private start = 0
  private end = 0
  private owned = false
  private containers = 0
  // A stretch of the input as one string, of which short strings are cut: one call into the platform for many of them.
  private window = ''
  private windowStart = 0
  private windowEnd = 0

  constructor(limits: ValueLimits, references?: ReferenceReader) {
    this.references = references
    this.maxDepth = limits.maxDepth
    this.maxValueBytes = limits.maxValueBytes
    this.maxShapes = Math.min(limits.maxShapes, 0x10000)
    this.maxContainers = maxContainers(limits.maxValueBytes)
  }

  /**
   * Decodes the one value in `bytes[start, end)`. Nothing of the result refers to `bytes`, unless `owned`.
   *
   * @param owned `bytes` belongs to the value from now on: a byte array that is most of it is not copied, but a view of it.
   * @throws PluginError `ERR_VALUE_MALFORMED`, with the offset counted from `start`, when the bytes are not exactly one value or pass a
   *   limit; and what the reference reader throws.
   */
  decode(bytes: Buffer, start: number, end: number, owned = false): unknown {
    this.owned = owned
    const value = this.decodeNext(bytes, start, end)
    if (this.position !== end) this.fail(`${end - this.position} bytes behind the value`, this.position)
    return value
  }

  /** Decodes the value that begins at `start`; `position` then says where it ended, at most at `end`. */
  decodeNext(bytes: Buffer, start: number, end: number): unknown {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    this.start = start
    this.position = start
    this.end = end
    this.depth = 0
    this.containers = 0
    this.windowEnd = -1
    try {
      const value = this.readValue()
      if (this.position - start > this.maxValueBytes) this.fail(`more than ${this.maxValueBytes} bytes`, this.maxValueBytes + start)
      return value
    } catch (failure) {
      // Deeper than the stack, or larger than the platform's collections can be.
      if (failure instanceof RangeError) this.fail(`too deep or too large for this process (${failure.message})`, this.position)
      throw failure
    } finally {
      // The memory of a large message must not be held until the next one.
      if (bytes.length > MAX_KEPT_INPUT || this.owned) {
        this.owned = false
        this.bytes = nothing
        this.view = nothingView
      }
    }
  }

  // ---- for generated code

  enter(): void {
    if (++this.depth > this.maxDepth) this.fail(`nested deeper than ${this.maxDepth} levels`, this.position)
    if (++this.containers > this.maxContainers) this.tooMany()
  }

  readValue(): unknown {
    const position = this.position
    if (position >= this.end) this.short(position)
    const tag = this.bytes[position] as number
    this.position = position + 1
    if (tag < SHORT_STRING) return tag
    if (tag < SHORT_ARRAY) return this.readShortString(tag & MAX_SHORT_STRING)
    if (tag >= LOW_SHAPE) return this.readShape(tag & MAX_LOW_SHAPE)
    if (tag <= (SHORT_ARRAY | MAX_SHORT_ARRAY)) return this.readArray(tag & MAX_SHORT_ARRAY)
    // The rest by frequency; what is rare is kept out, so that this stays small enough for the compiler.
    if (tag === Tag.true) return true
    if (tag === Tag.false) return false
    if (tag === Tag.int32) {
      if (position + 5 > this.end) this.short(position)
      this.position = position + 5
      return this.view.getInt32(position + 1)
    }
    if (tag === Tag.float64) {
      if (position + 9 > this.end) this.short(position)
      this.position = position + 9
      return this.view.getFloat64(position + 1)
    }
    return this.readTagged(tag)
  }

  // ---- kinds of values

  private readShape(id: number): object {
    if (id >= this.shapes.length) this.fail(`shape ${id} is not defined`, this.position - 1)
    return (this.shapes[id] as Plan).read(this)
  }

  private readShortString(length: number): string {
    const from = this.position
    const to = from + length
    if (to > this.end) this.short(from)
    this.position = to
    const bytes = this.bytes as ArrayLike<number> as readonly [number, number, number, number, number]
    switch (length) {
      case 0:
        return ''
      case 1:
        return fromCharCode(bytes[from] as number)
      case 2:
        return fromCharCode(bytes[from] as number, bytes[from + 1] as number)
      case 3:
        return fromCharCode(bytes[from] as number, bytes[from + 1] as number, bytes[from + 2] as number)
      case 4:
        return fromCharCode(bytes[from] as number, bytes[from + 1] as number, bytes[from + 2] as number, bytes[from + 3] as number)
      case 5:
        return fromCharCode(
          bytes[from] as number,
          bytes[from + 1] as number,
          bytes[from + 2] as number,
          bytes[from + 3] as number,
          bytes[from + 4] as number,
        )
      default:
        return this.cut(from, to)
    }
  }

  private readLatin1(length: number): string {
    const from = this.take(length)
    return length < WINDOW / 4 ? this.cut(from, from + length) : latin1Slice(this.bytes, from, from + length)
  }

  /** A short string by way of the window. */
  private cut(from: number, to: number): string {
    if (to > this.windowEnd) {
      // Hardly anything left that a window would serve.
      if (this.end - from < 48) return latin1Slice(this.bytes, from, to)
      this.windowStart = from
      this.windowEnd = Math.min(this.end, from + WINDOW)
      this.window = latin1Slice(this.bytes, from, this.windowEnd)
    }
    return this.window.slice(from - this.windowStart, to - this.windowStart)
  }

  private readArray(length: number): unknown[] {
    this.enter()
    // Every item has a byte at least: a length that cannot be true fails before anything is allocated for it.
    if (length > this.end - this.position) this.short(this.position)
    if (length === 1 && this.bytes[this.position] !== Tag.hole) {
      // Arguments are nearly always this. Growing an empty array makes room for seventeen.
      const single = [this.readValue()]
      this.depth--
      return single
    }
    const array: unknown[] = []
    for (let index = 0; index < length; index++) {
      // A hole is an item and no value.
      if (this.bytes[this.position] === Tag.hole && this.position < this.end) {
        this.position++
        array.length++
      } else {
        array.push(this.readValue())
      }
    }
    this.depth--
    return array
  }

  /** @param alone The result's memory must not be shared with anything. */
  private readBytes(length: number, alone: boolean): Uint8Array {
    const from = this.take(length)
    const bytes = this.bytes
    if (length > LOOP_BYTES) {
      const source = new Uint8Array(bytes.buffer, bytes.byteOffset + from, length)
      // Most of it: whoever keeps the array keeps at most twice its size.
      if (this.owned && !alone && length > MAX_POOLED_BYTES && length * 2 >= bytes.length) return source
      // A copy of a view: its memory is not filled with zeros first.
      if (alone || length > MAX_POOLED_BYTES || length <= MAX_HEAP_BYTES) return new Uint8Array(source)
      const piece = pooled(length)
      piece.set(source)
      return piece
    }
    const copy = new Uint8Array(length)
    for (let index = 0; index < length; index++) copy[index] = bytes[from + index] as number
    return copy
  }

  private readTagged(tag: number): unknown {
    switch (tag) {
      case Tag.null:
        return null
      case Tag.undefined:
        return undefined
      case Tag.latin1:
        return this.readLatin1(this.readLength())
      case Tag.utf8: {
        const length = this.readLength()
        const from = this.take(length)
        return utf8Slice(this.bytes, from, from + length)
      }
      case Tag.bytes:
        if (++this.containers > this.maxContainers) this.tooMany()
        return this.readBytes(this.readLength(), false)
      case Tag.array:
        return this.readArray(this.readLength())
      case Tag.shape: {
        const from = this.take(2)
        return this.readShape(this.view.getUint16(from))
      }
      case Tag.shapeDefinition:
        return this.readDefinition()
      case Tag.object:
        return this.readObject()
      case Tag.map:
        return this.readMap()
      case Tag.set:
        return this.readSet()
      case Tag.date: {
        const from = this.take(8)
        if (++this.containers > this.maxContainers) this.tooMany()
        return new Date(this.view.getFloat64(from))
      }
      case Tag.bigint:
        return this.readBigInt()
      case Tag.regexp: {
        this.enter()
        const at = this.position - 1
        const source = this.readText('source of a regular expression')
        const flags = this.readText('flags of a regular expression')
        this.depth--
        try {
          return new RegExp(source, flags)
        } catch {
          return this.fail('not a regular expression', at)
        }
      }
      case Tag.error:
        return this.readError()
      case Tag.typedArray:
        return this.readView()
      case Tag.arrayBuffer: {
        this.enter()
        if (this.position >= this.end) this.short(this.position)
        if (this.bytes[this.position++] !== Tag.bytes) this.fail('an array buffer without bytes', this.position - 1)
        const { buffer } = this.readBytes(this.readLength(), true)
        this.depth--
        return buffer
      }
      case Tag.url: {
        this.enter()
        const at = this.position - 1
        const href = this.readText('URL')
        this.depth--
        try {
          return new URL(href)
        } catch {
          return this.fail('not a URL', at)
        }
      }
      case Tag.utf16: {
        const length = this.readLength()
        if (length % 2 !== 0) this.fail('half a code unit', this.position - 4)
        const from = this.take(length)
        return this.bytes.toString('utf16le', from, from + length)
      }
      case Tag.reference:
        return this.readReference()
      case Tag.hole:
        return this.fail('a hole outside of an array', this.position - 1)
      default:
        return this.fail(`unknown tag 0x${tag.toString(16)}`, this.position - 1)
    }
  }

  private readDefinition(): object {
    const at = this.position - 1
    const id = this.view.getUint16(this.take(2))
    if (id !== this.shapes.length) this.fail(`shape ${id} defined out of order`, at)
    if (id >= this.maxShapes) this.fail(`more than ${this.maxShapes} shapes`, at)
    // The list of keys is read apart from the levels of the object itself.
    const keys: unknown = this.readValue()
    if (!Array.isArray(keys) || !keys.every(isString) || Object.keys(keys).length !== keys.length)
      this.fail('keys of a shape that are not strings', at)
    const names = keys as string[]
    if (!fitsShape(names)) this.fail('a shape with too many or too long keys', at)
    if (new Set(names).size !== names.length) this.fail('a shape with the same key twice', at)
    const plan = planFor(names)
    this.shapes.push(plan)
    return plan.read(this)
  }

  private readObject(): object {
    const count = this.readLength()
    this.enter()
    if (count > (this.end - this.position) / 2) this.short(this.position)
    const object: Record<string, unknown> = {}
    for (let index = 0; index < count; index++) {
      const at = this.position
      const key = this.readText('key')
      if (key in object) {
        if (Object.hasOwn(object, key)) this.fail('an object with the same key twice', at)
        defineField(object, key, this.readValue())
      } else {
        object[key] = this.readValue()
      }
    }
    this.depth--
    return object
  }

  private readMap(): Map<unknown, unknown> {
    const count = this.readCount(2)
    const map = new Map<unknown, unknown>()
    for (let index = 0; index < count; index++) {
      const key = this.readValue()
      map.set(key, this.readValue())
    }
    this.depth--
    return map
  }

  private readSet(): Set<unknown> {
    const count = this.readCount(1)
    const set = new Set<unknown>()
    for (let index = 0; index < count; index++) set.add(this.readValue())
    this.depth--
    return set
  }

  /** Entries of a map or set, each of so many bytes at least. */
  private readCount(bytes: number): number {
    const count = this.readLength()
    this.enter()
    if (count > (this.end - this.position) / bytes) this.short(this.position)
    this.containers += count
    if (this.containers > this.maxContainers) this.tooMany()
    return count
  }

  private readBigInt(): bigint {
    if (++this.containers > this.maxContainers) this.tooMany()
    const at = this.take(1)
    const sign = this.bytes[at] as number
    if (sign > 1) this.fail('sign of a bigint that is neither 0 nor 1', at)
    const length = this.readLength()
    if (length === 0) return 0n
    const from = this.take(length)
    let magnitude: bigint
    try {
      magnitude = BigInt(`0x${this.bytes.toString('hex', from, from + length)}`)
    } catch {
      return this.fail('a bigint larger than this process can hold', from)
    }
    return sign === 1 ? -magnitude : magnitude
  }

  private readView(): ArrayBufferView {
    if (++this.containers > this.maxContainers) this.tooMany()
    const at = this.take(1)
    const kind = this.bytes[at] as number
    const name = VIEW_KINDS[kind]
    const View = name === undefined ? undefined : (globalThis as unknown as Record<string, ViewConstructor | undefined>)[name]
    if (View === undefined) this.fail(`unknown typed array ${kind}`, at)
    const size = View?.BYTES_PER_ELEMENT ?? 1
    const length = this.readLength()
    if (length % size !== 0) this.fail('a part of an element', at)
    const memory = this.readBytes(length, true)
    const ordered = littleEndian || kind === DATA_VIEW ? memory : swapped(memory, size)
    return new (View as ViewConstructor)(ordered.buffer as ArrayBuffer)
  }

  private readError(): unknown {
    this.containers += ERROR_WEIGHT - 1
    this.enter()
    const at = this.take(1)
    const parts = this.bytes[at] as number
    if (parts > ALL_ERROR_PARTS) this.fail('unknown parts of an error', at)
    const name = this.readText('name of an error')
    const message = this.readText('message of an error')
    const error: { -readonly [K in keyof ErrorValue]: ErrorValue[K] } = { name, message, stack: undefined, data: {} }
    if (parts & ErrorPart.stack) error.stack = this.readText('stack of an error')
    if (parts & ErrorPart.cause) error.cause = this.readValue()
    if (parts & ErrorPart.errors) {
      const errors = this.readValue()
      if (!Array.isArray(errors)) this.fail('errors that are no array', at)
      error.errors = errors as unknown[]
    }
    if (parts & ErrorPart.data) {
      const from = this.position
      const tag = from < this.end ? (this.bytes[from] as number) : 0
      if (tag < LOW_SHAPE && tag !== Tag.shape && tag !== Tag.shapeDefinition && tag !== Tag.object)
        this.fail('data of an error that are no object', from)
      error.data = this.readValue() as Record<string, unknown>
    }
    this.depth--
    return this.references?.error === undefined ? errorOf(error) : this.references.error(error)
  }

  private readReference(): unknown {
    const at = this.position - 1
    this.enter()
    const from = this.take(5)
    const kind = this.bytes[from] as number
    const id = this.view.getUint32(from + 1)
    const detail = this.readValue()
    this.depth--
    if (this.references === undefined) return this.fail('a reference where none may be', at)
    return this.references.read(kind, id, detail)
  }

  // ---- parts

  private readText(what: string): string {
    const at = this.position
    const text = this.readValue()
    if (typeof text !== 'string') this.fail(`${what} that is no string`, at)
    return text as string
  }

  private readLength(): number {
    return this.view.getUint32(this.take(4))
  }

  /** Steps over so many bytes and returns where they begin. */
  private take(bytes: number): number {
    const from = this.position
    if (bytes > this.end - from) this.short(from)
    this.position = from + bytes
    return from
  }

  private tooMany(): never {
    return this.fail(`more than ${this.maxContainers} objects, arrays and entries`, this.position)
  }

  private short(position: number): never {
    return this.fail('the value ends too early', position)
  }

  private fail(reason: string, position: number): never {
    throw new PluginError('ERR_VALUE_MALFORMED', { reason, offset: position - this.start })
  }
}

interface ViewConstructor {
  readonly BYTES_PER_ELEMENT?: number
  new (buffer: ArrayBuffer): ArrayBufferView
}

const fromCharCode = String.fromCharCode
const isString = (value: unknown): value is string => typeof value === 'string'

const errorClasses: ReadonlyMap<string, ErrorConstructor> = new Map([
  ['EvalError', EvalError],
  ['RangeError', RangeError],
  ['ReferenceError', ReferenceError],
  ['SyntaxError', SyntaxError],
  ['TypeError', TypeError],
  ['URIError', URIError],
] as [string, ErrorConstructor][])

/** An error of this process that looks like the one that was sent. */
function errorOf(facts: ErrorValue): Error {
  // The stack is the sender's; finding out ours would take longer than all the rest. `Reflect`, as it may be frozen.
  const { stackTraceLimit } = Error
  Reflect.set(Error, 'stackTraceLimit', 0)
  const error =
    facts.errors !== undefined
      ? new AggregateError(facts.errors, facts.message)
      : new (errorClasses.get(facts.name) ?? Error)(facts.message)
  Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  const hidden = (key: string, value: unknown): unknown => Object.defineProperty(error, key, { value, writable: true, configurable: true })
  if (error.name !== facts.name) hidden('name', facts.name)
  hidden('stack', facts.stack ?? `${facts.name}: ${facts.message}`)
  if ('cause' in facts) hidden('cause', facts.cause)
  for (const key of Object.keys(facts.data)) if (!ERROR_KEYS.has(key)) defineField(error, key, facts.data[key])
  return error
}
