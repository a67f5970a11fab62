// The public `@plugwire/netrpc` entry. Names are listed one by one.

export { type Broker, brokerOf } from './broker/broker.ts'
export { type ByteSource, type ByteTarget, byteStream, reader, type WebDuplex, writer } from './broker/byte-streams.ts'
export { items } from './broker/items.ts'
export { type CallbackOptions, callback, type LocalCallback, type RemoteCallback, remote } from './broker/objects.ts'
export { netrpc } from './kind.ts'
export type {
  AnyMethod,
  ClientOf,
  ClientOfInterface,
  Method,
  MethodOptions,
  Methods,
  MethodsFor,
  ServerOf,
  ServerOfInterface,
} from './methods.ts'
export { method, nothing } from './methods.ts'
