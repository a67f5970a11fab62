// Values on the wire of plugwire's own protocol: JavaScript values to bytes and back. Source: docs/protocol-values.md.
// Knows bytes and values; what a reference means (a function, a stream, a signal) is told by the layer above.
//
// The classes here have TypeScript-private members instead of `#` ones: generated code (shapes.ts) calls into them, and private
// methods check their receiver at each call.

import { PluginError } from '../errors.ts'
import { ATTACH_BYTES, type Mark, type Outbox } from './outbox.ts'
import { type FieldReader, type FieldWriter, type Plan, ShapeTable, type ShapeNode, defineField, fitsShape, planFor } from './shapes.ts'
import { Kind, describe, hasLife, isPlain, kindOf } from './value-kinds.ts'
import { type Place, findEndless, findSubject, findThrowing } from './value-path.ts'
import {
  ALL_ERROR_PARTS,
  ErrorPart,
  LOW_SHAPE,
  MAX_LOW_SHAPE,
  MAX_SHORT_ARRAY,
  MAX_SHORT_STRING,
  SHORT_ARRAY,
  SHORT_STRING,
  Tag,
  VIEW_KINDS,
  maxContainers,
} from './value-tags.ts'

/** What the codec needs of the connection's limits. */
export interface ValueLimits {
  /** Levels of nesting. */
  readonly maxDepth: number
  /** Bytes of one encoded value. */
  readonly maxValueBytes: number
  /** Shapes that may be defined, at most 65_536. */
  readonly maxShapes: number
}

/** Decides what travels by reference. */
export interface ReferenceWriter {
  /**
   * Called for every function and for every object that is not plain data: class instances, objects of the platform, and whatever
   * carries (own or inherited) `Symbol.asyncIterator`, `Symbol.asyncDispose`, `Symbol.dispose` or `BY_REFERENCE`.
   *
   * Calls `encoder.writeReference` exactly once and returns true; or returns false, and the codec sends the object as data or
   * refuses it. What it throws as a `PluginError` is thrown by `encode` unchanged. When a later part of the value fails,
   * what it has registered is its own to undo.
   */
  write(value: object, encoder: ValueEncoder): boolean
}

/** Makes what references stand for. Must not use the decoder that calls it. */
export interface ReferenceReader {
  /** Called for each reference. `kind` 0-255, `id` unsigned 32 bits, `detail` undefined when the sender gave none. */
  read(kind: number, id: number, detail: unknown): unknown
  /** Called for each error; without it errors arrive as objects of the platform's classes, by name. */
  error?(error: ErrorValue): unknown
}

/** An error as it came over the wire. */
export interface ErrorValue {
  readonly name: string
  readonly message: string
  /** The sender's stack, if it had one. */
  readonly stack: string | undefined
  /** Absent when the error has no cause; a cause may be any value. */
  readonly cause?: unknown
  /** The errors of an `AggregateError`. */
  readonly errors?: readonly unknown[]
  /** The error's own enumerable properties, such as `code`. */
  readonly data: Readonly<Record<string, unknown>>
}

/** Thrown by `encode` (as it is, not an error) when the value passes `softCapBytes`. */
export const TOO_LONG: unique symbol = Symbol('value passes the soft cap')

/** Room that is always there when a value begins: more than any head and any short string. */
const HEADROOM = 64
/** Code units up to which strings are written by a loop; a call into the platform costs about as much as this. */
const LOOP_UNITS = 59
/** Code units from which a string is encoded into memory of its own, instead of reserving three bytes for each unit. */
const LONG_STRING = 16 * 1024
/** Bytes of a byte array copied by a loop. */
const LOOP_BYTES = 24

/** Why a value cannot be encoded. Thrown inside the encoder only; `encode` makes a `PluginError` with a path of it. */
class Refusal {
  readonly why: 'unsupported' | 'depth' | 'size' | 'changed'
  readonly subject: unknown
  readonly remedy: string
  readonly bytes: number

  constructor(why: Refusal['why'], subject: unknown, remedy = '', bytes = 0) {
    this.why = why
    this.subject = subject
    this.remedy = remedy
    this.bytes = bytes
  }
}

