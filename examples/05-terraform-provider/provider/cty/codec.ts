// Values of Terraform to MessagePack and back, by their type. Source: zclconf/go-cty, cty/msgpack.

import { fitsInt64, Reader, Writer } from './msgpack.ts'
import { asDouble, type CtyNumber, Decimal, exactly, numberFrom, numberOf, textOf } from './number.ts'
import { CtyError, type CtyPath, type CtyType, parseType } from './type.ts'
import { type Bound, type CtyValue, Dynamic, isRecord, type Refinement, record, Unknown, unknown } from './value.ts'

/** Extension with one byte that says nothing: an unknown value. */
const UNKNOWN = 0
/** Extension with a map that tells what is known about an unknown value. */
const REFINED = 12
/** go-cty refuses refinements of more bytes. */
const MAX_REFINEMENT_BYTES = 1_024

/** Values within values; types end long before, but a dynamic value may hold others. */
const MAX_DEPTH = 256

/** The keys of that map. */
const Known = { null: 1, prefix: 2, min: 3, max: 4, minLength: 5, maxLength: 6 } as const

const nothing = new Uint8Array(1)
const boundType: CtyType = ['tuple', ['number', 'bool']]

/** @throws CtyError when the value does not fit the type, with the path to the part that does not. */
export function encodeValue(value: CtyValue, type: CtyType): Uint8Array {
  const out = new Writer()
  write(out, value, type, [])
  return out.end()
}

/** @throws CtyError when the bytes are no value of the type. */
export function decodeValue(bytes: Uint8Array, type: CtyType): CtyValue {
  const input = new Reader(bytes)
  const value = read(input, type, [])
  if (!input.ended) throw new CtyError('bytes follow the value')
  return value
}

function write(out: Writer, value: CtyValue, type: CtyType, path: CtyPath): void {
  if (value instanceof Unknown) return writeUnknown(out, value, type)
  if (value === null) return out.null()
  if (type === 'dynamic') {
    if (!(value instanceof Dynamic)) throw misfit('a Dynamic', value, path)
    out.array(2)
    out.bytes(Buffer.from(JSON.stringify(value.type)))
    return write(out, value.value, value.type, path)
  }
  if (type === 'string') {
    if (typeof value !== 'string') throw misfit('a string', value, path)
    return out.string(value)
  }
  if (type === 'bool') {
    if (typeof value !== 'boolean') throw misfit('a boolean', value, path)
    return out.boolean(value)
  }
  if (type === 'number') {
    if (!isNumber(value)) throw misfit('a number', value, path)
    return writeNumber(out, value, path)
  }
  const [kind, inner] = type
  if (kind === 'list' || kind === 'set' || kind === 'tuple') {
    if (!Array.isArray(value)) throw misfit(`an array for a ${kind}`, value, path)
    if (kind === 'tuple' && value.length !== inner.length)
      throw new CtyError(`${inner.length} elements expected, ${value.length} found`, path)
    out.array(value.length)
    for (const [i, element] of (value as readonly CtyValue[]).entries()) {
      write(out, element, kind === 'tuple' ? inner[i]! : inner, [...path, i])
    }
    return
  }
  if (!isRecord(value)) throw misfit('an object', value, path)
  // In order of names, as Go does, so that equal values are equal bytes.
  const names = Object.keys(kind === 'object' ? inner : value).sort(byBytes)
  if (kind === 'object') {
    const stray = Object.keys(value).find(name => !Object.hasOwn(inner, name))
    if (stray !== undefined) throw new CtyError('there is no such attribute', [...path, stray])
  }
  out.map(names.length)
  for (const name of names) {
    out.string(name)
    write(out, value[name] ?? null, kind === 'object' ? inner[name]! : inner, [...path, name])
  }
}

function writeNumber(out: Writer, value: CtyNumber, path: CtyPath): void {
  const exact = typeof value === 'number' && !Number.isNaN(value) ? numberFrom(value) : value
  if (Number.isSafeInteger(exact) || (typeof exact === 'bigint' && fitsInt64(exact))) return out.integer(exact as number | bigint)
  if (Number.isNaN(exact)) throw new CtyError('NaN is no number here', path)
  // Go writes integers beyond 64 bits as text, and others as text when 64 bits of floating point do not hold them exactly, as those of 0.1.
  const double = typeof exact === 'bigint' ? undefined : asDouble(exact)
  if (double !== undefined) out.float(double)
  else out.string(textOf(exact))
}

function writeUnknown(out: Writer, { refinement }: Unknown, type: CtyType): void {
  const known = refinement === undefined || type === 'dynamic' ? [] : refinementsFor(refinement, type)
  if (known.length === 0) return out.extension(UNKNOWN, nothing)
  const body = new Writer(64)
  body.map(known.length)
  for (const [key, put] of known) {
    body.integer(key)
    put(body)
  }
  const bytes = body.end()
  // What is known may always be left out.
  if (bytes.length > MAX_REFINEMENT_BYTES) out.extension(UNKNOWN, nothing)
  else out.extension(REFINED, bytes)
}

