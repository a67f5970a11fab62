// Values to gob bytes, one direction of one stream: messages, type ids and definitions. Source: encoding/gob encoder.go, type.go.

import { ByteWriter } from './byte-writer.ts'
import { Fault, limitFault } from './fault.ts'
import type { GoType } from './go-types.ts'
import { builtinIdOf, endlessSchema, goTypeOf, nameOf } from './go-types.ts'
import type { GobLimits } from './gob-limits.ts'
import { gobLimits } from './gob-limits.ts'
import type { AnySchema, InputOf, Shape } from './schema.ts'
import { uint8 } from './schema.ts'
import type { WritePlan, WriteTarget } from './write-plans.ts'
import { writePlanOf } from './write-plans.ts'

export interface EncoderOptions {
  /** `maxDepth` and `maxValueBytes` hold for what is encoded; the rest is for decoders. */
  readonly limits?: Partial<GobLimits>
}

/** Types in types; a schema that makes itself anew each time has more. */
const MOST_LEVELS = 1_000

/** What this stream knows of one Go type. */
interface Entry {
  /** 0 while a type that contains itself is being numbered. */
  id: number
  readonly name: string
  readonly fields: { readonly name: string; readonly id: number }[]
  key: number
  elem: number
}

interface TopLevel {
  readonly plan: WritePlan
  readonly type: GoType
  /** Defined on this stream. 0 before. */
  id: number
  /** Bytes that the length of the last message took. */
  lengthSize: number
}

/**
 * The writing half of one gob stream. It keeps which types the other side knows, so all bytes it makes must be sent, in order.
 *
 * Definitions always precede the value as messages of their own, those of types inside interfaces too. Go splits such values instead;
 * its decoders take both. In all else the bytes are those of a Go program that has encoded nothing before.
 */
export class Encoder {
  readonly #out = new ByteWriter()
  readonly #definitions = new ByteWriter()
  readonly #maxValueBytes: number
  readonly #target: WriteTarget
  readonly #topLevel = new Map<Shape, TopLevel>()
  readonly #entries = new Map<string, Entry>()
  readonly #sent = new Set<string>()
  /** Sent for the value at hand: unsaid when it fails. */
  readonly #fresh: string[] = []
  /** Go's first is 64 today, and was 65 for long. */
  #lastId = 63

  constructor(options: EncoderOptions = {}) {
    const limits = gobLimits(options.limits)
    this.#maxValueBytes = limits.maxValueBytes
    this.#target = { out: this.#out, maxDepth: limits.maxDepth, depth: 0, idFor: shape => this.#idInside(shape) }
  }

  /**
   * One value as complete messages, the definitions it needs first. The bytes are the caller's.
   *
   * @throws PluginError `ERR_GOB_TYPE`, `ERR_GOB_VALUE` or `ERR_GOB_LIMIT` naming the place; the stream is then as it was before.
   */
  encode<S extends AnySchema>(schema: S, value: InputOf<S>): Uint8Array {
    this.append(schema, value)
    return this.take()
  }

