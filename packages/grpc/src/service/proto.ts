// Services read from .proto files at run time, without generated code. The library that reads them, protobufjs, is fetched when a service is bound.

import { fileURLToPath } from 'node:url'
import { PluginError } from 'plugwire'
import type { NamespaceBase, Root, Service, Type } from 'protobufjs'
import type { AnyMethod, ServiceDefinition } from '../transport/definition.ts'

declare const methods: unique symbol

/** A service that is still to be read. `T` is its interface, written by hand. */
export interface ProtoService<T> {
  readonly kind: 'proto'
  /** A path or URL of a file, or the text of one. */
  readonly source: string | URL
  /** With its package: `pkg.Service`. */
  readonly name: string
  readonly includeDirs: readonly string[]
  readonly [methods]?: T
}

export interface ProtoOptions {
  /** Where imports are looked for besides the directory of the file itself. `google/protobuf/…` is always there. */
  readonly includeDirs?: readonly string[]
}

/**
 * A service from a .proto file. Nothing is read before it is bound.
 *
 * Its messages are plain objects: fields in lowerCamelCase; 64-bit integers as `bigint`, whatever their size; bytes as `Uint8Array`; enum values by their
 * names (numbers are taken, too); maps as objects. Fields that were not set have their default, messages `null`. Of a oneof the field that is set
 * stands among the others, and the name of the oneof holds that field's name.
 *
 * @typeParam T Its methods, in lowerCamelCase, with one message or an `AsyncIterable` of them on each side:
 * `{ get(request: { key: string }): Promise<{ value: Uint8Array }>; watch(request: { prefix: string }): AsyncIterable<Change> }`.
 * @param source A path or `file:` URL; or the text itself, which is told by its braces.
 * @param name The service with its package, `pkg.Service`.
 */
// biome-ignore lint/suspicious/noExplicitAny: without an interface, methods take and give anything
export function proto<T = any>(source: string | URL, name: string, options: ProtoOptions = {}): ProtoService<T> {
  return { kind: 'proto', source, name, includeDirs: options.includeDirs ?? [] }
}

/** How messages become plain objects; the rules of `proto`. */
const plain = { longs: BigInt, enums: String, defaults: true, oneofs: true }

/** @throws PluginError `ERR_CONTRACT` without protobufjs or when there is no such service; Error of protobufjs when the file cannot be read. */
export async function loadDefinition({ source, name, includeDirs }: ProtoService<unknown>): Promise<ServiceDefinition> {
  const root = await loadRoot(source, includeDirs)
  const services = servicesIn(root)
  const service = services.get(name.replace(/^\./, ''))
  if (service === undefined) {
    const file = isText(source) ? 'the text given to proto()' : String(source)
    throw new PluginError('ERR_CONTRACT', {
      reason: `${file} has no service ${name}; it has: ${[...services.keys()].join(', ') || 'none'}`,
    })
  }
  const definition: Record<string, AnyMethod> = {}
  for (const method of service.methodsArray) {
    const request = codec(method.resolvedRequestType as Type)
    const response = codec(method.resolvedResponseType as Type)
    definition[method.name] = {
      path: `/${service.fullName.replace(/^\./, '')}/${method.name}`,
      requestStream: method.requestStream === true,
      responseStream: method.responseStream === true,
      requestSerialize: request.write,
      requestDeserialize: request.read,
      responseSerialize: response.write,
      responseDeserialize: response.read,
    }
  }
  return definition
}

/** By their names with the package. */
function servicesIn(namespace: NamespaceBase, found: Map<string, Service> = new Map()): Map<string, Service> {
  for (const member of namespace.nestedArray) {
    if ('methods' in member) found.set(member.fullName.replace(/^\./, ''), member as Service)
    else if ('nestedArray' in member) servicesIn(member as NamespaceBase, found)
  }
  return found
}

function isText(source: string | URL): source is string {
  return typeof source === 'string' && source.includes('{')
}

async function library(): Promise<typeof import('protobufjs')> {
  try {
    return (await import('protobufjs')).default
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    const reason = 'proto() reads .proto files with protobufjs, which is not installed. Add it to the program: npm install protobufjs'
    throw new PluginError('ERR_CONTRACT', { reason }, { cause })
  }
}

async function loadRoot(source: string | URL, includeDirs: readonly string[]): Promise<Root> {
  const protobuf = await library()
  const { existsSync } = process.getBuiltinModule('node:fs')
  const { join } = process.getBuiltinModule('node:path')
  const root = new protobuf.Root()
  const { resolvePath } = root
  root.resolvePath = (origin, target) => {
    const beside = resolvePath.call(root, origin, target)
    if (beside !== null && existsSync(beside)) return beside
    return includeDirs.map(directory => join(directory, target)).find(existsSync) ?? beside
  }
  if (isText(source)) {
    const { imports, weakImports } = protobuf.parse(source, root)
    await root.load([...(imports ?? []), ...(weakImports ?? [])])
  } else await root.load(typeof source === 'string' ? source : fileURLToPath(source))
  root.resolveAll()
  return root
}

