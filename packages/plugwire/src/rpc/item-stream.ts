// Async iterables over a stream: values one way, credit for values the other.
//
//   producer -> consumer   length u32 | tag u8 | value      (ItemTag; FIN after the last)
//   consumer -> producer   u32: so many more items are wanted; a reset: no more are wanted

import { isPluginError, PluginError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { ByteSink, Stream } from '../mux/stream.ts'
import { ItemTag, LENGTH_BYTES } from '../wire/call-frames.ts'
import { Outbox } from '../wire/outbox.ts'
import { type ReferenceReader, type ReferenceWriter, ValueDecoder, ValueEncoder } from '../wire/values.ts'
import { type CallContext, type ContextSource, type Metadata, serving } from './call-context.ts'
import { MessageReader } from './message-reader.ts'

/** Items that a producer may be ahead of its consumer. It does not begin before the consumer asks for the first. */
export const READ_AHEAD_ITEMS: number = 64

export interface ItemCodec {
  readonly limits: Limits
  readonly references: ReferenceWriter & ReferenceReader
  /** Encodes with references that are kept only when encoding succeeds. */
  encode(encoder: ValueEncoder, out: Outbox, value: unknown, root: string): void
}

/** Sends what an iterator yields, as it is asked for. */
export class ItemProducer implements ByteSink, ContextSource {
  readonly #stream: Stream
  readonly #codec: ItemCodec
  readonly #encoder: ValueEncoder
  readonly #out = new Outbox(4_096)
  readonly #open: () => AsyncIterator<unknown> | Iterator<unknown>
  readonly #settled: () => void
  readonly #metadata: Metadata
  #controller: AbortController | undefined
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined
  #credit = 0
  #creditBytes = 0
  #creditValue = 0
  #pumping = false
  #done = false
  #leaving: Promise<unknown> = Promise.resolve()
  readonly #gone: () => void

  /**
   * @param open Begins the iteration; called when the first item is asked for.
   * @param settled Called once, when nothing more will be sent.
   * @param gone Called once, when the producer's `finally` has run, too.
   * @param metadata Of the call that the iterable belongs to; a generator finds it in `callContext()`.
   */
  constructor(
    stream: Stream,
    codec: ItemCodec,
    open: () => AsyncIterator<unknown> | Iterator<unknown>,
    settled: () => void,
    gone: () => void,
    metadata: Metadata,
  ) {
    this.#gone = gone
    this.#metadata = metadata
    this.#stream = stream
    this.#codec = codec
    this.#encoder = new ValueEncoder(codec.limits, codec.references)
    this.#open = open
    this.#settled = settled
    stream.consume(this)
  }

  chunk(bytes: Buffer, start: number, end: number): void {
    for (let position = start; position < end; position++) {
      this.#creditValue = ((this.#creditValue << 8) | (bytes[position] as number)) >>> 0
      if (++this.#creditBytes < 4) continue
      this.#credit = Math.min(this.#credit + this.#creditValue, 0xffff_ffff)
      this.#creditBytes = 0
      this.#creditValue = 0
    }
    if (!this.#pumping && this.#credit > 0 && !this.#done) void this.#pump()
  }

  end(): void {
    // The consumer asks for nothing more; what it asked for is still sent.
  }

  /** The consumer left, or the connection ended: the producer's `finally` runs. */
  fail(): void {
    if (this.#done) return
    this.#done = true
    this.#settled()
    this.#controller?.abort(left())
    if (this.#pumping) return
    if (this.#iterator !== undefined) this.#leave()
    this.#depart()
  }

  /** Nothing runs any more once the `finally` of the producer has. */
  #depart(): void {
    void this.#leaving.then(this.#gone)
  }

  /**
   * What `callContext()` gives a generator at its beginning: a signal that is aborted when the consumer leaves. A generator that waits for
   * something that may never come needs it, because `return` reaches a generator only at its next `yield`.
   */
  context(): CallContext {
    const signal = (): AbortSignal => {
      this.#controller ??= new AbortController()
      if (this.#done && !this.#controller.signal.aborted) this.#controller.abort(left())
      return this.#controller.signal
    }
    return {
      get signal() {
        return signal()
      },
      deadline: undefined,
      metadata: this.#metadata,
    }
  }

  #next(): Promise<IteratorResult<unknown>> | IteratorResult<unknown> {
    const before = serving(this)
    try {
      return (this.#iterator ??= this.#open()).next()
    } finally {
      serving(before)
    }
  }

  #leave(): void {
    // Nobody is left to hear of what a `finally` throws.
    try {
      this.#leaving = Promise.resolve(this.#iterator?.return?.()).catch(() => undefined)
    } catch {}
  }

  /** Ends the iteration from this side. Resolves when the producer's `finally` has run, which may be never. */
  async stop(): Promise<void> {
    this.#stream.reset()
    if (this.#iterator !== undefined) this.#leave()
    await this.#leaving
  }

  async #pump(): Promise<void> {
    this.#pumping = true
    try {
      while (this.#credit > 0 && !this.#done) {
        this.#credit--
        const { done, value } = await this.#next()
        if (this.#done) break
        if (done) {
          if (value !== undefined) this.#send(ItemTag.returned, value)
          this.#finish()
          break
        }
        if (!this.#send(ItemTag.item, value)) await this.#stream.drained()
      }
    } catch (cause) {
      if (!this.#done) {
        try {
          this.#send(ItemTag.failed, cause)
        } catch (unsendable) {
          this.#send(ItemTag.failed, new Error(`an error that cannot travel: ${unsendable}`))
        }
        // What could not be encoded leaves an iterator that still waits to go on.
        if (isPluginError(cause)) this.#leave()
        this.#finish()
      }
    }
    this.#pumping = false
    if (this.#stream.failure !== undefined) this.#leave()
    if (this.#done) this.#depart()
  }

  #send(tag: number, value: unknown): boolean {
    const out = this.#out
    out.reserve(LENGTH_BYTES + 1)
    const { view, position } = out
    out.bytes[position + LENGTH_BYTES] = tag
    out.position = position + LENGTH_BYTES + 1
    try {
      this.#codec.encode(this.#encoder, out, value, 'item')
    } catch (cause) {
      out.position = position
      throw cause
    }
    view.setUint32(position, out.length - LENGTH_BYTES)
    let writable = true
    for (const part of out.take()) writable = this.#stream.write(Buffer.from(part))
    out.recycle()
    return writable
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    this.#stream.end()
    this.#settled()
  }
}

function left(): PluginError {
  return new PluginError('ERR_CALL_CANCELLED', { method: 'the iteration' })
}

interface Waiting {
  resolve(result: IteratorResult<unknown> | Promise<IteratorResult<unknown>>): void
  reject(cause: unknown): void
}

/** The items of the other side's iterable. Leaving the loop early runs the producer's `finally`. */
export class RemoteIterable implements AsyncIterableIterator<unknown> {
  readonly #decoder: ValueDecoder
  /** @internal Looks at each item before it is handed out; for schemas. May return a promise. */
  check: ((item: unknown) => unknown) | undefined
  #stream: Stream | undefined
  readonly #items: unknown[] = []
  #head = 0
  #waiting: Waiting[] = []
  #asked = 0
  #started = false
  #end: { readonly value: unknown } | { readonly cause: unknown } | undefined

  constructor(codec: ItemCodec) {
    this.#decoder = new ValueDecoder(codec.limits, codec.references)
  }

  /** @internal The stream that carries the items has come, or never will. */
  attach(stream: Stream | undefined, cause: PluginError | undefined, maxBytes: number, onDone: () => void): void {
    if (stream === undefined) {
      this.#finish({ cause: cause as PluginError })
      return
    }
    if (this.#end !== undefined) {
      stream.reset()
      onDone()
      return
    }
    this.#stream = stream
    stream.consume(
      new MessageReader(
        stream,
        maxBytes,
        (bytes, _view, start, end, owned) => this.#receive(bytes, start, end, owned),
        failure => {
          onDone()
          this.#finish(failure === undefined ? { value: undefined } : { cause: failure })
        },
      ),
    )
    if (this.#started) this.#ask(READ_AHEAD_ITEMS)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<unknown>> {
    if (!this.#started) {
      this.#started = true
      if (this.#stream !== undefined) this.#ask(READ_AHEAD_ITEMS)
    }
    if (this.#head < this.#items.length) {
      const value = this.#items[this.#head]
      this.#items[this.#head++] = undefined
      if (this.#head === this.#items.length) {
        this.#items.length = 0
        this.#head = 0
      }
      if (--this.#asked <= READ_AHEAD_ITEMS / 2 && this.#end === undefined) this.#ask(READ_AHEAD_ITEMS - this.#asked)
      return Promise.resolve(this.#hand(value))
    }
    const end = this.#end
    if (end !== undefined) {
      this.#end = ended
      return 'cause' in end ? Promise.reject(end.cause) : Promise.resolve({ done: true, value: end.value })
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#items.length = 0
    this.#head = 0
    if (this.#end === undefined) {
      this.#stream?.reset()
      this.#finish(ended)
    }
    this.#end = ended
    return Promise.resolve({ done: true, value })
  }

  async throw(cause?: unknown): Promise<IteratorResult<unknown>> {
    await this.return()
    throw cause
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #hand(value: unknown): IteratorResult<unknown> | Promise<IteratorResult<unknown>> {
    return this.check === undefined ? { done: false, value } : this.#checked(value, this.check)
  }

  async #checked(value: unknown, check: (item: unknown) => unknown): Promise<IteratorResult<unknown>> {
    try {
      return { done: false, value: await check(value) }
    } catch (cause) {
      void this.return()
      throw cause
    }
  }

  #ask(items: number): void {
    const stream = this.#stream
    if (stream === undefined || stream.failure !== undefined) return
    this.#asked += items
    const credit = Buffer.allocUnsafe(4)
    credit.writeUInt32BE(items)
    stream.write(credit)
  }

  #receive(bytes: Buffer, start: number, end: number, owned: boolean): void {
    if (this.#end !== undefined) return
    if (start === end) throw new PluginError('ERR_CALL_FRAME', { reason: 'an item without a tag', offset: start })
    const tag = bytes[start] as number
    if (tag > ItemTag.returned) throw new PluginError('ERR_CALL_FRAME', { reason: `an item with the unknown tag ${tag}`, offset: start })
    const value = this.#decoder.decode(bytes, start + 1, end, owned)
    if (tag === ItemTag.failed) return this.#finish({ cause: value })
    if (tag === ItemTag.returned) return this.#finish({ value })
    if (this.#items.length - this.#head + this.#waiting.length >= this.#asked + this.#waiting.length && this.#waiting.length === 0) {
      throw new PluginError('ERR_CALL_FRAME', { reason: 'more items than were asked for', offset: start })
    }
    const waiting = this.#waiting.shift()
    if (waiting === undefined) {
      this.#items.push(value)
      return
    }
    if (--this.#asked <= READ_AHEAD_ITEMS / 2) this.#ask(READ_AHEAD_ITEMS - this.#asked)
    waiting.resolve(this.#hand(value))
  }

  #finish(end: { readonly value: unknown } | { readonly cause: unknown }): void {
    if (this.#end !== undefined) return
    this.#end = end
    if (this.#stream?.failure === undefined) this.#stream?.end()
    const [first, ...others] = this.#waiting.splice(0)
    if (first === undefined) return
    this.#end = ended
    if ('cause' in end) first.reject(end.cause)
    else first.resolve({ done: true, value: end.value })
    for (const waiting of others) waiting.resolve({ done: true, value: undefined })
  }
}

const ended = { value: undefined } as const
