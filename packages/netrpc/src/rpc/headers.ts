// What stands in front of every argument and every result, and what is sent where there is no result. Source: net/rpc server.go `Request`,
// `Response`, `invalidRequest`.

import { type Schema, string, struct, uint } from '../gob/schema.ts'

export interface Request {
  /** `Service.Method`: the method is what stands behind the last dot. */
  readonly ServiceMethod: string
  /** Counts from 0 on each stream; the answer has the same. */
  readonly Seq: number
}

export interface Response {
  readonly ServiceMethod: string
  readonly Seq: number
  /** Empty when the call went well: an error without a text cannot be told. */
  readonly Error: string
}

export const request: Schema<Request> = struct('net/rpc.Request', { ServiceMethod: string, Seq: uint })
export const response: Schema<Response> = struct('net/rpc.Response', { ServiceMethod: string, Seq: uint, Error: string })
/** Go's `struct{}`: the body of an answer that has none. */
export const emptyStruct: Schema<object> = struct({})

/** go-plugin's names for what it serves itself and for what is dispensed or served behind a broker id. Source: rpc_server.go, mux_broker.go. */
export const CONTROL_PING = 'Control.Ping'
export const CONTROL_QUIT = 'Control.Quit'
export const DISPENSE = 'Dispenser.Dispense'
export const PLUGIN_SERVICE = 'Plugin'
