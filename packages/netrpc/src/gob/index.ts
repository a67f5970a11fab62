// The public `@plugwire/netrpc/gob` entry: Go's encoding, usable alone. Names are listed one by one.
//
//     const item = struct('main.Item', { Key: string, Value: bytes })
//     const bytes = new Encoder().encode(item, { Key: 'k', Value: new Uint8Array(3) })
//
//     const decoder = new Decoder()
//     decoder.push(bytes)
//     for (let next; (next = decoder.next(item)); ) console.log(next.value.Key)

export type { Decoded, DecoderOptions } from './decoder.ts'
export { Decoder } from './decoder.ts'
export type { EncoderOptions } from './encoder.ts'
export { Encoder } from './encoder.ts'
export type { GobLimits } from './gob-limits.ts'
export { defaultGobLimits } from './gob-limits.ts'
export { bigInt, preciseTime, time } from './known-types.ts'
export type {
  AnySchema,
  BasicTypes,
  Complex,
  Fields,
  GobValue,
  GoTime,
  InputOf,
  OpaqueCodec,
  Registry,
  Schema,
  StructInput,
  StructOf,
  Typed,
  TypeOf,
} from './schema.ts'
export {
  any,
  array,
  binaryMarshaler,
  bool,
  byteArray,
  bytes,
  complex,
  complex64,
  float,
  float32,
  gobEncoder,
  iface,
  int,
  int8,
  int16,
  int32,
  int64,
  lazy,
  map,
  named,
  nullable,
  Opaque,
  pointer,
  rawString,
  registry,
  slice,
  string,
  struct,
  textMarshaler,
  typed,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
} from './schema.ts'
