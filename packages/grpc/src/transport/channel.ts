// A client's side: calls on a connection that is dialled when it is needed and again after it was lost.

import { backoffMs } from './backoff.ts'
import { type CallOwner, ClientCall } from './client-call.ts'
import { Connection } from './connection.ts'
import type { AnyMethod, MethodDefinition } from './definition.ts'
import { GrpcError } from './grpc-error.ts'
import { ManyRequests, OneRequest, type Requests } from './requests.ts'
import { type Answer, ManyResponses, SingleResponse } from './responses.ts'
import type { CallOptions, Channel, ChannelOptions, ChannelState, Dial, RequestStream, ResponseStream } from './seam.ts'
import { Status } from './status.ts'

const CONNECT_TIMEOUT_MS = 20_000

const noOptions: CallOptions = {}

/** Makes a channel. Nothing is dialled before the first call or `connect`. */
export function openChannel(dial: Dial, options: ChannelOptions = {}): Channel {
  return new DialledChannel(dial, options)
}

type State =
  | { readonly state: 'idle' }
  | { readonly state: 'connecting'; readonly connection: Promise<Connection>; readonly abort: AbortController }
  | { readonly state: 'ready'; readonly connection: Connection }
  | { readonly state: 'backoff'; readonly untilMs: number; readonly error: GrpcError }
  | { readonly state: 'closed'; readonly error: GrpcError }

class DialledChannel implements Channel {
  readonly #dial: Dial
  readonly #options: ChannelOptions
  readonly #maxMessageBytes: number
  #state: State = { state: 'idle' }
  #failures = 0
  readonly #calls = new Map<ClientCall, Requests>()
  /** Those of the calls that hold nothing. */
  readonly #background = new Set<ClientCall>()
  #empty: (() => void) | undefined

  constructor(dial: Dial, options: ChannelOptions) {
    this.#dial = dial
    this.#options = options
    this.#maxMessageBytes = options.maxMessageBytes ?? Number.POSITIVE_INFINITY
  }

  get state(): ChannelState {
    const now = this.#state
    // A call may hear that the connection is lost before the channel does.
    if (now.state === 'ready' && now.connection.lost !== undefined) return 'idle'
    return now.state === 'backoff' && Date.now() >= now.untilMs ? 'idle' : now.state
  }

  get callsInFlight(): number {
    return this.#calls.size - this.#background.size
  }

  // ------------------------------------------------------------------------------------------------ calls

  unary<Request, Response>(method: MethodDefinition<Request, Response>, request: Request, options?: CallOptions): Promise<Response> {
    const answer = new SingleResponse(method)
    this.#start(method, oneRequest(method, request), answer, options)
    return answer.response
  }

  clientStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: RequestStream<Request>,
    options?: CallOptions,
  ): Promise<Response> {
    const answer = new SingleResponse(method)
    this.#start(method, new ManyRequests(requests, method.requestSerialize), answer, options)
    return answer.response
  }

  serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: CallOptions,
  ): ResponseStream<Response> {
    const answer = new ManyResponses(method)
    this.#start(method, oneRequest(method, request), answer, options)
    return answer.responses
  }

  bidi<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: RequestStream<Request>,
    options?: CallOptions,
  ): ResponseStream<Response> {
    const answer = new ManyResponses(method)
    this.#start(method, new ManyRequests(requests, method.requestSerialize), answer, options)
    return answer.responses
  }

  #start(method: AnyMethod, requests: Requests | GrpcError, answer: Answer, options: CallOptions | undefined): void {
    if (requests instanceof GrpcError) return answer.ended(requests)
    const call = new ClientCall(method, options ?? noOptions, this.#maxMessageBytes, answer, this.#owner)
    answer.call = call
    this.#calls.set(call, requests)
    if (options?.background) this.#background.add(call)
    else if (this.callsInFlight === 1) this.#hold()
    this.#run(call, requests)
  }

  /** Puts a call onto the connection as soon as there is one. */
  #run(call: ClientCall, requests: Requests): void {
    const state = this.#state
    if (state.state === 'ready' && state.connection.takesCalls) return this.#begin(call, requests, state.connection)
    this.#acquire().then(
      connection => {
        // It may have gone again before this microtask.
        if (connection.takesCalls) this.#begin(call, requests, connection)
        else if (!call.ended) this.#run(call, requests)
      },
      (error: GrpcError) => call.fail(error),
    )
  }

  #begin(call: ClientCall, requests: Requests, connection: Connection): void {
    try {
      requests.send(call, connection)
    } catch (cause) {
      // Metadata that HTTP/2 refuses, or a session that ended just now.
      const error = cause instanceof GrpcError ? cause : new GrpcError(Status.INTERNAL, (cause as Error).message, { cause })
      call.fail(connection.takesCalls ? error : new GrpcError(Status.UNAVAILABLE, 'the connection was lost', { cause }))
    }
  }

  readonly #owner: CallOwner = {
    refused: call => {
      const requests = this.#calls.get(call)
      if (!requests?.repeatable) return false
      // Once: a server that refuses twice means it.
      requests.repeatable = false
      this.#run(call, requests)
      return true
    },
    ended: call => {
      const requests = this.#calls.get(call)
      if (requests === undefined) return
      this.#calls.delete(call)
      requests.stop()
      if (!this.#background.delete(call) && this.callsInFlight === 0) this.#release()
      if (this.callsInFlight === 0) this.#empty?.()
    },
  }

  #hold(): void {
    if (this.#state.state === 'ready') this.#state.connection.ref()
    this.#options.hold?.()
  }

  #release(): void {
    if (this.#state.state === 'ready') this.#state.connection.unref()
    this.#options.release?.()
  }

  // ------------------------------------------------------------------------------------------------ connection

  async connect(): Promise<void> {
    await this.#acquire()
  }

  /** The connection there is, or the next one. Rejects with a GrpcError. */
  #acquire(): Promise<Connection> {
    const state = this.#state
    switch (state.state) {
      case 'ready':
        if (state.connection.takesCalls) return Promise.resolve(state.connection)
        this.#gone(state.connection)
        return this.#acquire()
      case 'connecting':
        return state.connection
      case 'backoff':
        if (Date.now() < state.untilMs) return Promise.reject(state.error)
        break
      case 'closed':
        return Promise.reject(state.error)
      case 'idle':
    }
    const abort = new AbortController()
    const connection = this.#connect(abort)
    this.#state = { state: 'connecting', connection, abort }
    return connection
  }

  async #connect(abort: AbortController): Promise<Connection> {
    const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
    const timer = setTimeout(() => abort.abort(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs)
    let connection: Connection
    try {
      const gone = (): void => this.#gone(connection)
      connection = await untilAborted(
        Connection.open(this.#dial, this.#options, abort.signal, () => connection && gone()),
        abort.signal,
      )
    } catch (cause) {
      const error = new GrpcError(Status.UNAVAILABLE, `no connection: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
      if (this.#state.state === 'closed') throw this.#state.error
      this.#state = { state: 'backoff', untilMs: Date.now() + backoffMs(++this.#failures), error }
      throw error
    } finally {
      clearTimeout(timer)
    }
    if (this.#state.state === 'closed') {
      connection.destroy(undefined)
      throw this.#state.error
    }
    this.#failures = 0
    this.#state = { state: 'ready', connection }
    if (!connection.takesCalls) this.#gone(connection)
    if (this.callsInFlight === 0) connection.unref()
    return connection
  }

  #gone(connection: Connection): void {
    if (this.#state.state !== 'ready' || this.#state.connection !== connection) return
    // Nobody asks for the connection any more, but calls on it may still be answered.
    if (this.#options.afterLoss !== 'fail') this.#state = { state: 'idle' }
    else {
      const cause = connection.lost
      const options = cause === undefined ? {} : { cause }
      this.#state = {
        state: 'closed',
        error: new GrpcError(Status.UNAVAILABLE, `the connection is gone: ${cause?.message ?? 'ended by the server'}`, options),
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ ending

  async close(graceMs = 0): Promise<void> {
    const before = this.#end(new GrpcError(Status.CANCELLED, 'the channel was closed'))
    if (graceMs > 0 && this.callsInFlight > 0) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>(resolve => {
        this.#empty = resolve
        timer = setTimeout(resolve, graceMs)
      })
      clearTimeout(timer)
    }
    this.#cancel(new GrpcError(Status.CANCELLED, 'the channel was closed'))
    if (before.state === 'ready') await before.connection.close()
  }

  destroy(cause?: Error): void {
    const options = cause === undefined ? {} : { cause }
    const error = new GrpcError(Status.UNAVAILABLE, cause?.message ?? 'the channel was destroyed', options)
    const before = this.#end(error)
    this.#cancel(error)
    if (before.state === 'ready') before.connection.destroy(cause)
  }

  #end(error: GrpcError): State {
    const before = this.#state
    if (before.state === 'closed') return before
    this.#state = { state: 'closed', error }
    if (before.state === 'connecting') {
      before.connection.catch(() => {}) // its callers hear of it, and perhaps there is none
      before.abort.abort(error)
    }
    return before
  }

  #cancel(error: GrpcError): void {
    for (const call of [...this.#calls.keys()]) call.fail(error)
  }
}

/** Rejects with the reason of the signal even when the work does not listen to it. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    work.then(resolve, reject)
  })
}

function oneRequest<Request>(
  method: Pick<MethodDefinition<Request, never>, 'path' | 'requestSerialize'>,
  request: Request,
): Requests | GrpcError {
  try {
    return new OneRequest(method.requestSerialize(request))
  } catch (cause) {
    return new GrpcError(Status.INTERNAL, `the request of ${method.path} cannot be serialized: ${(cause as Error).message}`, { cause })
  }
}
