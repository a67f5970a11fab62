// One call as its handler sees it: requests, the context beside them, and the answer.

import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2'
import { constants } from 'node:http2'
import { ACCEPTED_ENCODINGS, type Decompress, decompressor } from './compression.ts'
import { DeadlineTimer, parseTimeout } from './deadline.ts'
import type { AnyMethod } from './definition.ts'
import { FrameReader } from './frames.ts'
import { GrpcError, isGrpcError } from './grpc-error.ts'
import { addMetadata, addStatus, CONTENT_TYPE, checkSize, readMetadata } from './headers.ts'
import { Inbox } from './inbox.ts'
import { Metadata, type MetadataInit } from './metadata.ts'
import { endWithMessage, Outflow } from './outflow.ts'
import type { GrpcContext } from './seam.ts'
import { Status } from './status.ts'

/** A method and the code that answers it. */
export interface ServedMethod {
  readonly method: AnyMethod
  readonly handle: (request: unknown, context: GrpcContext) => unknown
}

export interface ServerCallOwner {
  readonly maxMessageBytes: number
  begun(call: ServerCall): void
  /** The answer has left, or nobody waits for it any more. */
  ended(call: ServerCall): void
}

/** The date means nothing to gRPC and would be made anew for each call. Node knows the option, its types do not. */
const noDate = { sendDate: false } as ServerStreamResponseOptions
const withTrailers: ServerStreamResponseOptions = { ...noDate, waitForTrailers: true }
const trailersOnly: ServerStreamResponseOptions = { ...noDate, endStream: true }

export class ServerCall implements GrpcContext {
  readonly path: string
  readonly authority: string
  readonly peer: object
  readonly #stream: ServerHttp2Stream
  readonly #raw: readonly string[]
  readonly #served: ServedMethod
  readonly #owner: ServerCallOwner
  readonly #deadlineMs: number | undefined
  #metadata: Metadata | undefined
  #abort: AbortController | undefined
  #timer: DeadlineTimer | undefined
  #frames: FrameReader | undefined
  #request: Buffer | undefined
  #inbox: Inbox<unknown> | undefined
  #outflow: Outflow<unknown> | undefined
  #header: Metadata | undefined
  #trailer: Metadata | undefined
  /** Why the caller is gone, once it is. */
  #cancelled: GrpcError | undefined
  /** The status, once the handler is done: undefined for OK. */
  #status: GrpcError | undefined
  #finished = false
  #over = false

  /** Answers a call. What is wrong with it is answered, too. */
  static answer(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[],
    peer: object,
    served: ServedMethod,
    owner: ServerCallOwner,
  ): void {
    const call = new ServerCall(stream, headers, raw, peer, served, owner)
    owner.begun(call)
    call.#listen(headers)
  }

