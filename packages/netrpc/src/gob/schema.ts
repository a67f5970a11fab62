// What a Go type looks like, said in TypeScript: builders whose results describe a type to the codec and give its TypeScript type.
// It must not know bytes, streams or type ids. Source of all rules: Go's encoding/gob (doc.go, type.go), which the wire follows.

import { PluginError } from 'plugwire'

/**
 * One Go type. `Out` is what decoding gives; `In` is what encoding takes, which is wider: fields may be left out, a `number` may stand
 * for a 64-bit integer.
 *
 * Recursive types need a name and an annotation, since TypeScript does not infer through itself:
 *
 *     interface Tree { Name: string; Kids: Tree[] }
 *     const tree: Schema<Tree> = struct('main.Tree', { Name: string, Kids: slice(lazy(() => tree)) })
 */
export interface Schema<Out, In = Out> {
  /** For the codec alone. */
  readonly '~gob': Shape
  readonly '~out'?: Out
  readonly '~in'?: (value: In) => void
}

// biome-ignore lint/suspicious/noExplicitAny: stands for every schema, whatever it takes
export type AnySchema = Schema<any, never>
/** What decoding with a schema gives. */
export type TypeOf<S extends AnySchema> = S extends Schema<infer Out, infer _> ? Out : never
/** What encoding with a schema takes; `TypeOf` of the same schema always fits. */
// biome-ignore lint/suspicious/noExplicitAny: the other half does not matter here
export type InputOf<S extends AnySchema> = S extends Schema<any, infer In> ? In : never

/** A value inside a Go interface: the name under which its type is registered, and the value. */
export interface Typed<Name extends string = string, T = unknown> {
  readonly type: Name
  readonly value: T
}

/** A value for a Go interface, keeping the name as a type of its own where TypeScript would widen it to `string`. */
export function typed<const Name extends string, T>(type: Name, value: T): Typed<Name, T> {
  return { type, value }
}

export interface Complex {
  readonly re: number
  readonly im: number
}

/** A `time.Time` in full: `Date` knows no nanoseconds and no zone. */
export interface GoTime {
  /** Seconds since 1970-01-01T00:00:00Z, rounded down. Go's zero time is -62_135_596_800n. */
  readonly seconds: bigint
  /** 0 to 999_999_999. */
  readonly nanoseconds: number
  /** Seconds east of Greenwich; undefined is UTC, which Go keeps apart from an offset of 0. */
  readonly offsetSeconds: number | undefined
}

/** Anything that gob can carry, as `any` decodes it without knowing the Go type. See docs/gob.md for the table. */
export type GobValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Complex
  | Opaque
  | Typed<string, GobValue>
  | GobValue[]
  | Map<GobValue, GobValue>
  | { [field: string]: GobValue }

/** The bytes a Go type made of itself (GobEncoder, BinaryMarshaler, TextMarshaler), where no schema says what is in them. */
export class Opaque {
  /** The bare name of the Go type, e.g. `Time`; empty when Go sent none. */
  readonly goType: string
  readonly bytes: Uint8Array

  constructor(goType: string, bytes: Uint8Array) {
    this.goType = goType
    this.bytes = bytes
  }
}

/** The codec's own view of a schema. Types of the same identity share one id on a stream, as they do in Go. */
export type Shape =
  | { readonly kind: 'bool' | 'string' | 'rawString' | 'bytes' | 'any'; readonly go: string }
  | { readonly kind: 'float' | 'complex'; readonly go: string; readonly single: boolean }
  | { readonly kind: 'int' | 'uint'; readonly go: string; readonly bits: 8 | 16 | 32 | 64; readonly big: boolean }
  | { readonly kind: 'slice'; readonly of: Shape }
  | { readonly kind: 'array'; readonly of: Shape; readonly length: number }
  | { readonly kind: 'byteArray'; readonly length: number }
  | { readonly kind: 'map'; readonly key: Shape; readonly value: Shape }
  | StructShape
  | { readonly kind: 'iface'; readonly types: ReadonlyMap<string, Shape> }
  | { readonly kind: 'pointer'; readonly to: Shape; readonly star: boolean }
  | { readonly kind: 'lazy'; readonly get: () => Shape }
  | { readonly kind: 'named'; readonly name: string; readonly of: Shape }
  | OpaqueShape

export interface StructShape {
  readonly kind: 'struct'
  readonly name: string
  readonly fields: readonly { readonly name: string; readonly shape: Shape }[]
}

export interface OpaqueShape {
  readonly kind: 'opaque'
  readonly name: string
  /** The field of wireType that says how the Go type makes bytes of itself. */
  readonly wire: 5 | 6 | 7
  /** Its methods are on the pointer: a Go struct field of the bare type is then sent even when zero. */
  readonly onPointer: boolean
  readonly encode: (value: never) => Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
  readonly zero: () => unknown
  readonly isZero: (value: never) => boolean
}

