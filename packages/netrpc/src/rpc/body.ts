// How an argument or a result is written and read: a gob schema, and what becomes of references on the way. It must not know calls.

import { type ErrorFacts, isPluginError, PluginError } from 'plugwire'
import type { Session, Stream } from 'plugwire/mux'
import type { MuxBroker } from '../broker/mux-broker.ts'
import type { AnySchema } from '../gob/schema.ts'

/** One side's way of writing and reading one type of body. */
export interface Body {
  readonly schema: AnySchema
  /** Turns what the application gave into what the schema takes. Left out where both are the same. */
  readonly toWire?: ((value: unknown, carrier: Carrier) => unknown) | undefined
  /** Turns what the schema gave into what the application gets. */
  readonly fromWire?: ((value: unknown, carrier: Carrier) => unknown) | undefined
  /** The value does not matter: whatever comes is passed over. */
  readonly ignored: boolean
}

/** A method as both sides know it. */
export interface WireMethod {
  /** The name that the application uses. */
  readonly name: string
  /** `Service.Method`, as it travels. */
  readonly serviceMethod: string
  readonly arg: Body
  readonly reply: Body
}

/** The connection that bodies and what they refer to travel on. */
export interface Carrier {
  readonly session: Session
  readonly broker: MuxBroker
  readonly maxValueBytes: number
  /** The event loop must stay alive until `letGo` was called as often. */
  hold(): void
  letGo(): void
  /** Why no more calls may be made by the application. */
  readonly refusal: Error | undefined
  /** A call of ours begins or has its answer; the same for a call of the peer. */
  callsInFlight: number
  callsServed: number
  /** Streams that carry the calls of an instance or a service. */
  serviceStreams: number
  /** Serves an object on a stream that was accepted. */
  serve(stream: Stream, label: string, methods: readonly WireMethod[], target: object, onEnded?: () => void): void
  /** Something went wrong where nobody waits for it. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** What gob and references know of an error is the place in a value; this adds whose value it is. */
export function inCall(cause: unknown, method: string, role: 'argument' | 'result'): unknown {
  if (!isPluginError(cause) || !(cause.code.startsWith('ERR_GOB_') || cause.code === 'ERR_VALUE_UNSUPPORTED')) return cause
  // All of them have a path, which begins with the word for the whole.
  const facts = cause.facts as ErrorFacts['ERR_GOB_TYPE']
  const path = facts.path.replace(/^value|^the value|^/, begin => `${method}: ${begin === '' ? '' : role}`)
  return new PluginError(cause.code as 'ERR_GOB_TYPE', { ...facts, path }, cause.cause === undefined ? undefined : { cause: cause.cause })
}
