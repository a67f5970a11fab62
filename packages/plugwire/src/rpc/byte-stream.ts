// Byte streams as web streams and as Node streams, straight over a stream of the mux, past the codec.

import type { Readable, Writable } from 'node:stream'
import { PluginError } from '../errors.ts'
import type { ByteSink, Stream } from '../mux/stream.ts'

/** Node's stream module, loaded when the first Node stream travels. */
const nodeStreams = (): typeof import('node:stream') => process.getBuiltinModule('node:stream')

/** A stream of the mux that may still be on its way. */
export interface StreamSlot {
  /** The stream, or why it will never come. */
  then(arrived: (stream: Stream) => void, never: (cause: PluginError) => void): void
}

/** What the two ends of a byte stream tell each other beside the bytes. */
export interface StreamTalk {
  /** Gives a stream up for a reason that the other side is told; the stream is reset. */
  abort(stream: Stream, reason: unknown): void
  /** The reason the other side gave when it gave the stream up, if it did. */
  reasonFor(stream: Stream, failure: PluginError): unknown
}

const COALESCE_BYTES = 65_536

/** @internal Sends what a Node readable yields. */
export function sendNodeReadable(source: Readable, stream: Stream, talk: StreamTalk, settled: () => void): void {
  let over = false
  const finish = (): void => {
    if (over) return
    over = true
    settled()
  }
  stream.consume({
    chunk() {},
    end() {},
    fail(cause) {
      finish()
      source.destroy(toError(talk.reasonFor(stream, cause)))
    },
  })
  source.on('data', (chunk: unknown) => {
    if (over) return
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) {
      talk.abort(stream, new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'chunk', type: typeof chunk, remedy: notBytes }))
      finish()
      source.destroy()
      return
    }
    if (!stream.write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)) {
      source.pause()
      stream.onceWritable(() => {
        if (stream.failure === undefined) source.resume()
      })
    }
  })
  source.once('end', () => {
    if (!over) stream.end()
    finish()
  })
  source.once('error', (cause: Error) => {
    if (!over) talk.abort(stream, cause)
    finish()
  })
  source.once('close', () => {
    if (!over) talk.abort(stream, new Error('the stream was closed before its end'))
    finish()
  })
}

const notBytes = 'A byte stream carries Uint8Array and string chunks; yield other values from an async iterable'

/** @internal Sends what a reader of a web stream yields, beginning with a chunk that was read already. */
export async function sendWebReadable(
  reader: ReadableStreamDefaultReader<unknown>,
  stream: Stream,
  talk: StreamTalk,
  settled: () => void,
): Promise<void> {
  let over = false
  stream.consume({
    chunk() {},
    end() {},
    fail(cause) {
      if (over) return
      over = true
      settled()
      reader.cancel(talk.reasonFor(stream, cause)).catch(() => undefined)
    },
  })
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (over) return
      if (done) break
      if (!(value instanceof Uint8Array)) {
        const unsupported = new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'chunk', type: typeof value, remedy: notBytes })
        reader.cancel(unsupported).catch(() => undefined)
        throw unsupported
      }
      if (!stream.write(value)) await stream.drained()
    }
    if (over) return
    over = true
    stream.end()
    settled()
  } catch (cause) {
    if (over) return
    over = true
    talk.abort(stream, cause)
    settled()
  }
}

/** @internal A Node readable of what arrives. Nothing is taken from the stream before the application reads. */
export function receiveNodeReadable(slot: StreamSlot, talk: StreamTalk, touched: () => void): Readable {
  let stream: Stream | undefined
  let wanted = false
  const readable: Readable = new (nodeStreams().Readable)({
    highWaterMark: COALESCE_BYTES,
    read() {
      if (!wanted) touched()
      wanted = true
      stream?.resume()
    },
    destroy(cause, callback) {
      if (stream !== undefined && !readable.readableEnded && stream.failure === undefined)
        talk.abort(stream, cause ?? new Error('the reader left'))
      callback(cause)
    },
  })
  readable.on('error', unheard)
  slot.then(
    arrived => {
      stream = arrived
      if (readable.destroyed) {
        talk.abort(arrived, new Error('the reader left'))
        return
      }
      arrived.pause()
      arrived.consume({
        chunk(bytes, start, end) {
          if (!readable.push(owned(bytes, start, end))) arrived.pause()
        },
        end() {
          readable.push(null)
          arrived.end()
        },
        fail(cause) {
          readable.destroy(toError(talk.reasonFor(arrived, cause)))
        },
      })
      if (wanted) arrived.resume()
    },
    cause => readable.destroy(cause),
  )
  return readable
}

/** @internal A web readable of what arrives. Nothing is taken from the stream before the application reads. */
export function receiveWebReadable(slot: StreamSlot, talk: StreamTalk, touched: () => void): ReadableStream<Uint8Array> {
  let stream: Stream | undefined
  let wanted = false
  let cancelled: { reason: unknown } | undefined
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        slot.then(
          arrived => {
            stream = arrived
            if (cancelled !== undefined) {
              talk.abort(arrived, cancelled.reason)
              return
            }
            arrived.pause()
            arrived.consume({
              chunk(bytes, start, end) {
                controller.enqueue(owned(bytes, start, end))
                if ((controller.desiredSize ?? 0) <= 0) arrived.pause()
              },
              end() {
                controller.close()
                arrived.end()
              },
              fail(cause) {
                controller.error(talk.reasonFor(arrived, cause))
              },
            })
            if (wanted) arrived.resume()
          },
          cause => controller.error(cause),
        )
      },
      pull() {
        if (!wanted) touched()
        wanted = true
        stream?.resume()
      },
      cancel(reason) {
        cancelled = { reason }
        if (stream !== undefined && stream.failure === undefined) talk.abort(stream, reason)
      },
    },
    // No queue of its own: it would be filled before anybody reads, and the window is one already.
    { highWaterMark: 0 },
  )
}

