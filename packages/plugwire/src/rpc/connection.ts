// Calls between two processes over one session. Both sides are alike: each offers a root object and whatever references it sends.
// This file is the way of a call, so it is written for speed: one frame and one write for everything of a turn, no allocation that is not needed.

import { isPluginError, PluginError } from '../errors.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import type { Link } from '../mux/link.ts'
import { Session } from '../mux/session.ts'
import type { Stream } from '../mux/stream.ts'
import {
  CALL_WINDOW_BYTES,
  CallFlag,
  DISPOSE_METHOD,
  INLINE_VALUE_BYTES,
  LENGTH_BYTES,
  MAX_MESSAGE_BYTES,
  MessageType,
  ReplyFlag,
  ROOT,
} from '../wire/call-frames.ts'
import { type Mark, Outbox } from '../wire/outbox.ts'
import { TOO_LONG, ValueDecoder, ValueEncoder } from '../wire/values.ts'
import type { StreamSlot } from './byte-stream.ts'
import { type CallContext, type CallOptions, type ContextSource, type Metadata, serving } from './call-context.ts'
import { Deadlines } from './deadlines.ts'
import { bareError, errorOfReport, reportOf } from './failure.ts'
import { MessageReader } from './message-reader.ts'
import type { MethodTable } from './method-table.ts'
import { type Export, type ReferenceOwner, References } from './references.ts'
import { type Held, streamable } from './remote-object.ts'

export interface ConnectionOptions {
  /** The host opens the call stream and is the client of the session. */
  readonly role: 'host' | 'plugin'
  /** The name of the plugin, for messages. */
  readonly peerName: string
  /** What the peer may call from the start. */
  readonly root: object
  readonly rootMethods: MethodTable
  readonly limits?: Partial<Limits>
  /** Keeps the event loop alive while nothing is in flight, too. */
  readonly stayAlive?: boolean
  /** Pings of our own, in milliseconds; 0 (default) for none: a descriptor tells of a lost peer by itself. */
  readonly keepAliveMs?: number
  /** Metadata that every call out is given, beside its own: trace context. */
  readonly metadata?: () => Metadata | undefined
  /** Output of the peer that came through the connection. */
  readonly onOutput?: (descriptor: number, bytes: Uint8Array) => void
  /**
   * The connection ended: in order (undefined) or because of a breach. Returns, at once or later, the error that calls in flight
   * reject with: whoever started the process knows more about its end.
   */
  readonly onEnded: (cause: PluginError | undefined) => PluginError | Promise<PluginError>
}

/** A call of the peer that is being served asynchronously. */
interface Serving {
  readonly name: string
  readonly startedAt: number
  readonly timeoutMs: number | undefined
  readonly metadata: Metadata
  controller: AbortController | undefined
  cancelled: { readonly reason: unknown } | undefined
}

/** The context that the method which is running now has asked for. */
interface Current {
  readonly context: CallContext
  readonly serving: Serving
}

/** Streams of the peer that no message has named yet; one more is reset. */
const MAX_UNNAMED_STREAMS = 1_024

/** Milliseconds that the `finally` of iterables has when this side ends. */
const PRODUCER_MS = 500

const noMetadata: Metadata = Object.freeze({})

/** One side of the calls between two processes. */
export class Connection implements ReferenceOwner, ContextSource {
  readonly peerName: string
  readonly limits: Limits
  readonly session: Session
  readonly references: References
  readonly #options: ConnectionOptions
  readonly #encoder: ValueEncoder
  readonly #decoder: ValueDecoder
  #calls: Stream | undefined
  #reader: MessageReader | undefined

  // ---- calls out; the call id is the place in these arrays
  readonly #resolve: (((value: unknown) => void) | undefined)[] = []
  readonly #reject: (((cause: unknown) => void) | undefined)[] = []
  readonly #names: string[] = []
  /** Ids that were used and are free again. */
  readonly #free: number[] = []
  readonly #cleanups = new Map<number, () => void>()
  readonly #deadlines: Deadlines
  #unanswered = 0
  /** Calls that nobody waits for any more and that have no answer. */
  #abandoned = 0

  // ---- calls in
  readonly #serving = new Map<number, Serving>()
  /** Calls whose arguments are on a stream and have not come yet. */
  readonly #incomplete = new Map<number, { cancelled: boolean }>()
  #current: Current | undefined
  #currentMethod = 0
  #currentExport: Export | undefined
  #currentTimeout: number | undefined
  #currentMetadata: Metadata = noMetadata
  #bodyBytes = 0
  /** Bytes of long values that have not all left. */
  #bodiesOut = 0
  #bodiesWait = false

  // ---- streams that carry values of calls
  readonly #arrived = new Map<number, Stream>()
  /** Streams that were reset before anything named them. */
  readonly #lost = new Set<number>()
  readonly #claims = new Map<number, { arrived(stream: Stream): void; never(cause: PluginError): void }>()