/**
 * Encodes the values of one direction of a connection, in the order in which they will be decoded.
 *
 * It remembers which shapes the peer knows. So the bytes of an `encode` that succeeded must be sent; what failed has left nothing.
 */
export class ValueEncoder implements FieldWriter {
  /**
   * Bytes of one value, attached byte arrays included, after which `encode` gives up with `TOO_LONG`. 0 (the default): no cap.
   */
  softCapBytes = 0
  /** Levels open; for generated code. */
  depth = 0

  private readonly references: ReferenceWriter | undefined
  private readonly maxDepth: number
  private readonly maxValueBytes: number
  private readonly maxContainers: number
  private readonly shapes: ShapeTable
  private out: Outbox | null = null
  // The outbox's current buffer; here as well because every byte goes through them. Written back before the outbox is asked for anything.
  private bytes: Buffer = nothing
  private view: DataView = nothingView
  private position = 0
  /** Beyond this position the buffer or the limit may be exhausted. */
  private high = 0
  /** `out.length` when the value began, and at most. */
  private floor = 0
  private ceiling = 0
  private containers = 0
  private offered: unknown = undefined
  private mark: Mark | undefined = undefined

  constructor(limits: ValueLimits, references?: ReferenceWriter) {
    this.references = references
    this.maxDepth = limits.maxDepth
    this.maxValueBytes = limits.maxValueBytes
    this.maxContainers = maxContainers(limits.maxValueBytes)
    this.shapes = new ShapeTable(limits.maxShapes)
  }

  /**
   * True while a value is being encoded. Code of the application may run then (getters, proxies): nothing else may be written to
   * the outbox before `encode` has returned.
   */
  get busy(): boolean {
    return this.out !== null
  }

  /**
   * Encodes one value at the end of `out`. Byte arrays of `ATTACH_BYTES` or more are attached, not copied.
   *
   * When it throws, nothing of the value is left in `out` and no shape of it is known.
   *
   * @param root First word of the path in errors, e.g. `args`.
   * @throws PluginError `ERR_VALUE_UNSUPPORTED`, `_CYCLE`, `_DEPTH`, `_THROWS` or `_TOO_LARGE`; whatever `PluginError` the reference writer threw;
   *   the symbol `TOO_LONG`.
   */
  encode(out: Outbox, value: unknown, root: string): void {
    if (this.out !== null) {
      throw new PluginError('ERR_VALUE_THROWS', { path: root, reason: 'a getter of another value that is being encoded wants to send it' })
    }
    this.shapes.tidy()
    const shapes = this.shapes.size
    const mark = (this.mark = out.mark(this.mark))
    this.out = out
    this.floor = mark.partBytes + mark.position - mark.start
    this.ceiling = this.floor + (this.softCapBytes > 0 ? Math.min(this.softCapBytes, this.maxValueBytes) : this.maxValueBytes)
    this.depth = 0
    this.containers = 0
    this.load(this.floor)
    try {
      this.writeValue(value)
      out.position = this.position
      if (this.position > this.high && out.length > this.ceiling) this.tooLarge(out.length)
    } catch (failure) {
      out.rollback(mark)
      this.shapes.truncate(shapes)
      throw this.explain(failure, value, root)
    } finally {
      this.out = null
      this.offered = undefined
    }
  }

  /** Writes a reference. Only inside `ReferenceWriter.write`. */
  writeReference(kind: number, id: number, detail?: unknown): void {
    this.offered = undefined
    this.open(Tag.reference)
    this.bytes[this.position++] = kind
    this.view.setUint32(this.position, id)
    this.position += 4
    this.writeValue(detail)
    this.depth--
  }

  // ---- for generated code

