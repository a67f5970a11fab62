// Values to bytes. Source: docs/protocol-values.md.
//
// The class has TypeScript-private members instead of `#` ones: generated code (shapes.ts) calls into it, and private methods check
// their receiver at each call, which costs about 5 % of a record of 500 bytes.

import { type Marks, marksOfProcess } from '../by-ref.ts'
import { isPluginError, PluginError } from '../errors.ts'
import { ATTACH_BYTES, type Mark, type Outbox } from './outbox.ts'
import { isWellFormed, littleEndian, nothing, nothingView, swapped, utf8Write } from './platform.ts'
import { type FieldWriter, fitsShape, type ShapeNode, ShapeTable } from './shapes.ts'
import { describe, hasLife, isPlain, Kind, kindOf } from './value-kinds.ts'
import { findEndless, findSubject, findThrowing, type Place } from './value-path.ts'
import type { ReferenceTarget, ReferenceWriter, ValueLimits } from './value-references.ts'
import {
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

/** Levels that fit any stack that is not nearly full. */
const STACK_LEVELS = 500

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
export class ValueEncoder implements FieldWriter, ReferenceTarget {
  /**
   * Bytes of one value, attached byte arrays included, after which `encode` gives up with `TOO_LONG`. 0 (the default): no cap.
   */
  softCapBytes = 0
  /** Levels open; for generated code. */
  depth = 0

  /** Objects marked with `byRef`; for generated code. */
  marked: WeakSet<object> | undefined = undefined

  private readonly marks: Marks | undefined
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
    this.marks = references === undefined ? undefined : marksOfProcess()
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
    this.marked = this.marks?.objects
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

  /** Writes a reference. Only inside `ReferenceWriter.write`. `kind` 0-255, `id` unsigned 32 bits. */
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
        else if (isPlain(value) && !this.marked?.has(value)) this.writeFields(value, Object.keys(value))
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
    if ((kind === Kind.instance || kind === Kind.platform || hasLife(value) || this.marked?.has(value)) && this.offer(value)) return
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
    const keys = Object.keys(error).filter(key => !ERROR_KEYS.has(key))
    let parts = 0
    if (typeof stack === 'string') parts |= ErrorPart.stack
    if (Object.hasOwn(error, 'cause')) parts |= ErrorPart.cause
    if (Array.isArray(errors)) parts |= ErrorPart.errors
    if (keys.length > 0) parts |= ErrorPart.data
    this.containers += ERROR_WEIGHT - 1
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
      if (isPluginError(failure)) return failure
      return throws(findSubject(value, root, this.offered), failure)
    }
    const place = findThrowing(value, root)
    if (place === undefined && failure instanceof RangeError) {
      // Nothing throws and the value is deep: it was the stack that did not suffice.
      const deep = findEndless(value, root, Math.min(this.maxDepth, STACK_LEVELS))
      if (deep !== undefined) return this.explainDepth(value, root)
    }
    return throws(place ?? { path: root }, failure)
  }

  private explainDepth(value: unknown, root: string): PluginError {
    const place = findEndless(value, root, this.maxDepth)
    if (place?.target !== undefined) return new PluginError('ERR_VALUE_CYCLE', { path: place.path, target: place.target })
    return new PluginError('ERR_VALUE_DEPTH', { path: place?.path ?? root, maxDepth: this.maxDepth })
  }
}

const getterOf = <T>(prototype: object, key: string | symbol): (() => T) => Object.getOwnPropertyDescriptor(prototype, key)?.get as () => T
const viewName = getterOf<string | undefined>(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
const mapSize = getterOf<number>(Map.prototype, 'size')
const setSize = getterOf<number>(Set.prototype, 'size')
const mapEntries = Map.prototype.entries
const setValues = Set.prototype.values
const dateTime = Date.prototype.getTime

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
