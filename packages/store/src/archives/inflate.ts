// Unpacks deflate as it comes, by node:zlib. Nothing is unpacked before somebody asks for it, and all of the packed bytes have to be used.

import { Readable } from 'node:stream'
import { createGunzip, createInflateRaw } from 'node:zlib'

/**
 * @param format `gzip` with its header and checksum, or `raw` as zip has it.
 * @param malformed Makes the error for bytes that cannot be unpacked, end too early, or go on behind the end.
 */
export async function* inflate(
  packed: AsyncIterable<Uint8Array>,
  format: 'gzip' | 'raw',
  malformed: (reason: string, cause?: unknown) => Error,
): AsyncGenerator<Uint8Array> {
  let packedBytes = 0
  let failure: unknown
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of packed) {
      packedBytes += chunk.length
      yield chunk
    }
  }
  const source = Readable.from(counted(), { objectMode: true, highWaterMark: 1 })
  const unpacked = format === 'gzip' ? createGunzip() : createInflateRaw()
  source.on('error', cause => {
    failure = cause
    unpacked.destroy(cause)
  })
  source.pipe(unpacked)
  try {
    for await (const chunk of unpacked) yield chunk as Uint8Array
    // The end of the packed data ends the loop above, whatever may still follow it.
    source.unpipe(unpacked)
    if (!source.readableEnded && failure === undefined) for await (const _ of source);
    if (unpacked.bytesWritten !== packedBytes) throw malformed('something follows the packed data')
  } catch (cause) {
    if (failure !== undefined) throw failure
    // Only zlib's own errors are about the bytes.
    if (typeof (cause as { errno?: unknown }).errno === 'number') throw malformed('it cannot be unpacked', cause)
    throw cause
  } finally {
    source.destroy()
    unpacked.destroy()
  }
}
