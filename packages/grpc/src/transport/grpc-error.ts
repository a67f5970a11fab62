// The one error of calls over gRPC: a status that is not OK.

import { Metadata, type MetadataInit } from './metadata.ts'
import { Status, type StatusCode, type StatusName, statusName } from './status.ts'

export interface GrpcErrorOptions extends ErrorOptions {
  /** A serialized `google.rpc.Status`, sent as `grpc-status-details-bin`. See `encodeStatusDetails`. */
  readonly details?: Uint8Array
  /** Trailers, apart from those of the protocol itself. */
  readonly metadata?: MetadataInit
}

const brand = Symbol.for('plugwire/grpc-error')

/**
 * A call ended with a status other than OK: sent by the other side, thrown by a handler to be sent, or made by the transport itself (UNAVAILABLE
 * without a connection, DEADLINE_EXCEEDED, CANCELLED, …). Decide by `code`.
 */
export class GrpcError extends Error {
  declare readonly name: 'GrpcError'
  /** One of `Status`; a number that this version does not know stays as it came. */
  readonly code: StatusCode
  /** The bytes of `grpc-status-details-bin`, undefined when there were none. */
  readonly details: Uint8Array | undefined
  /** The trailers that came with the status. */
  readonly metadata: Metadata
  /** The status' message alone; `message` may say more, such as the method. */
  readonly statusMessage: string

  constructor(code: StatusCode | StatusName, message: string, options: GrpcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = typeof code === 'string' ? Status[code] : code
    this.statusMessage = message
    this.details = options.details
    this.metadata = options.metadata instanceof Metadata ? options.metadata : new Metadata(options.metadata)
  }

  /** The name of `code`, such as `NOT_FOUND`. */
  get codeName(): StatusName {
    return statusName(this.code)
  }

  static {
    Object.defineProperties(this.prototype, { name: { value: 'GrpcError' }, [brand]: { value: true } })
  }
}

/** True for the errors of any copy of this library; with a code or its name, only for that one. */
export function isGrpcError(value: unknown, code?: StatusCode | StatusName): value is GrpcError {
  if (!(value instanceof Error && brand in value)) return false
  return code === undefined || (value as GrpcError).code === (typeof code === 'string' ? Status[code] : code)
}
