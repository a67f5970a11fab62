// Functions and objects as arguments and results. Who gives one serves it behind a broker id, under the service name that go-plugin uses; who gets
// the id dials it at once. Source of the way: mux_broker.go `AcceptAndServe`, and what Go programs do with the id they get.

import { isPluginError, PluginError } from 'plugwire'
import type { Schema } from '../gob/schema.ts'
import {
  type ClientOf,
  type ClientOfInterface,
  type Methods,
  type MethodsFor,
  method,
  type ServerOf,
  type ServerOfInterface,
  wireMethods,
} from '../methods.ts'
import type { Carrier, WireMethod } from '../rpc/body.ts'
import { PLUGIN_SERVICE } from '../rpc/headers.ts'
import { remoteFunction, remoteObject } from '../rpc/remote.ts'
import { referenceSchema } from './references.ts'

export interface CallbackOptions {
  /** The method of the object in Go that stands for the function. Default `Call`. */
  readonly name?: string
}

/** A function of the other side. Disposing it tells the other side that it is not needed any more. */
export type RemoteCallback<ArgIn, ReplyOut> = ((...args: undefined extends ArgIn ? [arg?: ArgIn] : [arg: ArgIn]) => Promise<ReplyOut>) &
  AsyncDisposable &
  Disposable
/** A function that is given to the other side. */
export type LocalCallback<ArgOut, ReplyIn> = (
  ...args: undefined extends ArgOut ? [arg?: ArgOut] : [arg: ArgOut]
) => ReplyIn | PromiseLike<ReplyIn>

/**
 * A function, in the place of a broker id (`uint32`). In Go it is an object with one method:
 * `rpc.NewClient(conn).Call("Plugin.Call", arg, &reply)`.
 *
 *     Download: method(struct({ Url: string, Progress: callback(int, nothing) }), bytes)
 */
export function callback<ArgOut, ArgIn, ReplyOut, ReplyIn>(
  arg: Schema<ArgOut, ArgIn>,
  reply: Schema<ReplyOut, ReplyIn>,
  options: CallbackOptions = {},
): Schema<RemoteCallback<ArgIn, ReplyOut>, LocalCallback<ArgOut, ReplyIn>> {
  const name = options.name ?? 'Call'
  const methods = wireMethods(PLUGIN_SERVICE, { [name]: method(arg, reply) })
  return referenceSchema({
    what: 'a function',
    offer: (value, carrier) => {
      if (typeof value !== 'function') throw unsupported(value, 'Give a function')
      return offerService(carrier, 'a function', methods, { [name]: value })
    },
    take: (id, carrier) => remoteFunction(carrier, carrier.broker.dial(id), 'a function', methods[0] as WireMethod),
  })
}

/**
 * An object with methods, in the place of a broker id (`uint32`): an interface of Go that is passed along. Given is an object or an
 * instance of a class; the other side gets an object with the same methods, asynchronous.
 */
export function remote<T extends object = never, const M extends Methods = [T] extends [never] ? Methods : MethodsFor<T> & Methods>(
  methods: M,
): [T] extends [never] ? Schema<ClientOf<M>, ServerOf<M>> : Schema<ClientOfInterface<T>, ServerOfInterface<T>> {
  // Read when a value is there, so that interfaces may name each other.
  let known: readonly WireMethod[] | undefined
  const read = (): readonly WireMethod[] => {
    known ??= wireMethods(PLUGIN_SERVICE, methods)
    return known
  }
  const schema = referenceSchema({
    what: 'an object',
    offer: (value, carrier) => {
      if (typeof value !== 'object' || value === null) throw unsupported(value, 'Give an object with the methods')
      return offerService(carrier, 'an object', read(), value)
    },
    take: (id, carrier) => remoteObject(carrier, carrier.broker.dial(id), 'an object', read()),
  })
  return schema as [T] extends [never] ? Schema<ClientOf<M>, ServerOf<M>> : Schema<ClientOfInterface<T>, ServerOfInterface<T>>
}

/** @internal A new id behind which the peer finds an object of ours. */
export function offerService(carrier: Carrier, label: string, methods: readonly WireMethod[], target: object): number {
  const id = carrier.broker.nextId()
  acceptService(carrier, id, label, methods, target).catch((cause: unknown) => {
    if (isPluginError(cause, 'ERR_BROKER_TIMEOUT'))
      carrier.warn(`${label} that was given to the other side was not taken: ${cause.message}`)
  })
  return id
}

/** @internal Serves an object behind an id of ours, once the peer has dialled it. */
export async function acceptService(
  carrier: Carrier,
  id: number,
  label: string,
  methods: readonly WireMethod[],
  target: object,
): Promise<void> {
  carrier.serve(await carrier.broker.accept(id), label, methods, target)
}

function unsupported(value: unknown, remedy: string): PluginError {
  const type = value === null ? 'null' : `a ${typeof value}`
  return new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'the value', type, remedy })
}
