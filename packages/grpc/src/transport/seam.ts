// What the layers above see of the transport: servers, channels and calls. Types alone; server.ts and channel.ts make the things.

import type { Duplex } from 'node:stream'
import type { MethodDefinition, ServiceDefinition } from './definition.ts'
import type { Metadata, MetadataInit } from './metadata.ts'

/** PEM certificates and keys of one side. Both roles use the same four values with go-plugin's AutoMTLS. */
export interface TlsIdentity {
  readonly cert: string | Buffer
  readonly key: string | Buffer
  /** The only authorities that the other side may be signed by. */
  readonly ca: string | Buffer | readonly (string | Buffer)[]
  /** Lowest version. Default `TLSv1.2`, as go-plugin. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
}

// ---------------------------------------------------------------------------------------------------- calls

/** Who runs a call, and what it may tell and learn besides messages. The second parameter of every handler. */
export interface GrpcContext {
  /** `/package.Service/Method`. */
  readonly path: string
  /** Aborted when the caller cancels, its deadline passes or the connection is lost; never by an ordinary end. The reason is a `GrpcError`. */
  readonly signal: AbortSignal
  /** When the caller stops waiting; undefined when it never does. */
  readonly deadline: Date | undefined
  /** What the caller sent along. */
  readonly metadata: Metadata
  /** The `:authority` of the caller: go-plugin's hosts say `unused` or, over TLS, `localhost`. */
  readonly authority: string
  /** Stands for the connection: the same object in all calls that come over it. A key for what lives as long as it does. */
  readonly peer: object
  /** Adds to the headers, which leave with the first message. Throws when they have left. */
  setHeader(metadata: MetadataInit): void
  /** Sends the headers now instead of with the first message. Does nothing when they have left. */
  sendHeader(): void
  /** Adds to the trailers. */
  setTrailer(metadata: MetadataInit): void
}

/**
 * What a call is answered with. By the method: one message or a promise of one, or an iterable of messages. The first argument is the request,
 * or an async iterable of requests. An error is answered with its status if it is a `GrpcError`, else with UNKNOWN and its message.
 */
// biome-ignore lint/suspicious/noExplicitAny: handlers of all methods stand side by side; service/handlers.ts types them one by one
export type Handler = (request: any, context: GrpcContext) => unknown

/** Handlers by method name: as in the definition, or with the first letter in lower case. Methods of classes are called on the object. */
export type Handlers = object

export interface CallOptions {
  /** Cancels the call: it fails with CANCELLED, and the handler's signal is aborted. */
  readonly signal?: AbortSignal
  /** Milliseconds from now until the call fails with DEADLINE_EXCEEDED. Default: none. */
  readonly timeoutMs?: number
  /** The same as a point in time. The earlier of both counts. */
  readonly deadline?: Date
  readonly metadata?: MetadataInit
  /** Called once, before the first message, with what the handler sent first. Not called when only a status came. */
  readonly onHeader?: (metadata: Metadata) => void
  /** Called once, before the call ends, with what came beside the status. */
  readonly onTrailer?: (metadata: Metadata) => void
  /** Neither holds the event loop nor counts as in flight: for calls that last as long as the connection. Default false. */
  readonly background?: boolean
}

/**
 * Messages as they come. The call runs from the moment it is made, whether anybody reads or not; the other side waits while nobody does. Leaving a
 * `for await` early cancels it, and so does disposing. It can be iterated once.
 */
export interface ResponseStream<Response> extends AsyncIterableIterator<Response, undefined, undefined>, AsyncDisposable {
  next(): Promise<IteratorResult<Response, undefined>>
  return(): Promise<IteratorResult<Response, undefined>>
  [Symbol.asyncIterator](): this
}

/** What requests of a streaming call may come from. It is asked for the next one when the connection takes more, and ended when the call is. */
export type RequestStream<Request> = AsyncIterable<Request> | Iterable<Request>

// ---------------------------------------------------------------------------------------------------- client

export interface ChannelOptions {
  /** `:authority` of calls. Default `localhost`, what Go plugins expect with and without TLS. */
  readonly authority?: string
  /** Speak TLS over what is dialled, as a client that verifies the name `localhost`. Default: plain HTTP/2. */
  readonly tls?: TlsIdentity & { readonly serverName?: string }
  /** Bytes of one received message, decompressed. Default: no limit but 4 GiB of the wire. */
  readonly maxMessageBytes?: number
  /**
   * What happens when the connection is lost while the channel is open. `redial` (default): the next call dials again, at once after a
   * connection that worked and then 1 s, 1.6 s, … up to 120 s apart with jitter, as grpc-go; meanwhile calls fail with UNAVAILABLE. `fail`: every call
   * fails with UNAVAILABLE from then on.
   */
  readonly afterLoss?: 'redial' | 'fail'
  /** Milliseconds that a dial and the first settings may take. Default 20_000, grpc-go's minimum connect timeout. */
  readonly connectTimeoutMs?: number
  /** Called when the first call begins and when the last one has ended, to hold the event loop only meanwhile. The dialled socket is referenced by itself. */
  readonly hold?: () => void
  readonly release?: () => void
}

export type ChannelState = 'idle' | 'connecting' | 'ready' | 'backoff' | 'closed'

/** A connection to one server, dialled when it is needed. */
export interface Channel {
  readonly state: ChannelState
  readonly callsInFlight: number
  /** Dials now instead of with the first call. Resolves when the server has sent its settings; rejects with UNAVAILABLE and the `cause`. */
  connect(): Promise<void>
  unary<Request, Response>(method: MethodDefinition<Request, Response>, request: Request, options?: CallOptions): Promise<Response>
  clientStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: RequestStream<Request>,
    options?: CallOptions,
  ): Promise<Response>
  serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: CallOptions,
  ): ResponseStream<Response>
  bidi<Request, Response>(
    method: MethodDefinition<Request, Response>,
    requests: RequestStream<Request>,
    options?: CallOptions,
  ): ResponseStream<Response>
  /**
   * Takes no new calls, lets those that have begun end for at most `graceMs` (default 0: cancels them), and closes the connection. Calls that still
   * wait for a connection are cancelled. Never rejects.
   */
  close(graceMs?: number): Promise<void>
  /** Ends at once; calls in flight fail with UNAVAILABLE and this cause. */
  destroy(cause?: Error): void
}

