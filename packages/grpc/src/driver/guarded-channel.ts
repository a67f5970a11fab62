// A channel as programs get it: every call carries the metadata of the side that makes it, and what it fails with says what is known of the
// process at the other end. Knows neither; both are asked for.

import type { MethodDefinition } from '../transport/definition.ts'
import { GrpcError } from '../transport/grpc-error.ts'
import { Metadata, type MetadataInit } from '../transport/metadata.ts'
import type { CallOptions, Channel, ChannelState, RequestStream, ResponseStream } from '../transport/seam.ts'

export interface ChannelGuard {
  /** Why no call may be made any more. */
  readonly refusal: Error | undefined
  /** Added to each call, except for names that it has itself. */
  metadata(): Readonly<Record<string, string>> | undefined
  /** What the caller is to see in place of an error. */
  explain(error: unknown): Promise<unknown>
}

export function guardChannel(channel: Channel, guard: ChannelGuard): Channel {
  return new GuardedChannel(channel, guard)
}

class GuardedChannel implements Channel {
  readonly #channel: Channel
  readonly #guard: ChannelGuard

  constructor(channel: Channel, guard: ChannelGuard) {
    this.#channel = channel
    this.#guard = guard
  }

  get state(): ChannelState {
    return this.#guard.refusal === undefined ? this.#channel.state : 'closed'
  }

  get callsInFlight(): number {
    return this.#channel.callsInFlight
  }

  connect(): Promise<void> {
    return this.#answer(() => this.#channel.connect())
  }

  unary<Request, Response>(method: MethodDefinition<Request, Response>, request: Request, options?: CallOptions): Promise<Response> {
    return this.#answer(() => this.#channel.unary(method, request, this.#options(options)))
  }

  clientStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: RequestStream<Request>,
    options?: CallOptions,
  ): Promise<Response> {
    return this.#answer(() => this.#channel.clientStream(method, requests, this.#options(options)))
  }

  serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: CallOptions,
  ): ResponseStream<Response> {
    return this.#answers(() => this.#channel.serverStream(method, request, this.#options(options)))
  }

  bidi<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: RequestStream<Request>,
    options?: CallOptions,
  ): ResponseStream<Response> {
    return this.#answers(() => this.#channel.bidi(method, requests, this.#options(options)))
  }

  close(graceMs?: number): Promise<void> {
    return this.#channel.close(graceMs)
  }

  destroy(cause?: Error): void {
    this.#channel.destroy(cause)
  }

  #answer<T>(call: () => Promise<T>): Promise<T> {
    const { refusal } = this.#guard
    return refusal === undefined ? call().catch(this.#fail) : Promise.reject(refusal)
  }

  #answers<T>(call: () => ResponseStream<T>): ResponseStream<T> {
    const { refusal } = this.#guard
    return refusal === undefined ? new GuardedStream(call(), this.#fail) : new GuardedStream<T>(refused, () => Promise.reject(refusal))
  }

  readonly #fail = async (error: unknown): Promise<never> => {
    const explained = await this.#guard.explain(error)
    if (explained instanceof GrpcError) {
      // It was made where the answer came in. From here its stack leads to whoever awaits the call, who is tied to this promise one turn later.
      await undefined
      Error.captureStackTrace(explained)
    }
    throw explained
  }

  #options(options: CallOptions | undefined): CallOptions | undefined {
    const added = this.#guard.metadata()
    if (added === undefined) return options
    const own = options?.metadata
    if (own === undefined) return { ...options, metadata: added satisfies MetadataInit }
    const metadata = new Metadata(own)
    for (const [name, value] of Object.entries(added)) if (!metadata.has(name)) metadata.set(name, value)
    return { ...options, metadata }
  }
}

class GuardedStream<T> implements ResponseStream<T> {
  readonly #responses: ResponseStream<T>
  readonly #fail: (error: unknown) => Promise<never>

  constructor(responses: ResponseStream<T>, fail: (error: unknown) => Promise<never>) {
    this.#responses = responses
    this.#fail = fail
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#responses.next().catch(this.#fail)
  }

  return(): Promise<IteratorResult<T, undefined>> {
    return this.#responses.return()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}

const refused: ResponseStream<never> = {
  next: () => Promise.reject(),
  return: async () => ({ done: true, value: undefined }),
  async [Symbol.asyncDispose]() {},
  [Symbol.asyncIterator]() {
    return this
  },
}
