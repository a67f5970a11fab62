// Gob bytes to values, one direction of one stream.

import type { GobLimits } from './gob-limits.ts'
import type { AnySchema, TypeOf } from './schema.ts'

export interface DecoderOptions {
  readonly limits?: Partial<GobLimits>
}

/** A box around the value: undefined is then free to mean "not all of it is here yet". */
export interface Decoded<T> {
  readonly value: T
}

/**
 * The reading half of one gob stream: `push` bytes as they come, take whole values with `next` or `skip`.
 *
 * A value that does not fit the schema throws `ERR_GOB_TYPE` or `ERR_GOB_VALUE` (or `ERR_GOB_LIMIT` for its depth or items), and is
 * then skipped: the next call reads the value after it. `ERR_GOB_MALFORMED`, or `ERR_GOB_LIMIT` for a message or for types, ends the
 * stream: every later call throws the same error.
 */
export class Decoder {
  constructor(_options: DecoderOptions = {}) {}

  /** Takes bytes from the stream. The decoder may keep `chunk` until its values have been read: do not write into it. */
  push(_chunk: Uint8Array): void {
    throw new Error('soon')
  }

  /** The next whole value, or undefined when more bytes are needed. Without a schema it decodes as `any`. */
  next<S extends AnySchema>(_schema: S): Decoded<TypeOf<S>> | undefined {
    throw new Error('soon')
  }

  /** Passes over the next value, whatever it is; false when more bytes are needed. */
  skip(): boolean {
    throw new Error('soon')
  }

  /** The stream ended. @throws PluginError `ERR_GOB_MALFORMED` when that is in the middle of a value. */
  end(): void {
    throw new Error('soon')
  }
}
