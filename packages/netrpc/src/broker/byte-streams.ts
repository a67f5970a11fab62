// Byte streams as arguments and results: what one side gives is carried by a brokered stream, as raw bytes, and the other gets a stream of Node or
// of the web. To a peer in Go it is the connection that its broker accepts or dials.

import type { Duplex, Readable, Writable } from 'node:stream'
import { isPluginError, PluginError } from 'plugwire'
import {
  type ByteSink,
  drainToNodeWritable,
  drainToWebWritable,
  FlowState,
  receiveNodeReadable,
  receiveWebReadable,
  type StreamSlot,
  type StreamTalk,
  sendNodeReadable,
  sendWebReadable,
  trackFlow,
} from 'plugwire/driver'
import type { Stream } from 'plugwire/mux'
import type { AnySchema, Schema } from '../gob/schema.ts'
import type { Carrier } from '../rpc/body.ts'
import { brokeredDuplex, HIGH_WATER_BYTES } from './duplex.ts'
import { referenceSchema } from './references.ts'

/** Both directions as web streams. */
export interface WebDuplex {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}

/** What bytes can be read from. Strings among the chunks are sent as UTF-8. */
export type ByteSource = Readable | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>
/** What bytes can be written to. */
export type ByteTarget = Writable | WritableStream<Uint8Array>

/** Bytes that the peer may send before any were read; the same as for byte streams of plugwire's own protocol. */
const WINDOW_BYTES = 4 * 1_048_576

const nodeStreams = (): typeof import('node:stream') => process.getBuiltinModule('node:stream')

/**
 * Bytes from the side that gives it to the side that gets it: an `io.Reader` in Go.
 *
 * A Node stream, a web stream or an async iterable is given. The other side gets a Node `Readable`, or a web `ReadableStream` with
 * `reader('web')`. It ends when the source ends; if the source fails, it fails with `ERR_STREAM_RESET`. Destroying it ends the source.
 * `flow(stream)` of `plugwire/host` and `plugwire/plugin` lends the bytes of what was got where they lie, and steers what was given.
 */
export function reader(): Schema<Readable, ByteSource>
export function reader(as: 'web'): Schema<ReadableStream<Uint8Array>, ByteSource>
export function reader(as?: 'web'): AnySchema {
  return referenceSchema({
    what: 'a stream to read from',
    offer: (value, carrier) => (isWebReadable(value) ? offerWebReadable(value, carrier) : offerReadable(asReadable(value), carrier)),
    take: (id, carrier) => {
      const letGo = holdOn(carrier)
      const received = new Received(carrier.broker.dial(id), letGo)
      return as === 'web' ? received.as(receiveWebReadable) : received.as(receiveNodeReadable)
    },
  })
}

/**
 * Bytes from the side that gets it to the side that gave it: an `io.Writer` in Go.
 *
 * A Node or web writable is given; the other side gets a Node `Writable`, or a web `WritableStream` with `writer('web')`.
 */
export function writer(): Schema<Writable, ByteTarget>
export function writer(as: 'web'): Schema<WritableStream<Uint8Array>, ByteTarget>
export function writer(as?: 'web'): AnySchema {
  return referenceSchema({
    what: 'a stream to write to',
    offer: (value, carrier) => (isWebWritable(value) ? offerWebWritable(value, carrier) : offerWritable(asWritable(value), carrier)),
    take: (id, carrier) => {
      const pipe = brokeredDuplex(carrier, carrier.broker.dial(id), 'finish')
      // So that the giver's end is seen.
      pipe.resume()
      return as === 'web' ? webWritable(pipe) : pipe
    },
  })
}

/** Bytes in both directions: an `io.ReadWriteCloser`, or `net.Conn`, in Go. Given and got is a Node `Duplex`, or a pair of web streams. */
export function byteStream(): Schema<Duplex, Duplex | WebDuplex>
export function byteStream(as: 'web'): Schema<WebDuplex, Duplex | WebDuplex>
export function byteStream(as?: 'web'): AnySchema {
  return referenceSchema({
    what: 'a stream in both directions',
    offer: (value, carrier) => {
      const { readable, writable } = asDuplex(value)
      const { pipeline } = nodeStreams()
      const { id, coming } = offered(carrier)
      const pipe = brokeredDuplex(carrier, coming)
      pipeline(readable, pipe, ignore)
      pipeline(pipe, writable, ignore)
      return id
    },
    take: (id, carrier) => {
      const pipe = brokeredDuplex(carrier, carrier.broker.dial(id))
      return as === 'web' ? { readable: webReadable(pipe), writable: webWritable(pipe) } : pipe
    },
  })
}

// ------------------------------------------------------------------------------------------------ what is given

