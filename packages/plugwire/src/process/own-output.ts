// What this process itself writes to its stdout, when descriptor 1 belongs to something else: on the `stdio` wire it carries the session,
// in front of a Go host the handshake. The same for stderr, where a Go host expects log records.
//
// Only writes that go through `process.stdout` and `process.stderr` (and so `console`) are caught. Native code, `fs.writeSync(1)` and children that inherit
// descriptor 1 write into the session and break it: Node has no dup2, so the descriptor cannot be moved out of their way. Start such
// children with `stdio: ['ignore', 'pipe', 'inherit']`, or use another wire.

import { MAX_KEPT_STDOUT_BYTES } from '../limits.ts'

/** The part of a stdout stream that still reaches descriptor 1. */
export interface OriginalStdout {
  write(chunk: Uint8Array | string, written?: (error?: Error | null) => void): boolean
  readonly writableLength: number
  cork(): void
  uncork(): void
  on(event: 'error', listener: (cause: Error) => void): unknown
  on(event: 'close', listener: () => void): unknown
  /** Lets what was written leave, then closes descriptor 1. */
  end(): void
  destroy(): void
}

type Write = (this: NodeJS.WriteStream, chunk: Uint8Array | string, written?: (error?: Error | null) => void) => boolean

/** Own writes to stdout or stderr, caught. */
export interface CapturedOutput {
  /** The way to the real descriptor 1. */
  readonly original: OriginalStdout
  /** Where chunks go from now on; those kept so far come first. Undefined: they are kept again. */
  setSink(sink: ((chunk: Uint8Array) => void) | undefined): void
  /** What is kept, which is nobody's any more. */
  takeKept(): Uint8Array
  /** Chunks were dropped because no sink came in time: their bytes. */
  readonly droppedBytes: number
  /** Gives the stream its own methods back. */
  restore(): void
}

/** Catches what this process writes to `process.stdout` or `process.stderr` from now on. */
export function captureOutput(stream: 'stdout' | 'stderr'): CapturedOutput {
  return new Capture(process[stream])
}

/**
 * Of a stderr that others read as a log: what nobody has fetched goes there when the process ends, and an exception that ends it gets the header by which
 * hosts of go-plugin know a crash. Source: go-plugin client.go `logStderr`.
 */
export function tellLastWords(stderr: CapturedOutput): void {
  process.on('uncaughtExceptionMonitor', cause => {
    // Somebody catches it after all.
    if (process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback()) return
    stderr.setSink(undefined)
    writeOut(stderr.takeKept())
    writeOut(Buffer.from(`panic: ${textOf(cause)}\n`))
  })
  process.on('exit', () => writeOut(stderr.takeKept()))
}

function textOf(cause: unknown): string {
  try {
    return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  } catch {
    return 'something that has no text was thrown'
  }
}

/** Milliseconds between two tries to write to a pipe that is full, and how many there are. */
const FULL_PIPE_MS = 10
const FULL_PIPE_TRIES = 100

function writeOut(bytes: Uint8Array): void {
  const { writeSync } = process.getBuiltinModule('node:fs')
  for (let at = 0, tries = 0; at < bytes.length; ) {
    try {
      at += writeSync(2, bytes, at)
    } catch (cause) {
      // Nobody reads it.
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN' || ++tries > FULL_PIPE_TRIES) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MS)
    }
  }
}

class Capture implements CapturedOutput {
  readonly original: OriginalStdout
  readonly #stream: NodeJS.WriteStream
  readonly #kept: Uint8Array[] = []
  #keptBytes = 0
  #droppedBytes = 0
  #sink: ((chunk: Uint8Array) => void) | undefined

  constructor(stdout: NodeJS.WriteStream) {
    this.#stream = stdout
    // The stream object stays the same, since others may hold it; the way to the descriptor goes through the methods it inherits.
    const { write } = stdout
    // Node never closes descriptors 1 and 2 when their streams are ended or destroyed; the session's end must be seen at the other side, though.
    const destroy = (): void => (stdout as { _handle?: { close(): void } | null })._handle?.close()
    this.original = {
      write: (chunk, written) => (write as Write).call(stdout, chunk, written),
      get writableLength() {
        return stdout.writableLength
      },
      cork: () => stdout.cork(),
      uncork: () => stdout.uncork(),
      on: (event: string, listener: (cause: Error) => void) => stdout.on(event, listener),
      end: () => void (write as Write).call(stdout, '', destroy),
      destroy,
    }
    Object.defineProperties(stdout, {
      write: { value: this.#write, configurable: true, writable: true },
      end: { value: this.#end, configurable: true, writable: true },
    })
  }

  get droppedBytes(): number {
    return this.#droppedBytes
  }

  setSink(sink: ((chunk: Uint8Array) => void) | undefined): void {
    this.#sink = sink
    if (sink === undefined) return
    this.#keptBytes = 0
    for (const chunk of this.#kept.splice(0)) sink(chunk)
  }

  takeKept(): Uint8Array {
    this.#keptBytes = 0
    return Buffer.concat(this.#kept.splice(0))
  }

  restore(): void {
    const own = this.#stream as { write?: unknown; end?: unknown }
    delete own.write
    delete own.end
  }

  /** Stands in for `Writable.write`. */
  readonly #write = (chunk: string | Uint8Array, encoding?: BufferEncoding | (() => void), callback?: () => void): boolean => {
    const written = typeof encoding === 'function' ? encoding : callback
    // A copy: the writer may use its memory again as soon as this returns.
    this.#take(typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : Uint8Array.from(chunk))
    if (written !== undefined) process.nextTick(written)
    return true
  }

  /** Stands in for `Writable.end`: a pipeline that ends on stdout must not end the session. */
  readonly #end = (chunk?: unknown, encoding?: BufferEncoding | (() => void), callback?: () => void): NodeJS.WriteStream => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) this.#write(chunk, encoding, callback)
    else {
      const ended = [chunk, encoding, callback].find(item => typeof item === 'function') as (() => void) | undefined
      if (ended !== undefined) process.nextTick(ended)
    }
    return this.#stream
  }

  #take(chunk: Uint8Array): void {
    if (this.#sink !== undefined) return this.#sink(chunk)
    this.#keptBytes += chunk.length
    this.#kept.push(chunk)
    // The last that was said tells most.
    while (this.#keptBytes > MAX_KEPT_STDOUT_BYTES) {
      const { length } = this.#kept.shift() as Uint8Array
      this.#keptBytes -= length
      this.#droppedBytes += length
    }
  }
}
