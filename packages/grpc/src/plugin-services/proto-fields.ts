// Fields of protobuf messages, as much of it as the control messages need: varints of 32 bits, bytes, texts and messages within messages.
// Knows nothing of what the fields mean. Source: protobuf.dev "Encoding".

import { GrpcError } from '../transport/grpc-error.ts'

const WireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

/** Takes the fields of one message as they come; fields that it does not know are to be ignored. */
export interface FieldReader {
  /** A varint: its low 32 bits, without sign. Nothing that we read has more. */
  varint?(field: number, value: number): void
  /** Bytes, a text or a message within. They belong to the reader as far as the message does. */
  bytes?(field: number, value: Buffer): void
}

/**
 * Reads every field of a message, once, from start to end.
 *
 * @throws GrpcError INTERNAL when the bytes are no message.
 */
export function readFields(message: Buffer, reader: FieldReader): void {
  let position = 0
  const varint = (): number => {
    let value = 0
    for (let index = 0; index < 10; index += 1) {
      if (position >= message.length) malformed('a number is cut off', position)
      const byte = message[position++] as number
      if (index < 5) value |= (byte & 0x7f) << (7 * index)
      if (byte < 0x80) return value >>> 0
    }
    return malformed('a number of more than ten bytes', position)
  }
  while (position < message.length) {
    const tag = varint()
    const field = tag >>> 3
    if (field === 0) malformed('a field with number 0', position)
    switch (tag & 7) {
      case WireType.varint: {
        const value = varint()
        reader.varint?.(field, value)
        break
      }
      case WireType.bytes: {
        const length = varint()
        if (length > message.length - position) malformed(`field ${field} is cut off`, position)
        reader.bytes?.(field, message.subarray(position, position + length))
        position += length
        break
      }
      case WireType.fixed64:
      case WireType.fixed32: {
        const length = (tag & 7) === WireType.fixed64 ? 8 : 4
        if (length > message.length - position) malformed(`field ${field} is cut off`, position)
        position += length
        break
      }
      default:
        malformed(`field ${field} has the unknown wire type ${tag & 7}`, position)
    }
  }
}

function malformed(reason: string, position: number): never {
  throw new GrpcError('INTERNAL', `malformed message: ${reason} at byte ${position}`)
}

/** Puts fields together. As in proto3, what has its default value is left out. */
export class FieldWriter {
  readonly #parts: Uint8Array[] = []

  varint(field: number, value: number): this {
    if (value !== 0) this.#parts.push(encodeVarint((field << 3) | WireType.varint), encodeVarint(value))
    return this
  }

  bool(field: number, value: boolean): this {
    return this.varint(field, value ? 1 : 0)
  }

  text(field: number, value: string): this {
    return value === '' ? this : this.message(field, Buffer.from(value))
  }

  bytes(field: number, value: Uint8Array): this {
    return value.length === 0 ? this : this.message(field, value)
  }

  /** A message within, which is written even when it is empty. */
  message(field: number, value: Uint8Array): this {
    this.#parts.push(encodeVarint((field << 3) | WireType.bytes), encodeVarint(value.length), value)
    return this
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

/** @param value A whole number from 0 to 2^32-1. */
function encodeVarint(value: number): Uint8Array {
  if (value < 0x80) return Uint8Array.of(value)
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
