// One call as its caller sees it: from its headers to its status. It knows a stream of HTTP/2 and nothing of how connections come and go.

import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader, OutgoingHttpHeaders } from 'node:http2'
import { constants } from 'node:http2'
import { watchAbort } from './abort-watch.ts'
import { ACCEPTED_ENCODINGS, type Decompress, decompressor } from './compression.ts'
import { DeadlineTimer, formatTimeout } from './deadline.ts'
import type { AnyMethod } from './definition.ts'
import { FrameReader } from './frames.ts'
import { GrpcError } from './grpc-error.ts'
import { addMetadata, CONTENT_TYPE, checkSize, readMetadata, readStatus } from './headers.ts'
import { Metadata } from './metadata.ts'
import type { CallOptions } from './seam.ts'
import { Status } from './status.ts'
import { Reset, statusOfHttp, statusOfReset } from './status-mapping.ts'

const USER_AGENT = 'plugwire-grpc'

/** What becomes of the answer. */
export interface Receiver {
  message(message: Buffer): void
  /** The call has ended: with OK when there is no error. Nothing follows. */
  ended(error: GrpcError | undefined): void
}

/** The connection that a call runs on. */
export interface CallCarrier {
  readonly scheme: string
  readonly authority: string
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream
  /** Why the connection is gone; undefined while it is there. */
  readonly lost: Error | undefined
}

export interface CallOwner {
  /** The call was never looked at by the server; run it again elsewhere if that is possible. False when it is not. */
  refused(call: ClientCall): boolean
  ended(call: ClientCall): void
}

type Response = IncomingHttpHeaders & IncomingHttpStatusHeader

export class ClientCall {
  readonly #method: AnyMethod
  readonly #options: CallOptions
  readonly #receiver: Receiver
  readonly #owner: CallOwner
  readonly #deadlineMs: number
  readonly #timer: DeadlineTimer | undefined
  readonly #maxMessageBytes: number
  readonly #frames: FrameReader
  #decompress: Decompress | undefined
  /** Data may arrive before the headers are told of; then it waits here. */
  #early: Buffer[] | undefined = []
  #unwatch: (() => void) | undefined
  #carrier: CallCarrier | undefined
  #stream: ClientHttp2Stream | undefined
  #answered = false
  #paused = false
  /** The status that came, null before it did. */
  #status: GrpcError | undefined | null = null
  #httpStatus = 200
  #trailers: readonly string[] = []
  #ended = false

