// Writes a known number of bytes to a socket as fast as it takes them.

import type { Socket } from 'node:net'
import { bytesOf, chunkBytes } from '../harness/samples.ts'

/** @param parts Chunks of 64 KiB that leave in one writev. */
export function pour(socket: Socket, totalBytes: number, parts: number): void {
  const chunk = bytesOf(chunkBytes)
  let left = totalBytes
  const more = () => {
    let room = true
    while (left > 0 && room) {
      socket.cork()
      for (let part = 0; part < parts && left > 0; part++) {
        room = socket.write(left < chunkBytes ? chunk.subarray(0, left) : chunk)
        left -= chunkBytes
      }
      socket.uncork()
    }
    if (left > 0) socket.once('drain', more)
  }
  more()
}
