// Values on the wire of plugwire's own protocol: JavaScript values to bytes and back. Source: docs/protocol-values.md.
// Knows bytes and values; what a reference means (a function, a stream, a signal) is told by the layer above.

import type { ValueEncoder } from './value-encoder.ts'

export { ValueDecoder } from './value-decoder.ts'
export { TOO_LONG, ValueEncoder } from './value-encoder.ts'
export { BY_REFERENCE } from './value-kinds.ts'

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
