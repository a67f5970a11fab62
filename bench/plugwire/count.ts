// Counting what arrives on a stream, in the two ways that a receiver has.

import { once } from 'node:events'
import type { Readable } from 'node:stream'
import type { Flow } from 'plugwire/host'

/** How far a count has come; for whoever looks while it runs. */
export type Seen = (bytes: number) => void

/** Chunks are looked at where they lie and are gone afterwards. */
export function countBorrowed(flow: Flow, seen?: Seen): Promise<number> {
  return new Promise((resolve, reject) => {
    let counted = 0
    flow.borrow({
      chunk(_bytes, start, end) {
        counted += end - start
        seen?.(counted)
      },
      end: () => resolve(counted),
      fail: reject,
    })
  })
}

/** Chunks are the receiver's to keep. */
export async function countOwned(stream: Readable, seen?: Seen): Promise<number> {
  let counted = 0
  stream.on('data', (chunk: Uint8Array) => {
    counted += chunk.length
    seen?.(counted)
  })
  await once(stream, 'end')
  return counted
}
