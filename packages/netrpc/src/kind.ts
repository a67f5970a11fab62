// Kinds of go-plugin's net/rpc protocol, as data for a contract. The protocol itself is loaded when one is dispensed or served.

import type { Kind, TwoSided } from 'plugwire'
import type { KindDriver } from 'plugwire/driver'
import {
  type ClientOf,
  type ClientOfInterface,
  type Methods,
  type MethodsFor,
  type ServerOf,
  type ServerOfInterface,
  wireMethods,
} from './methods.ts'
import type { WireMethod } from './rpc/body.ts'
import { PLUGIN_SERVICE } from './rpc/headers.ts'

/** What a kind brings to its driver. */
export interface NetrpcDriver extends KindDriver {
  readonly methods: readonly WireMethod[]
}

/**
 * A kind that speaks go-plugin's net/rpc protocol, by its methods:
 *
 *     const kv = contract({ name: 'kv', versions: { 1: { kv: netrpc({ Get: method(string, bytes) }) } }, cookie })
 *
 * The types of both sides follow from the methods. To write them yourself, give an interface, `netrpc<Store>({ … })`: the compiler then
 * holds every method against it. A host gets the methods, asynchronous; a factory of a plugin returns an object that has them, and is called
 * for each dispense.
 *
 * @throws PluginError `ERR_CONTRACT` when a method is none.
 */
export function netrpc<T extends object = never, const M extends Methods = [T] extends [never] ? Methods : MethodsFor<T> & Methods>(
  methods: M,
): Kind<[T] extends [never] ? TwoSided<ClientOf<M>, ServerOf<M>> : TwoSided<ClientOfInterface<T>, ServerOfInterface<T>>, undefined> {
  const driver: NetrpcDriver = {
    load: async () => (await import('./driver.ts')).driver,
    methods: wireMethods(PLUGIN_SERVICE, methods),
  }
  return Object.freeze({ protocol: 'netrpc', driver }) as never
}
