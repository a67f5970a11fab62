// Finds the handshake line in what a plugin writes, however it is cut, in linear work and bounded memory. Pure: fed with bytes by those who read them.

import { MAX_HANDSHAKE_LINE_BYTES, MAX_PREAMBLE_BYTES } from '../limits.ts'
import { looksLikeHandshake } from '../wire/handshake.ts'

/** What became of the bytes so far. */
export type Scan =
  | { readonly found: 'nothing' }
  /** The line without its newline, and the bytes behind it, which belong to whoever reads next. */
  | { readonly found: 'line'; readonly line: string; readonly rest: Uint8Array }
  /** It goes on for too long. */
  | { readonly found: 'fault'; readonly reason: string /** The beginning of what was written. */; readonly line: string }

const nothing: Scan = { found: 'nothing' }
const NEWLINE = 10
/** Bytes of a faulty line that are told. */
const TOLD_BYTES = 200

/** A stream that carries nothing but the line, then the session: the first line is the handshake, whatever it says. */
export class FirstLine {
  #parts: Uint8Array[] = []
  #bytes = 0

  /** The chunk may be used again afterwards, except for `rest`, which lies in it. */
  push(chunk: Uint8Array): Scan {
    const newline = chunk.indexOf(NEWLINE)
    const part = newline < 0 ? chunk : chunk.subarray(0, newline)
    this.#bytes += part.length
    this.#parts.push(Buffer.from(part))
    if (this.#parts.length > 256) this.#parts = [Buffer.concat(this.#parts)]
    if (this.#bytes > MAX_HANDSHAKE_LINE_BYTES) {
      return { found: 'fault', reason: `it is longer than ${MAX_HANDSHAKE_LINE_BYTES} bytes`, line: this.text.slice(0, TOLD_BYTES) }
    }
    return newline < 0 ? nothing : { found: 'line', line: this.text, rest: chunk.subarray(newline + 1) }
  }

  /** What has come so far. */
  get text(): string {
    return Buffer.concat(this.#parts).toString('utf8')
  }
}

/** A stdout: lines that do not look like a handshake are ordinary output and go to `preamble`, each as soon as it is known to be one. */
export class StdoutLines {
  readonly #preamble: (bytes: Uint8Array) => void
  #parts: Uint8Array[] = []
  #bytes = 0
  #preambleBytes = 0

  constructor(preamble: (bytes: Uint8Array) => void) {
    this.#preamble = preamble
  }

  push(chunk: Uint8Array): Scan {
    let start = 0
    for (let newline = chunk.indexOf(NEWLINE); newline >= 0; newline = chunk.indexOf(NEWLINE, start)) {
      this.#collect(chunk.subarray(start, newline + 1))
      start = newline + 1
      const line = this.#text
      if (looksLikeHandshake(line)) {
        this.#parts = []
        this.#bytes = 0
        if (line.length > MAX_HANDSHAKE_LINE_BYTES) return tooLong(line)
        return { found: 'line', line: line.slice(0, -1), rest: chunk.subarray(start) }
      }
      this.flush()
      if (this.#preambleBytes > MAX_PREAMBLE_BYTES) return tooMuch(line)
    }
    if (start === chunk.length) return nothing
    this.#collect(Buffer.from(chunk.subarray(start)))
    if (this.#bytes <= MAX_HANDSHAKE_LINE_BYTES) return nothing
    const line = this.#text
    if (looksLikeHandshake(line)) return tooLong(line)
    // Too long for a handshake, so it is output; its remainder may begin like one only by accident.
    this.flush()
    return this.#preambleBytes > MAX_PREAMBLE_BYTES ? tooMuch(line) : nothing
  }

  /** No handshake is awaited any more: what was held back as a possible one is output. */
  flush(): void {
    const parts = this.#parts
    this.#parts = []
    this.#preambleBytes += this.#bytes
    this.#bytes = 0
    for (const part of parts) this.#preamble(part)
  }

  #collect(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#bytes += bytes.length
    if (this.#parts.length > 256) this.#parts = [Buffer.concat(this.#parts)]
  }

  get #text(): string {
    const head = this.#parts.length === 1 ? (this.#parts[0] as Uint8Array) : Buffer.concat(this.#parts)
    return Buffer.from(head.buffer, head.byteOffset, head.length).toString('utf8')
  }
}

const tooLong = (line: string): Scan => ({
  found: 'fault',
  reason: `it is longer than ${MAX_HANDSHAKE_LINE_BYTES} bytes`,
  line: line.slice(0, TOLD_BYTES),
})
const tooMuch = (line: string): Scan => ({
  found: 'fault',
  reason: `more than ${MAX_PREAMBLE_BYTES} bytes came before a handshake`,
  line: line.slice(0, TOLD_BYTES),
})