  constructor(method: AnyMethod, options: CallOptions, maxMessageBytes: number, receiver: Receiver, owner: CallOwner) {
    this.#method = method
    this.#options = options
    this.#receiver = receiver
    this.#owner = owner
    this.#maxMessageBytes = maxMessageBytes
    this.#frames = new FrameReader(maxMessageBytes, (message, compressed) => {
      if (this.#ended) return
      this.#receiver.message(compressed ? (this.#decompress as Decompress)(message) : message)
    })
    const timeoutMs = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs
    this.#deadlineMs = Math.min(timeoutMs, options.deadline?.getTime() ?? Number.POSITIVE_INFINITY)
    if (this.#deadlineMs !== Number.POSITIVE_INFINITY) this.#timer = new DeadlineTimer(this.#deadlineMs, this.#expired)
    const { signal } = options
    // Not at once: whoever makes the call does not have it yet.
    if (signal?.aborted) queueMicrotask(this.#aborted)
    else if (signal !== undefined) this.#unwatch = watchAbort(signal, this.#aborted)
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Opens the stream. Requests are written to it by the caller. Undefined when the call ended before it could begin. */
  begin(carrier: CallCarrier): ClientHttp2Stream | undefined {
    if (this.#ended) return undefined
    const headers: OutgoingHttpHeaders = {
      ':method': 'POST',
      ':scheme': carrier.scheme,
      ':authority': carrier.authority,
      ':path': this.#method.path,
      te: 'trailers',
      'content-type': CONTENT_TYPE,
      'user-agent': USER_AGENT,
      'grpc-accept-encoding': ACCEPTED_ENCODINGS,
    }
    if (this.#timer !== undefined) headers['grpc-timeout'] = formatTimeout(this.#deadlineMs - Date.now())
    const { metadata } = this.#options
    if (metadata !== undefined) {
      addMetadata(headers, metadata instanceof Metadata ? metadata : new Metadata(metadata))
      checkSize(headers)
    }
    const stream = carrier.request(headers)
    this.#carrier = carrier
    this.#stream = stream
    stream.on('response', this.#onResponse)
    stream.on('data', this.#onData)
    stream.on('trailers', this.#onTrailers)
    stream.on('end', this.#onEnd)
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
    if (this.#paused) stream.pause()
    return stream
  }

  pause(): void {
    this.#paused = true
    this.#stream?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#stream?.resume()
  }

  /** Ends the call from our side; the server is told that nobody waits any more. */
  fail(error: GrpcError): void {
    if (this.#ended) return
    const stream = this.#stream
    this.#end(error)
    if (stream !== undefined && !stream.closed) stream.close(constants.NGHTTP2_CANCEL)
  }

  readonly #aborted = (): void => {
    const cause = this.#options.signal?.reason
    this.fail(new GrpcError(Status.CANCELLED, `${this.#method.path} was cancelled`, { cause }))
  }

  readonly #expired = (): void => {
    this.fail(new GrpcError(Status.DEADLINE_EXCEEDED, `${this.#method.path} did not end before its deadline`))
  }

  // ------------------------------------------------------------------------------------------------ what comes

  readonly #onResponse = (headers: Response, flags: number, ...[raw]: unknown[]): void => {
    if (this.#ended) return
    this.#answered = true
    this.#httpStatus = Number(headers[':status'])
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) return this.#takeTrailers(headers, raw as readonly string[])
    const contentType = headers['content-type']
    if (this.#httpStatus !== 200 || !contentType?.startsWith(CONTENT_TYPE)) {
      const code = this.#httpStatus === 200 ? Status.UNKNOWN : statusOfHttp(this.#httpStatus)
      return this.fail(
        new GrpcError(code, `the answer is no gRPC: HTTP status ${this.#httpStatus}, content-type ${contentType ?? 'missing'}`),
      )
    }
    try {
      this.#decompress = decompressor(headers['grpc-encoding'] as string | undefined, this.#maxMessageBytes)
      this.#options.onHeader?.(readMetadata(raw as readonly string[]))
      const early = this.#early ?? []
      this.#early = undefined
      for (const chunk of early) this.#frames.push(chunk)
    } catch (error) {
      this.#failBecause(error)
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#ended) return
    if (this.#early !== undefined) {
      this.#early.push(chunk)
      return
    }
    try {
      this.#frames.push(chunk)
    } catch (error) {
      this.#failBecause(error)
    }
  }

  readonly #onTrailers = (headers: IncomingHttpHeaders, _flags: number, ...[raw]: unknown[]): void => {
    if (!this.#ended) this.#takeTrailers(headers, raw as readonly string[])
  }

  #takeTrailers(headers: IncomingHttpHeaders, raw: readonly string[]): void {
    this.#trailers = raw
    this.#status = readStatus(headers, () => readMetadata(raw))
    if (this.#status === null) {
      const code = this.#httpStatus === 200 ? Status.UNKNOWN : statusOfHttp(this.#httpStatus)
      this.#status = new GrpcError(code, `the answer has no status; HTTP status ${this.#httpStatus}`)
    }
    // Everything before them has been read already, unless the reader had us wait.
    if (!this.#paused && this.#stream?.readableLength === 0) this.#complete()
  }

  readonly #onEnd = (): void => {
    if (this.#ended) return
    if (this.#status !== null) this.#complete()
    // The trailers, or the reason why there are none, are told of after this.
    else setImmediate(this.#onClose)
  }

  readonly #onError = (cause: Error): void => {
    if (this.#ended) return
    if (this.#status !== null) this.#complete()
    else this.#endWithoutStatus(cause)
  }

  readonly #onClose = (): void => {
    if (this.#ended) return
    if (this.#status !== null) this.#complete()
    else this.#endWithoutStatus(undefined)
  }

  #complete(): void {
    let error = this.#status as GrpcError | undefined
    if (error === undefined && this.#frames.midMessage)
      error = new GrpcError(Status.INTERNAL, 'the answer ended in the middle of a message')
    this.#end(error)
    this.#forget()
  }

  #endWithoutStatus(cause: Error | undefined): void {
    const stream = this.#stream as ClientHttp2Stream
    const { rstCode } = stream
    const lost = this.#carrier?.lost
    if (rstCode === Reset.refusedStream && !this.#answered && lost === undefined) {
      this.#detach(stream)
      if (this.#owner.refused(this)) return
    }
    const options = cause === undefined ? {} : { cause }
    if (lost !== undefined) this.#end(new GrpcError(Status.UNAVAILABLE, `the connection was lost: ${lost.message}`, { cause: lost }))
    // grpc-go ends a call whose deadline has passed with a bare reset, and its clock may be ahead of our timer.
    else if (Date.now() >= this.#deadlineMs) this.#expired()
    else if (rstCode !== Reset.noError)
      this.#end(new GrpcError(statusOfReset(rstCode), `the stream was reset with HTTP/2 code ${rstCode}`, options))
    else if (this.#httpStatus !== 200) this.#end(new GrpcError(statusOfHttp(this.#httpStatus), `HTTP status ${this.#httpStatus}`, options))
    else if (cause !== undefined) this.#end(new GrpcError(Status.INTERNAL, cause.message, options))
    else this.#end(new GrpcError(Status.INTERNAL, 'the answer ended without a status'))
    this.#forget()
  }

  /** Hears no more of a stream that another one takes the place of. */
  #detach(stream: ClientHttp2Stream): void {
    stream.off('response', this.#onResponse).off('data', this.#onData).off('trailers', this.#onTrailers)
    stream.off('end', this.#onEnd).off('close', this.#onClose).off('error', this.#onError)
    stream.on('error', () => {})
  }

  #failBecause(error: unknown): void {
    this.fail(error instanceof GrpcError ? error : new GrpcError(Status.INTERNAL, (error as Error).message, { cause: error }))
  }

  #end(error: GrpcError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#timer?.cancel()
    this.#unwatch?.()
    let outcome = error
    try {
      if (this.#trailers.length > 0) this.#options.onTrailer?.(readMetadata(this.#trailers))
    } catch (cause) {
      outcome ??= new GrpcError(Status.INTERNAL, (cause as Error).message, { cause })
    }
    this.#receiver.ended(outcome)
    this.#owner.ended(this)
  }

  /**
   * Lets go of a stream that has nothing left to tell. A server that answers before it has read everything resets the stream without an error, and over
   * a Duplex Node then never closes it; whatever we had left to send is of no use either.
   */
  #forget(): void {
    const stream = this.#stream as ClientHttp2Stream
    if (stream.destroyed) return
    setImmediate(() => {
      if (!stream.destroyed) stream.destroy()
    })
  }
}
