// The bytes that go over streams of the broker: byte i is i % 251. And their CRC-32 (IEEE).

import * as zlib from 'node:zlib'

// The declarations of Node 20.19 do not have it, but that Node does.
const { crc32 } = zlib as unknown as { readonly crc32: (bytes: Uint8Array, before: number) => number }

const pattern = Buffer.alloc(251 * 1024)
for (let i = 0; i < pattern.length; i++) pattern[i] = i % 251

/** Bytes and their sum, as they pass. */
export class Sum {
  bytes = 0n
  crc = 0

  add(chunk: Uint8Array): void {
    this.bytes += BigInt(chunk.length)
    this.crc = crc32(chunk, this.crc)
  }
}

/** So many bytes in pieces, added to a sum as they leave. */
export function* pieces(bytes: number, sum: Sum): Generator<Uint8Array> {
  for (let left = bytes; left > 0; left -= pattern.length) {
    const piece = left < pattern.length ? pattern.subarray(0, left) : pattern
    sum.add(piece)
    yield piece
  }
}
