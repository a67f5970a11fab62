// A link that misbehaves as it is told: small pieces, delays, a cut in the middle. Wraps any other link, so the same faults go on every wire.

import type { Link, LinkReader } from '../mux/link.ts'

/** What goes wrong on the way between host and plugin. Numbers of bytes count from the begin of the session, in one direction. */
export interface Faults {
  /** Bytes arrive in pieces of at most this many, in both directions; a function is asked before each piece. Default: as they come. */
  readonly pieceBytes?: number | (() => number) | undefined
  /** Milliseconds before each piece goes on. Default 0: as fast as it goes. */
  readonly delayMs?: number | undefined
  /** The connection is cut when the host has received this many bytes. */
  readonly cutAfterReceivedBytes?: number | undefined
  /** The connection is cut when the host has sent this many bytes. */
  readonly cutAfterSentBytes?: number | undefined
  /** The plugin is killed (SIGKILL) when the host has received this many bytes. */
  readonly killAfterReceivedBytes?: number | undefined
  /** The plugin is killed (SIGKILL) when the host has sent this many bytes. */
  readonly killAfterSentBytes?: number | undefined
  /** The plugin is killed (SIGKILL) as the host makes its nth call, before the call leaves; `dispense` and `describe` are calls, too. */
  readonly killAtCall?: number | undefined
}

/** The link with its faults, and a way to cut it by hand. */
export interface FaultyLink extends Link {
  /** Cuts the connection now. What is under way is lost. */
  sever(): void
}

/**
 * Puts faults between a host and its link.
 *
 * @param link The host's end. Owned by the returned link from now on.
 * @param kill Ends the plugin at once.
 */
export function faultyLink(link: Link, faults: Faults, kill: () => void): FaultyLink {
  return new Faulty(link, faults, kill)
}

const MEMORY_BYTES = 64 * 1024
/** Pieces that follow each other before the rest of the process has its turn. */
const PIECES_PER_TURN = 1_024

class Faulty implements FaultyLink {
  readonly #link: Link
  readonly #in: Passage
  readonly #out: Passage
  #reader: LinkReader | undefined
  #opened = false
  #closing = false
  #ended: { readonly cause: Error | undefined } | undefined
  /** The link below still holds the piece that was given to it. */
  #busy = false
  #writerWaits = false

  constructor(link: Link, faults: Faults, kill: () => void) {
    this.#link = link
    const pace = { pieceBytes: faults.pieceBytes, delayMs: faults.delayMs }
    const sever = (): void => this.sever()
    this.#in = new Passage(
      { ...pace, stops: stopsOf(faults.cutAfterReceivedBytes, sever, faults.killAfterReceivedBytes, kill) },
      piece => this.#deliver(piece),
      () => this.#drained(),
    )
    this.#out = new Passage(
      { ...pace, stops: stopsOf(faults.cutAfterSentBytes, sever, faults.killAfterSentBytes, kill) },
      piece => this.#send(piece),
      () => this.#drained(),
    )
  }

  open(reader: LinkReader): void {
    this.#reader = reader
    if (this.#opened) return
    this.#opened = true
    const memory = Buffer.allocUnsafe(MEMORY_BYTES)
    this.#link.open({
      buffer: () => memory,
      received: bytes => this.#in.push(new Uint8Array(memory.subarray(0, bytes))),
      written: () => {
        this.#busy = false
        this.#out.resume()
      },
      closed: cause => {
        this.#ended = { cause }
        this.#out.clear()
        this.#drained()
      },
    })
  }

  write(parts: readonly Uint8Array[]): boolean {
    for (const part of parts) if (part.length > 0) this.#out.push(new Uint8Array(part))
    if (this.#out.empty) return true
    this.#writerWaits = true
    return false
  }

  close(): void {
    this.#closing = true
    this.#drained()
  }

  destroy(): void {
    this.#out.clear()
    this.#link.destroy()
  }

  sever(): void {
    this.#in.clear()
    this.#out.clear()
    this.#link.destroy()
  }

  ref(): void {
    this.#link.ref()
  }

  unref(): void {
    this.#link.unref()
  }

  #deliver(piece: Uint8Array): boolean {
    for (let offset = 0; offset < piece.length; ) {
      const reader = this.#reader as LinkReader
      const target = reader.buffer()
      const bytes = Math.min(target.length, piece.length - offset)
      target.set(piece.subarray(offset, offset + bytes))
      offset += bytes
      reader.received(bytes)
    }
    return true
  }

  #send(piece: Uint8Array): boolean {
    this.#busy = !this.#link.write([piece])
    return !this.#busy
  }

  /** A direction has nothing under way any more. */
  #drained(): void {
    if (this.#out.empty && !this.#busy) {
      if (this.#writerWaits && this.#ended === undefined) {
        this.#writerWaits = false
        this.#reader?.written()
      }
      if (this.#closing && this.#out.empty) this.#link.close()
    }
    if (this.#ended !== undefined && this.#in.empty) {
      const { cause } = this.#ended
      const reader = this.#reader
      this.#reader = undefined
      reader?.closed(cause)
    }
  }
}