const ignore = (): void => undefined

/** A stream that is given up is reset. There is no word for the reason, so the other side learns only that it was. */
const talk: StreamTalk = {
  abort: stream => stream.reset(),
  reasonFor: (_stream, failure) => failure,
}

/** A new id, and the stream that the peer opens to it. */
function offered(carrier: Carrier): { readonly id: number; readonly coming: Promise<Stream> } {
  const id = carrier.broker.nextId()
  const coming = carrier.broker.accept(id)
  coming.catch((cause: unknown) => {
    if (isPluginError(cause, 'ERR_BROKER_TIMEOUT'))
      carrier.warn(`a stream that was given to the other side was not taken: ${cause.message}`)
  })
  return { id, coming }
}

/** Keeps the event loop alive until it is called. */
function holdOn(carrier: Carrier): () => void {
  let held = true
  carrier.hold()
  return () => {
    if (held) carrier.letGo()
    held = false
  }
}

/** What is sent over here is steered over here: net/rpc has no word for telling the other side. */
const noTune = { sendTune: ignore }

/** The flow of a stream that we send. */
function steer(handle: object, stream: Stream): void {
  trackFlow(handle, new FlowState(noTune, true).bind(stream))
}

/** A stream that is on its way, in the hands of the application: as a stream, or, before it was read, to a sink that borrows its bytes. */
class Received {
  readonly #coming: Promise<Stream>
  readonly #flow: FlowState
  #opened: Stream | undefined
  #borrower: ByteSink | undefined

  constructor(coming: Promise<Stream>, settled: () => void) {
    this.#coming = coming
    this.#flow = new FlowState(noTune, false, sink => {
      this.#borrower = sink
      if (this.#opened !== undefined) lend(this.#opened, sink)
    })
    coming.then(stream => {
      // It may have been reset with the same bytes that accepted it.
      if (stream.failure === undefined) stream.onForgotten = settled
      else settled()
      stream.growWindow(WINDOW_BYTES)
      this.#flow.bind(stream)
    }, settled)
  }

  as<T extends object>(make: (slot: StreamSlot, talk: StreamTalk, touched: () => void) => T): T {
    const slot: StreamSlot = {
      then: (arrived, never) => {
        this.#coming.then(
          stream => {
            this.#opened = stream
            if (this.#borrower === undefined) arrived(stream)
            else lend(stream, this.#borrower)
          },
          (cause: PluginError) => {
            if (this.#borrower === undefined) never(cause)
            else this.#borrower.fail(cause)
          },
        )
      },
    }
    const made = make(slot, talk, () => this.#flow.touched())
    trackFlow(made, this.#flow)
    return made
  }
}

function lend(stream: Stream, sink: ByteSink): void {
  stream.consume({
    chunk: (bytes, start, end) => sink.chunk(bytes, start, end),
    end() {
      sink.end()
      stream.end()
    },
    fail: cause => sink.fail(cause),
  })
  stream.resume()
}

function offerReadable(source: Readable, carrier: Carrier): number {
  const { id, coming } = offered(carrier)
  const letGo = holdOn(carrier)
  // It may fail or end before the other side has come.
  source.on('error', ignore)
  coming.then(
    stream => {
      if (source.destroyed) {
        letGo()
        stream.reset()
        return
      }
      steer(source, stream)
      sendNodeReadable(source, stream, talk, letGo)
      stream.resume()
    },
    (cause: Error) => {
      letGo()
      source.destroy(cause)
    },
  )
  return id
}

function offerWebReadable(source: ReadableStream<Uint8Array>, carrier: Carrier): number {
  if (source.locked) throw locked('ReadableStream')
  const bytes = source.getReader()
  const { id, coming } = offered(carrier)
  const letGo = holdOn(carrier)
  coming.then(
    stream => {
      steer(source, stream)
      void sendWebReadable(bytes, stream, talk, letGo)
      stream.resume()
    },
    (cause: Error) => {
      letGo()
      bytes.cancel(cause).catch(ignore)
    },
  )
  return id
}

function offerWritable(target: Writable, carrier: Carrier): number {
  const { id, coming } = offered(carrier)
  const letGo = holdOn(carrier)
  target.on('error', ignore)
  coming.then(
    stream => {
      if (target.destroyed) {
        letGo()
        stream.reset()
        return
      }
      stream.growWindow(WINDOW_BYTES)
      drainToNodeWritable(target, stream, talk, letGo)
      stream.resume()
    },
    (cause: Error) => {
      letGo()
      target.destroy(cause)
    },
  )
  return id
}

function offerWebWritable(target: WritableStream<Uint8Array>, carrier: Carrier): number {
  if (target.locked) throw locked('WritableStream')
  const { id, coming } = offered(carrier)
  const letGo = holdOn(carrier)
  coming.then(
    stream => {
      // Since it was given, others may have taken it.
      if (target.locked) {
        letGo()
        stream.reset()
        return
      }
      stream.growWindow(WINDOW_BYTES)
      drainToWebWritable(target, stream, talk, letGo)
      stream.resume()
    },
    (cause: Error) => {
      letGo()
      target.abort(cause).catch(ignore)
    },
  )
  return id
}

// ------------------------------------------------------------------------------------------------ both directions, for the web

/** Node's own way to the web ends a readable only when the writable of the same stream has ended, too. */
function webReadable(pipe: Duplex): ReadableStream<Uint8Array> {
  let over = false
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const failed = (cause?: Error): void => {
          if (!over) controller.error(cause ?? new Error('the stream was closed before its end'))
          over = true
        }
        pipe
          .on('data', (chunk: Uint8Array) => {
            controller.enqueue(chunk)
            if ((controller.desiredSize ?? 0) <= 0) pipe.pause()
          })
          .pause()
          .once('end', () => {
            if (!over) controller.close()
            over = true
          })
          .once('error', failed)
          .once('close', () => failed())
      },
      pull: () => void pipe.resume(),
      cancel() {
        over = true
        pipe.destroy()
      },
    },
    // No queue of its own: it would be filled before anybody reads, and the window is one already.
    { highWaterMark: 0 },
  )
}

