// Puts services and the transport together: a typed client on a channel, an implementation on a server.

import type { AnyMethod, ServiceDefinition } from '../transport/definition.ts'
import { methodName } from '../transport/handlers.ts'
import type { CallOptions, Channel, GrpcServer } from '../transport/seam.ts'
import { type AnyService, resolveService, type ServiceSource } from './source.ts'
import type { GrpcClient, GrpcHandlers } from './types.ts'

/** A client of a service. It has no state: all there is to close is the channel. */
export async function bindClient<S extends AnyService>(service: ServiceSource<S>, channel: Channel): Promise<GrpcClient<S>> {
  return clientOf(await resolveService(service), channel) as GrpcClient<S>
}

/**
 * Serves a service. Methods that the implementation lacks are answered with UNIMPLEMENTED.
 * @throws TypeError when the service is served already, or a handler is no function.
 */
export async function bindServer<S extends AnyService>(
  service: ServiceSource<S>,
  implementation: Partial<GrpcHandlers<S>>,
  server: GrpcServer,
): Promise<void> {
  server.add(await resolveService(service), implementation)
}

type ClientMethod = (request: never, options?: CallOptions) => unknown

function clientOf(definition: ServiceDefinition, channel: Channel): Readonly<Record<string, ClientMethod>> {
  return Object.fromEntries(Object.entries(definition).map(([name, method]) => [methodName(name), clientMethod(method, channel)]))
}

function clientMethod(method: AnyMethod, channel: Channel): ClientMethod {
  if (method.requestStream) {
    if (method.responseStream) return (requests, options) => channel.bidi(method, requests, options)
    return (requests, options) => channel.clientStream(method, requests, options)
  }
  if (method.responseStream) return (request, options) => channel.serverStream(method, request, options)
  return (request, options) => channel.unary(method, request, options)
}