/** Makes a connection: a socket, a pipe, a stream of a multiplexer. The channel owns what it resolves to. `signal` is aborted when nobody waits any more. */
export type Dial = (signal: AbortSignal) => Promise<Duplex>

// ---------------------------------------------------------------------------------------------------- server

export interface ServerOptions {
  /** Require and verify client certificates, inside of what is injected. Default: plain HTTP/2. */
  readonly tls?: TlsIdentity
  /** Bytes of one received message, decompressed. Default: no limit but 4 GiB of the wire. */
  readonly maxMessageBytes?: number
  /** Calls that one connection may have open at a time; more wait at the peer. Default 65_536. */
  readonly maxConcurrentCalls?: number
  /** Calls that a peer may reset in one burst before its connection is ended. Default 100_000: a storm of cancellations is no attack here. */
  readonly streamResetBurst?: number
  /** Resets per second beyond the burst. Default 10_000. */
  readonly streamResetRate?: number
  /** Told what went wrong outside of calls: a connection that broke off, a failed TLS handshake. Default: nobody is. */
  readonly onConnectionError?: (error: Error, name: string | undefined) => void
  /** Called when the first call begins and when the last one has ended. */
  readonly hold?: () => void
  readonly release?: () => void
}

/** Answers calls on every connection that is injected. It listens nowhere itself. */
export interface GrpcServer {
  /** Full names of the services added so far, for reflection. */
  readonly services: readonly string[]
  readonly callsInFlight: number
  readonly connections: number
  /**
   * Serves a service. Methods without a handler are answered with UNIMPLEMENTED.
   * @throws TypeError when one of its paths is served already, or a handler is no function.
   */
  add(service: ServiceDefinition, handlers: Handlers): void
  /**
   * Serves a connection, which belongs to the server from then on. One that ends without having said anything does no harm.
   * @param name What `onConnectionError` calls the connection.
   */
  inject(connection: Duplex, name?: string): void
  /** Tells peers to make no new calls, waits for those in flight for at most `graceMs`, then ends every connection. Never rejects. */
  close(graceMs: number): Promise<void>
  /** Ends every connection and call at once. */
  destroy(): void
}