  #holds = 0
  #ended: PluginError | undefined
  #refusal: PluginError | undefined
  #ending = false

  constructor(link: Link, options: ConnectionOptions) {
    this.#options = options
    this.peerName = options.peerName
    this.limits = { ...defaultLimits, ...options.limits }
    this.references = new References(this)
    this.references.exportRoot(ROOT, options.root, 'root', options.rootMethods)
    this.#encoder = new ValueEncoder(this.limits, this.references)
    this.#encoder.softCapBytes = INLINE_VALUE_BYTES
    this.#decoder = new ValueDecoder(this.limits, this.references)
    this.#deadlines = new Deadlines((id, timeoutMs) => this.#expire(id, timeoutMs))
    this.session = new Session(link, {
      role: options.role === 'host' ? 'client' : 'server',
      maxStreams: this.limits.maxStreams,
      keepAliveMs: options.keepAliveMs ?? 0,
      onStream: stream => this.#onStream(stream),
      onEnded: cause => this.#onEnded(cause),
    })
    if (options.role === 'host') this.#useCallStream(this.session.open())
    if (!options.stayAlive) this.session.unref()
  }

  /** Calls of ours that have no answer yet. */
  get callsInFlight(): number {
    return this.#unanswered
  }

  /** Calls of the peer that we have not answered yet. */
  get callsServed(): number {
    return this.#serving.size
  }

  /** Why no more calls can be made, once the connection has ended. */
  get ended(): PluginError | undefined {
    return this.#ended
  }

  // ------------------------------------------------------------------------------------------------ calls out

  /** Calls a method of the peer's root. */
  callRoot(method: number, args: readonly unknown[], name: string, options?: CallOptions): Promise<unknown> {
    return this.call(ROOT, method, args, options, name)
  }

  call(target: number, method: number, args: readonly unknown[], options: CallOptions | undefined, name: string): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    if (this.#refusal !== undefined && target !== ROOT && method !== DISPOSE_METHOD) return Promise.reject(this.#refusal)
    // A getter of a value that is being encoded calls: after that value, then.
    if (this.session.encoding) return this.#callLater(target, method, args, options, name)
    const signal = options?.signal
    if (signal?.aborted) return Promise.reject(this.#cancelled(name, signal))
    if (this.#abandoned > 0 && this.#tooMuchUnsent()) {
      const max = this.limits.maxUnsentBytes
      return Promise.reject(new PluginError('ERR_CALL_LIMIT', { limit: 'bytes of calls that the other side does not take', max }))
    }
    const id = this.#free.length > 0 ? (this.#free.pop() as number) : this.#resolve.length
    if (id >= this.limits.maxCalls) {
      return Promise.reject(new PluginError('ERR_CALL_LIMIT', { limit: 'calls that have no answer', max: this.limits.maxCalls }))
    }
    const promise = new Promise<unknown>((resolve, reject) => {
      this.#resolve[id] = resolve
      this.#reject[id] = reject
    })
    this.#names[id] = name
    if (this.#unanswered++ === 0) this.hold()
    try {
      this.#writeCall(id, target, method, args, options)
    } catch (cause) {
      const reject = this.#reject[id]
      this.#settle(id)
      this.#free.push(id)
      reject?.(cause)
      return streamable(promise)
    }
    if (options !== undefined) {
      if (options.timeoutMs !== undefined) this.#deadlines.set(id, options.timeoutMs)
      if (signal !== undefined) this.#watch(id, name, signal)
    }
    return streamable(promise)
  }

  #callLater(target: number, method: number, args: readonly unknown[], options: CallOptions | undefined, name: string): Promise<unknown> {
    return streamable(Promise.resolve().then(() => this.call(target, method, args, options, name)))
  }

  /** From now on calls reject with `reason`, except those to the root; what is in flight goes on. */
  refuseCalls(reason: PluginError): void {
    this.#refusal ??= reason
  }

  /** Calls without waiting for an answer; there is none. Drops the call when the connection has ended or too much waits to leave. */
  notifyRoot(method: number, args: readonly unknown[]): boolean {
    const calls = this.#calls
    if (this.#ended !== undefined || calls === undefined) return false
    if (this.session.encoding || this.session.unsentBytes(calls) > this.limits.maxUnsentBytes) return false
    this.#writeCall(0, ROOT, method, args, undefined, CallFlag.oneWay)
    return true
  }

  #writeCall(id: number, target: number, method: number, args: readonly unknown[], options: CallOptions | undefined, flag = 0): void {
    const calls = this.#calls
    if (calls === undefined) throw new PluginError('ERR_SESSION_CLOSED', { reason: 'the host has not opened the calls yet' })
    const out = this.session.begin(calls)
    out.reserve(32)
    const { view } = out
    const start = out.position
    const before = out.length
    let flags = flag
    let position = start + LENGTH_BYTES
    view.setUint8(position, MessageType.call)
    view.setUint32(position + 1, id)
    view.setUint32(position + 5, target)
    view.setUint16(position + 9, method)
    position += 12
    const metadata = this.#metadata(options)
    const mark = metadata === undefined ? undefined : out.mark()
    if (options?.timeoutMs !== undefined) {
      flags |= CallFlag.timeout
      view.setUint32(position, Math.ceil(options.timeoutMs))
      position += 4
    }
    if (metadata !== undefined) flags |= CallFlag.metadata
    view.setUint8(start + LENGTH_BYTES + 11, flags)
    out.position = position
    try {
      // As a list, which defines no shape: it may yet be taken back.
      if (metadata !== undefined) this.#encoder.encode(out, Object.entries(metadata).flat(), 'metadata')
      this.#encoder.encode(out, args, 'args')
      this.references.commit()
    } catch (cause) {
      this.#writeBodyInstead(cause, out, start, mark, args, 'args')
      view.setUint8(start + LENGTH_BYTES + 11, flags | CallFlag.stream)
    }
    view.setUint32(start, out.length - before - LENGTH_BYTES)
    this.session.commit()
  }

  #metadata(options: CallOptions | undefined): Metadata | undefined {
    const common = this.#options.metadata
    if (common === undefined) return options?.metadata
    const given = common()
    return given === undefined ? options?.metadata : { ...given, ...options?.metadata }
  }

