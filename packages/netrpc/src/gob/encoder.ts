// Values to gob bytes, one direction of one stream.

import type { AnySchema, InputOf } from './schema.ts'

/**
 * The writing half of one gob stream. It keeps which types the other side knows, so all bytes it makes must be sent, in order.
 */
export class Encoder {
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
  append<S extends AnySchema>(_schema: S, _value: InputOf<S>): void {
    throw new Error('soon')
  }

  /** All bytes appended since the last `take`, for the caller to keep. */
  take(): Uint8Array {
    throw new Error('soon')
  }
}