const make = <Out, In = Out>(shape: Shape): Schema<Out, In> => ({ '~gob': shape })
const integer = (kind: 'int' | 'uint', go: string, bits: 8 | 16 | 32 | 64): Schema<number, number | bigint> =>
  make({ kind, go, bits, big: false })

export const bool: Schema<boolean> = make({ kind: 'bool', go: 'bool' })
/** Go's `int`: a `number`. A value beyond `Number.MAX_SAFE_INTEGER` is refused with `ERR_GOB_VALUE`; take `int64` where such occur. */
export const int: Schema<number, number | bigint> = integer('int', 'int', 64)
export const int8: Schema<number, number | bigint> = integer('int', 'int8', 8)
export const int16: Schema<number, number | bigint> = integer('int', 'int16', 16)
export const int32: Schema<number, number | bigint> = integer('int', 'int32', 32)
/** Always a `bigint`. It also reads any other signed Go integer: they are one kind on the wire. */
export const int64: Schema<bigint, number | bigint> = make({ kind: 'int', go: 'int64', bits: 64, big: true })
/** Go's `uint`: a `number`, with the same rule as `int`. */
export const uint: Schema<number, number | bigint> = integer('uint', 'uint', 64)
export const uint8: Schema<number, number | bigint> = integer('uint', 'uint8', 8)
export const uint16: Schema<number, number | bigint> = integer('uint', 'uint16', 16)
export const uint32: Schema<number, number | bigint> = integer('uint', 'uint32', 32)
/** Always a `bigint`. */
export const uint64: Schema<bigint, number | bigint> = make({ kind: 'uint', go: 'uint64', bits: 64, big: true })
export const uintptr: Schema<bigint, number | bigint> = make({ kind: 'uint', go: 'uintptr', bits: 64, big: true })
/** Go's `float64`. */
export const float: Schema<number> = make({ kind: 'float', go: 'float64', single: false })
/** Go's `float32`; numbers are rounded to it before they are sent, and refused when they are finite and too large for it. */
export const float32: Schema<number> = make({ kind: 'float', go: 'float32', single: true })
/** Go's `complex128`. */
export const complex: Schema<Complex> = make({ kind: 'complex', go: 'complex128', single: false })
export const complex64: Schema<Complex> = make({ kind: 'complex', go: 'complex64', single: true })
/**
 * Go strings are bytes that need not be UTF-8: what is ill-formed decodes to U+FFFD. `rawString` loses nothing.
 * Encoding refuses lone surrogates.
 */
export const string: Schema<string> = make({ kind: 'string', go: 'string' })
/** A Go string as its bytes, lossless both ways. */
export const rawString: Schema<Uint8Array> = make({ kind: 'rawString', go: 'string' })
/** `[]byte`. */
export const bytes: Schema<Uint8Array> = make({ kind: 'bytes', go: '[]uint8' })
/** Whatever comes, told from the wire alone. It decodes only: to encode, the Go type must be known. */
export const any: Schema<GobValue, never> = make({ kind: 'any', go: 'any' })

/** `[]T`. Go does not tell a nil slice from an empty one on the wire. */
export function slice<Out, In>(of: Schema<Out, In>): Schema<Out[], readonly In[]> {
  const shape = of['~gob']
  if (shape.kind === 'uint' && shape.bits === 8) throw fault('a slice of uint8 is `bytes`: gob sends it as bytes, not as a slice')
  return make({ kind: 'slice', of: shape })
}

/** `[length]T`. */
export function array<Out, In>(length: number, of: Schema<Out, In>): Schema<Out[], readonly In[]> {
  return make({ kind: 'array', of: of['~gob'], length: lengthOf(length) })
}

/** `[length]byte`: an array of numbers on the wire, a `Uint8Array` of exactly that length here. */
export function byteArray(length: number): Schema<Uint8Array> {
  return make({ kind: 'byteArray', length: lengthOf(length) })
}

/**
 * `map[K]V`. In a struct, Go leaves out a nil map but sends an empty one: leave the field out (or `undefined`) for nil. Both decode to an
 * empty `Map`; wrap it in `nullable` to tell them apart.
 */
export function map<KOut, KIn, VOut, VIn>(
  key: Schema<KOut, KIn>,
  value: Schema<VOut, VIn>,
): Schema<Map<KOut, VOut>, ReadonlyMap<KIn, VIn>> {
  return make({ kind: 'map', key: key['~gob'], value: value['~gob'] })
}

export type Fields = Readonly<Record<string, AnySchema>>
type Flat<T> = { [K in keyof T]: T[K] }
export type StructOf<F extends Fields> = Flat<{ -readonly [K in keyof F]: TypeOf<F[K]> }>
export type StructInput<F extends Fields> = Flat<{ readonly [K in keyof F]?: InputOf<F[K]> | undefined }>

