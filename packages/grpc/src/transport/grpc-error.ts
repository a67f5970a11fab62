// The one error of calls over gRPC: a status that is not OK.

import { Metadata, type MetadataInit } from './metadata.ts'
import { Status, type StatusCode, type StatusName, statusName } from './status.ts'
import { decodeStatusDetails, encodeStatusDetails, type StatusDetail } from './status-details.ts'

export interface GrpcErrorOptions extends ErrorOptions {
  /** Sent as `grpc-status-details-bin`: messages packed as google.protobuf.Any, or a whole google.rpc.Status that is serialized already. */
  readonly details?: readonly StatusDetail[] | Uint8Array
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
  /** The bytes of `grpc-status-details-bin`, a serialized google.rpc.Status; undefined when there were none. */
  readonly detailsBytes: Uint8Array | undefined
  /** The trailers that came with the status. */
  readonly metadata: Metadata

  constructor(code: StatusCode | StatusName, message: string, options: GrpcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = typeof code === 'string' ? Status[code] : code
    const { details } = options
    if (details === undefined || details.length === 0) this.detailsBytes = undefined
    else this.detailsBytes = details instanceof Uint8Array ? details : encodeStatusDetails(this.code, message, details)
    this.metadata = options.metadata instanceof Metadata ? options.metadata : new Metadata(options.metadata)
  }

  /** What came in `grpc-status-details-bin`; empty when nothing did. */
  get details(): readonly StatusDetail[] {
    return this.detailsBytes === undefined ? [] : decodeStatusDetails(this.detailsBytes)
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
  return code === undefined || (value as Error as GrpcError).code === (typeof code === 'string' ? Status[code] : code)
}
