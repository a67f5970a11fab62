// Types and values as interop/gob/neutral.go writes them, turned into schemas and values of ours.

import * as gob from '../../src/gob/index.ts'

export type Description =
  | { t: 'bool' | 'string' | 'bytes' | 'iface' }
  | { t: 'int' | 'uint' | 'float' | 'complex'; go: string }
  | { t: 'slice' | 'ptr'; of: Description }
  | { t: 'array'; n: number; of: Description }
  | { t: 'map'; key: Description; of: Description }
  | { t: 'struct'; name: string; fields: [string, Description][] }
  | { t: 'named'; name: string; of: Description }
  | { t: 'ref'; name: string }
  | { t: 'opaque'; name: string; wire: 5 | 6; onPointer: boolean }

// biome-ignore lint/suspicious/noExplicitAny: the types are known at run time only
export type LooseSchema = gob.Schema<any, any>

const numbers = new Map<string, LooseSchema>(
  Object.entries({
    int: gob.int,
    int8: gob.int8,
    int16: gob.int16,
    int32: gob.int32,
    int64: gob.int64,
    uint: gob.uint,
    uint8: gob.uint8,
    uint16: gob.uint16,
    uint32: gob.uint32,
    uint64: gob.uint64,
    uintptr: gob.uintptr,
    float32: gob.float32,
    float64: gob.float,
    complex64: gob.complex64,
    complex128: gob.complex,
  }),
)

const url: LooseSchema = gob.binaryMarshaler('net/url.URL', {
  encode: (text: string) => Buffer.from(text),
  decode: bytes => Buffer.from(bytes).toString(),
  zero: () => '',
  onPointer: true,
})

