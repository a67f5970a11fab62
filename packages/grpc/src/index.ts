// The public `@plugwire/grpc` entry. Names are listed one by one.

export type { BrokeredService, DialOptions } from './broker/line.ts'
export type { Broker } from './driver/brokers.ts'
export type { Registrar } from './driver/registrar.ts'
export { type GrpcForm, grpc } from './kind.ts'