/** The refinements that mean something for a type, by key. */
function refinementsFor(refinement: Refinement, type: CtyType): (readonly [key: number, put: (body: Writer) => void])[] {
  const { notNull, prefix, min, max, minLength, maxLength } = refinement
  const bound =
    ({ value, inclusive }: Bound) =>
    (body: Writer) =>
      write(body, [value, inclusive], boundType, [])
  const result: (readonly [number, (body: Writer) => void])[] = []
  if (notNull !== undefined) result.push([Known.null, body => body.boolean(!notNull)])
  if (type === 'string' && prefix) result.push([Known.prefix, body => body.string(prefix)])
  if (type === 'number' && min) result.push([Known.min, bound(min)])
  if (type === 'number' && max) result.push([Known.max, bound(max)])
  if (typeof type === 'string' || type[0] === 'object' || type[0] === 'tuple') return result
  if (minLength) result.push([Known.minLength, body => body.integer(minLength)])
  if (maxLength !== undefined) result.push([Known.maxLength, body => body.integer(maxLength)])
  return result
}

function read(input: Reader, type: CtyType, path: CtyPath): CtyValue {
  if (path.length > MAX_DEPTH) throw new CtyError(`a value deeper than ${MAX_DEPTH}`)
  try {
    const item = input.peek()
    if (item === 'extension') return readUnknown(input, type)
    if (item === 'null') {
      input.null()
      return null
    }
    if (type === 'string') return input.string()
    if (type === 'bool') return input.boolean()
    if (type === 'number')
      return item === 'integer' ? numberFrom(input.integer()) : item === 'float' ? exactly(input.float()) : numberOf(input.string())
    if (type === 'dynamic') {
      if (input.array() !== 2) throw new CtyError('a dynamic value consists of its type and the value')
      const own = parseType(Buffer.from(input.bytes()).toString())
      if (own === 'dynamic') throw new CtyError('a dynamic value in a dynamic value')
      return new Dynamic(own, read(input, own, path))
    }
  } catch (error) {
    if (error instanceof CtyError && error.path.length === 0) throw new CtyError(error.message, path, { cause: error })
    throw error
  }
  const [kind, inner] = type
  if (kind === 'list' || kind === 'set' || kind === 'tuple') {
    const length = located(path, () => input.array())
    if (kind === 'tuple' && length !== inner.length) throw new CtyError(`${inner.length} elements expected, ${length} found`, path)
    const elements: CtyValue[] = []
    for (let i = 0; i < length; i++) elements.push(read(input, kind === 'tuple' ? inner[i]! : inner, [...path, i]))
    return elements
  }
  const length = located(path, () => input.map())
  const result = record<CtyValue>()
  for (let i = 0; i < length; i++) {
    const name = located(path, () => input.string())
    if (kind === 'object' && !Object.hasOwn(inner, name)) throw new CtyError('there is no such attribute', [...path, name])
    result[name] = read(input, kind === 'object' ? inner[name]! : inner, [...path, name])
  }
  if (kind === 'object') {
    for (const name of Object.keys(inner)) if (!(name in result)) throw new CtyError('the attribute is missing', [...path, name])
  }
  return result
}

function readUnknown(input: Reader, type: CtyType): Unknown {
  const { type: extension, body } = input.extension()
  if (body.length <= 1) return unknown
  if (extension !== REFINED) throw new CtyError(`extension ${extension} is unknown`)
  if (body.length > MAX_REFINEMENT_BYTES) throw new CtyError(`${body.length} bytes about an unknown value`)
  const inside = new Reader(body)
  const found: { -readonly [K in keyof Refinement]: Refinement[K] } = {}
  for (let left = inside.map(); left > 0; left--) {
    const key = inside.integer()
    if (key === Known.null) found.notNull = !inside.boolean()
    else if (key === Known.prefix) found.prefix = inside.string()
    else if (key === Known.min) found.min = readBound(inside)
    else if (key === Known.max) found.max = readBound(inside)
    else if (key === Known.minLength) found.minLength = Number(inside.integer())
    else if (key === Known.maxLength) found.maxLength = Number(inside.integer())
    // Whatever later versions may know about a value.
    else inside.skip()
  }
  return type === 'dynamic' || Object.keys(found).length === 0 ? unknown : new Unknown(found)
}

function readBound(input: Reader): Bound {
  const bound = read(input, boundType, [])
  const [value, inclusive] = Array.isArray(bound) ? (bound as readonly CtyValue[]) : []
  if (value === undefined || !isNumber(value) || typeof inclusive !== 'boolean') throw new CtyError('a bound is a number and a boolean')
  return { value, inclusive }
}

function located<T>(path: CtyPath, take: () => T): T {
  try {
    return take()
  } catch (error) {
    throw error instanceof CtyError ? new CtyError(error.message, path, { cause: error }) : error
  }
}

function isNumber(value: CtyValue): value is CtyNumber {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof Decimal
}

/** Go sorts by bytes of UTF-8, `sort` alone by units of UTF-16. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function misfit(expected: string, value: CtyValue, path: CtyPath): CtyError {
  const found = Array.isArray(value)
    ? 'an array'
    : value === undefined
      ? 'undefined'
      : typeof value === 'object'
        ? (value?.constructor?.name ?? 'an object')
        : `a ${typeof value}`
  return new CtyError(`${expected} expected, ${found} found`, path)
}