  writeValue(value: unknown): void {
    if (this.position > this.high) this.room(HEADROOM)
    if (typeof value === 'string') {
      this.writeString(value)
    } else if (typeof value === 'number') {
      this.writeNumber(value)
    } else if (typeof value === 'object') {
      if (value === null) this.bytes[this.position++] = Tag.null
      else if (Array.isArray(value)) this.writeArray(value)
      else if (ArrayBuffer.isView(value)) this.writeView(value)
      else {
        const shapes = this.shapes
        let node = shapes.root
        // `in` also finds inherited keys; but then the object is not plain, which is checked before anything is written.
        for (const key in value) node = node.key === key ? (node.next as ShapeNode) : shapes.step(node, key)
        if (node.plan !== null) node.plan.write(this, value, node.id, false)
        else if (isPlain(value)) this.writeFields(value, Object.keys(value))
        else this.writeForeign(value)
      }
    } else if (typeof value === 'boolean') {
      this.bytes[this.position++] = value ? Tag.true : Tag.false
    } else if (value === undefined) {
      this.bytes[this.position++] = Tag.undefined
    } else {
      this.writeRare(value)
    }
  }

  openShape(id: number): void {
    if (this.position > this.high) this.room(HEADROOM)
    if (++this.depth > this.maxDepth) throw new Refusal('depth', undefined)
    if (++this.containers > this.maxContainers) this.tooMany()
    if (id <= MAX_LOW_SHAPE) {
      this.bytes[this.position++] = LOW_SHAPE | id
    } else {
      const position = this.position
      const bytes = this.bytes
      bytes[position] = Tag.shape
      bytes[position + 1] = id >>> 8
      bytes[position + 2] = id
      this.position = position + 3
    }
  }

  writeForeign(value: object): void {
    const kind = kindOf(value)
    if ((kind === Kind.instance || kind === Kind.platform || hasLife(value)) && this.offer(value)) return
    switch (kind) {
      case Kind.plain:
      case Kind.instance:
        this.writeFields(value, Object.keys(value))
        return
      case Kind.date:
        this.bytes[this.position] = Tag.date
        this.view.setFloat64(this.position + 1, dateTime.call(value as Date))
        this.position += 9
        return
      case Kind.map:
        this.writeMap(value as Map<unknown, unknown>)
        return
      case Kind.set:
        this.writeSet(value as Set<unknown>)
        return
      case Kind.regexp:
        this.open(Tag.regexp)
        this.writeValue((value as RegExp).source)
        this.writeValue((value as RegExp).flags)
        this.depth--
        return
      case Kind.error:
        this.writeError(value as Error)
        return
      case Kind.arrayBuffer: {
        this.open(Tag.arrayBuffer)
        this.writeBytes(new Uint8Array(value as ArrayBuffer))
        this.depth--
        return
      }
      case Kind.url:
        this.open(Tag.url)
        this.writeValue((value as URL).href)
        this.depth--
        return
      case Kind.boxed:
        this.writeValue(value.valueOf())
        return
      case Kind.platform:
        throw new Refusal('unsupported', value, remedyFor(value))
    }
  }

  // ---- kinds of values

