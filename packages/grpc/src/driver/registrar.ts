// What a kind gets to put its services onto a server.

import type { ServiceDefinition } from '../transport/definition.ts'
import type { GrpcServer, Handlers } from '../transport/seam.ts'

export interface Registrar {
  /** @throws TypeError when one of its methods is served already, or a handler is no function. */
  add(service: ServiceDefinition, implementation: Handlers): void
}

export function registrarOf(server: GrpcServer): Registrar {
  return { add: (service, implementation) => server.add(service, implementation) }
}
