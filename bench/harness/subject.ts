// What a row of the table must be able to do. A peer answers calls; a limit only moves bytes.

import type { Build, Payload, Small } from './samples.ts'

/** Something that answers calls in another process (or thread). Every method resolves when the answer is here. */
export interface Peer {
  /** The other process; undefined for a thread. */
  readonly pid?: number | undefined
  echo(value: Small): Promise<Small>
  echoRecord(value: Build): Promise<Build>
  echoBytes(bytes: Uint8Array): Promise<Uint8Array>
  /** Streams that many bytes to the other side in chunks of 64 KiB; resolves when the other side has counted all of them. */
  upload?(totalBytes: number): Promise<void>
  /** The other direction; resolves when this side has counted all of them. */
  download?(totalBytes: number): Promise<void>
  /** The same with chunks that the receiver may keep, for rows whose `upload` only lends them. */
  uploadOwned?(totalBytes: number): Promise<void>
  downloadOwned?(totalBytes: number): Promise<void>
  /** Measurements that only this row knows; each returns named figures. */
  readonly own?: Readonly<Record<string, (milliseconds: number) => Promise<Figures>>>
  close(): void | Promise<void>
}

/** The floor: bytes without frames, promises or parsing, so it measures itself with callbacks. */
export interface Limit {
  readonly pid?: number | undefined
  latency(payload: Payload, milliseconds: number): Promise<Figures>
  /** `together` payloads in one write, and the next write when all of them came back. */
  inFlight(payload: Payload, together: number, milliseconds: number): Promise<Figures>
  upload(totalBytes: number): Promise<void>
  download(totalBytes: number): Promise<void>
  close(): void | Promise<void>
}

/** A process that is only started and ended; `open` resolves at the moment that counts. */
export interface Started {
  readonly pid?: number | undefined
  close(): void | Promise<void>
}

export type Figures = Record<string, number>

export type Subject = Peer | Limit | Started

/** Every file in `peers`, `limits` and `plugwire` that is named in `rows.ts` exports this as `open`. */
export type Open = (variant: string) => Promise<Subject>

export const isPeer = (subject: Subject): subject is Peer => 'echo' in subject
export const isLimit = (subject: Subject): subject is Limit => 'inFlight' in subject
