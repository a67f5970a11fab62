// What the host and the plugin of the plugwire rows agree on.

import type { Readable } from 'node:stream'
import { contract } from 'plugwire'
import type { Build, Small } from '../harness/samples.ts'

export interface Echo {
  echo(value: Small): Promise<Small>
  echoRecord(value: Build): Promise<Build>
  echoBytes(bytes: Uint8Array): Promise<Uint8Array>
  /** Counts the bytes of a stream to its end. A count with a name can be looked at before. */
  swallow(bytes: Readable, chunks: 'borrowed' | 'owned', name?: string): Promise<number>
  /** How much has arrived so far of each stream that was named. */
  swallowed(): Promise<Record<string, number>>
  /** A stream of that many bytes. */
  produce(totalBytes: number): Promise<Readable>
}

export const echo = contract<{ echo: Echo }>({ name: 'bench-echo', version: 1 })
