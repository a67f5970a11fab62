// What the value codec asks of the layer above, which knows what a function, a stream or a remote error is.

/** What the codec needs of the connection's limits. */
export interface ValueLimits {
  /** Levels of nesting. */
  readonly maxDepth: number
  /** Bytes of one encoded value. */
  readonly maxValueBytes: number
  /** Shapes that may be defined, at most 65_536. */
  readonly maxShapes: number
}

/** Where references are written. */
export interface ReferenceTarget {
  /** `kind` 0-255, `id` unsigned 32 bits; `detail` is a value that goes with it. */
  writeReference(kind: number, id: number, detail?: unknown): void
}

/** Decides what travels by reference. */
export interface ReferenceWriter {
  /**
   * Called for every function and for every object that is not plain data: class instances, objects of the platform, what carries (own
   * or inherited) `Symbol.asyncIterator`, `Symbol.asyncDispose` or `Symbol.dispose`, and what was marked with `byRef`.
   *
   * Calls `target.writeReference` exactly once and returns true; or returns false, and the codec sends the object as data or
   * refuses it. What it throws as a `PluginError` is thrown by `encode` unchanged. When a later part of the value fails,
   * what it has registered is its own to undo.
   */
  write(value: object, target: ReferenceTarget): boolean
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
