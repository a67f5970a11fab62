// What a plugin writes on stdout or stderr: kept in part for error texts, handed to the application as a stream, or cut into lines for its logger.
// Whatever the plugin writes and whoever does not read it: memory stays bounded and the plugin is never blocked for want of a reader.

import type { Writable } from 'node:stream'
import { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { MAX_LOG_LINE_BYTES, MAX_LOG_LINES_PER_SECOND, MAX_UNREAD_OUTPUT_BYTES, TAIL_BYTES } from '../limits.ts'
import type { LogRecord } from '../wire/log-record.ts'
import { LogLines } from '../wire/log-record.ts'

/**
 * Where one output stream of a plugin goes.
 *
 * - `inherit`: the very same file or terminal as the host's, so colours and prompts work. Nothing is kept for error texts.
 * - `pipe`: a `Readable` for the application. Until somebody reads, only the newest `MAX_UNREAD_OUTPUT_BYTES` are kept; from the first read on
 *   nothing is lost and a slow reader slows the plugin, like any pipe.
 * - `log`: line by line to the host's logger.
 * - `ignore`: read and thrown away, except for what error texts need.
 */
export type OutputMode = 'inherit' | 'pipe' | 'log' | 'ignore'

/** A record of a plugin, as the host's logger gets it. */
export interface PluginRecord extends LogRecord {
  /** The plugin's name as its host knows it. */
  readonly plugin: string
  /** How it came: as a line of an output, or as a record of the plugin's own logger. */
  readonly stream: 'stdout' | 'stderr' | 'log'
}

/** Takes a plugin's records, in order. What it throws is dropped. */
export type Logger = (record: PluginRecord) => void

export interface OutputOptions {
  readonly mode: OutputMode
  readonly plugin: string
  readonly stream: 'stdout' | 'stderr'
  /** Needed with mode `log`. */
  readonly logger?: Logger | undefined
  /** With mode `inherit`, for a stream that had to be read nevertheless: where it is copied to. The plugin waits for it, as it would for the file itself. */
  readonly copyTo?: Writable | undefined
}

/** One piped output stream. Bytes are given to it by `write`; `end` says that none come any more. */
export class Output {
  /** The application's end; undefined unless the mode is `pipe`. */
  readonly readable: Readable | undefined
  readonly #tail = new Tail()
  readonly #buffer: OutputBuffer | undefined
  readonly #lines: LineLog | undefined
  readonly #copyTo: Writable | undefined
  #copyWaits = false
  readonly #flow: Flow
  #held: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined
  #ended = false

  /** @param flow Stops and starts the source when an application reads slowly. */
  constructor(options: OutputOptions, flow: Flow) {
    this.#flow = {
      pause: () => {
        flow.pause()
        this.#held ??= heldBack()
      },
      resume: () => {
        flow.resume()
        this.#held?.resolve()
        this.#held = undefined
      },
    }
    this.#copyTo = options.copyTo
    if (options.mode === 'pipe') {
      this.#buffer = new OutputBuffer(this.#flow)
      this.readable = this.#buffer.readable
    }
    if (options.mode === 'log' && options.logger !== undefined) this.#lines = new LineLog(options.plugin, options.stream, options.logger)
  }

  write(chunk: Uint8Array): void {
    this.#tail.push(chunk)
    this.#buffer?.push(chunk)
    this.#lines?.push(chunk)
    if (this.#copyTo === undefined || this.#copyTo.destroyed || this.#copyTo.write(chunk)) return
    this.#flow.pause()
    // What was read already still comes while the source is stopped.
    if (this.#copyWaits) return
    this.#copyWaits = true
    this.#copyTo.once('drain', () => {
      this.#copyWaits = false
      this.#flow.resume()
    })
  }

  /** Pending while the application reads more slowly than is written: for sources that `flow` does not stop. */
  get held(): Promise<void> | undefined {
    return this.#held?.promise
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#buffer?.end()
    this.#lines?.end()
  }

  /** The newest bytes, at most TAIL_BYTES, as text that begins with a whole line where it can. */
  get tail(): string {
    return this.#tail.text
  }
}