interface Stop {
  readonly atByte: number
  readonly act: () => void
}

function stopsOf(cutAt: number | undefined, cut: () => void, killAt: number | undefined, kill: () => void): Stop[] {
  return [
    ...(cutAt === undefined ? [] : [{ atByte: cutAt, act: cut }]),
    ...(killAt === undefined ? [] : [{ atByte: killAt, act: kill }]),
  ].sort((a, b) => a.atByte - b.atByte)
}

interface Pace {
  readonly pieceBytes: Faults['pieceBytes']
  readonly delayMs: number | undefined
  readonly stops: readonly Stop[]
}

/** One direction: what goes in comes out in pieces, at its pace, until a stop. */
class Passage {
  readonly #pace: Pace
  readonly #out: (piece: Uint8Array) => boolean
  readonly #drained: () => void
  readonly #stops: Stop[]
  #waiting: Uint8Array[] = []
  #passedBytes = 0
  #running = false
  #blocked = false
  #due: ReturnType<typeof setTimeout> | undefined

  /** @param out Passes a piece on; false when no more may come until `resume`. */
  constructor(pace: Pace, out: (piece: Uint8Array) => boolean, drained: () => void) {
    this.#pace = pace
    this.#out = out
    this.#drained = drained
    this.#stops = [...pace.stops]
  }

  get empty(): boolean {
    return this.#waiting.length === 0
  }

  push(chunk: Uint8Array): void {
    this.#waiting.push(chunk)
    this.#run()
  }

  resume(): void {
    this.#blocked = false
    this.#run()
    if (this.empty) this.#drained()
  }

  clear(): void {
    this.#waiting = []
    clearTimeout(this.#due)
    this.#due = undefined
  }

  #run(): void {
    if (this.#running || this.#blocked || this.#due !== undefined) return
    const { delayMs = 0 } = this.#pace
    this.#running = true
    for (let pieces = 0; this.#waiting.length > 0 && !this.#blocked; pieces++) {
      if (delayMs > 0 || pieces === PIECES_PER_TURN) {
        this.#due = setTimeout(this.#onDue, delayMs)
        break
      }
      this.#pass()
    }
    this.#running = false
  }

  readonly #onDue = (): void => {
    this.#due = undefined
    this.#pass()
    this.#run()
    if (this.empty) this.#drained()
  }

  #pass(): void {
    const chunk = this.#waiting[0]
    if (chunk === undefined) return
    const { pieceBytes } = this.#pace
    const most = typeof pieceBytes === 'function' ? pieceBytes() : (pieceBytes ?? chunk.length)
    const stop = this.#stops[0]
    const room = stop === undefined ? Number.POSITIVE_INFINITY : stop.atByte - this.#passedBytes
    const bytes = Math.min(chunk.length, Math.max(1, Math.floor(most)), room)
    if (bytes > 0) {
      if (bytes === chunk.length) this.#waiting.shift()
      else this.#waiting[0] = chunk.subarray(bytes)
      this.#passedBytes += bytes
      if (!this.#out(chunk.subarray(0, bytes))) this.#blocked = true
    }
    if (stop !== undefined && this.#passedBytes >= stop.atByte) {
      this.#stops.shift()
      stop.act()
    }
  }
}
