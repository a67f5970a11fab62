// Two links that lead to each other within one process. Bytes are copied and cross in a later turn of the event loop, as over a socket.

import type { Link, LinkReader } from '../mux/link.ts'

/** Bytes under way in one direction from which on a writer waits, as it would for a full socket. */
const FULL_BYTES = 256 * 1024
/** An interval that never comes due, to keep the event loop alive. Source: the longest that timers take. */
const NEVER_MS = 2 ** 31 - 1

/** A host's end and a plugin's end. Closing either closes both. */
export function memoryLinks(): [host: Link, plugin: Link] {
  const host = new MemoryLink()
  const plugin = new MemoryLink()
  host.join(plugin)
  plugin.join(host)
  return [host, plugin]
}

class MemoryLink implements Link {
  #peer: MemoryLink | undefined
  #reader: LinkReader | undefined
  /** What the peer wrote and the reader has not got. */
  #arriving: Uint8Array[] = []
  #arrivingBytes = 0
  #scheduled = false
  /** The peer has said its last byte. */
  #peerEnded = false
  #state: 'open' | 'closing' | 'closed' = 'open'
  #writerWaits = false
  #hold: ReturnType<typeof setInterval> | undefined

  join(peer: MemoryLink): void {
    this.#peer = peer
  }

  open(reader: LinkReader): void {
    const isFirst = this.#reader === undefined
    this.#reader = reader
    if (this.#state === 'closed') queueMicrotask(() => reader.closed())
    else {
      if (isFirst) this.ref()
      this.#schedule()
    }
  }

  write(parts: readonly Uint8Array[]): boolean {
    const peer = this.#peer as MemoryLink
    if (this.#state !== 'open' || peer.#state === 'closed') return true
    for (const part of parts) {
      if (part.length === 0) continue
      peer.#arriving.push(new Uint8Array(part))
      peer.#arrivingBytes += part.length
    }
    peer.#schedule()
    if (peer.#arrivingBytes < FULL_BYTES) return true
    this.#writerWaits = true
    return false
  }

  close(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    const peer = this.#peer as MemoryLink
    peer.#peerEnded = true
    peer.#schedule()
    if (peer.#state === 'closed') this.#end()
  }

  destroy(): void {
    if (this.#state === 'closed') return
    const peer = this.#peer as MemoryLink
    peer.#peerEnded = true
    peer.#schedule()
    this.#end()
  }

  ref(): void {
    if (this.#state !== 'closed') this.#hold ??= setInterval(() => {}, NEVER_MS)
  }

  unref(): void {
    clearInterval(this.#hold)
    this.#hold = undefined
  }

  #schedule(): void {
    if (this.#scheduled || this.#reader === undefined || this.#state === 'closed') return
    this.#scheduled = true
    setImmediate(() => this.#deliver())
  }

  #deliver(): void {
    this.#scheduled = false
    const chunks = this.#arriving
    this.#arriving = []
    this.#arrivingBytes = 0
    for (const chunk of chunks) {
      for (let offset = 0; offset < chunk.length && this.#state !== 'closed'; ) {
        const reader = this.#reader as LinkReader
        const target = reader.buffer()
        const bytes = Math.min(target.length, chunk.length - offset)
        target.set(chunk.subarray(offset, offset + bytes))
        offset += bytes
        reader.received(bytes)
      }
    }
    const peer = this.#peer as MemoryLink
    if (peer.#writerWaits) {
      peer.#writerWaits = false
      if (peer.#state !== 'closed') peer.#reader?.written()
    }
    if (this.#peerEnded && this.#arriving.length === 0) this.#end()
  }

  /** The other side has closed as well, or this one does not wait for it. */
  #end(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.unref()
    this.#arriving = []
    const reader = this.#reader
    if (reader !== undefined) queueMicrotask(() => reader.closed())
    // A side that has seen the other's end has nobody to talk to.
    const peer = this.#peer as MemoryLink
    if (peer.#state !== 'closed') {
      peer.#peerEnded = true
      peer.#schedule()
    }
  }
}
