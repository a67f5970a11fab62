// The body of an answer as it came, also when the connection broke right behind it: Node's own stream drops what nobody has read yet by then, and a
// download could never go on over a line that breaks often. Knows no limits and no times.

import type { IncomingMessage } from 'node:http'

/** Bytes that wait for a reader before the server has to wait. */
const QUEUE_BYTES = 256 * 1024

/** Make it in the very moment in which the answer begins. */
export class ReceivedBody {
  readonly #response: IncomingMessage
  readonly #queue: Uint8Array[] = []
  #queuedBytes = 0
  #ended = false
  #failure: unknown
  #wake: (() => void) | undefined

  constructor(response: IncomingMessage) {
    this.#response = response
    response
      .on('data', (chunk: Uint8Array) => {
        this.#queue.push(chunk)
        this.#queuedBytes += chunk.length
        if (this.#queuedBytes >= QUEUE_BYTES) response.pause()
        this.#wake?.()
      })
      .on('error', (cause: unknown) => {
        this.#failure ??= cause
        this.#finish()
      })
      .on('end', () => this.#finish())
      .on('close', () => this.#finish())
  }

  /** Whether all of it has come. */
  get isComplete(): boolean {
    return this.#response.complete && this.#queue.length === 0
  }

  /** The next bytes; undefined at the end. Throws what broke the connection, after everything that came before. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      if (this.#ended) {
        if (this.#failure !== undefined || !this.#response.complete)
          throw this.#failure ?? new Error('the connection ended before the answer did')
        return undefined
      }
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    const chunk = this.#queue.shift() as Uint8Array
    this.#queuedBytes -= chunk.length
    if (this.#response.isPaused() && this.#queuedBytes < QUEUE_BYTES / 2) this.#response.resume()
    return chunk
  }

  destroy(): void {
    this.#response.destroy()
  }

  #finish(): void {
    this.#ended = true
    this.#wake?.()
  }
}