/** What both sides call the same: types with names of their own, and what is registered for interfaces. */
export class Described {
  readonly #known = new Map<string, { schema: LooseSchema; description: Description }>()
  readonly #opaque = new Map<string, LooseSchema>([
    ['time.Time', gob.preciseTime],
    ['math/big.Int', gob.bigInt],
    ['net/url.URL', url],
  ])
  readonly #registered: Record<string, Description>
  readonly #registry: gob.Registry

  constructor(registered: Record<string, Description> = {}) {
    this.#registered = registered
    this.#registry = gob.registry(() =>
      Object.fromEntries(Object.entries(registered).map(([name, description]) => [name, this.schema(description)])),
    )
  }

  /** @param raw Strings as bytes. */
  schema(d: Description, raw = false): LooseSchema {
    switch (d.t) {
      case 'bool':
        return gob.bool
      case 'string':
        return raw ? gob.rawString : gob.string
      case 'bytes':
        return gob.bytes
      case 'iface':
        return gob.iface(this.#registry)
      case 'int':
      case 'uint':
      case 'float':
      case 'complex':
        return numbers.get(d.go)!
      case 'slice':
        return gob.slice(this.schema(d.of))
      case 'array':
        return isByte(d.of) ? gob.byteArray(d.n) : gob.array(d.n, this.schema(d.of))
      case 'map':
        return gob.map(this.schema(d.key), this.schema(d.of))
      case 'ptr':
        return gob.pointer(this.schema(d.of))
      case 'ref':
        return gob.lazy(() => this.#named(d.name).schema)
      case 'struct': {
        if (d.name === '') return gob.struct(this.#fields(d.fields))
        const known = this.#known.get(d.name)
        if (known) return known.schema
        const holder = { schema: gob.lazy(() => this.#named(d.name).schema) as LooseSchema, description: d as Description }
        this.#known.set(d.name, holder)
        holder.schema = gob.struct(d.name, this.#fields(d.fields))
        return holder.schema
      }
      case 'named': {
        const known = this.#known.get(d.name)
        if (known) return known.schema
        const holder = { schema: gob.lazy(() => this.#named(d.name).schema) as LooseSchema, description: d.of }
        this.#known.set(d.name, holder)
        holder.schema = gob.named(d.name, this.schema(d.of))
        return holder.schema
      }
      case 'opaque': {
        let schema = this.#opaque.get(d.name)
        if (schema === undefined) {
          const make = d.wire === 5 ? gob.gobEncoder : gob.binaryMarshaler
          schema = make<string>(d.name, {
            encode: hex => Buffer.from(hex, 'hex'),
            decode: bytes => Buffer.from(bytes).toString('hex'),
            zero: () => (d.name.endsWith('Packed') ? '0000' : ''),
            isZero: hex => hex === '',
            onPointer: d.onPointer,
          })
          this.#opaque.set(d.name, schema)
        }
        return schema
      }
    }
  }

  #fields(fields: [string, Description][]): Record<string, LooseSchema> {
    return Object.fromEntries(fields.map(([name, of]) => [name, this.schema(of)]))
  }

  #named(name: string): { schema: LooseSchema; description: Description } {
    const known = this.#known.get(name)
    if (known === undefined) throw new Error(`no type ${name}`)
    return known
  }

  /** @param decoded What decoding gives; else what encoding takes, where nil maps are left out. */
  value(d: Description, neutral: unknown, decoded: boolean, raw = false): unknown {
    // Makes types known by their names.
    if (d.t === 'struct' || d.t === 'named') this.schema(d)
    const inner = (of: Description, value: unknown): unknown => this.value(of, value, decoded)
    switch (d.t) {
      case 'bool':
        return neutral
      case 'string':
        return raw ? bytesOf(neutral) : Buffer.from(neutral as string, 'hex').toString()
      case 'bytes':
        return bytesOf(neutral)
      case 'int':
      case 'uint':
        return d.go.endsWith('64') || d.go === 'uintptr' ? BigInt(neutral as string) : Number(neutral)
      case 'float':
        return floatOf(neutral)
      case 'complex':
        return { re: floatOf((neutral as string[])[0]), im: floatOf((neutral as string[])[1]) }
      case 'slice':
        return (neutral as unknown[]).map(each => inner(d.of, each))
      case 'array':
        if (isByte(d.of)) return Uint8Array.from(neutral as string[], Number)
        return (neutral as unknown[]).map(each => inner(d.of, each))
      case 'map':
        if (neutral === null) return decoded ? new Map() : undefined
        return new Map((neutral as [unknown, unknown][]).map(([key, value]) => [inner(d.key, key), inner(d.of, value)]))
      case 'ptr':
        return neutral === null ? null : inner(d.of, neutral)
      case 'named':
        return inner(d.of, neutral)
      case 'ref':
        return inner(this.#named(d.name).description, neutral)
      case 'struct': {
        const fields = d.fields.map(([name, of], i) => [name, inner(of, (neutral as unknown[])[i])] as const)
        return Object.fromEntries(decoded ? fields : fields.filter(([, value]) => value !== undefined))
      }
      case 'iface': {
        if (neutral === null) return null
        const { type, value } = neutral as { type: string; value: unknown }
        return { type, value: inner(this.#registered[type] ?? basic(type), value) }
      }
      case 'opaque':
        if (d.name === 'time.Time') {
          const [seconds, nanoseconds, zone] = neutral as [string, number, number | null]
          return { seconds: BigInt(seconds), nanoseconds, offsetSeconds: zone ?? undefined }
        }
        return d.name === 'math/big.Int' ? BigInt(neutral as string) : neutral
    }
  }
}

const isByte = (d: Description): boolean => d.t === 'uint' && d.go === 'uint8'
const bytesOf = (neutral: unknown): Uint8Array => Uint8Array.from(Buffer.from(neutral as string, 'hex'))
const floatOf = (neutral: unknown): number => Buffer.from(neutral as string, 'hex').readDoubleBE()

/** What Go registers itself. */
export function basic(name: string): Description {
  if (name === '[]uint8') return { t: 'bytes' }
  if (name.startsWith('[]')) return { t: 'slice', of: basic(name.slice(2)) }
  if (name === 'bool' || name === 'string') return { t: name }
  const t = name.startsWith('int') ? 'int' : name.startsWith('uint') ? 'uint' : name.startsWith('float') ? 'float' : 'complex'
  return { t, go: name }
}