  private writeNumber(value: number): void {
    const position = this.position
    // The second half: -0 is not an integer here.
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
      if (value >= 0 && value < 0x80) {
        this.bytes[position] = value
        this.position = position + 1
      } else {
        this.bytes[position] = Tag.int32
        this.view.setInt32(position + 1, value)
        this.position = position + 5
      }
    } else {
      this.bytes[position] = Tag.float64
      this.view.setFloat64(position + 1, value)
      this.position = position + 9
    }
  }

  private writeString(value: string): void {
    const length = value.length
    if (length <= MAX_SHORT_STRING) {
      const bytes = this.bytes
      const start = this.position + 1
      let index = 0
      for (; index < length; index++) {
        const unit = value.charCodeAt(index)
        if (unit > 0xff) break
        bytes[start + index] = unit
      }
      if (index === length) {
        bytes[start - 1] = SHORT_STRING | length
        this.position = start + length
        return
      }
    } else if (length <= LOOP_UNITS) {
      const bytes = this.bytes
      const start = this.position + 5
      let index = 0
      for (; index < length; index++) {
        const unit = value.charCodeAt(index)
        if (unit > 0xff) break
        bytes[start + index] = unit
      }
      if (index === length) {
        this.head(Tag.latin1, length)
        this.position = start + length
        return
      }
    }
    if (length < LONG_STRING) this.writeText(value)
    else this.writeLongText(value)
  }

  private writeText(value: string): void {
    if (this.position + value.length * 3 + HEADROOM > this.high) this.room(value.length * 3 + HEADROOM)
    const length = utf8Write(this.bytes, value, this.position + 5)
    // As many bytes as code units: all of them are ASCII.
    if (length !== value.length && !isWellFormed(value)) {
      this.writeCodeUnits(value)
      return
    }
    this.head(length === value.length ? Tag.latin1 : Tag.utf8, length)
    this.position += length
  }

  private writeLongText(value: string): void {
    this.expect(value.length)
    const text = Buffer.from(value, 'utf8')
    if (text.length !== value.length && !isWellFormed(value)) {
      this.writeCodeUnits(value)
      return
    }
    this.head(text.length === value.length ? Tag.latin1 : Tag.utf8, text.length)
    this.append(text)
  }

  /** A string with half of a surrogate pair: UTF-8 has no bytes for it. */
  private writeCodeUnits(value: string): void {
    this.expect(value.length * 2)
    const units = Buffer.from(value, 'utf16le')
    this.head(Tag.utf16, units.length)
    this.append(units)
  }

  private writeArray(value: readonly unknown[]): void {
    const length = value.length
    this.enter()
    if (length <= MAX_SHORT_ARRAY) {
      this.bytes[this.position++] = SHORT_ARRAY | length
    } else {
      this.expect(length)
      this.head(Tag.array, length)
    }
    for (let index = 0; index < length; index++) {
      const item = value[index]
      if (item === undefined && !(index in value)) {
        if (this.position > this.high) this.room(HEADROOM)
        this.bytes[this.position++] = Tag.hole
      } else {
        this.writeValue(item)
      }
    }
    this.depth--
  }

  private writeView(value: ArrayBufferView): void {
    if (++this.containers > this.maxContainers) this.tooMany()
    // The getter of the platform: a subclass may call itself what it likes, and a view may come from another realm.
    const name = viewName.call(value) ?? 'DataView'
    if (name === 'Uint8Array') {
      this.writeBytes(value as Uint8Array)
      return
    }
    const kind = VIEW_KINDS.indexOf(name)
    if (kind < 0) throw new Refusal('unsupported', value, 'Pass a Uint8Array over the same memory.')
    this.bytes[this.position++] = Tag.typedArray
    this.bytes[this.position++] = kind
    let memory = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    if (!littleEndian && kind !== DATA_VIEW) memory = swapped(memory, (value as unknown as { BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT)
    this.writeLength(memory.length)
    this.append(memory)
  }

  private writeBytes(value: Uint8Array): void {
    this.bytes[this.position++] = Tag.bytes
    this.writeLength(value.length)
    this.append(value)
  }

  /** A plain object or a class instance, by the keys given. */
  private writeFields(value: object, keys: readonly string[]): void {
    const node = this.shapes.find(keys)
    if (node.plan !== null) {
      node.plan.write(this, value, node.id, true)
      return
    }
    this.enter()
    if (this.shapes.wants(node) && fitsShape(keys)) {
      this.shapes.define(node, keys)
      this.bytes[this.position++] = Tag.shapeDefinition
      this.bytes[this.position++] = node.id >>> 8
      this.bytes[this.position++] = node.id
      this.writeValue(keys)
      for (const key of keys) this.writeValue((value as Record<string, unknown>)[key])
    } else {
      this.head(Tag.object, keys.length)
      for (const key of keys) {
        this.writeValue(key)
        this.writeValue((value as Record<string, unknown>)[key])
      }
    }
    this.depth--
  }

  private writeMap(value: Map<unknown, unknown>): void {
    const size = mapSize.call(value)
    this.open(Tag.map)
    this.writeLength(size)
    this.containers += size
    if (this.containers > this.maxContainers) this.tooMany()
    let count = 0
    for (const entry of mapEntries.call(value)) {
      if (++count > size) break
      this.writeValue(entry[0])
      this.writeValue(entry[1])
    }
    if (count !== size) throw new Refusal('changed', value)
    this.depth--
  }

  private writeSet(value: Set<unknown>): void {
    const size = setSize.call(value)
    this.open(Tag.set)
    this.writeLength(size)
    this.containers += size
    if (this.containers > this.maxContainers) this.tooMany()
    let count = 0
    for (const item of setValues.call(value)) {
      if (++count > size) break
      this.writeValue(item)
    }
    if (count !== size) throw new Refusal('changed', value)
    this.depth--
  }

  private writeError(error: Error): void {
    const { name, message, stack, cause } = error
    const errors: unknown = (error as Partial<AggregateError>).errors
    const keys = Object.keys(error).filter(key => !errorKeys.has(key))
    let parts = 0
    if (typeof stack === 'string') parts |= ErrorPart.stack
    if (Object.hasOwn(error, 'cause')) parts |= ErrorPart.cause
    if (Array.isArray(errors)) parts |= ErrorPart.errors
    if (keys.length > 0) parts |= ErrorPart.data
    this.open(Tag.error)
    this.bytes[this.position++] = parts
    this.writeValue(typeof name === 'string' ? name : 'Error')
    this.writeValue(typeof message === 'string' ? message : '')
    if (parts & ErrorPart.stack) this.writeValue(stack)
    if (parts & ErrorPart.cause) this.writeValue(cause)
    if (parts & ErrorPart.errors) this.writeValue(errors)
    if (parts & ErrorPart.data) {
      if (this.position > this.high) this.room(HEADROOM)
      this.writeFields(error, keys)
    }
    this.depth--
  }

  private writeRare(value: unknown): void {
    if (typeof value === 'bigint') {
      this.writeBigInt(value)
    } else if (typeof value === 'function') {
      if (this.offer(value)) return
      throw new Refusal('unsupported', value, 'Functions travel by reference, and here nothing may.')
    } else {
      throw new Refusal('unsupported', value, 'Pass a string instead.')
    }
  }

  private writeBigInt(value: bigint): void {
    const hex = (value < 0n ? -value : value).toString(16)
    const magnitude = value === 0n ? nothing : Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
    if (++this.containers > this.maxContainers) this.tooMany()
    this.bytes[this.position++] = Tag.bigint
    this.bytes[this.position++] = value < 0n ? 1 : 0
    this.writeLength(magnitude.length)
    this.append(magnitude)
  }

  // ---- parts

  /** Tag and unsigned 32-bit number. Room for it is always there. */
  private head(tag: number, length: number): void {
    const position = this.position
    this.bytes[position] = tag
    this.view.setUint32(position + 1, length)
    this.position = position + 5
  }

  private writeLength(length: number): void {
    this.view.setUint32(this.position, length)
    this.position += 4
  }

  private append(bytes: Uint8Array): void {
    const length = bytes.length
    if (length < ATTACH_BYTES && this.position + length <= this.high) {
      if (length <= LOOP_BYTES) for (let index = 0; index < length; index++) this.bytes[this.position + index] = bytes[index] as number
      else this.bytes.set(bytes, this.position)
      this.position += length
      return
    }
    this.expect(length)
    const out = this.out as Outbox
    out.position = this.position
    out.append(bytes)
    this.load(out.length)
  }

  private open(tag: number): void {
    if (this.position > this.high) this.room(HEADROOM)
    this.enter()
    this.bytes[this.position++] = tag
  }

  private enter(): void {
    if (++this.depth > this.maxDepth) throw new Refusal('depth', undefined)
    if (++this.containers > this.maxContainers) this.tooMany()
  }

  private offer(value: object): boolean {
    if (this.references === undefined) return false
    this.offered = value
    const written = this.references.write(value, this)
    this.offered = undefined
    return written
  }

  // ---- room and limits

  private load(length: number): void {
    const out = this.out as Outbox
    this.bytes = out.bytes
    this.view = out.view
    this.position = out.position
    this.high = Math.min(out.bytes.length - HEADROOM, out.position + this.ceiling - length)
  }

  private room(bytes: number): void {
    const out = this.out as Outbox
    out.position = this.position
    const length = out.length
    if (length > this.ceiling) this.tooLarge(length)
    // Twice, so that there is room for one more head before the next look.
    out.reserve(bytes + HEADROOM)
    this.load(length)
  }

  /** Fails at once when so many more bytes cannot fit the limit. */
  private expect(bytes: number): void {
    const out = this.out as Outbox
    out.position = this.position
    if (out.length + bytes > this.ceiling) this.tooLarge(out.length + bytes)
  }

  private tooLarge(length: number): never {
    const bytes = length - this.floor
    if (this.softCapBytes > 0 && bytes > this.softCapBytes) throw TOO_LONG
    throw new Refusal('size', undefined, '', bytes)
  }

  private tooMany(): never {
    // In bytes, since that is what the limit is given in: each object, array or entry counts as sixteen.
    throw new Refusal('size', undefined, '', this.containers * 16)
  }

  // ---- failure

  private explain(failure: unknown, value: unknown, root: string): unknown {
    if (failure === TOO_LONG) return failure
    if (failure instanceof Refusal) {
      switch (failure.why) {
        case 'size':
          return new PluginError('ERR_VALUE_TOO_LARGE', { bytes: failure.bytes, maxBytes: this.maxValueBytes })
        case 'depth':
          return this.explainDepth(value, root)
        case 'changed':
          return new PluginError('ERR_VALUE_THROWS', {
            path: findSubject(value, root, failure.subject).path,
            reason: 'it changed while it was being read',
          })
        case 'unsupported':
          return new PluginError('ERR_VALUE_UNSUPPORTED', {
            path: findSubject(value, root, failure.subject).path,
            type: describe(failure.subject),
            remedy: failure.remedy,
          })
      }
    }
    if (this.offered !== undefined) {
      if (failure instanceof PluginError) return failure
      return throws(findSubject(value, root, this.offered), failure)
    }
    const place = findThrowing(value, root)
    // Nothing throws, so it was the stack that was too short for a value of this depth.
    if (place === undefined && failure instanceof RangeError) return this.explainDepth(value, root)
    return throws(place ?? { path: root }, failure)
  }

  private explainDepth(value: unknown, root: string): PluginError {
    const place = findEndless(value, root, this.maxDepth)
    if (place?.target !== undefined) return new PluginError('ERR_VALUE_CYCLE', { path: place.path, target: place.target })
    return new PluginError('ERR_VALUE_DEPTH', { path: place?.path ?? root, maxDepth: this.maxDepth })
  }
}

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
   * Decodes the one value in `bytes[start, end)`. Nothing of the result refers to `bytes`.
   *
   * @throws PluginError `ERR_VALUE_MALFORMED`, with the offset counted from `start`, when the bytes are not exactly one value or pass a
   *   limit; and what the reference reader throws.
   */
  decode(bytes: Buffer, start: number, end: number): unknown {
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
      if (bytes.length > MAX_KEPT_INPUT) {
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

  private readBytes(length: number): Uint8Array {
    const from = this.take(length)
    const bytes = this.bytes
    // From a view: this memory is not filled with zeros first. Not a Buffer: small ones would share their memory with strangers.
    if (length > LOOP_BYTES) return new Uint8Array(new Uint8Array(bytes.buffer, bytes.byteOffset + from, length))
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
        return this.readBytes(this.readLength())
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
        if (this.position < this.end && this.bytes[this.position] !== Tag.bytes) this.fail('array buffer without bytes', this.position)
        const { buffer } = this.readValue() as Uint8Array
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
    if (!Array.isArray(keys) || !keys.every(isString) || Object.keys(keys).length !== keys.length) this.fail('keys of a shape that are not strings', at)
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
    const memory = this.readBytes(length)
    const ordered = littleEndian || kind === DATA_VIEW ? memory : swapped(memory, size)
    return new (View as ViewConstructor)(ordered.buffer as ArrayBuffer)
  }

  private readError(): unknown {
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
      if (tag < LOW_SHAPE && tag !== Tag.shape && tag !== Tag.shapeDefinition && tag !== Tag.object) this.fail('data of an error that are no object', from)
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

/** Bytes of one window over short strings. A string that is kept may keep its window alive, so it is small. */
const WINDOW = 2048
/** A larger input is let go of as soon as it is decoded. */
const MAX_KEPT_INPUT = 1024 * 1024

// ---- the platform

interface ViewConstructor {
  readonly BYTES_PER_ELEMENT?: number
  new (buffer: ArrayBuffer): ArrayBufferView
}

/** Methods that Buffer has in Node, Bun and Deno and that its documentation leaves out. Without them: the documented, slower ones. */
interface RawBuffer {
  latin1Slice?(start: number, end: number): string
  utf8Slice?(start: number, end: number): string
  utf8Write?(text: string, offset: number): number
}

const raw = Buffer.prototype as RawBuffer
const latin1Slice: (bytes: Buffer, start: number, end: number) => string = raw.latin1Slice
  ? (bytes, start, end) => (bytes as Buffer & Required<RawBuffer>).latin1Slice(start, end)
  : (bytes, start, end) => bytes.toString('latin1', start, end)
const utf8Slice: (bytes: Buffer, start: number, end: number) => string = raw.utf8Slice
  ? (bytes, start, end) => (bytes as Buffer & Required<RawBuffer>).utf8Slice(start, end)
  : (bytes, start, end) => bytes.toString('utf8', start, end)
const utf8Write: (bytes: Buffer, text: string, offset: number) => number = raw.utf8Write
  ? (bytes, text, offset) => (bytes as Buffer & Required<RawBuffer>).utf8Write(text, offset)
  : (bytes, text, offset) => bytes.write(text, offset, 'utf8')

const fromCharCode = String.fromCharCode
const isString = (value: unknown): value is string => typeof value === 'string'
// ES2024, in Node since 20.
const isWellFormed = (value: string): boolean => (value as string & { isWellFormed(): boolean }).isWellFormed()

const getterOf = <T>(prototype: object, key: string | symbol): (() => T) => Object.getOwnPropertyDescriptor(prototype, key)?.get as () => T
const viewName = getterOf<string | undefined>(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
const mapSize = getterOf<number>(Map.prototype, 'size')
const setSize = getterOf<number>(Set.prototype, 'size')
const mapEntries = Map.prototype.entries
const setValues = Set.prototype.values
const dateTime = Date.prototype.getTime

const nothing: Buffer = Buffer.alloc(0)
const nothingView: DataView = new DataView(new ArrayBuffer(0))
const littleEndian: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
const DATA_VIEW = VIEW_KINDS.indexOf('DataView')

/** The same elements with their bytes the other way round. */
function swapped(memory: Uint8Array, size: number): Uint8Array {
  const copy = new Uint8Array(memory)
  for (let start = 0; size > 1 && start < copy.length; start += size) copy.subarray(start, start + size).reverse()
  return copy
}

const errorKeys: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'cause', 'errors'])
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
  const error = facts.errors !== undefined ? new AggregateError(facts.errors, facts.message) : new (errorClasses.get(facts.name) ?? Error)(facts.message)
  const hidden = (key: string, value: unknown): unknown => Object.defineProperty(error, key, { value, writable: true, configurable: true })
  if (error.name !== facts.name) hidden('name', facts.name)
  hidden('stack', facts.stack ?? `${facts.name}: ${facts.message}`)
  if ('cause' in facts) hidden('cause', facts.cause)
  for (const key of Object.keys(facts.data)) if (!errorKeys.has(key)) defineField(error, key, facts.data[key])
  return error
}

function throws(place: Place, failure: unknown): PluginError {
  const reason = failure instanceof Error ? failure.message : String(failure)
  return new PluginError('ERR_VALUE_THROWS', { path: place.path, reason }, { cause: failure })
}

function remedyFor(value: object): string {
  if (value instanceof Promise) return 'Await it first.'
  if (value instanceof URLSearchParams) return 'Pass String(value).'
  if (typeof (value as { next?: unknown }).next === 'function') return 'Pass an array, or an async generator for a stream.'
  return 'Pass plain data made from it.'
}
