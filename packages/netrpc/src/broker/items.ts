// Items one after the other, as an argument or a result: a brokered stream of gob values. To a peer in Go it is a connection with
// `gob.NewEncoder(conn)` at one end and `gob.NewDecoder(conn)` at the other.

import { isPluginError, PluginError } from 'plugwire'
import type { Stream } from 'plugwire/mux'
import { Decoder } from '../gob/decoder.ts'
import { Encoder } from '../gob/encoder.ts'
import type { AnySchema, Schema } from '../gob/schema.ts'
import type { Carrier } from '../rpc/body.ts'
import { bodyOf, referenceSchema } from './references.ts'

/** Items that may wait here for who asks for them; beside them, the window of the stream. */
const MAX_WAITING_ITEMS = 64

/**
 * Items of one type from the side that gives them to the side that gets them.
 *
 * Any iterable, asynchronous or not, is given; the other side gets an `AsyncIterable`, once. Who reads slowly slows the other side down, and
 * leaving the loop ends the source: its `finally` runs. If the source throws, the reader sees `ERR_STREAM_RESET`, for the wire has no word for
 * the reason.
 */
export function items<Out, In>(of: Schema<Out, In>): Schema<AsyncIterableIterator<Out, undefined>, AsyncIterable<In> | Iterable<In>> {
  const { schema, toWire, fromWire } = bodyOf(of)
  return referenceSchema({
    what: 'an iterable',
    offer: (value, carrier) => {
      const source = iteratorOf(value)
      const id = carrier.broker.nextId()
      carrier.hold()
      carrier.broker
        .accept(id)
        .then(stream => send(stream, source, new Encoder(), schema, item => (toWire === undefined ? item : toWire(item, carrier))))
        .catch((cause: unknown) => {
          void leave(source)
          if (isPluginError(cause, 'ERR_BROKER_TIMEOUT'))
            carrier.warn(`an iterable that was given to the other side was not taken: ${cause.message}`)
        })
        .finally(() => carrier.letGo())
      return id
    },
    take: (id, carrier) => new ReceivedItems(carrier, carrier.broker.dial(id), schema, fromWire),
  })
}

type AnyIterator = AsyncIterator<unknown> | Iterator<unknown>

function iteratorOf(value: unknown): AnyIterator {
  const given = value as Partial<AsyncIterable<unknown> & Iterable<unknown>> | undefined
  const iterator = given?.[Symbol.asyncIterator]?.() ?? given?.[Symbol.iterator]?.()
  if (iterator !== undefined && typeof value === 'object') return iterator
  throw new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'the items', type: `a ${typeof value}`, remedy: 'Give an iterable' })
}

/** Sends until the source ends or the taker leaves. Never rejects. */
async function send(
  stream: Stream,
  source: AnyIterator,
  encoder: Encoder,
  schema: AnySchema,
  toWire: (item: unknown) => unknown,
): Promise<void> {
  let left = (): void => undefined
  stream.consume({ chunk() {}, end() {}, fail: () => left() })
  stream.resume()
  try {
    while (stream.failure === undefined) {
      // A source that waits for something that never comes must not keep us when the taker has left.
      // No race with one promise for all items: it would keep something of each of them.
      const next = await new Promise<IteratorResult<unknown> | undefined>((resolve, reject) => {
        left = () => resolve(undefined)
        Promise.resolve(source.next()).then(resolve, reject)
      })
      if (next === undefined || stream.failure !== undefined) break
      if (next.done) return stream.end()
      if (!stream.write(encoder.encode(schema, toWire(next.value) as never))) await stream.drained()
    }
  } catch {
    // After what was written before, as far as it may leave.
    setImmediate(() => stream.reset())
  }
  void leave(source)
}

/** Tells a source that nobody takes more. What its `finally` does, and whether it fails, is its own matter. */
async function leave(source: AnyIterator): Promise<void> {
  try {
    await source.return?.()
  } catch {
    // There is nobody to tell.
  }
}

interface Waiting {
  readonly resolve: (result: IteratorResult<never, undefined>) => void
  readonly reject: (cause: unknown) => void
}

class ReceivedItems<Out> implements AsyncIterableIterator<Out, undefined> {
  readonly #carrier: Carrier
  readonly #schema: AnySchema
  readonly #fromWire: ((value: unknown, carrier: Carrier) => unknown) | undefined
  readonly #decoder = new Decoder()
  #stream: Stream | undefined
  readonly #items: unknown[] = []
  readonly #waiting: Waiting[] = []
  #end: { readonly cause: unknown } | undefined
  #held = 0

  constructor(
    carrier: Carrier,
    coming: Promise<Stream>,
    schema: AnySchema,
    fromWire: ((value: unknown, carrier: Carrier) => unknown) | undefined,
  ) {
    this.#carrier = carrier
    this.#schema = schema
    this.#fromWire = fromWire
    coming.then(
      stream => this.#arrived(stream),
      cause => this.#finish({ cause }),
    )
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Out, undefined>> {
    if (this.#items.length > 0) {
      const value = this.#items.shift()
      if (this.#items.length < MAX_WAITING_ITEMS / 2) this.#stream?.resume()
      return Promise.resolve({ done: false, value: value as Out })
    }
    const end = this.#end
    if (end !== undefined) {
      // Told once, as a generator would.
      this.#end = { cause: undefined }
      return end.cause === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(end.cause)
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject } as Waiting)
      if (this.#held++ === 0) this.#carrier.hold()
    })
  }

  return(): Promise<IteratorResult<Out, undefined>> {
    this.#items.length = 0
    if (this.#end === undefined) {
      this.#finish({ cause: undefined })
      this.#stream?.reset()
    }
    this.#end = { cause: undefined }
    return Promise.resolve({ done: true, value: undefined })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #arrived(stream: Stream): void {
    this.#stream = stream
    if (this.#end !== undefined) return stream.reset()
    stream.consume({
      chunk: (bytes, start, end) => {
        try {
          this.#decoder.push(Buffer.from(bytes.subarray(start, end)))
          for (let next = this.#decoder.next(this.#schema); next !== undefined; next = this.#decoder.next(this.#schema)) {
            this.#take(this.#fromWire === undefined ? next.value : this.#fromWire(next.value, this.#carrier))
          }
        } catch (cause) {
          this.#finish({ cause })
          stream.reset()
        }
        if (this.#items.length >= MAX_WAITING_ITEMS) stream.pause()
      },
      end: () => {
        stream.end()
        try {
          this.#decoder.end()
          this.#finish({ cause: undefined })
        } catch (cause) {
          this.#finish({ cause })
        }
      },
      fail: cause => this.#finish({ cause }),
    })
    stream.resume()
  }

  #take(value: unknown): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#items.push(value)
    else {
      this.#letGo()
      waiting.resolve({ done: false, value: value as never })
    }
  }

  #letGo(): void {
    if (--this.#held === 0) this.#carrier.letGo()
  }

  #finish(end: { readonly cause: unknown }): void {
    if (this.#end !== undefined) return
    this.#end = end
    const [first, ...others] = this.#waiting.splice(0)
    if (first === undefined) return
    this.#end = { cause: undefined }
    for (let count = others.length; count >= 0; count--) this.#letGo()
    if (end.cause === undefined) first.resolve({ done: true, value: undefined })
    else first.reject(end.cause)
    for (const waiting of others) waiting.resolve({ done: true, value: undefined })
  }
}
