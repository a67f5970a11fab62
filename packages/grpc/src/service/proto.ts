// Services read from .proto files at run time, without generated code. The library that reads them, protobufjs, is fetched when a service is bound.

import { fileURLToPath } from 'node:url'
import type { Root, Service, Type } from 'protobufjs'
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

/** @throws Error of protobufjs when the file cannot be read, or has no such service. */
export async function loadDefinition({ source, name, includeDirs }: ProtoService<unknown>): Promise<ServiceDefinition> {
  const root = await loadRoot(source, includeDirs)
  const service: Service = root.lookupService(name)
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

async function loadRoot(source: string | URL, includeDirs: readonly string[]): Promise<Root> {
  const { default: protobuf } = await import('protobufjs')
  const { existsSync } = process.getBuiltinModule('node:fs')
  const { join } = process.getBuiltinModule('node:path')
  const root = new protobuf.Root()
  const { resolvePath } = root
  root.resolvePath = (origin, target) => {
    const beside = resolvePath.call(root, origin, target)
    if (beside !== null && existsSync(beside)) return beside
    return includeDirs.map(directory => join(directory, target)).find(existsSync) ?? beside
  }
  if (typeof source === 'string' && source.includes('{')) {
    const { imports, weakImports } = protobuf.parse(source, root)
    await root.load([...(imports ?? []), ...(weakImports ?? [])])
  } else await root.load(typeof source === 'string' ? source : fileURLToPath(source))
  root.resolveAll()
  return root
}

function codec(type: Type): { write(message: Record<string, unknown>): Uint8Array; read(bytes: Buffer): unknown } {
  return {
    write: message => type.encode(type.fromObject(message)).finish(),
    read: bytes => type.toObject(type.decode(bytes), plain),
  }
}