function heldBack(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

export interface Flow {
  pause(): void
  resume(): void
}

/** The newest TAIL_BYTES of a stream. */
export class Tail {
  #chunks: Uint8Array[] = []
  #bytes = 0
  #cut = false

  push(chunk: Uint8Array): void {
    const part = chunk.length > TAIL_BYTES ? chunk.subarray(chunk.length - TAIL_BYTES) : chunk
    // Copied: the chunk may be a small piece of a large buffer that it would keep alive.
    this.#chunks.push(Buffer.from(part))
    this.#bytes += part.length
    if (part !== chunk) this.#cut = true
    while (this.#bytes - (this.#chunks[0]?.length ?? 0) >= TAIL_BYTES) {
      this.#bytes -= (this.#chunks.shift() as Uint8Array).length
      this.#cut = true
    }
    // Many tiny writes would otherwise be kept as thousands of tiny arrays.
    if (this.#chunks.length > 64) this.#chunks = [Buffer.concat(this.#chunks)]
  }

  get text(): string {
    const all = Buffer.concat(this.#chunks)
    const cut = this.#cut || all.length > TAIL_BYTES
    const kept = all.subarray(Math.max(0, all.length - TAIL_BYTES))
    if (!cut) return kept.toString('utf8')
    const newline = kept.indexOf(10)
    // Without a line's begin at least no half character: continuation bytes at the front are skipped.
    let start = newline >= 0 && newline < kept.length - 1 ? newline + 1 : 0
    while (start < kept.length && ((kept[start] as number) & 0xc0) === 0x80) start++
    return kept.subarray(start).toString('utf8')
  }
}

/** Keeps output for an application that may read it late, slowly or never. */
class OutputBuffer {
  readonly readable: Readable
  readonly #flow: Flow
  #chunks: Uint8Array[] = []
  #bytes = 0
  #droppedBytes = 0
  #hasReader = false
  #wanted = false
  #paused = false
  #ended = false

  constructor(flow: Flow) {
    this.#flow = flow
    this.readable = new Readable({
      read: () => {
        this.#hasReader = true
        this.#wanted = true
        this.#drain()
      },
      destroy: (cause, done) => {
        // Nobody reads any more: what comes is thrown away, the plugin goes on.
        this.#chunks = []
        this.#bytes = 0
        this.#resume()
        done(cause)
      },
    })
  }

  push(chunk: Uint8Array): void {
    if (this.readable.destroyed) return
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#wanted) this.#drain()
    if (this.#bytes <= MAX_UNREAD_OUTPUT_BYTES) return
    if (this.#hasReader) this.#pause()
    else this.#dropOldest()
  }

  end(): void {
    this.#ended = true
    if (this.#wanted) this.#drain()
  }

  #dropOldest(): void {
    while (this.#bytes > MAX_UNREAD_OUTPUT_BYTES && this.#chunks.length > 1) {
      const oldest = this.#chunks.shift() as Uint8Array
      this.#bytes -= oldest.length
      this.#droppedBytes += oldest.length
    }
    if (this.#chunks.length > 4096) this.#chunks = [Buffer.concat(this.#chunks)]
  }

  #drain(): void {
    if (this.#droppedBytes > 0) {
      const notice = `[${this.#droppedBytes} earlier bytes were dropped because nobody read them]\n`
      this.#droppedBytes = 0
      this.#wanted = this.readable.push(notice)
    }
    while (this.#wanted && this.#chunks.length > 0) {
      const chunk = this.#chunks.shift() as Uint8Array
      this.#bytes -= chunk.length
      this.#wanted = this.readable.push(chunk)
    }
    if (this.#bytes <= MAX_UNREAD_OUTPUT_BYTES / 2) this.#resume()
    if (this.#ended && this.#chunks.length === 0 && this.#wanted) {
      this.#wanted = false
      this.readable.push(null)
    }
  }

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#flow.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#flow.resume()
  }
}

/** Cuts a stream into lines of at most MAX_LOG_LINE_BYTES and hands them to a logger, at most MAX_LOG_LINES_PER_SECOND. */
export class LineLog {
  readonly #plugin: string
  readonly #stream: 'stdout' | 'stderr'
  readonly #logger: Logger
  readonly #decoder = new StringDecoder('utf8')
  readonly #parser: LogLines = new LogLines('info')
  #parts: Uint8Array[] = []
  #bytes = 0
  #second = 0
  #lines = 0
  #droppedLines = 0

  constructor(plugin: string, stream: 'stdout' | 'stderr', logger: Logger) {
    this.#plugin = plugin
    this.#stream = stream
    this.#logger = logger
  }

  push(chunk: Uint8Array): void {
    let start = 0
    for (let newline = chunk.indexOf(10); newline >= 0; newline = chunk.indexOf(10, start)) {
      this.#collect(chunk.subarray(start, newline))
      this.#line(true)
      start = newline + 1
    }
    // The rest is kept beyond this call, so it gets memory of its own.
    if (start < chunk.length) this.#collect(Buffer.from(chunk.subarray(start)))
  }

  /** The stream has ended; what has no newline yet is a line as well. */
  end(): void {
    if (this.#bytes > 0) this.#line(true)
    this.#tellDropped()
  }

  #collect(bytes: Uint8Array): void {
    let rest = bytes
    while (this.#bytes + rest.length > MAX_LOG_LINE_BYTES) {
      const fits = MAX_LOG_LINE_BYTES - this.#bytes
      this.#parts.push(rest.subarray(0, fits))
      this.#line(false)
      rest = rest.subarray(fits)
    }
    if (rest.length === 0) return
    this.#parts.push(rest)
    this.#bytes += rest.length
    if (this.#parts.length > 256) this.#parts = [Buffer.concat(this.#parts)]
  }

  #line(whole: boolean): void {
    const bytes = this.#parts.length === 1 ? Buffer.from(this.#parts[0] as Uint8Array) : Buffer.concat(this.#parts)
    this.#parts = []
    this.#bytes = 0
    // A piece that ends within a character leaves the rest of it to the next piece.
    const text = this.#decoder.write(bytes) + (whole ? this.#decoder.end() : '')
    const line = text.endsWith('\r') ? text.slice(0, -1) : text
    if (line === '') return
    if (this.#admit()) this.#log(this.#parser.parse(line))
  }

  #admit(): boolean {
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
      this.#tellDropped()
    }
    if (this.#lines < MAX_LOG_LINES_PER_SECOND) {
      this.#lines++
      return true
    }
    this.#droppedLines++
    return false
  }

  #tellDropped(): void {
    if (this.#droppedLines === 0) return
    const fields = { droppedLines: this.#droppedLines }
    this.#droppedLines = 0
    this.#log({
      level: 'warn',
      message: `more than ${MAX_LOG_LINES_PER_SECOND} lines in a second, the rest was dropped`,
      fields,
      time: new Date(),
    })
  }

  #log(record: LogRecord): void {
    try {
      this.#logger({ ...record, plugin: this.#plugin, stream: this.#stream })
    } catch {
      // A logger that fails has nobody to tell; the plugin's output must not stop for it.
    }
  }
}
