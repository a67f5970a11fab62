// The bytes of `grpc-status-details-bin`: a google.rpc.Status. Hand-written, because an error must not cost the import of a protobuf library.
// Source: googleapis google/rpc/status.proto (code = 1, message = 2, details = 3) and google/protobuf/any.proto (type_url = 1, value = 2).

/** One detail of a status: a google.protobuf.Any. `anyUnpack` of protobuf-es and `Any.decode` of others take it apart. */
export interface StatusDetail {
  /** Such as `type.googleapis.com/google.rpc.BadRequest`. */
  readonly typeUrl: string
  /** The serialized message. */
  readonly value: Uint8Array
}

export function encodeStatusDetails(code: number, message: string, details: readonly StatusDetail[]): Buffer {
  const parts: Uint8Array[] = []
  if (code !== 0) parts.push(Buffer.from([0x08]), varint(code))
  if (message !== '') parts.push(field(0x12, Buffer.from(message)))
  for (const { typeUrl, value } of details) {
    const any: Uint8Array[] = []
    if (typeUrl !== '') any.push(field(0x0a, Buffer.from(typeUrl)))
    if (value.length > 0) any.push(field(0x12, value))
    parts.push(field(0x1a, Buffer.concat(any)))
  }
  return Buffer.concat(parts)
}

/** The details in the bytes; none when the bytes are no google.rpc.Status, because an error about an error helps nobody. */
export function decodeStatusDetails(bytes: Uint8Array): readonly StatusDetail[] {
  try {
    return fieldsOf(bytes)
      .filter(({ number }) => number === 3)
      .map(({ bytes: any }) => {
        const fields = fieldsOf(any)
        const last = (number: number): Buffer => fields.findLast(field => field.number === number)?.bytes ?? Buffer.alloc(0)
        return { typeUrl: last(1).toString(), value: Uint8Array.from(last(2)) }
      })
  } catch (error) {
    if (error instanceof RangeError) return []
    throw error
  }
}

function field(tag: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([tag]), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}

/** The length-delimited fields of a message; others are passed over. Throws a RangeError where the bytes end too early. */
function fieldsOf(message: Uint8Array): { number: number; bytes: Buffer }[] {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length)
  const fields: { number: number; bytes: Buffer }[] = []
  let offset = 0
  const next = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes.readUInt8(offset++)
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
  }
  const skip = (length: number): Buffer => {
    if (length > bytes.length - offset) throw new RangeError('a field is longer than its message')
    offset += length
    return bytes.subarray(offset - length, offset)
  }
  while (offset < bytes.length) {
    const tag = next()
    const wireType = tag % 8
    if (wireType === 0) next()
    else if (wireType === 1) skip(8)
    else if (wireType === 5) skip(4)
    else if (wireType === 2) fields.push({ number: Math.floor(tag / 8), bytes: skip(next()) })
    else throw new RangeError(`wire type ${wireType}`)
  }
  return fields
}
