// Which function of an object answers a method.

import type { AnyMethod } from './definition.ts'
import { GrpcError } from './grpc-error.ts'
import type { GrpcContext, Handlers } from './seam.ts'
import { Status } from './status.ts'

/** The name of a method in programs: as in the definition, with its first letter in lower case, as protobuf-es and ts-proto write it. */
export function methodName(name: string): string {
  const local = name.charAt(0).toLowerCase() + name.slice(1)
  // What every object has, or what would make a promise of a client, gets a sign behind it, as protobuf-es does.
  return taken.has(local) ? `${local}$` : local
}

const taken = new Set(['constructor', 'toString', 'toJSON', 'valueOf', 'then'])

/**
 * Finds the handler of a method, by its name in programs first and by its name in the definition next. It is called on the object, so that a class
 * can be one.
 *
 * @throws TypeError when there is something of that name that is no function.
 */
export function handlerOf(name: string, method: AnyMethod, handlers: Handlers): (request: unknown, context: GrpcContext) => unknown {
  for (const key of [methodName(name), name]) {
    const handler: unknown = (handlers as Record<string, unknown>)[key]
    if (handler === undefined || handler === (Object.prototype as unknown as Record<string, unknown>)[key]) continue
    if (typeof handler !== 'function') throw new TypeError(`the handler ${key} of ${method.path} is no function but ${typeof handler}`)
    return (request, context) => handler.call(handlers, request, context)
  }
  return () => {
    throw new GrpcError(Status.UNIMPLEMENTED, `${method.path} is not implemented`)
  }
}
