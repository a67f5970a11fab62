// Streams that cost next to nothing to read from, as Node has them.

import { Readable } from 'node:stream'
import { bytesOf, chunkBytes } from '../harness/samples.ts'

/** That many bytes in chunks of 64 KiB, always the same memory. */
export function source(totalBytes: number): Readable {
  const chunk = bytesOf(chunkBytes)
  let left = totalBytes
  return new Readable({
    highWaterMark: 4 * chunkBytes,
    read() {
      while (left > 0) {
        left -= chunkBytes
        if (!this.push(left < 0 ? chunk.subarray(0, left) : chunk)) return
      }
      this.push(null)
    },
  })
}
