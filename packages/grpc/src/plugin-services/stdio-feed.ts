// What a plugin prints, on its way to hosts. Nothing here ever makes the plugin wait: what nobody fetches is kept within bounds, then the
// oldest goes. Knows nothing of where the bytes come from.

import type { StdioData } from './control-messages.ts'

/** Bytes that are kept for each host that reads too slowly, and for the first one while there is none. */
const MAX_KEPT_BYTES = 16 * 1024 * 1024
/** Bytes of one message: small pieces are put together up to it, large ones cut. Go plugins send 1 KiB at most. */
const MAX_MESSAGE_BYTES = 32 * 1024
/** Bytes of memory that a small print takes; those that follow share it. */
const LEAST_PIECE_BYTES = 1024

export type StdioSink = (channel: 1 | 2, data: Uint8Array) => void

/** Every host gets all that is printed from its coming on; the first, and the next after the last has left, what was printed before too. */
export class StdioFeed {
  readonly #readers = new Set<StdioReader>()
  readonly #source: (sink: StdioSink | undefined) => void
  #kept = new Backlog()
  #ended = false

  /** @param source Is given a sink when the first host comes, which takes all that is printed from then on, and undefined after the last has left. */
  constructor(source: (sink: StdioSink | undefined) => void) {
    this.#source = source
  }

  /** Bytes that were dropped since the last time somebody asked. */
  takeDroppedBytes(): number {
    let bytes = this.#kept.takeDropped()
    for (const reader of this.#readers) bytes += reader.backlog.takeDropped()
    return bytes
  }

  readonly #write: StdioSink = (channel, data) => {
    for (const reader of this.#readers) {
      reader.backlog.add(channel, data)
      reader.wake()
    }
  }

  /** Nothing more will be printed: readers end when they have had everything. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#source(undefined)
    for (const reader of this.#readers) reader.wake()
  }

  /** Resolves when every reader has taken everything, or cannot within `timeoutMs`. */
  async drained(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (const reader of this.#readers) {
      const left = deadline - performance.now()
      if (left > 0) await reader.drained(left)
    }
  }

  /** Pieces for one host, until `signal` is aborted or the feed ends. */
  async *read(signal: AbortSignal): AsyncGenerator<StdioData, void, undefined> {
    const reader = new StdioReader(this.#readers.size === 0 ? this.#kept : new Backlog())
    if (this.#readers.size === 0) this.#kept = new Backlog()
    this.#readers.add(reader)
    if (this.#readers.size === 1 && !this.#ended) this.#source(this.#write)
    const stop = (): void => reader.wake()
    signal.addEventListener('abort', stop)
    try {
      while (!signal.aborted) {
        const piece = reader.backlog.take()
        if (piece !== undefined) yield piece
        else if (this.#ended) break
        else await reader.more()
      }
    } finally {
      signal.removeEventListener('abort', stop)
      this.#readers.delete(reader)
      if (this.#readers.size === 0) {
        this.#kept = reader.backlog
        if (!this.#ended) this.#source(undefined)
      }
      reader.wake()
      reader.leave()
    }
  }
}

class StdioReader {
  readonly backlog: Backlog
  #wake: (() => void) | undefined
  #idle: (() => void)[] = []

  constructor(backlog: Backlog) {
    this.backlog = backlog
  }

  wake(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  /** Called when the backlog is empty: what was taken last has been asked for more, so it has left. */
  more(): Promise<void> {
    this.leave()
    return new Promise(resolve => (this.#wake = resolve))
  }

  leave(): void {
    for (const idle of this.#idle.splice(0)) idle()
  }

  drained(timeoutMs: number): Promise<void> {
    if (this.#wake !== undefined) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#idle.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

interface Piece {
  readonly channel: 1 | 2
  readonly memory: Buffer
  /** Bytes of the memory that are in use. */
  length: number
}

/** What was printed, in order and up to a bound, in few pieces however small the prints are. */
class Backlog {
  #pieces: Piece[] = []
  #head = 0
  /** Bytes of memory of all pieces. */
  #bytes = 0
  #dropped = 0

  /** Copies: whoever printed it may use its memory again. */
  add(channel: 1 | 2, data: Uint8Array): void {
    for (let from = 0; from < data.length; ) {
      let last = this.#pieces[this.#pieces.length - 1]
      if (last === undefined || last.channel !== channel || last.length === last.memory.length) {
        const bytes = Math.min(Math.max(data.length - from, LEAST_PIECE_BYTES), MAX_MESSAGE_BYTES)
        last = { channel, memory: Buffer.allocUnsafeSlow(bytes), length: 0 }
        this.#pieces.push(last)
        this.#bytes += bytes
        while (this.#bytes > MAX_KEPT_BYTES) this.#dropped += this.#shift().length
      }
      const bytes = Math.min(data.length - from, last.memory.length - last.length)
      last.memory.set(data.subarray(from, from + bytes), last.length)
      last.length += bytes
      from += bytes
    }
  }

  /** The oldest piece. */
  take(): StdioData | undefined {
    if (this.#pieces.length === this.#head) return undefined
    const { channel, memory, length } = this.#shift()
    return { channel, data: length === memory.length ? memory : memory.subarray(0, length) }
  }

  takeDropped(): number {
    const bytes = this.#dropped
    this.#dropped = 0
    return bytes
  }

  #shift(): Piece {
    const piece = this.#pieces[this.#head++] as Piece
    this.#bytes -= piece.memory.length
    // What was taken is never the last of the list, so that nothing is added to it.
    if (this.#head === this.#pieces.length || this.#head > 64) {
      this.#pieces.splice(0, this.#head)
      this.#head = 0
    }
    return piece
  }
}
