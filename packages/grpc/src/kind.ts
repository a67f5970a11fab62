// Kinds that travel by go-plugin's gRPC protocol. Data and types: what serves and calls them is loaded when a version with such a kind has been
// agreed on.

import type { Kind, TwoSided } from 'plugwire'
import type { KindDriver } from 'plugwire/driver'
import type { Broker } from './driver/brokers.ts'
import type { Registrar } from './driver/registrar.ts'
import type { Channel } from './transport/seam.ts'

/** Both sides of a kind, as a pair of functions: go-plugin's `GRPCPlugin`. */
export interface GrpcForm<Client, Implementation> {
  /**
   * Role plugin: puts services onto the server, once, before any host can connect.
   *
   * @param implementation What the factory returned.
   */
  readonly server: (registrar: Registrar, broker: Broker, implementation: Implementation) => void
  /** Role host: makes what `dispense` gives. Called once for each plugin. */
  readonly client: (channel: Channel, broker: Broker) => Client | PromiseLike<Client>
}

/** @internal What the driver finds in a kind. */
export interface GrpcKindDriver extends KindDriver {
  readonly form: GrpcForm<object, never>
}

/** A kind whose both sides are made by functions. */
export function grpc<Client extends object, Implementation extends object>(
  form: GrpcForm<Client, Implementation>,
): Kind<TwoSided<Client, Implementation>, undefined> {
  return kindOf(form)
}

function kindOf<Client extends object, Implementation extends object>(
  form: GrpcForm<Client, Implementation>,
): Kind<TwoSided<Client, Implementation>, undefined> {
  const driver: GrpcKindDriver = { form: form as GrpcForm<object, never>, load: async () => (await import('./driver.ts')).driver }
  return Object.freeze({ protocol: 'grpc', driver })
}
