// What a transport must know of a service: its methods' paths, which sides stream, and how messages become bytes. The shape is that of
// @grpc/grpc-js, so that the output of every generator made for it (ts-proto, grpc-tools, proto-loader, …) is accepted as it is.

/** One method. `Request` and `Response` are the messages as programs see them. */
export interface MethodDefinition<Request, Response> {
  /** `/package.Service/Method`, sent as it is. */
  readonly path: string
  /** The client sends any number of messages instead of one. */
  readonly requestStream: boolean
  /** The server sends any number of messages instead of one. */
  readonly responseStream: boolean
  readonly requestSerialize: (message: Request) => Uint8Array
  /** The bytes belong to the callee. */
  readonly requestDeserialize: (bytes: Buffer) => Request
  readonly responseSerialize: (message: Response) => Uint8Array
  /** The bytes belong to the callee. */
  readonly responseDeserialize: (bytes: Buffer) => Response
}

/** A method of whatever types. */
// biome-ignore lint/suspicious/noExplicitAny: messages stand in both positions, and only `any` fits every method
export type AnyMethod = MethodDefinition<any, any>

/** Methods by name. Names are looked up only when a service is added or a client is made; the wire knows paths alone. */
export type ServiceDefinition = Readonly<Record<string, AnyMethod>>
