// Compressed messages of the other side. We send none: the two processes share a machine. Source: grpc/grpc doc/compression.md.

import { GrpcError } from './grpc-error.ts'
import { Status } from './status.ts'

/** What we can read, for `grpc-accept-encoding`. */
export const ACCEPTED_ENCODINGS = 'identity,gzip,deflate'
/** Bytes that a compressed message may grow to where no limit for messages is set: what is small on the wire must not be able to fill memory. */
const MAX_INFLATED_BYTES = 256 * 1024 * 1024

export type Decompress = (message: Buffer) => Buffer

/**
 * How messages are read whose flag says that they are compressed.
 *
 * @param encoding `grpc-encoding` of the peer; undefined means identity.
 * @throws GrpcError UNIMPLEMENTED when it is one that we do not know.
 */
export function decompressor(encoding: string | undefined, maxBytes: number): Decompress {
  switch (encoding) {
    case undefined:
    case 'identity':
      return refuse
    case 'gzip':
      return message => inflate('gunzipSync', message, maxBytes)
    case 'deflate':
      return message => inflate('inflateSync', message, maxBytes)
    default:
      throw new GrpcError(Status.UNIMPLEMENTED, `messages are compressed with ${encoding}; understood are ${ACCEPTED_ENCODINGS}`)
  }
}

function refuse(): Buffer {
  throw new GrpcError(Status.INTERNAL, 'a message is compressed but grpc-encoding does not say how')
}

function inflate(how: 'gunzipSync' | 'inflateSync', message: Buffer, maxBytes: number): Buffer {
  const maxOutputLength = Math.min(maxBytes, MAX_INFLATED_BYTES)
  // Fetched when the first compressed message comes: most programs never see one.
  const zlib = process.getBuiltinModule('node:zlib')
  try {
    return zlib[how](message, { maxOutputLength })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new GrpcError(Status.RESOURCE_EXHAUSTED, `a message is larger than the limit of ${maxOutputLength} once decompressed`)
    }
    throw new GrpcError(Status.INTERNAL, 'a compressed message cannot be read', { cause })
  }
}
