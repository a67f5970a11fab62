// A link over any stream of Node: a TLS socket, or a pair of one stream for each direction. Reads come as 'data' events, at one copy more than
// `socketLink` needs.

import type { Duplex, Readable, Writable } from 'node:stream'
import type { Link, LinkReader } from './link.ts'

/** Both directions; a `Duplex` is given as both. */
export interface DuplexPair {
  readonly readable: Readable & { ref?(): unknown; unref?(): unknown }
  readonly writable: Writable & { ref?(): unknown; unref?(): unknown }
}

/** Milliseconds that a closed link waits for its peer to close as well. */
const LINGER_MS = 250

/** What keeps the event loop alive. */
export interface Holder {
  ref?(): unknown
  unref?(): unknown
}

/**
 * Opens a link over streams, which belong to it from then on. Nothing is read before a reader opens the link.
 *
 * @param holders What keeps the event loop alive while the link is referenced. Default: the streams themselves; a stream that is made of
 * others (TLS over a pair of pipes) has no handle that could.
 */
export function duplexLink(source: Duplex | DuplexPair, holders?: readonly Holder[]): Link {
  const pair =
    'readable' in source && typeof source.readable === 'object'
      ? (source as DuplexPair)
      : { readable: source as Duplex, writable: source as Duplex }
  return new DuplexLink(pair, holders ?? [...new Set([pair.readable, pair.writable] as readonly Holder[])])
}

class DuplexLink implements Link {
  readonly #readable: DuplexPair['readable']
  readonly #writable: DuplexPair['writable']
  readonly #holders: readonly Holder[]
  #reader: LinkReader | undefined
  #failure: Error | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  #waiting = false

  constructor({ readable, writable }: DuplexPair, holders: readonly Holder[]) {
    this.#holders = holders
    this.#readable = readable
    this.#writable = writable
    const fail = (cause: Error): void => {
      this.#failure ??= cause
      // Of two streams only the one that failed is destroyed by itself.
      this.#destroyBoth()
    }
    for (const stream of new Set<Readable | Writable>([readable, writable])) stream.on('error', fail).on('close', () => this.#end())
    readable.on('end', () => this.#end())
  }

  open(reader: LinkReader): void {
    if (this.#state !== 'open') {
      queueMicrotask(() => reader.closed(this.#failure))
      return
    }
    const isFirst = this.#reader === undefined
    this.#reader = reader
    if (!isFirst) return
    // A stream that was paused by hand does not flow for a listener alone.
    this.#readable.on('data', (chunk: Uint8Array) => this.#deliver(chunk)).resume()
    // Ended or broken before anyone listened.
    if (this.#readable.destroyed || this.#readable.readableEnded) queueMicrotask(() => this.#end())
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== 'open') return true
    const writable = this.#writable
    const last = parts.length - 1
    if (last === 0) {
      writable.write(parts[0] as Uint8Array, this.#sent)
    } else {
      writable.cork()
      for (let index = 0; index < last; index++) writable.write(parts[index] as Uint8Array)
      writable.write(parts[last] as Uint8Array, this.#sent)
      writable.uncork()
    }
    if (writable.writableLength === 0) return true
    this.#waiting = true
    return false
  }

  close(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#writable.once('finish', () => setTimeout(() => this.#destroyBoth(), LINGER_MS).unref()).end()
    this.#readable.resume()
  }

  destroy(): void {
    if (this.#state === 'open') this.#state = 'closing'
    this.#destroyBoth()
  }

  ref(): void {
    for (const holder of this.#holders) holder.ref?.()
  }

  unref(): void {
    for (const holder of this.#holders) holder.unref?.()
  }

  readonly #sent = (): void => {
    if (!this.#waiting || this.#writable.writableLength !== 0) return
    this.#waiting = false
    this.#reader?.written()
  }

  /** Fills the reader's memory; the reader may change, or the link end, in the middle. */
  #deliver(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length && this.#state === 'open'; ) {
      const reader = this.#reader as LinkReader
      const target = reader.buffer()
      const bytes = Math.min(target.length, chunk.length - offset)
      target.set(offset === 0 && bytes === chunk.length ? chunk : chunk.subarray(offset, offset + bytes))
      offset += bytes
      reader.received(bytes)
    }
  }

  #destroyBoth(): void {
    this.#readable.destroy()
    this.#writable.destroy()
  }

  #end(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#destroyBoth()
    this.#reader?.closed(this.#failure)
  }
}