  private constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[],
    peer: object,
    served: ServedMethod,
    owner: ServerCallOwner,
  ) {
    this.path = served.method.path
    this.authority = headers[':authority'] ?? ''
    this.peer = peer
    this.#stream = stream
    this.#raw = raw
    this.#served = served
    this.#owner = owner
    const timeout = headers['grpc-timeout']
    const ms = timeout === undefined ? undefined : parseTimeout(String(timeout))
    this.#deadlineMs = ms === undefined ? undefined : Date.now() + ms
  }

  // ------------------------------------------------------------------------------------------------ context

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#cancelled !== undefined) this.#abort.abort(this.#cancelled)
    }
    return this.#abort.signal
  }

  get deadline(): Date | undefined {
    return this.#deadlineMs === undefined ? undefined : new Date(this.#deadlineMs)
  }

  get metadata(): Metadata {
    return (this.#metadata ??= readMetadata(this.#raw))
  }

  setHeader(metadata: MetadataInit): void {
    if (this.#stream.headersSent) throw new Error(`the headers of ${this.path} have been sent`)
    this.#header ??= new Metadata()
    for (const [name, value] of new Metadata(metadata)) this.#header.append(name, value)
  }

  sendHeader(): void {
    if (!this.#finished) this.#respond()
  }

  setTrailer(metadata: MetadataInit): void {
    this.#trailer ??= new Metadata()
    for (const [name, value] of new Metadata(metadata)) this.#trailer.append(name, value)
  }

  // ------------------------------------------------------------------------------------------------ requests

  #listen(headers: IncomingHttpHeaders): void {
    const stream = this.#stream
    stream.on('error', this.#gone)
    stream.on('aborted', this.#gone)
    stream.on('close', this.#closed)
    stream.on('finish', this.#end)
    stream.on('wantTrailers', this.#sendTrailers)
    if (this.#deadlineMs !== undefined) this.#timer = new DeadlineTimer(this.#deadlineMs, this.#expired)
    else if (headers['grpc-timeout'] !== undefined) return this.#finish(new GrpcError(Status.INTERNAL, 'grpc-timeout is malformed'))
    let decompress: Decompress
    try {
      decompress = decompressor(headers['grpc-encoding'] as string | undefined, this.#owner.maxMessageBytes)
    } catch (error) {
      return this.#finish(error as GrpcError)
    }
    if (this.#served.method.requestStream) this.#inbox = this.#requests()
    const take = this.#inbox === undefined ? this.#takeOne : this.#takeNext
    this.#frames = new FrameReader(this.#owner.maxMessageBytes, (message, compressed) => {
      if (!this.#finished) take(compressed ? decompress(message) : message)
    })
    stream.on('data', this.#onData)
    stream.on('end', this.#onEnd)
    if (this.#inbox !== undefined) this.#run(this.#inbox)
  }

  #requests(): Inbox<unknown> {
    const { requestDeserialize } = this.#served.method
    return new Inbox<unknown>({
      decode: message => readRequest(this.path, requestDeserialize, message),
      pause: () => this.#stream.pause(),
      resume: () => this.#stream.resume(),
      // The handler has read enough: what still comes is dropped, and the answer is on its way.
      cancel: () => this.#stream.resume(),
    })
  }

  readonly #takeOne = (message: Buffer): void => {
    if (this.#request !== undefined) throw new GrpcError(Status.UNIMPLEMENTED, `${this.path} takes one request, and more came`)
    this.#request = message
  }

  readonly #takeNext = (message: Buffer): void => this.#inbox?.push(message)

  readonly #onData = (chunk: Buffer): void => {
    if (this.#finished) return
    try {
      this.#frames?.push(chunk)
    } catch (error) {
      this.#inbox?.fail(error)
      this.#finish(statusOf(error))
    }
  }

  readonly #onEnd = (): void => {
    if (this.#finished) return
    if (this.#frames?.midMessage) {
      const error = new GrpcError(Status.INTERNAL, 'the requests ended in the middle of a message')
      this.#inbox?.fail(error)
      return this.#finish(error)
    }
    if (this.#inbox !== undefined) return this.#inbox.end()
    if (this.#request === undefined) return this.#finish(new GrpcError(Status.UNIMPLEMENTED, `${this.path} takes a request, and none came`))
    let request: unknown
    try {
      request = readRequest(this.path, this.#served.method.requestDeserialize, this.#request)
    } catch (error) {
      return this.#finish(error as GrpcError)
    }
    this.#run(request)
  }

  // ------------------------------------------------------------------------------------------------ answer

  #run(request: unknown): void {
    let result: unknown
    try {
      result = this.#served.handle(request, this)
    } catch (error) {
      return this.#finish(statusOf(error))
    }
    if (isThenable(result)) result.then(this.#answerWith, this.#failWith)
    else this.#answerWith(result)
  }

  readonly #failWith = (error: unknown): void => this.#finish(statusOf(error))

  readonly #answerWith = (result: unknown): void => {
    const { method } = this.#served
    if (method.responseStream) return this.#answerWithAll(result)
    if (this.#finished) return
    let message: Uint8Array
    try {
      message = method.responseSerialize(result)
    } catch (cause) {
      return this.#finish(unserializable(this.path, cause))
    }
    try {
      if (!this.#respond()) return
    } catch (error) {
      return this.#finish(error as GrpcError)
    }
    this.#conclude(undefined)
    endWithMessage(this.#stream, message)
  }

  #answerWithAll(result: unknown): void {
    if (!isIterable(result)) {
      return this.#finish(new GrpcError(Status.INTERNAL, `${this.path} was to be answered with an iterable, not with ${typeof result}`))
    }
    const outflow = new Outflow<unknown>(result)
    this.#outflow = outflow
    if (this.#finished) return outflow.stop()
    const serialize = (message: unknown): Uint8Array => {
      this.#respond()
      try {
        return this.#served.method.responseSerialize(message)
      } catch (cause) {
        throw unserializable(this.path, cause)
      }
    }
    outflow.run(this.#stream, serialize).then(() => this.#finish(undefined), this.#failWith)
  }

  /**
   * Sends the headers unless they have been sent; false when there is nobody to send them to.
   * @throws GrpcError INTERNAL when HTTP/2 refuses what a handler set; without that, the next try goes well.
   */
  #respond(): boolean {
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return false
    if (stream.headersSent) return true
    const headers: OutgoingHttpHeaders = { ':status': 200, 'content-type': CONTENT_TYPE, 'grpc-accept-encoding': ACCEPTED_ENCODINGS }
    try {
      if (this.#header !== undefined) {
        addMetadata(headers, this.#header)
        checkSize(headers)
      }
      stream.respond(headers, withTrailers)
    } catch (cause) {
      this.#header = undefined
      throw unsendable(this.path, cause)
    }
    return true
  }

  #finish(status: GrpcError | undefined): void {
    if (this.#finished) return
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return this.#conclude(status)
    try {
      if (status !== undefined && this.#header === undefined && !stream.headersSent) {
        this.#status = status
        const headers = { ':status': 200, 'content-type': CONTENT_TYPE, 'grpc-accept-encoding': ACCEPTED_ENCODINGS }
        stream.respond({ ...headers, ...this.#statusHeaders() }, trailersOnly)
        this.#conclude(status)
        this.#stopRequests()
      } else {
        this.#respond()
        this.#conclude(status)
        stream.end()
      }
    } catch (cause) {
      this.#trailer = undefined
      this.#finish(cause instanceof GrpcError ? cause : unsendable(this.path, cause))
    }
  }

  #conclude(status: GrpcError | undefined): void {
    this.#finished = true
    this.#status = status
    this.#timer?.cancel()
    this.#outflow?.stop()
    if (this.#inbox !== undefined) {
      this.#inbox.end()
      this.#inbox.discard()
    }
    // Requests that nobody reads must not keep the stream open.
    if (!this.#stream.readableEnded) this.#stream.resume()
  }

  #statusHeaders(): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = {}
    if (this.#trailer !== undefined) addMetadata(headers, this.#trailer)
    const status = this.#status
    addStatus(headers, status)
    if (status === undefined && this.#trailer === undefined) return headers
    try {
      checkSize(headers)
      return headers
    } catch (cause) {
      if (status === undefined) throw cause
      // What an error is decided by is its code.
      const brief: OutgoingHttpHeaders = {}
      addStatus(brief, new GrpcError(status.code, status.message))
      return brief
    }
  }

  readonly #sendTrailers = (): void => {
    try {
      this.#stream.sendTrailers(this.#statusHeaders())
    } catch (cause) {
      this.#trailer = undefined
      this.#status = unsendable(this.path, cause)
      this.#stream.sendTrailers(this.#statusHeaders())
    }
    this.#stopRequests()
  }

  /** The caller may still be sending: it is told to stop, without an error, as grpc-go does. Trailers leave in an immediate; this must not overtake them. */
  #stopRequests(): void {
    const stream = this.#stream
    if (stream.readableEnded) return
    setImmediate(() => {
      if (!stream.readableEnded && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR)
    })
  }

  // ------------------------------------------------------------------------------------------------ ending

  readonly #expired = (): void => {
    const error = new GrpcError(Status.DEADLINE_EXCEEDED, `${this.path} did not end before its deadline`)
    this.#cancel(error)
    this.#finish(error)
  }

  readonly #gone = (): void => {
    if (this.#finished) return
    this.#cancel(new GrpcError(Status.CANCELLED, `the caller of ${this.path} no longer waits`))
    this.#conclude(undefined)
  }

  #cancel(error: GrpcError): void {
    this.#cancelled = error
    this.#abort?.abort(error)
    this.#inbox?.fail(error)
  }

  readonly #closed = (): void => {
    this.#gone()
    this.#end()
  }

  /** The answer has left, apart perhaps from its trailers. */
  readonly #end = (): void => {
    if (this.#over) return
    this.#over = true
    this.#owner.ended(this)
  }
}

/** What a handler threw, as it is sent: its own status, or UNKNOWN with the message of the error. */
function statusOf(error: unknown): GrpcError {
  if (isGrpcError(error)) return error
  return new GrpcError(Status.UNKNOWN, error instanceof Error ? error.message : String(error), { cause: error })
}

function readRequest(path: string, deserialize: (bytes: Buffer) => unknown, message: Buffer): unknown {
  try {
    return deserialize(message)
  } catch (cause) {
    throw new GrpcError(Status.INTERNAL, `a request of ${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function unserializable(path: string, cause: unknown): GrpcError {
  return new GrpcError(Status.INTERNAL, `the answer of ${path} cannot be serialized: ${(cause as Error).message}`, { cause })
}

function unsendable(path: string, cause: unknown): GrpcError {
  return new GrpcError(Status.INTERNAL, `the metadata of ${path} cannot be sent: ${(cause as Error).message}`, { cause })
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)
}