/**
 * A Go struct, its exported fields in the order of the Go source. Fields left out when encoding have Go's zero value; fields that the
 * other side left out decode to it. Receivers match fields by name, so order and missing fields never matter to them.
 *
 * @param name The full name (`github.com/acme/x/shared.Point`, `main.Point`). Only a struct whose bytes shall equal Go's, or that
 *   travels inside interfaces, needs one.
 */
export function struct<const F extends Fields>(name: string, fields: F): Schema<StructOf<F>, StructInput<F>>
export function struct<const F extends Fields>(fields: F): Schema<StructOf<F>, StructInput<F>>
export function struct<F extends Fields>(...args: [F] | [string, F]): Schema<StructOf<F>, StructInput<F>> {
  const [name, fields] = args.length === 1 ? ['', args[0]] : args
  const list = Object.entries(fields).map(([field, schema]) => {
    if (!/^\p{Lu}[\p{L}\p{Nd}_]*$/u.test(field))
      throw fault(`${name || 'a struct'} has a field ${JSON.stringify(field)}: Go sends exported fields only`)
    return { name: field, shape: schema['~gob'] }
  })
  return make({ kind: 'struct', name, fields: list })
}

/** `*T`: null when nil. Go flattens pointers, and so a pointer to a zero number, string or bool in a struct arrives as nil. */
export function pointer<Out, In>(to: Schema<Out, In>): Schema<Out | null, In | null> {
  return make({ kind: 'pointer', to: to['~gob'], star: true })
}

/** A `T` that decodes to null where the other side left it out, to tell that from zero. The same bytes as `T`. */
export function nullable<Out, In>(of: Schema<Out, In>): Schema<Out | null, In | null> {
  return make({ kind: 'pointer', to: of['~gob'], star: false })
}

/** A schema that is not there yet, for types that contain themselves. */
export function lazy<Out, In = Out>(get: () => Schema<Out, In>): Schema<Out, In> {
  return make({ kind: 'lazy', get: () => get()['~gob'] })
}

/** A Go type with a name of its own: `named('main.Level', int)` for `type Level int`. The wire is that of the type beneath. */
export function named<Out, In>(name: string, of: Schema<Out, In>): Schema<Out, In> {
  if (name === '') throw fault('a named type needs a name')
  return make({ kind: 'named', name, of: of['~gob'] })
}

/** Go types that travel inside interfaces, by the names they are registered under in Go. */
export interface Registry<Types extends Fields = Fields> {
  readonly '~types': ReadonlyMap<string, Shape>
  readonly '~of'?: Types
}

type TypedOut<Types extends Fields> = { [N in keyof Types & string]: Typed<N, TypeOf<Types[N]>> }[keyof Types & string]
type TypedIn<Types extends Fields> = { [N in keyof Types & string]: Typed<N, InputOf<Types[N]>> }[keyof Types & string]

/** What Go registers by itself. */
export type BasicTypes = {
  readonly bool: typeof bool
  readonly int: typeof int
  readonly int8: typeof int8
  readonly int16: typeof int16
  readonly int32: typeof int32
  readonly int64: typeof int64
  readonly uint: typeof uint
  readonly uint8: typeof uint8
  readonly uint16: typeof uint16
  readonly uint32: typeof uint32
  readonly uint64: typeof uint64
  readonly uintptr: typeof uintptr
  readonly float32: typeof float32
  readonly float64: typeof float
  readonly complex64: typeof complex64
  readonly complex128: typeof complex
  readonly string: typeof string
  readonly '[]uint8': typeof bytes
  readonly '[]bool': Schema<boolean[], readonly boolean[]>
  readonly '[]int': Schema<number[], readonly (number | bigint)[]>
  readonly '[]int8': Schema<number[], readonly (number | bigint)[]>
  readonly '[]int16': Schema<number[], readonly (number | bigint)[]>
  readonly '[]int32': Schema<number[], readonly (number | bigint)[]>
  readonly '[]int64': Schema<bigint[], readonly (number | bigint)[]>
  readonly '[]uint': Schema<number[], readonly (number | bigint)[]>
  readonly '[]uint16': Schema<number[], readonly (number | bigint)[]>
  readonly '[]uint32': Schema<number[], readonly (number | bigint)[]>
  readonly '[]uint64': Schema<bigint[], readonly (number | bigint)[]>
  readonly '[]uintptr': Schema<bigint[], readonly (number | bigint)[]>
  readonly '[]float32': Schema<number[], readonly number[]>
  readonly '[]float64': Schema<number[], readonly number[]>
  readonly '[]complex64': Schema<Complex[], readonly Complex[]>
  readonly '[]complex128': Schema<Complex[], readonly Complex[]>
  readonly '[]string': Schema<string[], readonly string[]>
}