/** @internal Takes what the other side writes into a web writable of ours. */
export function drainToWebWritable(target: WritableStream<Uint8Array>, stream: Stream, talk: StreamTalk, settled: () => void): void {
  const writer = target.getWriter()
  // Asynchronous, because Node throws where the standard rejects, when the stream was closed before.
  const write = async (bytes: Uint8Array): Promise<void> => writer.write(bytes)
  let over = false
  const sink: ByteSink = {
    chunk(bytes, start, end) {
      stream.pause()
      write(owned(bytes, start, end)).then(() => stream.resume(), giveUp)
    },
    end() {
      over = true
      writer.close().then(
        () => {
          stream.end()
          settled()
        },
        cause => {
          talk.abort(stream, cause)
          settled()
        },
      )
    },
    fail(cause) {
      if (over) return
      over = true
      settled()
      writer.abort(talk.reasonFor(stream, cause)).catch(() => undefined)
    },
  }
  const giveUp = (cause: unknown): void => {
    if (over) return
    over = true
    talk.abort(stream, cause)
    settled()
  }
  stream.consume(sink)
}

/** @internal Takes what the other side writes into a Node writable of ours. */
export function drainToNodeWritable(target: Writable, stream: Stream, talk: StreamTalk, settled: () => void): void {
  let over = false
  const giveUp = (cause: unknown): void => {
    if (over) return
    over = true
    talk.abort(stream, cause)
    settled()
  }
  target.once('error', giveUp)
  target.once('close', () => giveUp(new Error('the stream was closed before its end')))
  stream.consume({
    chunk(bytes, start, end) {
      if (over) return
      if (target.write(owned(bytes, start, end))) return
      stream.pause()
      target.once('drain', () => stream.resume())
    },
    end() {
      target.end(() => {
        if (over) return
        over = true
        stream.end()
        settled()
      })
    },
    fail(cause) {
      if (over) return
      over = true
      settled()
      target.destroy(toError(talk.reasonFor(stream, cause)))
    },
  })
}

/** Resolves when the other side has taken everything and has ended its direction in turn. */
function endAndConfirm(stream: Stream, confirmed: Promise<void>): Promise<void> {
  stream.end()
  return confirmed
}

/** Watches the peer's direction of a stream that we only write: its end says that everything was taken. */
function confirmation(stream: Stream, talk: StreamTalk, failed: (reason: unknown) => void): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    stream.consume({
      chunk() {},
      end: () => resolve(),
      fail(cause) {
        const reason = talk.reasonFor(stream, cause)
        failed(reason)
        reject(reason)
      },
    })
  })
}

/** @internal A web writable whose bytes the other side takes. */
export function sendFromWebWritable(slot: StreamSlot, talk: StreamTalk): WritableStream<Uint8Array> {
  let stream: Stream | undefined
  let confirmed: Promise<void> | undefined
  return new WritableStream<Uint8Array>(
    {
      start(controller) {
        return new Promise<void>((resolve, reject) => {
          slot.then(arrived => {
            stream = arrived
            confirmed = confirmation(arrived, talk, reason => controller.error(reason))
            confirmed.catch(() => undefined)
            resolve()
          }, reject)
        })
      },
      write(chunk) {
        if (!(chunk instanceof Uint8Array))
          throw new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'chunk', type: typeof chunk, remedy: notBytes })
        const arrived = stream as Stream
        return arrived.write(chunk) ? undefined : arrived.drained()
      },
      close: () => endAndConfirm(stream as Stream, confirmed as Promise<void>),
      abort(reason) {
        if (stream !== undefined && stream.failure === undefined) talk.abort(stream, reason)
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: COALESCE_BYTES }),
  )
}

/** @internal A Node writable whose bytes the other side takes. */
export function sendFromNodeWritable(slot: StreamSlot, talk: StreamTalk): Writable {
  let stream: Stream | undefined
  let confirmed: Promise<void> | undefined
  const writable: Writable = new (nodeStreams().Writable)({
    highWaterMark: COALESCE_BYTES,
    construct(callback) {
      slot.then(arrived => {
        stream = arrived
        confirmed = confirmation(arrived, talk, reason => writable.destroy(toError(reason)))
        confirmed.catch(() => undefined)
        callback()
      }, callback)
    },
    write(chunk: Uint8Array, _encoding, callback) {
      const arrived = stream as Stream
      try {
        if (arrived.write(chunk)) callback()
        else arrived.onceWritable(() => callback(arrived.failure === undefined ? null : toError(talk.reasonFor(arrived, arrived.failure))))
      } catch (cause) {
        callback(toError(cause))
      }
    },
    final(callback) {
      endAndConfirm(stream as Stream, confirmed as Promise<void>).then(
        () => callback(),
        cause => callback(toError(cause)),
      )
    },
    destroy(cause, callback) {
      if (stream !== undefined && !writable.writableFinished && stream.failure === undefined)
        talk.abort(stream, cause ?? new Error('the writer left'))
      callback(cause)
    },
  })
  writable.on('error', unheard)
  return writable
}

/** A copy that its receiver may keep. Not pooled: a small piece must not keep a large buffer alive. */
function owned(bytes: Buffer, start: number, end: number): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(end - start)
  bytes.copy(copy, 0, start, end)
  return copy
}

/**
 * The peer decides when its stream fails, which may be before the application has the stream in its hands: that must not end the process.
 * The application's own listeners, iteration and `pipeline` still see the error.
 */
const unheard = (): void => undefined

const toError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)))
