// What a service can be given as, and how each becomes the one shape that the transport knows. Codecs are fetched here and not before: a plugin
// introduces itself to its host first.

import type { ServiceDefinition } from '../transport/definition.ts'
import { loadDefinition, type ProtoService } from './proto.ts'
import type { ProtobufEsService } from './protobuf-es.ts'

/** A descriptor of protobuf-es v2, a service definition as grpc-js takes it, or what `proto` made. */
// biome-ignore lint/suspicious/noExplicitAny: a service of whatever interface
export type AnyService = ProtobufEsService | ServiceDefinition | ProtoService<any>

/** A service, or a function that fetches it: `() => import('./gen/kv_pb.js').then(m => m.KV)` keeps generated code out of a plugin's start. */
export type ServiceSource<S extends AnyService = AnyService> = S | (() => S | Promise<S>)

/** Fetches a service and the library that reads and writes its messages. */
export async function resolveService(source: ServiceSource): Promise<ServiceDefinition> {
  const service = typeof source === 'function' ? await (source as () => AnyService | Promise<AnyService>)() : source
  if (isProtobufEs(service)) return (await import('./protobuf-es.ts')).definitionOf(service)
  if (isProto(service)) return loadDefinition(service)
  return checkedDefinition(service)
}

function isProtobufEs(service: AnyService): service is ProtobufEsService {
  return (service as { kind?: unknown }).kind === 'service' && 'typeName' in service
}

// biome-ignore lint/suspicious/noExplicitAny: a service of whatever interface
function isProto(service: AnyService): service is ProtoService<any> {
  return (service as { kind?: unknown }).kind === 'proto'
}

/** Definitions come from generators of all kinds; what is none is told of here rather than by the first call. */
function checkedDefinition(service: ServiceDefinition): ServiceDefinition {
  const wrong = Object.entries(service ?? {}).find(
    ([, method]) =>
      typeof method?.path !== 'string' || typeof method.requestSerialize !== 'function' || typeof method.responseSerialize !== 'function',
  )
  if (typeof service !== 'object' || service === null || wrong !== undefined) {
    throw new TypeError(
      `a service is a descriptor of protobuf-es, a service definition of grpc-js or made by proto(); this is none${wrong ? `, see ${wrong[0]}` : ''}`,
    )
  }
  return service
}
