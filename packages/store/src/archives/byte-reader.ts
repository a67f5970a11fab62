// Takes bytes from a stream in the portions that a format has, not in those in which they came. Knows no format.

/** Reads a stream once, from its beginning. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)
  #offset = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#offset
  }

  /** What is there already, or the next bytes that come; at least 1, undefined at the end. Valid until the next read. */
  async atMost(length: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next()
      if (next.done) return undefined
      this.#chunk = next.value
    }
    const taken = this.#chunk.subarray(0, length)
    this.#chunk = this.#chunk.subarray(taken.length)
    this.#offset += taken.length
    return taken
  }

  /** Exactly that many bytes; undefined when the stream ends before. The caller has bounded `length`. */
  async exactly(length: number): Promise<Uint8Array | undefined> {
    if (this.#chunk.length >= length) return (await this.atMost(length)) ?? new Uint8Array(0)
    const bytes = new Uint8Array(length)
    for (let filled = 0; filled < length; ) {
      const part = await this.atMost(length - filled)
      if (part === undefined) return undefined
      bytes.set(part, filled)
      filled += part.length
    }
    return bytes
  }

  /** @param cutOff Makes the error to throw when the stream ends before. */
  async skip(length: number, cutOff: () => Error): Promise<void> {
    for (let left = length; left > 0; ) {
      const part = await this.atMost(left)
      if (part === undefined) throw cutOff()
      left -= part.length
    }
  }

  /** Tells the source that nobody reads on. */
  async close(): Promise<void> {
    await this.#source.return?.()
  }
}