  /** Adds one value to what `take` will return: a net/rpc header and its body travel in one write. Throws as `encode` does. */
  append<S extends AnySchema>(schema: S, value: InputOf<S>): void {
    const out = this.#out
    const before = out.at - out.start
    const known = this.#entries.size
    const lastId = this.#lastId
    try {
      this.#append(schema['~gob'], value)
    } catch (error) {
      out.at = out.start + before
      this.#definitions.at = this.#definitions.start
      for (const key of this.#fresh) this.#sent.delete(key)
      for (const key of [...this.#entries.keys()].slice(known)) this.#entries.delete(key)
      this.#lastId = lastId
      throw error instanceof Fault ? error.toError() : error
    } finally {
      if (this.#fresh.length > 0) this.#fresh.length = 0
    }
  }

  /** All bytes appended since the last `take`, for the caller to keep. */
  take(): Uint8Array {
    return this.#out.take()
  }

  #append(shape: Shape, value: unknown): void {
    const out = this.#out
    let top = this.#topLevel.get(shape)
    if (top === undefined) {
      top = { plan: writePlanOf(shape), type: goTypeOf(shape), id: 0, lengthSize: 1 }
      this.#topLevel.set(shape, top)
    }
    const known = top.id !== 0
    const id = known ? top.id : this.#define(shape, out)
    const mark = out.open(top.lengthSize)
    out.int(id)
    if (!top.plan.isStruct) out.byte(0)
    this.#target.depth = 0
    top.plan.write(this.#target, value)
    if (out.at - out.start - mark > this.#maxValueBytes) throw limitFault('bytes (maxValueBytes)', this.#maxValueBytes)
    top.lengthSize = out.close(mark, top.lengthSize)
    if (this.#definitions.at > this.#definitions.start) out.insert(mark, this.#definitions.take())
    // Only now: had it failed, the definitions would have been taken back.
    if (!known) top.id = id
  }

  #idInside(shape: Shape): number {
    return this.#define(shape, this.#definitions)
  }

  /** Sends what the other side does not know of a type yet, and gives its id. Source: encoder.go sendTypeDescriptor. */
  #define(shape: Shape, out: ByteWriter): number {
    const type = goTypeOf(shape)
    const builtin = builtinIdOf(type.shape)
    if (builtin !== 0) return builtin
    const key = type.shape.kind === 'opaque' ? type.userKey : type.key
    if (!this.#sent.has(key)) this.#send(shape, out)
    return this.#numbered(shape, type.name).id
  }

  /** Source: encoder.go sendType, sendActualType: the outer type first, then what is in it. */
  #send(shape: Shape, out: ByteWriter): void {
    const type = goTypeOf(shape)
    if (builtinIdOf(type.shape) !== 0 || this.#sent.has(type.key)) return
    const entry = this.#numbered(shape, type.name)
    this.#writeDefinition(out, type, entry)
    this.#markSent(type.key)
    if (type.userKey !== type.key) this.#markSent(type.userKey)
    switch (type.shape.kind) {
      case 'struct':
        for (const field of type.shape.fields) this.#send(field.shape, out)
        break
      case 'array':
      case 'slice':
        this.#send(type.shape.of, out)
        break
      case 'map':
        this.#send(type.shape.key, out)
        this.#send(type.shape.value, out)
        break
      default:
    }
  }

  #markSent(key: string): void {
    if (this.#sent.has(key)) return
    this.#sent.add(key)
    this.#fresh.push(key)
  }

  /**
   * The id of a type and of all types in it, numbered in Go's order: a struct before its fields, everything else after its elements.
   * The name is the one the type is first met under. Source: type.go newTypeObject.
   */
  #numbered(shape: Shape, name: string, depth = 0): Entry {
    const type = goTypeOf(shape)
    const plain = type.shape
    const builtin = builtinIdOf(plain)
    const known = this.#entries.get(type.key)
    if (known !== undefined) return known
    const entry: Entry = { id: builtin, name, fields: [], key: 0, elem: 0 }
    if (builtin !== 0) return entry
    if (plain.kind === 'any')
      throw new Fault({ code: 'ERR_GOB_TYPE', facts: { expected: 'a schema (`any` only decodes)', found: 'any' } }, false)
    this.#entries.set(type.key, entry)
    if (depth > MOST_LEVELS) throw endlessSchema()
    switch (plain.kind) {
      case 'struct':
        this.#number(entry)
        for (const field of plain.fields) {
          const of = goTypeOf(field.shape)
          const inner = this.#numbered(field.shape, of.name || of.spelling, depth + 1)
          this.#number(inner)
          entry.fields.push({ name: field.name, id: inner.id })
        }
        break
      case 'slice': {
        const inner = this.#numbered(plain.of, nameOf(plain.of), depth + 1)
        this.#number(entry)
        this.#number(inner)
        entry.elem = inner.id
        break
      }
      case 'array':
      case 'byteArray': {
        const inner = this.#numbered(plain.kind === 'array' ? plain.of : uint8['~gob'], '', depth + 1)
        this.#number(entry)
        entry.elem = inner.id
        break
      }
      case 'map': {
        const key = this.#numbered(plain.key, '', depth + 1)
        const elem = this.#numbered(plain.value, '', depth + 1)
        this.#number(entry)
        entry.key = key.id
        entry.elem = elem.id
        break
      }
      default:
        this.#number(entry)
    }
    return entry
  }

  #number(entry: Entry): void {
    if (entry.id === 0) entry.id = ++this.#lastId
  }

  /** Source: type.go wireType and the structs in it, as structs of gob itself. */
  #writeDefinition(out: ByteWriter, type: GoType, entry: Entry): void {
    let { name, id } = entry
    if (type.shape.kind === 'opaque' && type.userKey !== type.key) {
      // Go numbers the pointer type too, and says that number and no name, though it defines the other.
      const key = type.userKey
      let pointer = this.#entries.get(key)
      if (pointer === undefined) {
        pointer = { id: 0, name: '', fields: [], key: 0, elem: 0 }
        this.#entries.set(key, pointer)
        this.#number(pointer)
      }
      name = pointer.name
      id = pointer.id
    }
    const mark = out.open(1)
    out.int(-entry.id)
    const { kind } = type.shape
    out.byte(
      kind === 'array' || kind === 'byteArray'
        ? 1
        : kind === 'slice'
          ? 2
          : kind === 'struct'
            ? 3
            : kind === 'map'
              ? 4
              : (type.shape as { wire: number }).wire,
    )
    out.byte(1)
    if (name !== '') {
      out.byte(1)
      out.string(name)
    }
    out.byte(name !== '' ? 1 : 2)
    out.int(id)
    out.byte(0)
    switch (type.shape.kind) {
      case 'array':
      case 'byteArray':
        out.byte(1)
        out.int(entry.elem)
        if (type.shape.length > 0) {
          out.byte(1)
          out.int(type.shape.length)
        }
        break
      case 'slice':
        out.byte(1)
        out.int(entry.elem)
        break
      case 'map':
        out.byte(1)
        out.int(entry.key)
        out.byte(1)
        out.int(entry.elem)
        break
      case 'struct':
        if (entry.fields.length === 0) break
        out.byte(1)
        out.uint(entry.fields.length)
        for (const field of entry.fields) {
          out.byte(1)
          out.string(field.name)
          out.byte(1)
          out.int(field.id)
          out.byte(0)
        }
        break
      default:
    }
    out.byte(0)
    out.byte(0)
    out.close(mark, 1)
  }
}
