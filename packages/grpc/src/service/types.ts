// How a service looks to programs: as a client, and as handlers. Types alone.

import type { ServiceDefinition } from '../transport/definition.ts'
import type { CallOptions, GrpcContext, RequestStream, ResponseStream } from '../transport/seam.ts'
import type { ProtoService } from './proto.ts'
import type { MessageInit, MessageOf, ProtobufEsMethod, ProtobufEsService } from './protobuf-es.ts'
import type { AnyService } from './source.ts'

/**
 * A client of a service: a method for each of its own, named as in the .proto with the first letter in lower case. What the server streams is an
 * iterable, everything else a promise; both fail with a `GrpcError`.
 */
export type GrpcClient<S extends AnyService> = ClientOf<MethodsOf<S>>

/**
 * What serves a service: an object with a function for each method, or an instance of a class. Each gets the request, or an iterable of requests, and
 * the context of the call; what it returns or yields is sent. A `GrpcError` that it throws is sent with its code and details, any other error as
 * UNKNOWN with its message.
 */
export type GrpcHandlers<S extends AnyService> = HandlersOf<MethodsOf<S>>

// ---- the messages of a method, as each side sees them

interface MethodTypes {
  /** What a client may give for a request. */
  requestInit: unknown
  /** What a handler gets. */
  request: unknown
  /** What a handler may give for a response. */
  responseInit: unknown
  /** What a client gets. */
  response: unknown
  requestStream: boolean
  responseStream: boolean
}

type MethodsOf<S> = S extends ProtobufEsService
  ? { [Name in keyof S['method'] & string as MethodName<Name>]: ProtobufEsTypes<S['method'][Name]> }
  : S extends ProtoService<infer T>
    ? 0 extends 1 & T
      ? { [name: string]: AnyTypes }
      : { [Name in keyof T & string as MethodName<Name>]: InterfaceTypes<T[Name]> }
    : S extends ServiceDefinition
      ? { [Name in keyof S & string as MethodName<Name>]: DefinitionTypes<S[Name]> }
      : never

/** As `methodName` of transport/handlers.ts. */
type MethodName<Name extends string> =
  Uncapitalize<Name> extends 'constructor' | 'toString' | 'toJSON' | 'valueOf' | 'then' ? `${Uncapitalize<Name>}$` : Uncapitalize<Name>

interface AnyTypes extends MethodTypes {
  // biome-ignore lint/suspicious/noExplicitAny: nothing is known of the messages
  requestInit: any
  // biome-ignore lint/suspicious/noExplicitAny: nothing is known of the messages
  request: any
  // biome-ignore lint/suspicious/noExplicitAny: nothing is known of the messages
  responseInit: any
  // biome-ignore lint/suspicious/noExplicitAny: nothing is known of the messages
  response: any
}

interface ProtobufEsTypes<M extends ProtobufEsMethod> {
  requestInit: MessageInit<MessageOf<M['input']>>
  request: MessageOf<M['input']>
  responseInit: MessageInit<MessageOf<M['output']>>
  response: MessageOf<M['output']>
  requestStream: KindIs<M['methodKind'], 'client_streaming' | 'bidi_streaming'>
  responseStream: KindIs<M['methodKind'], 'server_streaming' | 'bidi_streaming'>
}

type KindIs<Kind, Streaming> = Kind extends Streaming ? true : false

interface DefinitionTypes<M> {
  requestInit: M extends { readonly requestSerialize: (message: infer Request) => Uint8Array } ? Request : never
  request: M extends { readonly requestDeserialize: (bytes: Buffer) => infer Request } ? Request : never
  responseInit: M extends { readonly responseSerialize: (message: infer Response) => Uint8Array } ? Response : never
  response: M extends { readonly responseDeserialize: (bytes: Buffer) => infer Response } ? Response : never
  requestStream: M extends { readonly requestStream: infer Is extends boolean } ? Is : boolean
  responseStream: M extends { readonly responseStream: infer Is extends boolean } ? Is : boolean
}

interface InterfaceTypes<F> {
  requestInit: RequestArgument<F>
  request: RequestArgument<F>
  responseInit: ItemOrValue<ResultOf<F>>
  response: ItemOrValue<ResultOf<F>>
  requestStream: IsStream<ArgumentOf<F>>
  responseStream: IsStream<ResultOf<F>>
}

type ArgumentOf<F> = F extends (...args: infer Args) => unknown ? (Args extends readonly [] ? Record<string, never> : Args[0]) : never
type RequestArgument<F> = ItemOrValue<ArgumentOf<F>>
type ResultOf<F> = F extends (...args: never[]) => infer Result ? Awaited<Result> : never
type ItemOrValue<T> = [T] extends [AsyncIterable<infer Item>] ? Item : T
type IsStream<T> = [T] extends [AsyncIterable<unknown>] ? true : false

// ---- the two sides

type ClientOf<Methods> = { readonly [Name in keyof Methods]: Methods[Name] extends MethodTypes ? ClientMethod<Methods[Name]> : never }

type ClientMethod<M extends MethodTypes> = boolean extends M['requestStream']
  ? LooseMethod
  : boolean extends M['responseStream']
    ? LooseMethod
    : (
        request: M['requestStream'] extends true ? RequestStream<M['requestInit']> : M['requestInit'],
        options?: CallOptions,
      ) => M['responseStream'] extends true ? ResponseStream<M['response']> : Promise<M['response']>

/** Of a definition whose types do not say what streams. */
// biome-ignore lint/suspicious/noExplicitAny: nothing is known of the method
type LooseMethod = (request: any, options?: CallOptions) => any

type HandlersOf<Methods> = { [Name in keyof Methods]: Methods[Name] extends MethodTypes ? HandlerMethod<Methods[Name]> : never }

type HandlerMethod<M extends MethodTypes> = boolean extends M['requestStream']
  ? LooseHandler
  : boolean extends M['responseStream']
    ? LooseHandler
    : (
        request: M['requestStream'] extends true ? AsyncIterable<M['request']> : M['request'],
        context: GrpcContext,
      ) => M['responseStream'] extends true ? ResponsesOf<M['responseInit']> : M['responseInit'] | Promise<M['responseInit']>

// biome-ignore lint/suspicious/noExplicitAny: nothing is known of the method
type LooseHandler = (request: any, context: GrpcContext) => any

type ResponsesOf<Response> = AsyncIterable<Response> | Iterable<Response> | Promise<AsyncIterable<Response> | Iterable<Response>>
