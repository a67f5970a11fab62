// Messages of one stream between their arrival and their reader. It knows no streams of Node: what can be paused is given to it.

import type { ResponseStream } from './seam.ts'

/** Bytes that wait unread before the other side is made to wait. */
const HIGH_WATER_BYTES = 256 * 1024
/** What a message counts beyond its own bytes, of which it may have none: what waits takes memory however small it is. */
const MESSAGE_BYTES = 32

/** Where the messages come from. */
export interface InboxSource<T> {
  decode(message: Buffer): T
  pause(): void
  resume(): void
  /** The reader wants no more. */
  cancel(): void
}

interface Waiting<T> {
  resolve(result: IteratorResult<T, undefined>): void
  reject(cause: unknown): void
}

const done: IteratorResult<never, undefined> = { done: true, value: undefined }

/** An iterable of messages that is read once. Messages are decoded when they are read, so an unread stream costs bytes alone. */
export class Inbox<T> implements ResponseStream<T> {
  readonly #source: InboxSource<T>
  #messages: Buffer[] = []
  #head = 0
  #bytes = 0
  #paused = false
  #waiting: Waiting<T>[] = []
  #ended = false
  #failure: { readonly cause: unknown } | undefined

  constructor(source: InboxSource<T>) {
    this.#source = source
  }

  push(message: Buffer): void {
    if (this.#ended) return
    const reader = this.#waiting.shift()
    if (reader !== undefined) {
      this.#decodeFor(reader, message)
      return
    }
    this.#messages.push(message)
    this.#bytes += message.length + MESSAGE_BYTES
    if (this.#bytes > HIGH_WATER_BYTES && !this.#paused) {
      this.#paused = true
      this.#source.pause()
    }
  }

  /** No more will come; what is there stays readable. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const reader of this.#waiting.splice(0)) reader.resolve(done)
  }

  /** Nothing more will come, because of `cause`, which the reader gets after what is there already. */
  fail(cause: unknown): void {
    if (this.#ended) return
    this.#ended = true
    const reader = this.#waiting.shift()
    if (reader === undefined) this.#failure = { cause }
    else reader.reject(cause)
    for (const other of this.#waiting.splice(0)) other.resolve(done)
  }

  /** Drops what waits. */
  discard(): void {
    this.#messages = []
    this.#head = 0
    this.#bytes = 0
    this.#unblock()
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const message = this.#shift()
    if (message !== undefined) {
      try {
        return Promise.resolve({ done: false, value: this.#source.decode(message) })
      } catch (cause) {
        // A message that cannot be decoded ends the stream: the reader is told, and so is the other side.
        void this.return()
        return Promise.reject(cause)
      }
    }
    if (this.#failure !== undefined) {
      const { cause } = this.#failure
      this.#failure = undefined
      return Promise.reject(cause)
    }
    if (this.#ended) return Promise.resolve(done)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  return(): Promise<IteratorResult<T, undefined>> {
    const unfinished = !this.#ended
    this.#ended = true
    this.#failure = undefined
    this.discard()
    for (const reader of this.#waiting.splice(0)) reader.resolve(done)
    if (unfinished) this.#source.cancel()
    return Promise.resolve(done)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #decodeFor(reader: Waiting<T>, message: Buffer): void {
    try {
      reader.resolve({ done: false, value: this.#source.decode(message) })
    } catch (cause) {
      void this.return()
      reader.reject(cause)
    }
  }

  #shift(): Buffer | undefined {
    if (this.#head === this.#messages.length) return undefined
    const message = this.#messages[this.#head++] as Buffer
    this.#bytes -= message.length + MESSAGE_BYTES
    if (this.#head === this.#messages.length) {
      this.#messages = []
      this.#head = 0
    } else if (this.#head === 1024) {
      this.#messages.splice(0, 1024)
      this.#head = 0
    }
    if (this.#bytes <= HIGH_WATER_BYTES / 2) this.#unblock()
    return message
  }

  #unblock(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#source.resume()
  }
}
