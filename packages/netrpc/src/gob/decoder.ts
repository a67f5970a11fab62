// Gob bytes to values, one direction of one stream: messages, definitions and values, cut anywhere. Source: encoding/gob decoder.go.

import type { PluginError } from 'plugwire'
import { ByteReader, NEED_MORE } from './byte-reader.ts'
import { Fault, typeFault } from './fault.ts'
import { spellingOf } from './go-types.ts'
import type { GobLimits } from './gob-limits.ts'
import { gobLimits } from './gob-limits.ts'
import { readPlanOf } from './read-plans.ts'
import type { AnySchema, GobValue, Shape, TypeOf } from './schema.ts'
import { any } from './schema.ts'
import { passOver } from './skip-plans.ts'
import { spellingOfWire } from './wire-types.ts'

export interface DecoderOptions {
  readonly limits?: Partial<GobLimits>
}

/** A box around the value: undefined is then free to mean "not all of it is here yet". */
export interface Decoded<T> {
  readonly value: T
}

const nothing = Buffer.alloc(0)
const MIN_BUFFER_BYTES = 4096

/**
 * The reading half of one gob stream: `push` bytes as they come, take whole values with `next` or `skip`.
 *
 * A value that does not fit the schema throws `ERR_GOB_TYPE` or `ERR_GOB_VALUE` (or `ERR_GOB_LIMIT` for its depth or items), and is
 * then passed over: the next call reads the value after it. `ERR_GOB_MALFORMED`, or `ERR_GOB_LIMIT` for bytes or types, ends the
 * stream: every later call throws the same error.
 */
export class Decoder {
  readonly #reader: ByteReader
  /** First byte still needed: of the message at hand, or of the value it begins. */
  #start = 0
  /** `#reader.bytes` is ours to write into. */
  #owned = false
  /** Type of the value at hand; 0 when none has begun. */
  #id = 0
  /** Where it begins, behind its type, and where its first message ends. */
  #valueAt = 0
  #valueEnd = 0
  #typeBytesBefore = 0
  /** Runs over a value that goes beyond its first message, and pauses where messages are missing. */
  #passing: Generator<undefined, void, undefined> | undefined
  /** Why the value at hand will not be given; thrown once it has been passed over. */
  #refused: unknown
  /** Types have been defined for a value that has not begun. */
  #announced = false
  #failure: PluginError | undefined

  constructor(options: DecoderOptions = {}) {
    this.#reader = new ByteReader(gobLimits(options.limits))
  }