function codec(type: Type): { write(message: Record<string, unknown>): Uint8Array; read(bytes: Buffer): unknown } {
  const check = messageCheck(type)
  return {
    write: message => {
      check(message, '')
      return type.encode(type.fromObject(message)).finish()
    },
    read: bytes => type.toObject(type.decode(bytes), plain),
  }
}

/** Throws when a message is not what its type says. */
type Check = (value: unknown, path: string) => void

const isInteger = (value: unknown): boolean => Number.isInteger(value) || typeof value === 'bigint'
const isLong = (value: unknown): boolean => isInteger(value) || (typeof value === 'string' && /^-?\d{1,20}$/.test(value))
const isNumber = (value: unknown): boolean => typeof value === 'number'

/** What a value of a scalar type may be, and how that is called. */
const scalars: Readonly<Record<string, readonly [fits: (value: unknown) => boolean, name: string]>> = {
  string: [value => typeof value === 'string', 'a string'],
  bytes: [value => value instanceof Uint8Array, 'a Uint8Array'],
  bool: [value => typeof value === 'boolean', 'a boolean'],
  double: [isNumber, 'a number'],
  float: [isNumber, 'a number'],
  ...Object.fromEntries(['int32', 'uint32', 'sint32', 'fixed32', 'sfixed32'].map(name => [name, [isInteger, 'a whole number']])),
  ...Object.fromEntries(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'].map(name => [name, [isLong, 'a bigint or a whole number']])),
}

/**
 * Holds messages to their type. Their interface is written by hand, and protobufjs drops a field whose name it does not know and makes something of a
 * value of another type, both without a word.
 */
function messageCheck(type: Type, checks: Map<Type, Check> = new Map()): Check {
  const known = checks.get(type)
  if (known !== undefined) return known
  const fields = new Map<string, Check>()
  const own = type.fullName.slice(1)
  const check: Check = (message, path) => {
    if (typeof message !== 'object' || message === null) throw wrong(own, path, 'an object', message)
    for (const [name, value] of Object.entries(message)) {
      if (value === undefined || value === null) continue
      const field = fields.get(name)
      if (field !== undefined) field(value, path === '' ? name : `${path}.${name}`)
      // The name of a oneof says which of its fields is set.
      else if (type.oneofs?.[name] === undefined) throw new TypeError(`${own} has no ${name}${nearest(name, fields)}`)
    }
  }
  checks.set(type, check)
  for (const { name, type: typeName, resolvedType, repeated, map } of type.fieldsArray) {
    const one = valueCheck(own, typeName, resolvedType, checks)
    fields.set(name, repeated ? each(own, one) : map ? eachValue(own, one) : one)
  }
  return check
}

function valueCheck(own: string, typeName: string, resolved: Type['fieldsArray'][number]['resolvedType'], checks: Map<Type, Check>): Check {
  if (resolved !== null && 'fieldsArray' in resolved) return (value, path) => messageCheck(resolved, checks)(value, path)
  if (resolved !== null) {
    return (value, path) => {
      const fits = typeof value === 'string' ? Object.hasOwn(resolved.values, value) : Number.isInteger(value)
      if (!fits) throw wrong(own, path, `one of ${Object.keys(resolved.values).join(', ')}`, value)
    }
  }
  const [fits, name] = scalars[typeName] ?? [() => true, '']
  return (value, path) => {
    if (!fits(value)) throw wrong(own, path, name, value)
  }
}

const each =
  (own: string, check: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) throw wrong(own, path, 'an array', value)
    value.forEach((item, index) => {
      check(item, `${path}[${index}]`)
    })
  }

const eachValue =
  (own: string, check: Check): Check =>
  (value, path) => {
    if (typeof value !== 'object' || value === null) throw wrong(own, path, 'an object', value)
    for (const [key, item] of Object.entries(value)) check(item, `${path}[${JSON.stringify(key)}]`)
  }

function wrong(own: string, path: string, expected: string, value: unknown): TypeError {
  const what =
    typeof value === 'string'
      ? JSON.stringify(value.slice(0, 40))
      : value === null
        ? 'null'
        : Array.isArray(value)
          ? 'an array'
          : `${typeof value} ${String(value).slice(0, 40)}`
  return new TypeError(`${path === '' ? own : `${path} of ${own}`} is ${expected}, not ${what}`)
}

/** A name as in the file, `total_count`, is what is given most often in place of `totalCount`. */
function nearest(name: string, fields: ReadonlyMap<string, unknown>): string {
  const plainName = (text: string): string => text.replaceAll('_', '').toLowerCase()
  const wanted = [...fields.keys()].find(candidate => plainName(candidate) === plainName(name))
  return wanted === undefined ? `; it has ${[...fields.keys()].join(', ') || 'no fields'}` : `; here it is written ${wanted}`
}
