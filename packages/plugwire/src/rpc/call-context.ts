// What a method may know of the call that it is serving, and what a caller may ask of a call.

/** Metadata beside the arguments of a call: short texts by name. W3C trace context travels as `traceparent` and `tracestate`. */
export type Metadata = Readonly<Record<string, string>>

/** Options for the calls made through `withOptions`. */
export interface CallOptions {
  /** Cancels the calls: they reject with `ERR_CALL_CANCELLED`, and the method over there sees an aborted signal. */
  readonly signal?: AbortSignal
  /** Milliseconds until a call rejects with `ERR_CALL_TIMEOUT` and is cancelled over there. Default: none. At most 2^32-1. */
  readonly timeoutMs?: number
  /** Travels beside the arguments. */
  readonly metadata?: Metadata
}

/** The call that a method is serving. */
export interface CallContext {
  /** Aborted when the caller cancels or its deadline passes, and when the connection ends. Made when first read. */
  readonly signal: AbortSignal
  /** When the caller gives up, in milliseconds of `performance.now()`; undefined when it waits for ever. */
  readonly deadline: number | undefined
  /** What the caller sent beside the arguments. */
  readonly metadata: Metadata
}

/** What makes contexts: the connection that is serving a call right now. */
export interface ContextSource {
  context(): CallContext
}

let current: ContextSource | undefined

/** @internal Says who is serving while a method runs synchronously. */
export function serving(source: ContextSource | undefined): ContextSource | undefined {
  const before = current
  current = source
  return before
}

/**
 * The call that is being served.
 *
 * Ask at the beginning of the method, before its first `await`: later the answer would belong to another call, and it is undefined.
 * In an async generator the signal is aborted when the consumer leaves its loop, so that a wait for something that never comes ends, too.
 * Costs nothing unless asked.
 */
export function callContext(): CallContext | undefined {
  return current?.context()
}