  /** Takes bytes from the stream. The decoder may keep `chunk` until its values have been read: do not write into it. */
  push(chunk: Uint8Array): void {
    const reader = this.#reader
    if (this.#failure !== undefined || chunk.length === 0) return
    const rest = reader.arrived - this.#start
    if (rest === 0) {
      reader.base += this.#start
      this.#rebase()
      reader.bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
      reader.arrived = chunk.length
      this.#owned = false
      return
    }
    if (!this.#owned || reader.bytes.length - reader.arrived < chunk.length) {
      // Twice of what is there, never of what is claimed: memory follows bytes received, and each is copied a few times at most.
      const next = Buffer.allocUnsafeSlow(Math.max(MIN_BUFFER_BYTES, (rest + chunk.length) * 2))
      reader.bytes.copy(next, 0, this.#start, reader.arrived)
      reader.bytes = next
      reader.base += this.#start
      this.#rebase()
      reader.arrived = rest
      this.#owned = true
    }
    reader.bytes.set(chunk, reader.arrived)
    reader.arrived += chunk.length
  }

  /** All places move with the first byte that is kept. */
  #rebase(): void {
    const by = this.#start
    const reader = this.#reader
    reader.at -= by
    reader.end -= by
    reader.valueStart -= by
    this.#valueAt -= by
    this.#valueEnd -= by
    this.#start = 0
  }

  /** The next whole value, or undefined when more bytes are needed. Without a schema it decodes as `any`. */
  next(): Decoded<GobValue> | undefined
  next<S extends AnySchema>(schema: S): Decoded<TypeOf<S>> | undefined
  next(schema: AnySchema = any): Decoded<unknown> | undefined {
    return this.#take(schema['~gob'])
  }

  /** Passes over the next value, whatever it is; false when more bytes are needed. */
  skip(): boolean {
    return this.#take(undefined) !== undefined
  }

  /** The stream ended. @throws PluginError `ERR_GOB_MALFORMED` when that is in the middle of a value. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure
    const reader = this.#reader
    if (this.#start === reader.arrived && !this.#announced) return
    reader.at = reader.arrived
    throw this.#fail(reader.malformed('the stream ends in the middle'))
  }

  #fail(fault: Fault): PluginError {
    this.#failure = fault.toError()
    this.#passing = undefined
    this.#reader.bytes = nothing
    return this.#failure
  }

  /** @param shape Undefined: passed over. */
  #take(shape: Shape | undefined): Decoded<unknown> | undefined {
    if (this.#failure !== undefined) throw this.#failure
    try {
      if (this.#id === 0 && !this.#begin()) return undefined
      if (this.#passing === undefined) {
        if (shape === undefined) {
          // What cannot leave its message ends with it.
          if (this.#reader.closed(this.#id)) return this.#finish(undefined)
        } else {
          const decoded = this.#attempt(shape)
          if (decoded !== undefined) return decoded
        }
        this.#rewind()
        this.#passing = this.#pass()
      }
      if (!this.#passing.next().done) return undefined
      if (shape === undefined) return this.#finish(undefined)
      if (this.#refused === undefined) {
        this.#rewind()
        const decoded = this.#attempt(shape)
        if (decoded !== undefined) return decoded
        this.#rewind()
        this.#pass().next()
      }
      const refused = this.#refused
      this.#finish(undefined)
      throw refused
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      throw error.fatal ? this.#fail(error) : error.toError()
    }
  }

  /** Reads definitions up to the next value, and the type of that. @returns false when not all has arrived. */
  #begin(): boolean {
    const reader = this.#reader
    for (;;) {
      reader.end = this.#start
      reader.valueStart = this.#start
      if (!reader.nextMessage()) return false
      const id = reader.typeId()
      if (id >= 0) {
        reader.type(id)
        this.#id = id
        this.#valueAt = reader.at
        this.#valueEnd = reader.end
        this.#typeBytesBefore = reader.typeBytes
        reader.fresh.length = 0
        return true
      }
      reader.define(-id)
      if (reader.at !== reader.end) throw reader.malformed('something follows a definition in its message')
      this.#start = reader.end
      this.#announced = true
    }
  }

  /** Undefined when the value goes on in messages that have not arrived, or does not fit: then `#refused` says why. */
  #attempt(shape: Shape): Decoded<unknown> | undefined {
    const reader = this.#reader
    reader.at = this.#valueAt
    reader.end = this.#valueEnd
    reader.depth = 0
    reader.items = reader.limits.maxItems
    try {
      const plan = readPlanOf(reader, shape, this.#id)
      if (plan.strange) throw typeFault(spellingOf(shape), `${spellingOfWire(reader.types, this.#id)}, which shares no field with it`)
      if (!plan.isStruct && reader.count() !== 0) throw reader.malformed('a value that is no struct does not begin with 0')
      return this.#finish(plan.read(reader))
    } catch (error) {
      if (error === NEED_MORE) return undefined
      if (error instanceof Fault && error.fatal) throw error
      // The stream is in order, so the values after this one can be read.
      this.#refused = error
      return undefined
    }
  }

  #rewind(): void {
    const reader = this.#reader
    reader.undefine(this.#typeBytesBefore)
    reader.at = this.#valueAt
    reader.end = this.#valueEnd
    reader.depth = 0
  }

  *#pass(): Generator<undefined, void, undefined> {
    const reader = this.#reader
    if (reader.closed(this.#id)) return
    try {
      if (reader.type(this.#id).kind !== 'struct' && reader.count() !== 0)
        throw reader.malformed('a value that is no struct does not begin with 0')
      yield* passOver(reader, this.#id)
    } catch (error) {
      // Where a value ends that is too deep to be walked, nobody can tell.
      throw error instanceof Fault && !error.fatal ? new Fault(error.what, true) : error
    }
  }

  #finish(value: unknown): Decoded<unknown> {
    const reader = this.#reader
    // Go leaves unread what follows a value in its last message.
    this.#start = reader.end
    this.#id = 0
    this.#passing = undefined
    this.#refused = undefined
    this.#announced = false
    if (this.#start === reader.arrived) {
      reader.base += this.#start
      this.#rebase()
      reader.bytes = nothing
      reader.arrived = 0
      this.#owned = false
    }
    return { value }
  }
}
