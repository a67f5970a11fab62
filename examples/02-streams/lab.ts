// The contract: bytes and items, in both directions.
import type { Readable } from 'node:stream'
import { contract } from 'plugwire'

export interface Reading {
  sensor: string
  celsius: number
}

export interface Lab {
  /** Bytes in, as a Node stream; the answer comes when they have ended. */
  digest(bytes: Readable): Promise<string>
  /** Bytes in and bytes out, as web streams, at the same time. */
  compress(bytes: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>>
  /** Bytes out for as long as somebody reads. */
  noise(): Promise<Readable>
  /** Items in and items out: a running mean by sensor. */
  means(readings: AsyncIterable<Reading>): AsyncIterable<Reading>
  /** Items out without end. */
  count(): AsyncIterable<number>
  /** How many items the plugin had counted when its reader left. */
  counted(): Promise<number>
}

export const lab = contract<{ lab: Lab }>({ name: 'lab', version: 1 })