function webWritable(pipe: Duplex): WritableStream<Uint8Array> {
  let over = false
  return new WritableStream<Uint8Array>(
    {
      start(controller) {
        const failed = (cause?: Error): void => {
          if (!over) controller.error(cause ?? new Error('the stream was closed before its end'))
          over = true
        }
        pipe.once('error', failed).once('close', () => failed())
      },
      write: chunk =>
        new Promise<void>((resolve, reject) => {
          pipe.write(chunk, cause => (cause ? reject(cause) : resolve()))
        }),
      close: () =>
        new Promise<void>(resolve => {
          over = true
          pipe.end(resolve)
        }),
      abort() {
        over = true
        pipe.destroy()
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: HIGH_WATER_BYTES }),
  )
}

// ------------------------------------------------------------------------------------------------ what may be given

function unsupported(value: unknown, remedy: string): PluginError {
  const type = value === null ? 'null' : typeof value === 'object' ? `a ${value.constructor?.name ?? 'plain object'}` : `a ${typeof value}`
  return new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'the stream', type, remedy })
}

function locked(what: string): PluginError {
  return new PluginError('ERR_VALUE_UNSUPPORTED', {
    path: 'the stream',
    type: `a locked ${what}`,
    remedy: 'Give it before anybody takes its reader or writer',
  })
}

const isNodeReadable = (value: unknown): value is Readable =>
  typeof (value as Readable | undefined)?.pipe === 'function' && typeof (value as Readable).destroy === 'function'
const isNodeWritable = (value: unknown): value is Writable =>
  typeof (value as Writable | undefined)?.write === 'function' && typeof (value as Writable).destroy === 'function'
const isWebReadable = (value: unknown): value is ReadableStream<Uint8Array> =>
  typeof (value as ReadableStream | undefined)?.getReader === 'function'
const isWebWritable = (value: unknown): value is WritableStream<Uint8Array> =>
  typeof (value as WritableStream | undefined)?.getWriter === 'function'

function asReadable(value: unknown): Readable {
  const { Readable } = nodeStreams()
  if (isNodeReadable(value)) return value
  if (isWebReadable(value)) return Readable.fromWeb(value as import('node:stream/web').ReadableStream<Uint8Array>)
  if (typeof (value as AsyncIterable<unknown> | undefined)?.[Symbol.asyncIterator] === 'function') {
    return Readable.from(value as AsyncIterable<unknown>, { objectMode: false })
  }
  throw unsupported(value, 'Give a Readable, a ReadableStream or an async iterable of bytes')
}

function asWritable(value: unknown): Writable {
  if (isNodeWritable(value)) return value
  if (isWebWritable(value)) return nodeStreams().Writable.fromWeb(value)
  throw unsupported(value, 'Give a Writable or a WritableStream')
}

function asDuplex(value: unknown): { readonly readable: Readable; readonly writable: Writable } {
  if (isNodeReadable(value) && isNodeWritable(value)) return { readable: value, writable: value }
  const { readable, writable } = (value ?? {}) as Partial<WebDuplex>
  if (readable !== undefined && writable !== undefined) return { readable: asReadable(readable), writable: asWritable(writable) }
  throw unsupported(value, 'Give a Duplex, or an object with a readable and a writable')
}
