// What a kind gets to put its services onto a server. They are gathered first, since codecs are fetched then; after that any number of servers can
// have them at once.

import { type Health, PLUGIN_HEALTH_SERVICE } from '../plugin-services/health.ts'
import type { AnyService, ServiceSource } from '../service/source.ts'
import { resolveService } from '../service/source.ts'
import type { GrpcHandlers } from '../service/types.ts'
import type { ServiceDefinition } from '../transport/definition.ts'
import type { GrpcServer } from '../transport/seam.ts'

export interface Registrar {
  /**
   * Serves a service. Methods that the implementation lacks are answered with UNIMPLEMENTED. It need not be awaited.
   *
   * @throws TypeError when it is no service, one of its methods is served already, or a handler is no function.
   */
  add<S extends AnyService>(service: ServiceSource<S>, implementation: Partial<GrpcHandlers<S>>): Promise<void>
}

/** On the plugin's main server. */
export interface MainRegistrar extends Registrar {
  /**
   * What the health service says. Everything serves until this is called; it may be called at any time.
   *
   * @param service A full name. Default `plugin`, for which hosts ask to know how the plugin as a whole is.
   */
  setServing(serving: boolean, service?: string): void
}

/** A function that says what is to be served. */
export type Register = (registrar: Registrar) => void | Promise<void>

/** Services with what answers them. */
export interface Gathered {
  addTo(server: GrpcServer): void
  /** What they were described by, for reflection. */
  readonly services: readonly AnyService[]
}

/** @throws What `register` throws, and what is wrong with the services that it adds. */
export function gather(register: Register): Promise<Gathered>
export function gather(register: (registrar: MainRegistrar) => void | Promise<void>, health: Health): Promise<Gathered>
export async function gather(register: (registrar: MainRegistrar) => void | Promise<void>, health?: Health): Promise<Gathered> {
  const found: Promise<{ service: AnyService; definition: ServiceDefinition; implementation: object }>[] = []
  const registering = register({
    setServing: (serving, service = PLUGIN_HEALTH_SERVICE) => health?.set(service, serving),
    add(source, implementation) {
      const one = (async () => {
        const service = typeof source === 'function' ? await source() : source
        return { service, definition: await resolveService(service), implementation }
      })()
      // What is wrong with it is thrown below, whether somebody looks here or not.
      one.catch(() => {})
      found.push(one)
      return one.then(() => {})
    },
  })
  await registering
  const services = await Promise.all(found)
  return {
    addTo: server => {
      for (const { definition, implementation } of services) server.add(definition, implementation)
    },
    services: services.map(({ service }) => service),
  }
}