const scalars = {
  bool,
  int,
  int8,
  int16,
  int32,
  int64,
  uint,
  uint16,
  uint32,
  uint64,
  uintptr,
  float32,
  float64: float,
  complex64,
  complex128: complex,
  string,
}
const basics: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ...Object.entries(scalars).flatMap(([name, schema]): [string, Shape][] => [
    [name, schema['~gob']],
    [`[]${name}`, { kind: 'slice', of: schema['~gob'] }],
  ]),
  ['uint8', uint8['~gob']],
  ['[]uint8', bytes['~gob']],
])

/**
 * Names for interface values. What Go registers itself (numbers, strings, bool, and slices of them) is always in it.
 *
 * The name is what the Go side registered: `gob.Register(Point{})` gives the full import path, `github.com/acme/x/shared.Point`;
 * `gob.Register(&Point{})` gives `*shared.Point`; an unnamed type its Go spelling, e.g. `map[string]interface {}`.
 * For a type that contains the interface itself, pass a function: `registry(() => ({ ... }))`.
 */
export function registry<const Types extends Fields = Record<never, never>>(types?: Types | (() => Types)): Registry<Types> {
  const read = (): ReadonlyMap<string, Shape> => {
    const all = new Map(basics)
    for (const [name, schema] of Object.entries((typeof types === 'function' ? types() : types) ?? {})) {
      if (name === '' || Buffer.byteLength(name) > 1024) throw fault('a registered name has 1 to 1024 bytes')
      if (basics.has(name)) throw fault(`${name} is registered by Go itself`)
      all.set(name, schema['~gob'])
    }
    return all
  }
  let known = typeof types === 'function' ? undefined : read()
  return {
    get '~types'() {
      known ??= read()
      return known
    },
  }
}

/**
 * `interface{}` and every other interface type. A value is a `Typed`: its registered name says which Go type it is, because a bare 1 may
 * be an `int`, an `int64` or a `float64`, and the receiver gets exactly that. Encoding also takes a bare string, boolean or `Uint8Array`.
 */
export function iface<Types extends Fields = Record<never, never>>(
  types?: Registry<Types>,
): Schema<TypedOut<BasicTypes> | TypedOut<Types> | null, TypedIn<BasicTypes> | TypedIn<Types> | string | boolean | Uint8Array | null> {
  const registered = types
  return make(
    registered === undefined
      ? { kind: 'iface', types: basics }
      : {
          kind: 'iface',
          get types() {
            return registered['~types']
          },
        },
  )
}

/** How to read and write the bytes a Go type makes of itself. */
export interface OpaqueCodec<Out, In = Out> {
  /** Makes what Go's GobEncode, MarshalBinary or MarshalText makes. */
  encode(value: In): Uint8Array
  /** What it throws becomes an `ERR_GOB_VALUE`. The bytes are a copy and may be kept. */
  decode(bytes: Uint8Array): Out
  /** What a field that was left out decodes to: the zero value of the Go type. */
  zero(): Out
  /** Whether Go would leave the value out of a struct, being all zero. Default: never. */
  isZero?(value: In): boolean
  /** The Go type has the methods on its pointer (`func (x *T) MarshalBinary`). Default false. */
  readonly onPointer?: boolean
}

const opaque = <Out, In>(wire: 5 | 6 | 7, name: string, codec: OpaqueCodec<Out, In>): Schema<Out, In> =>
  make({
    kind: 'opaque',
    name,
    wire,
    onPointer: codec.onPointer ?? false,
    encode: value => codec.encode(value),
    decode: raw => codec.decode(raw),
    zero: () => codec.zero(),
    isZero: value => codec.isZero?.(value) ?? false,
  })

/** A Go type with GobEncode and GobDecode, e.g. `big.Rat`. */
export function gobEncoder<Out, In = Out>(name: string, codec: OpaqueCodec<Out, In>): Schema<Out, In> {
  return opaque(5, name, codec)
}

/** A Go type with MarshalBinary and UnmarshalBinary but not GobEncode, e.g. `url.URL`, `netip.Addr`, `uuid.UUID`. */
export function binaryMarshaler<Out, In = Out>(name: string, codec: OpaqueCodec<Out, In>): Schema<Out, In> {
  return opaque(6, name, codec)
}

/** The wire has a third way, MarshalText. Go's own encoder does not use it today. */
export function textMarshaler<Out, In = Out>(name: string, codec: OpaqueCodec<Out, In>): Schema<Out, In> {
  return opaque(7, name, codec)
}

function lengthOf(length: number): number {
  if (Number.isSafeInteger(length) && length >= 0) return length
  throw fault(`the length of an array is not ${length}`)
}

function fault(reason: string): PluginError {
  return new PluginError('ERR_CONTRACT', { reason: `gob: ${reason}` })
}
