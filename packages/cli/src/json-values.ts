// Values that JSON has no words for, in JSON and back: an object with one key that begins with `$` says what it stands for.
// The page docs/cli.md lists the keys; they are stable.

import { methodsOf } from 'plugwire/host'

const arrays: ReadonlyMap<string, (values: readonly unknown[]) => unknown> = new Map([
  ...[Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array].map(
    made => [made.name, (values: readonly unknown[]): unknown => made.from(values.map(Number))] as const,
  ),
  ...[BigInt64Array, BigUint64Array].map(
    made => [made.name, (values: readonly unknown[]): unknown => made.from(values.map(value => BigInt(value as string)))] as const,
  ),
])

/** A value as JSON can say it. Lossless for everything that can travel by value; of what travels by reference only a description is left. */
export function toJson(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: Object.is(value, -0) ? '-0' : String(value) }
    case 'bigint':
      return { $bigint: String(value) }
    case 'undefined':
      return { $undefined: true }
    case 'function':
      return { $function: value.name }
    case 'symbol':
      return { $symbol: String(value) }
    default:
      return value === null ? null : objectToJson(value as object)
  }
}

function objectToJson(value: object): unknown {
  if (Array.isArray(value)) return Array.from(value, toJson)
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() }
  if (value instanceof Map) return { $map: Array.from(value, ([key, item]) => [toJson(key), toJson(item)]) }
  if (value instanceof Set) return { $set: Array.from(value, toJson) }
  if (value instanceof RegExp) return { $regexp: [value.source, value.flags] }
  if (value instanceof URL) return { $url: value.href }
  if (value instanceof Uint8Array) return { $bytes: base64(value) }
  if (value instanceof ArrayBuffer) return { $buffer: base64(new Uint8Array(value)) }
  if (value instanceof DataView) return { $dataView: base64(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) }
  if (ArrayBuffer.isView(value))
    return {
      $array: value.constructor.name,
      values: Array.from(value as unknown as Iterable<unknown>, item => (typeof item === 'bigint' ? String(item) : item)),
    }
  if (value instanceof Error) return { $error: errorMembers(value) }
  const methods = remoteMethodsOf(value)
  if (methods !== undefined) return { $remote: methods }
  if (isByteStream(value)) return { $stream: 'bytes' }
  if (Symbol.asyncIterator in value) return { $stream: 'items' }
  const entries = Object.entries(value).map(([key, item]) => [key, toJson(item)] as const)
  // fromEntries defines properties, so a key called __proto__ stays a key.
  const plain = Object.fromEntries(entries)
  return entries.some(([key]) => key.startsWith('$')) ? { $object: plain } : plain
}

function errorMembers(error: Error): object {
  const { name, message, cause } = error
  const code = (error as { code?: unknown }).code
  return { name, message, ...(code !== undefined && { code: toJson(code) }), ...(cause !== undefined && { cause: toJson(cause) }) }
}

/** The value that `toJson` wrote; plain JSON stays as it is. @throws SyntaxError when what stands behind a known key cannot be read. */
export function fromJson(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json
  if (Array.isArray(json)) return json.map(fromJson)
  const keys = Object.keys(json)
  const [first] = keys
  if (first?.startsWith('$') && (keys.length === 1 || first === '$array')) {
    const read = readers.get(first)
    if (read !== undefined) return read(json as Record<string, unknown>)
    if (first === '$function' || first === '$remote' || first === '$stream' || first === '$symbol') {
      throw new SyntaxError(`${first} describes what cannot be written as JSON`)
    }
  }
  return members(json)
}

const members = (json: object): object => Object.fromEntries(Object.entries(json).map(([key, item]) => [key, fromJson(item)]))

const readers: ReadonlyMap<string, (json: Record<string, unknown>) => unknown> = new Map<
  string,
  (json: Record<string, unknown>) => unknown
>([
  ['$number', ({ $number }) => Number($number)],
  ['$bigint', ({ $bigint }) => BigInt(text($bigint, '$bigint'))],
  ['$undefined', () => undefined],
  ['$date', ({ $date }) => new Date($date === null ? Number.NaN : (text($date, '$date') as string))],
  ['$map', ({ $map }) => new Map(list($map, '$map').map(entry => list(entry, 'an entry of $map').map(fromJson) as [unknown, unknown]))],
  ['$set', ({ $set }) => new Set(list($set, '$set').map(fromJson))],
  ['$regexp', ({ $regexp }) => new RegExp(...(list($regexp, '$regexp').map(String) as [string, string]))],
  ['$url', ({ $url }) => new URL(text($url, '$url'))],
  ['$bytes', ({ $bytes }) => bytesOf(text($bytes, '$bytes'))],
  ['$buffer', ({ $buffer }) => bytesOf(text($buffer, '$buffer')).slice().buffer],
  ['$dataView', ({ $dataView }) => new DataView(bytesOf(text($dataView, '$dataView')).slice().buffer)],
  ['$error', ({ $error }) => errorOf($error)],
  ['$object', ({ $object }) => members(Object($object))],
  [
    '$array',
    ({ $array, values }) => {
      const make = arrays.get(String($array))
      if (make === undefined) throw new SyntaxError(`$array is one of ${[...arrays.keys()].join(', ')}`)
      return make(list(values, 'the values of $array'))
    },
  ],
])

function errorOf(json: unknown): Error {
  const { name, message, code, cause } = Object(json) as Record<string, unknown>
  const error = new Error(String(message ?? ''), cause === undefined ? undefined : { cause: fromJson(cause) })
  if (name !== undefined) error.name = String(name)
  return code === undefined ? error : Object.assign(error, { code: fromJson(code) })
}

function text(value: unknown, where: string): string {
  if (typeof value === 'string') return value
  throw new SyntaxError(`${where} is a text`)
}

function list(value: unknown, where: string): unknown[] {
  if (Array.isArray(value)) return value
  throw new SyntaxError(`${where} is a list`)
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

/** Strict, unlike Buffer's own reading, which skips what it does not know. */
export function bytesOf(text: string): Uint8Array {
  const plain = text.replace(/=+$/, '')
  if (!/^[A-Za-z0-9+/_-]*$/.test(plain) || plain.length % 4 === 1) throw new SyntaxError(`${JSON.stringify(text)} is not base64`)
  return new Uint8Array(Buffer.from(plain, 'base64'))
}

/** The methods of a remote object; undefined when it is none. */
export function remoteMethodsOf(value: object): readonly string[] | undefined {
  try {
    return methodsOf(value)
  } catch {
    return undefined // methodsOf refuses everything else.
  }
}

export function isByteStream(value: unknown): value is ReadableStream<Uint8Array> {
  return value instanceof ReadableStream
}
