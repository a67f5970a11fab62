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
  const check = nameCheck(type)
  return {
    write: message => {
      check(message)
      return type.encode(type.fromObject(message)).finish()
    },
    read: bytes => type.toObject(type.decode(bytes), plain),
  }
}

type NameCheck = (message: unknown) => void

/**
 * Refuses what is named as in the .proto file: such a field would be left out without a word, and its interface is written by hand.
 */
function nameCheck(type: Type, checks: Map<Type, NameCheck> = new Map()): NameCheck {
  const known = checks.get(type)
  if (known !== undefined) return known
  const renamed: (readonly [given: string, wanted: string])[] = []
  const inner: (readonly [name: string, repeated: boolean, map: boolean, check: NameCheck])[] = []
  const check: NameCheck = message => {
    if (typeof message !== 'object' || message === null) return
    const fields = message as Readonly<Record<string, unknown>>
    for (const [given, wanted] of renamed) {
      if (fields[given] !== undefined) throw new TypeError(`${type.fullName.slice(1)} has no ${given}; here it is written ${wanted}`)
    }
    for (const [name, repeated, map, checkInner] of inner) {
      const value = fields[name]
      if (typeof value !== 'object' || value === null) continue
      if (repeated && Array.isArray(value)) value.forEach(checkInner)
      else if (map) Object.values(value).forEach(checkInner)
      else checkInner(value)
    }
  }
  checks.set(type, check)
  for (const { name, resolvedType, repeated, map } of type.fieldsArray) {
    const given = name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
    if (given !== name && !(given in type.fields)) renamed.push([given, name])
    if (resolvedType !== null && 'fieldsArray' in resolvedType) inner.push([name, repeated, map, nameCheck(resolvedType, checks)])
  }
  return check
}
