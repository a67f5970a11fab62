// What a call ended with when nobody sent a status. Sources: grpc/grpc doc/PROTOCOL-HTTP2.md "Errors", doc/http-grpc-status-mapping.md.

import { Status, type StatusCode } from './status.ts'

/** The HTTP/2 error codes that are looked at. Source: RFC 9113 section 7. */
export const Reset = { noError: 0, refusedStream: 7, cancel: 8, enhanceYourCalm: 11, inadequateSecurity: 12 } as const

/** For an answer whose `:status` is not 200, such as that of a proxy. */
export function statusOfHttp(httpStatus: number): StatusCode {
  switch (httpStatus) {
    case 400:
      return Status.INTERNAL
    case 401:
      return Status.UNAUTHENTICATED
    case 403:
      return Status.PERMISSION_DENIED
    case 404:
      return Status.UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return Status.UNAVAILABLE
    default:
      return Status.UNKNOWN
  }
}

/** For a stream that was reset before its trailers. */
export function statusOfReset(code: number): StatusCode {
  switch (code) {
    case Reset.refusedStream:
      return Status.UNAVAILABLE
    case Reset.cancel:
      return Status.CANCELLED
    case Reset.enhanceYourCalm:
      return Status.RESOURCE_EXHAUSTED
    case Reset.inadequateSecurity:
      return Status.PERMISSION_DENIED
    default:
      return Status.INTERNAL
  }
}