  /**
   * What follows when a value could not be written into its message: when it is too long, it goes on a stream of its own; else the message,
   * which begins at `start`, is taken back and the cause thrown. Apart from its callers, whose every call would otherwise pay for closures.
   */
  #writeBodyInstead(cause: unknown, out: Outbox, start: number, mark: Mark | undefined, value: unknown, root: string): void {
    try {
      if (cause !== TOO_LONG) throw cause
      this.#writeBody(out, value, root)
    } catch (unsendable) {
      if (mark === undefined) out.position = start
      else out.rollback(mark)
      this.references.rollback()
      this.session.commit()
      throw unsendable
    }
  }

  /** Sends a value on a stream of its own, where it is cut and shares the connection, and writes where to find it. */
  #writeBody(out: Outbox, value: unknown, root: string): void {
    // Shapes of this connection may arrive before this value does, so the value brings its own.
    const encoder = new ValueEncoder(this.limits, this.references)
    const body = new Outbox()
    this.references.again()
    this.references.encode(encoder, body, value, root)
    const length = body.length
    const stream = this.session.open()
    for (const part of body.take()) stream.write(part)
    stream.end()
    stream.consume({ chunk() {}, end() {}, fail() {} })
    this.#bodiesOut += length
    stream.onForgotten = () => {
      this.#bodiesOut -= length
      if (this.#bodiesWait && this.#bodiesOut <= this.#maxBodies) {
        this.#bodiesWait = false
        this.#calls?.resume()
      }
    }
    out.reserve(8)
    out.view.setUint32(out.position, stream.id)
    out.view.setUint32(out.position + 4, length)
    out.position += 8
  }

  /** Bytes of long values that may be under way at one time, in each direction. */
  get #maxBodies(): number {
    return this.limits.maxValueBytes * 4
  }

  /** Callers have given up and their calls wait still: a peer that takes nothing must not make us keep ever more. */
  #tooMuchUnsent(): boolean {
    return this.#calls !== undefined && this.session.unsentBytes(this.#calls) > this.limits.maxUnsentBytes
  }

  #cancelled(name: string, signal: AbortSignal): PluginError {
    return new PluginError('ERR_CALL_CANCELLED', { method: name }, { cause: signal.reason })
  }

  #watch(id: number, name: string, signal: AbortSignal): void {
    const onAbort = (): void => this.#abandon(id, this.#cancelled(name, signal))
    signal.addEventListener('abort', onAbort, { once: true })
    this.#cleanups.set(id, () => signal.removeEventListener('abort', onAbort))
  }

  #expire(id: number, timeoutMs: number): void {
    this.#abandon(id, new PluginError('ERR_CALL_TIMEOUT', { method: this.#names[id] as string, timeoutMs }))
  }

  /** Nobody waits for the answer any more. The id stays taken until it comes. */
  #abandon(id: number, cause: PluginError): void {
    const reject = this.#reject[id]
    if (reject === undefined) return
    this.sendValue(MessageType.cancel, id, cause.code === 'ERR_CALL_TIMEOUT' ? 'timeout' : 'cancelled')
    this.#settle(id)
    this.#resolve[id] = ignore
    this.#abandoned++
    reject(cause)
  }

  /** The promise of a call is about to be settled. */
  #settle(id: number): void {
    this.#resolve[id] = undefined
    this.#reject[id] = undefined
    if (this.#deadlines.size > 0) this.#deadlines.delete(id)
    if (this.#cleanups.size > 0) {
      this.#cleanups.get(id)?.()
      this.#cleanups.delete(id)
    }
    if (--this.#unanswered === 0) this.letGo()
  }

  // ------------------------------------------------------------------------------------------------ messages in

  #useCallStream(stream: Stream): void {
    this.#calls = stream
    stream.urgent = true
    const reader = new MessageReader(
      stream,
      MAX_MESSAGE_BYTES,
      (bytes, view, start, end, owned) => this.#receive(bytes, view, start, end, owned),
      cause => {
        // Without its call stream a connection is nothing: a peer that resets it would leave calls without answer.
        if (cause === undefined) this.session.close()
        else this.session.destroy(cause.code === 'ERR_STREAM_RESET' ? this.#breach('the call stream was reset', 0) : cause)
      },
    )
    this.#reader = reader
    stream.consume({
      chunk: (bytes, start, end) => {
        reader.chunk(bytes, start, end)
        // Answers that nobody takes: stop taking questions.
        if (this.#bodiesOut > this.#maxBodies) {
          this.#bodiesWait = true
          stream.pause()
        } else if (this.session.unsentBytes(stream) > this.limits.maxUnsentBytes) this.#waitForPeer(stream)
      },
      end: () => reader.end(),
      fail: cause => reader.fail(cause),
    })
    stream.growWindow(CALL_WINDOW_BYTES)
  }

  #waitForPeer(stream: Stream): void {
    stream.pause()
    // What has left the session may still wait in the stream, for credit.
    this.session.onceFlushed(() => stream.onceWritable(() => stream.resume()))
  }

  #breach(reason: string, start: number): PluginError {
    return new PluginError('ERR_CALL_FRAME', { reason, offset: (this.#reader?.received ?? 0) + start })
  }

  #receive(bytes: Buffer, view: DataView, start: number, end: number, owned: boolean): void {
    const length = end - start
    const type = length > 0 ? view.getUint8(start) : 0
    if (length < minimumBytes(type)) {
      throw this.#breach(
        minimumBytes(type) === Number.POSITIVE_INFINITY
          ? `a message of unknown type ${type}`
          : `a message of type ${type} with only ${length} bytes`,
        start,
      )
    }
    switch (type) {
      case MessageType.reply:
        this.#onReply(bytes, view, start, end, owned)
        return
      case MessageType.call:
        this.#onCall(bytes, view, start, end, owned)
        return
      case MessageType.cancel:
        this.#onCancel(view.getUint32(start + 1), this.#decoder.decode(bytes, start + 5, end))
        return
      case MessageType.release: {
        const last = this.references.giveBack(view.getUint32(start + 1), view.getUint32(start + 5))
        if (last !== undefined) void this.#dispose(last).catch(() => undefined)
        return
      }
      case MessageType.abort:
        this.references.streamAborted(view.getUint32(start + 1), this.#decoder.decode(bytes, start + 5, end))
        return
      case MessageType.signal:
        this.references.signalAborted(view.getUint32(start + 1), this.#decoder.decode(bytes, start + 5, end))
        return
      case MessageType.signalGone:
        this.references.signalGone(view.getUint32(start + 1))
        return
      case MessageType.tune:
        this.#onTune(view.getUint32(start + 1), view.getFloat64(start + 5), view.getFloat64(start + 13), start)
        return
      case MessageType.output:
        this.#options.onOutput?.(view.getUint8(start + 1), Buffer.from(bytes.subarray(start + 2, end)))
        return
    }
  }

  #onReply(bytes: Buffer, view: DataView, start: number, end: number, owned: boolean): void {
    const id = view.getUint32(start + 1)
    const resolve = this.#resolve[id]
    if (resolve === undefined) throw this.#breach(`a reply for call ${id}, which was not made`, start)
    const flags = view.getUint8(start + 5)
    if (flags > 7) throw this.#breach(`a reply with unknown flags ${flags}`, start)
    if ((flags & ReplyFlag.stream) !== 0) {
      this.#readBody(view, start + 6, end, (value, cause) => {
        if (cause !== undefined) this.#fulfil(id, ReplyFlag.failed, cause)
        else this.#fulfil(id, flags, value)
      })
      return
    }
    let value: unknown
    try {
      value = this.#decoder.decode(bytes, start + 6, end, owned)
    } catch (cause) {
      // What it held of us cannot be counted any more: the connection cannot go on.
      this.#fulfil(id, ReplyFlag.failed, cause)
      throw cause
    }
    this.#fulfil(id, flags, value)
  }

  #fulfil(id: number, flags: number, value: unknown): void {
    const resolve = this.#resolve[id]
    if (resolve === undefined) return
    this.#free.push(id)
    if (resolve === ignore) {
      this.#abandoned--
      this.#resolve[id] = undefined
      return
    }
    const reject = this.#reject[id] as (cause: unknown) => void
    this.#settle(id)
    if (flags === 0) resolve(value)
    else if ((flags & ReplyFlag.failed) === 0) resolve(value)
    else reject((flags & ReplyFlag.own) !== 0 ? errorOfReport(value) : value)
  }

  #onCancel(id: number, reason: unknown): void {
    const call = this.#serving.get(id)
    if (call === undefined) {
      const incomplete = this.#incomplete.get(id)
      if (incomplete !== undefined) incomplete.cancelled = true
      return
    }
    call.cancelled = { reason }
    call.controller?.abort(cancelReason(call, reason))
  }

  #onTune(streamId: number, weight: number, rate: number, start: number): void {
    const stream = this.session.stream(streamId)
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY) || !(rate === 0 || rate >= 1)) {
      throw this.#breach(`a weight of ${weight} or a ceiling of ${rate} for stream ${streamId}`, start)
    }
    // The stream may have ended while this was on the way; the call stream is not the peer's to slow down.
    if (stream === undefined || stream === this.#calls) return
    if (weight > 0) stream.weight = weight
    if (rate > 0) stream.maxBytesPerSecond = rate
  }

  // ------------------------------------------------------------------------------------------------ calls in

  #onCall(bytes: Buffer, view: DataView, start: number, end: number, owned: boolean): void {
    const id = view.getUint32(start + 1)
    const target = view.getUint32(start + 5)
    const method = view.getUint16(start + 9)
    const flags = view.getUint8(start + 11)
    let position = start + 12
    let timeoutMs: number | undefined
    let metadata = noMetadata
    if (flags !== 0) {
      if (flags > 15) throw this.#breach(`a call with unknown flags ${flags}`, start)
      if ((flags & CallFlag.timeout) !== 0) {
        if (end - position < 4) throw this.#breach('a call that ends in its timeout', start)
        timeoutMs = view.getUint32(position)
        position += 4
      }
      if ((flags & CallFlag.metadata) !== 0) {
        metadata = checkedMetadata(this.#decoder.decodeNext(bytes, position, end))
        position = this.#decoder.position
      }
      if ((flags & CallFlag.stream) !== 0) {
        const pending = { cancelled: false }
        if ((flags & CallFlag.oneWay) === 0) {
          this.#admitCall(id)
          this.#incomplete.set(id, pending)
        }
        this.#readBody(view, position, end, (args, cause) => {
          if (this.#incomplete.get(id) === pending) this.#incomplete.delete(id)
          if (cause !== undefined) this.#replyFailed(id, flags, cause)
          else if (pending.cancelled) this.#replyFailed(id, flags, new Error('cancelled before its arguments had come'))
          else this.#dispatch(id, target, method, flags, timeoutMs, metadata, args)
        })
        return
      }
    }
    this.references.lent = true
    const args = this.#decoder.decode(bytes, position, end, owned)
    this.references.lent = false
    this.#dispatch(id, target, method, flags, timeoutMs, metadata, args)
  }

  #dispatch(
    id: number,
    target: number,
    method: number,
    flags: number,
    timeoutMs: number | undefined,
    metadata: Metadata,
    args: unknown,
  ): void {
    if (!Array.isArray(args)) throw this.#breach(`call ${id} has arguments that are no list`, 0)
    if ((flags & CallFlag.oneWay) === 0) this.#admitCall(id)
    const found = this.references.find(target)
    if (found === undefined) {
      if (method === DISPOSE_METHOD && this.references.giveBackDisposed(target, args)) this.#reply(id, undefined)
      else this.#replyFailed(id, flags, new PluginError('ERR_REFERENCE_RELEASED', { what: `reference ${target}` }))
      return
    }
    const disposed = method === DISPOSE_METHOD && target !== ROOT ? this.references.dispose(found, args) : undefined
    let result: unknown
    this.#currentExport = found
    this.#currentMethod = method
    this.#currentTimeout = timeoutMs
    this.#currentMetadata = metadata
    this.#current = undefined
    const before = serving(this)
    try {
      if (disposed !== undefined) result = this.#dispose(disposed)
      else {
        const run = found.methods.functions[method]
        if (run === undefined)
          throw new PluginError('ERR_METHOD_NOT_FOUND', { method: `#${method}`, kind: found.name, methods: found.methods.names })
        result = Reflect.apply(run, found.target, args)
      }
    } catch (cause) {
      serving(before)
      this.#replyFailed(id, flags, cause)
      return
    }
    const call = this.#current as Current | undefined
    if (isThenable(result)) {
      serving(before)
      this.#serve(id, flags, result, call?.serving ?? this.#servingOf(found, method, timeoutMs, metadata))
      return
    }
    // An iterable that is sent takes the call's metadata with it, so the call is served until its answer is written.
    if ((flags & CallFlag.oneWay) === 0) this.#reply(id, result)
    serving(before)
  }

  /** A one-way call has no reply, so its id says nothing. */
  #admitCall(id: number): void {
    if (id >= this.limits.maxCalls) throw this.#breach(`call id ${id}, the highest is ${this.limits.maxCalls - 1}`, 0)
    if (this.#serving.size + this.#incomplete.size === 0) return
    if (this.#serving.has(id) || this.#incomplete.has(id)) throw this.#breach(`call ${id} was made while it was being served`, 0)
  }

  #servingOf(found: Export, method: number, timeoutMs: number | undefined, metadata: Metadata): Serving {
    return {
      name: `${found.name}.${found.methods.names[method] ?? ''}`,
      startedAt: timeoutMs === undefined ? 0 : performance.now(),
      timeoutMs,
      metadata,
      controller: undefined,
      cancelled: undefined,
    }
  }

  #serve(id: number, flags: number, result: PromiseLike<unknown>, call: Serving): void {
    const oneWay = (flags & CallFlag.oneWay) !== 0
    if (!oneWay) this.#serving.set(id, call)
    result.then(
      value => {
        if (oneWay || !this.#serving.delete(id)) return
        this.#reply(id, value)
      },
      (cause: unknown) => {
        if (oneWay || !this.#serving.delete(id)) return
        this.#replyFailed(id, flags, cause)
      },
    )
  }

  /** The context of the call that is being served at this moment. */
  context(): CallContext {
    const known = this.#current?.context
    if (known !== undefined) return known
    const call = this.#servingOf(this.#currentExport as Export, this.#currentMethod, this.#currentTimeout, this.#currentMetadata)
    const context: CallContext = {
      get signal() {
        call.controller ??= new AbortController()
        if (call.cancelled !== undefined && !call.controller.signal.aborted)
          call.controller.abort(cancelReason(call, call.cancelled.reason))
        return call.controller.signal
      },
      deadline: call.timeoutMs === undefined ? undefined : call.startedAt + call.timeoutMs,
      metadata: call.metadata,
    }
    this.#current = { context, serving: call }
    return context
  }

  #reply(id: number, value: unknown): void {
    try {
      this.#writeReply(id, 0, value, 'result')
    } catch (cause) {
      this.#replyFailed(id, 0, cause)
    }
  }

  #replyFailed(id: number, flags: number, cause: unknown): void {
    if ((flags & CallFlag.oneWay) !== 0) return
    try {
      const report = reportOf(cause)
      if (report !== undefined) this.#writeReply(id, ReplyFlag.failed | ReplyFlag.own, report, 'error')
      else this.#writeReply(id, ReplyFlag.failed, cause, 'error')
    } catch (unsendable) {
      this.#writeReply(id, ReplyFlag.failed, bareError(cause, unsendable), 'error')
    }
  }

  #writeReply(id: number, flags: number, value: unknown, root: string): void {
    const calls = this.#calls
    if (calls === undefined || this.#ended !== undefined || this.#ending) return
    const out = this.session.begin(calls)
    out.reserve(24)
    const { view } = out
    const start = out.position
    const before = out.length
    view.setUint8(start + 4, MessageType.reply)
    view.setUint32(start + 5, id)
    view.setUint8(start + 9, flags)
    out.position = start + 10
    try {
      this.#encoder.encode(out, value, root)
      this.references.commit()
    } catch (cause) {
      this.#writeBodyInstead(cause, out, start, undefined, value, root)
      view.setUint8(start + 9, flags | ReplyFlag.stream)
    }
    view.setUint32(start, out.length - before - LENGTH_BYTES)
    this.session.commit()
  }

  // ------------------------------------------------------------------------------------------------ values on streams of their own

  #readBody(view: DataView, position: number, end: number, done: (value: unknown, cause?: unknown) => void): void {
    if (end - position !== 8) throw this.#breach('a message whose value is on a stream that it does not name', position)
    const streamId = view.getUint32(position)
    const length = view.getUint32(position + 4)
    // Counted before it is allocated, and together: many that were announced and never sent must not add up.
    if (length > this.limits.maxValueBytes || this.#bodyBytes + length > this.#maxBodies) {
      throw new PluginError('ERR_VALUE_TOO_LARGE', { bytes: length, maxBytes: this.limits.maxValueBytes })
    }
    this.#bodyBytes += length
    const finish = (value: unknown, cause?: unknown): void => {
      this.#bodyBytes -= length
      done(value, cause)
    }
    this.claimStream(streamId).then(
      stream => {
        const body = Buffer.allocUnsafeSlow(length)
        stream.growWindow(length)
        let whole = false
        const read = (): void => {
          whole = true
          stream.end()
          const decoder = new ValueDecoder(this.limits, this.references)
          finish(decoder.decode(body, 0, length, true))
        }
        if (length === 0) throw this.#breach(`an empty value on stream ${streamId}`, 0)
        stream.fill(body, 0, read)
        stream.consume({
          chunk: () => {
            throw this.#breach(`stream ${streamId} carries more than the ${length} bytes of its value`, 0)
          },
          end: () => {
            if (!whole) finish(undefined, this.#breach(`stream ${streamId} ended before its value did`, 0))
          },
          fail: cause => {
            if (!whole) finish(undefined, cause)
          },
        })
      },
      cause => finish(undefined, cause),
    )
  }

  // ------------------------------------------------------------------------------------------------ what references need

  openStream(): Stream {
    return this.session.open()
  }

  #onStream(stream: Stream): void {
    if (this.#calls === undefined) {
      this.#useCallStream(stream)
      return
    }
    const claim = this.#claims.get(stream.id)
    if (claim === undefined) {
      this.#arrived.set(stream.id, stream)
      stream.onForgotten = () => this.#lose(stream.id)
      // The message that names a stream comes before or soon after it; each may bring a window of bytes that nobody reads yet.
      if (this.#arrived.size > MAX_UNNAMED_STREAMS) stream.reset()
      return
    }
    this.#claims.delete(stream.id)
    claim.arrived(stream)
  }

  /** A stream ended before the message that names it came; the message may still be on its way. */
  #lose(id: number): void {
    this.#arrived.delete(id)
    this.#lost.add(id)
    if (this.#lost.size > this.limits.maxStreams) for (const oldest of this.#lost) return void this.#lost.delete(oldest)
  }

  claimStream(id: number): StreamSlot {
    return {
      then: (arrived, never) => {
        const stream = this.#arrived.get(id)
        if (stream !== undefined) {
          this.#arrived.delete(id)
          stream.onForgotten = undefined
          arrived(stream)
        } else if (this.#lost.delete(id)) never(new PluginError('ERR_STREAM_RESET', { streamId: id }))
        else if (this.#ended !== undefined) never(this.#ended)
        else if (this.#claims.has(id) || this.#claims.size >= this.limits.maxStreams || !this.session.mayArrive(id)) {
          throw this.#breach(`a value on stream ${id}, which cannot be`, 0)
        } else this.#claims.set(id, { arrived, never })
      },
    }
  }

  /** Sends a message whose body is an id and a value; a value that cannot travel is told in words. */
  sendValue(type: number, id: number, value: unknown): void {
    const calls = this.#calls
    if (calls === undefined || this.#ended !== undefined) return
    if (this.session.encoding) {
      queueMicrotask(() => this.sendValue(type, id, value))
      return
    }
    const out = this.session.begin(calls)
    out.reserve(32)
    const { view } = out
    const start = out.position
    const before = out.length
    view.setUint8(start + 4, type)
    view.setUint32(start + 5, id)
    out.position = start + 9
    try {
      this.references.encode(this.#encoder, out, value, 'reason')
    } catch {
      out.position = start + 9
      this.#encoder.encode(out, String(value).slice(0, 1_000), 'reason')
    }
    view.setUint32(start, out.length - before - LENGTH_BYTES)
    this.session.commit()
  }

  sendRelease(id: number, count: number): void {
    this.#sendNumbers(MessageType.release, id, (view, position) => {
      view.setUint32(position, count)
      return 4
    })
  }

  sendSignalGone(id: number): void {
    this.#sendNumbers(MessageType.signalGone, id, () => 0)
  }

  sendTune(streamId: number, weight: number, maxBytesPerSecond: number): void {
    this.#sendNumbers(MessageType.tune, streamId, (view, position) => {
      view.setFloat64(position, weight)
      view.setFloat64(position + 8, maxBytesPerSecond)
      return 16
    })
  }

  #sendNumbers(type: number, id: number, rest: (view: DataView, position: number) => number): void {
    const calls = this.#calls
    if (calls === undefined || this.#ended !== undefined) return
    if (this.session.encoding) {
      queueMicrotask(() => this.#sendNumbers(type, id, rest))
      return
    }
    const out = this.session.begin(calls)
    out.reserve(32)
    const start = out.position
    out.view.setUint8(start + 4, type)
    out.view.setUint32(start + 5, id)
    const bytes = rest(out.view, start + 9)
    out.view.setUint32(start, 5 + bytes)
    out.position = start + 9 + bytes
    this.session.commit()
  }

  /** Sends output of this process that its wire cannot carry otherwise. */
  sendOutput(descriptor: number, bytes: Uint8Array): boolean {
    const calls = this.#calls
    if (calls === undefined || this.#ended !== undefined || this.session.encoding) return false
    for (let from = 0; from < bytes.length; from += 65_536) {
      const part = bytes.subarray(from, from + 65_536)
      const out = this.session.begin(calls)
      out.reserve(6 + part.length)
      out.view.setUint32(out.position, 2 + part.length)
      out.view.setUint8(out.position + 4, MessageType.output)
      out.view.setUint8(out.position + 5, descriptor)
      out.bytes.set(part, out.position + 6)
      out.position += 6 + part.length
    }
    this.session.commit()
    return this.session.unsentBytes(calls) < this.limits.maxUnsentBytes
  }

  release(held: Held): void {
    this.references.release(held)
  }

  forgetImport(held: Held): void {
    this.references.forgetImport(held)
  }

  hold(): void {
    if (this.#holds++ === 0 && !this.#options.stayAlive) this.session.ref()
  }

  letGo(): void {
    // At once: a timer that waits for more calls would cost nothing on average, but wake the loop in the middle of a call now and then.
    if (--this.#holds === 0 && !this.#options.stayAlive) this.session.unref()
  }

  // ------------------------------------------------------------------------------------------------ ending

  /**
   * Takes back everything that the peer holds of us, while the connection still carries what is said meanwhile: tells the calls that
   * are being served that nobody waits any more, and disposes instances. Never rejects.
   */
  async retire(reason: PluginError): Promise<void> {
    for (const call of this.#serving.values()) {
      call.cancelled ??= { reason }
      call.controller?.abort(reason)
    }
    // A producer that waits for something that may never come, and does not look at its signal, must not hold up the end.
    let late: ReturnType<typeof setTimeout> | undefined
    const patience = new Promise(resolve => {
      late = setTimeout(resolve, PRODUCER_MS)
    })
    await Promise.race([this.references.stopProducers(), patience])
    clearTimeout(late)
    for (const entry of this.references.takeBack()) void this.#dispose(entry).catch(() => undefined)
    // Those that were given back just before are waited for as well.
    await Promise.allSettled(this.#disposing)
  }

  /** Sends what is queued, then ends the connection in order. */
  close(): void {
    this.session.close()
  }

  /** Ends the connection at once; calls in flight reject with `cause`. */
  destroy(cause: PluginError): void {
    this.session.destroy(cause)
  }

  #onEnded(cause: PluginError | undefined): PluginError | Promise<PluginError> {
    this.#ending = true
    const explained = this.#options.onEnded(cause)
    if (explained instanceof Promise) {
      // Until the reason is known, calls wait for it rather than reject with a worse one.
      this.hold()
      explained.then(
        reason => this.#finish(reason),
        () => this.#finish(cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: 'the other side is gone' })),
      )
    } else this.#finish(explained)
    return explained
  }

  #finish(reason: PluginError): void {
    this.#ended = reason
    this.#deadlines.close()
    for (let id = 0; id < this.#resolve.length; id++) {
      const reject = this.#reject[id]
      if (reject === undefined) continue
      this.#settle(id)
      reject(reason)
    }
    for (const cleanup of this.#cleanups.values()) cleanup()
    this.#cleanups.clear()
    for (const call of this.#serving.values()) {
      call.cancelled = { reason }
      call.controller?.abort(reason)
    }
    this.#serving.clear()
    for (const claim of [...this.#claims.values()]) claim.never(reason)
    this.#claims.clear()
    this.#arrived.clear()
    this.#lost.clear()
    this.#incomplete.clear()
    for (const entry of this.references.end(reason)) void this.#dispose(entry).catch(() => undefined)
    this.#disposed = Promise.allSettled(this.#disposing)
  }

  #disposed: Promise<unknown> = Promise.resolve()
  /** Disposals that are under way. */
  readonly #disposing = new Set<Promise<void>>()

  #dispose(entry: Export): Promise<void> {
    const disposing = disposeExport(entry)
    this.#disposing.add(disposing)
    const done = (): void => void this.#disposing.delete(disposing)
    disposing.then(done, done)
    return disposing
  }

  /** Resolves when everything that the peer held has been disposed, once the connection has ended. */
  get disposed(): Promise<unknown> {
    return this.#disposed
  }
}

async function disposeExport(entry: Export): Promise<void> {
  const target = entry.target as { [Symbol.asyncDispose]?(): PromiseLike<void>; [Symbol.dispose]?(): void } | undefined
  if (typeof target?.[Symbol.asyncDispose] === 'function') await target[Symbol.asyncDispose]?.()
  else target?.[Symbol.dispose]?.()
}

const ignore = (): void => undefined

function minimumBytes(type: number): number {
  switch (type) {
    case MessageType.call:
      return 13
    case MessageType.reply:
      return 7
    case MessageType.cancel:
    case MessageType.abort:
    case MessageType.signal:
      return 6
    case MessageType.release:
      return 9
    case MessageType.tune:
      return 21
    case MessageType.output:
      return 2
    case MessageType.signalGone:
      return 5
    default:
      return Number.POSITIVE_INFINITY
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function'

function cancelReason(call: Serving, reason: unknown): Error {
  if (reason === 'timeout') return new PluginError('ERR_CALL_TIMEOUT', { method: call.name, timeoutMs: call.timeoutMs ?? 0 })
  return isPluginError(reason) ? reason : new PluginError('ERR_CALL_CANCELLED', { method: call.name })
}

function checkedMetadata(value: unknown): Metadata {
  if (Array.isArray(value) && value.length % 2 === 0 && value.every(text => typeof text === 'string')) {
    const metadata: Record<string, string> = Object.create(null)
    for (let index = 0; index < value.length; index += 2) metadata[value[index] as string] = value[index + 1] as string
    return metadata
  }
  throw new PluginError('ERR_CALL_FRAME', { reason: 'metadata that is not made of texts', offset: 0 })
}
