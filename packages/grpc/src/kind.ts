// Kinds that travel by go-plugin's gRPC protocol. Data and types: what serves and calls them is loaded when a version with such a kind has been
// agreed on.

import type { Kind, TwoSided } from 'plugwire'
import type { KindDriver } from 'plugwire/driver'
import type { Broker } from './driver/brokers.ts'
import type { MainRegistrar } from './driver/registrar.ts'
import { bindClient } from './service/bind.ts'
import type { AnyService, ServiceSource } from './service/source.ts'
import type { GrpcClient, GrpcHandlers } from './service/types.ts'
import type { Channel } from './transport/seam.ts'

/** Both sides of a kind, as a pair of functions: go-plugin's `GRPCPlugin`. */
export interface GrpcForm<Client, Implementation> {
  /**
   * Role plugin: puts services onto the server, once, before any host can connect.
   *
   * @param implementation What the factory returned.
   */
  readonly server: (registrar: MainRegistrar, broker: Broker, implementation: Implementation) => void | Promise<void>
  /** Role host: makes what `dispense` gives. Called once for each plugin. */
  readonly client: (channel: Channel, broker: Broker) => Client | PromiseLike<Client>
}

/** @internal What the driver finds in a kind. */
export interface GrpcKindDriver extends KindDriver {
  readonly form: GrpcForm<object, never>
}

/**
 * A kind that is one service: `dispense` gives its client, the plugin's factory returns its handlers.
 *
 * @param service A descriptor of protobuf-es, a service definition as grpc-js takes it, what `proto` made, or a function that fetches one of these, so that
 * generated code stays out of a plugin's start.
 */
export function grpc<S extends AnyService>(service: ServiceSource<S>): Kind<TwoSided<GrpcClient<S>, Partial<GrpcHandlers<S>>>, undefined>
/** A kind whose both sides are made by functions. */
export function grpc<Client extends object, Implementation extends object>(
  form: GrpcForm<Client, Implementation>,
): Kind<TwoSided<Client, Implementation>, undefined>
export function grpc(given: ServiceSource | GrpcForm<object, never>): Kind<unknown, undefined> {
  const form = isForm(given) ? given : formOf(given)
  const driver: GrpcKindDriver = { form, load: async () => (await import('./driver.ts')).driver }
  return Object.freeze({ protocol: 'grpc', driver })
}

function isForm(given: ServiceSource | GrpcForm<object, never>): given is GrpcForm<object, never> {
  return typeof given === 'object' && 'server' in given && typeof given.server === 'function' && typeof given.client === 'function'
}

const formOf = (service: ServiceSource): GrpcForm<object, never> => ({
  server: (registrar, _broker, implementation) => registrar.add(service, implementation),
  client: channel => bindClient(service, channel),
})
