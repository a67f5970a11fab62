// One direction pair of a net/rpc stream: gob values out, in one write for header and body, and gob values in. It must not know what a header
// means.

import { isPluginError, PluginError } from 'plugwire'
import type { Session, Stream } from 'plugwire/mux'
import { Decoder } from '../gob/decoder.ts'
import { Encoder } from '../gob/encoder.ts'
import type { AnySchema, InputOf } from '../gob/schema.ts'

/** Writes pairs of header and body. */
export class PairWriter {
  readonly #session: Session
  readonly #stream: Stream
  readonly #encoder: Encoder
  /** Definitions of types that were made for a pair which could not be sent: the encoder thinks that the peer has them. */
  #owed: Uint8Array | undefined
  #busy = false

  constructor(session: Session, stream: Stream, maxValueBytes: number) {
    this.#encoder = new Encoder({ limits: { maxValueBytes } })
    this.#session = session
    this.#stream = stream
  }

  /** True while a pair is being encoded: a getter of a value that makes a call must wait. */
  get busy(): boolean {
    return this.#busy
  }

  /** Bytes that have not left. */
  get unsentBytes(): number {
    return this.#session.unsentBytes(this.#stream)
  }

  /** @throws PluginError `ERR_GOB_TYPE`, `ERR_GOB_VALUE` or `ERR_GOB_LIMIT`, when the body does not fit; nothing is sent then. */
  write<H extends AnySchema, B extends AnySchema>(headerSchema: H, header: InputOf<H>, bodySchema: B, body: InputOf<B>): void {
    const encoder = this.#encoder
    this.#busy = true
    try {
      encoder.append(headerSchema, header)
      try {
        encoder.append(bodySchema, body)
      } catch (cause) {
        this.#keepDefinitions(encoder.take())
        throw cause
      }
    } finally {
      this.#busy = false
    }
    const bytes = encoder.take()
    const out = this.#session.begin(this.#stream)
    if (this.#owed !== undefined) {
      out.append(this.#owed)
      this.#owed = undefined
    }
    out.append(bytes)
    this.#session.commit()
  }

  /** Of a header that is not sent, the definitions in front of its value still have to be. */
  #keepDefinitions(header: Uint8Array): void {
    let last = 0
    for (let position = 0; position < header.length; ) {
      last = position
      position = endOfMessage(header, position)
    }
    if (last === 0) return
    const owed = header.subarray(0, last)
    this.#owed = this.#owed === undefined ? owed : Buffer.concat([this.#owed, owed])
  }
}

/** A gob message is its length and so many bytes. Source: encoding/gob doc.go. */
function endOfMessage(bytes: Uint8Array, start: number): number {
  const first = bytes[start] as number
  if (first < 0x80) return start + 1 + first
  const count = 256 - first
  let length = 0
  for (let index = 1; index <= count; index++) length = length * 256 + (bytes[start + index] as number)
  return start + 1 + count + length
}

/** What one pair was read as. */
export interface PairReader<Header> {
  readonly header: AnySchema
  /** The header came: what the body is to be read with, or undefined to pass over it. */
  readonly onHeader: (header: Header) => AnySchema | undefined
  /** The body came, or `cause` says why it is none. */
  readonly onBody: (value: unknown, cause: PluginError | undefined) => void
}

/**
 * Reads pairs of header and body from a stream.
 *
 * A body that does not fit its schema concerns its call alone; a header that does not fit, or bytes that are no gob, end the stream.
 */
export class PairSource<Header> {
  readonly #decoder: Decoder
  readonly #reader: PairReader<Header>
  #body: { readonly schema: AnySchema | undefined } | undefined

  constructor(reader: PairReader<Header>, maxValueBytes: number) {
    this.#reader = reader
    this.#decoder = new Decoder({ limits: { maxValueBytes } })
  }

  /**
   * Takes bytes that are valid only until this returns.
   *
   * @throws PluginError `ERR_GOB_MALFORMED`, `ERR_GOB_LIMIT`, `ERR_GOB_TYPE` or `ERR_GOB_VALUE` when the stream cannot go on.
   */
  push(bytes: Buffer, start: number, end: number): void {
    const copy = Buffer.allocUnsafe(end - start)
    bytes.copy(copy, 0, start, end)
    this.#decoder.push(copy)
    while (this.#readOne());
  }

  /** The peer has ended. @throws PluginError `ERR_GOB_MALFORMED` when that is in the middle of something. */
  end(): void {
    this.#decoder.end()
    if (this.#body !== undefined) throw new PluginError('ERR_CALL_FRAME', { reason: 'the stream ended behind a header', offset: 0 })
  }

  #readOne(): boolean {
    const decoder = this.#decoder
    const reader = this.#reader
    const body = this.#body
    if (body === undefined) {
      const header = decoder.next(reader.header)
      if (header === undefined) return false
      this.#body = { schema: reader.onHeader(header.value) }
      return true
    }
    if (body.schema === undefined) {
      if (!decoder.skip()) return false
      this.#body = undefined
      reader.onBody(undefined, undefined)
      return true
    }
    let value: unknown
    try {
      const decoded = decoder.next(body.schema)
      if (decoded === undefined) return false
      value = decoded.value
    } catch (cause) {
      this.#body = undefined
      // If the stream itself is broken, reading the next header throws the same again.
      reader.onBody(
        undefined,
        isPluginError(cause) ? cause : new PluginError('ERR_CALL_FRAME', { reason: String(cause), offset: 0 }, { cause }),
      )
      return true
    }
    this.#body = undefined
    reader.onBody(value, undefined)
    return true
  }
}
