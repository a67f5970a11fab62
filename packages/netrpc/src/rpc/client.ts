// The calling side of net/rpc on one stream. It must not know what stream that is or what the methods are.
//
// Pairs of header and body go out in the order of the calls; answers come in any order and are told apart by their number. net/rpc has no word
// for giving up: a call that is cancelled or too late is abandoned, the other side goes on with it, and its answer is passed over when it comes.

import { isPluginError, PluginError } from 'plugwire'
import { type CallOptions, Deadlines, defaultLimits, RemoteError } from 'plugwire/driver'
import type { Stream } from 'plugwire/mux'
import type { AnySchema } from '../gob/schema.ts'
import { type Carrier, inCall, type WireMethod } from './body.ts'
import { type Response, request, response } from './headers.ts'
import { PairSource, PairWriter } from './wire.ts'

interface Pending {
  readonly method: WireMethod
  readonly name: string
  readonly resolve: (value: unknown) => void
  readonly reject: (cause: unknown) => void
  unwatch: (() => void) | undefined
  /** Nobody waits any more. */
  abandoned: boolean
}

export interface RpcClientOptions {
  /** What the stream is, for texts. */
  readonly label: string
  /** Calls go on although the application may make none: the stream is the one of control. */
  readonly internal?: boolean
  /** The stream ended, in order (undefined) or by `cause`. Called once, before calls reject. */
  readonly onEnded?: (cause: PluginError | undefined) => void
}

/** The client of one net/rpc stream. */
export class RpcClient {
  readonly #stream: Stream
  readonly #carrier: Carrier
  readonly #options: RpcClientOptions
  readonly #writer: PairWriter
  readonly #source: PairSource<Response>
  readonly #pending = new Map<number, Pending>()
  readonly #deadlines: Deadlines = new Deadlines((seq, timeoutMs) => this.#expire(seq, timeoutMs))
  #seq = 0
  #abandoned = 0
  #ended: PluginError | undefined
  #closed = false
  #retiring = false
  /** The answer whose body is awaited. */
  #answer: Response | undefined

  /** @param stream Ours alone from now on; it may be paused. */
  constructor(carrier: Carrier, stream: Stream, options: RpcClientOptions) {
    this.#carrier = carrier
    this.#stream = stream
    this.#options = options
    this.#writer = new PairWriter(carrier.session, stream, carrier.maxValueBytes)
    this.#source = new PairSource<Response>(
      { header: response, onHeader: header => this.#onHeader(header), onBody: (value, cause) => this.#onBody(value, cause) },
      carrier.maxValueBytes,
    )
    stream.consume({
      chunk: (bytes, start, end) => this.#receive(bytes, start, end),
      end: () => this.#end(undefined),
      fail: cause => this.#end(cause),
    })
    stream.resume()
  }

  /** Why no more calls can be made, once the stream has ended. */
  get ended(): PluginError | undefined {
    return this.#ended
  }

  /**
   * Makes a call.
   *
   * @throws RemoteError what the method answered with; PluginError `ERR_GOB_…` when argument or result do not fit, `ERR_CALL_TIMEOUT`,
   * `ERR_CALL_CANCELLED`, `ERR_CALL_LIMIT`, or why the stream ended.
   */
  call(method: WireMethod, arg: unknown, options: CallOptions | undefined, name: string): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const { refusal } = this.#carrier
    if (refusal !== undefined && !this.#options.internal) return Promise.reject(refusal)
    // A getter of an argument that is being written makes a call: after that argument, then.
    if (this.#writer.busy) return Promise.resolve().then(() => this.call(method, arg, options, name))
    const signal = options?.signal
    if (signal?.aborted) return Promise.reject(cancelled(name, signal))
    const full = this.#fullness()
    if (full !== undefined) return Promise.reject(full)
    return new Promise((resolve, reject) => {
      const seq = this.#seq++
      try {
        const { toWire, schema } = method.arg
        const value = toWire === undefined ? arg : toWire(arg, this.#carrier)
        this.#writer.write(request, { ServiceMethod: method.serviceMethod, Seq: seq }, schema, value as never)
      } catch (cause) {
        reject(inCall(cause, name, 'argument'))
        return
      }
      this.#pending.set(seq, { method, name, resolve, reject, unwatch: undefined, abandoned: false })
      if (this.#carrier.callsInFlight++ === 0) this.#carrier.hold()
      if (options === undefined) return
      if (options.timeoutMs !== undefined) this.#deadlines.set(seq, options.timeoutMs)
      if (signal !== undefined) this.#watch(seq, name, signal)
    })
  }

  /** Makes no more calls: tells the peer so, and calls without an answer reject. Twice is fine. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    const unanswered = this.#pending.size > 0
    this.#end(new PluginError('ERR_REFERENCE_RELEASED', { what: this.#options.label }))
    // Calls that still run over there are told by a reset, for there is no other word.
    if (unanswered) this.#stream.reset()
    else this.#stream.end()
  }

  /** Nobody holds it any more: closes when every call has its answer. */
  retire(): void {
    this.#retiring = true
    if (this.#pending.size === 0) this.close()
  }

  /** Says that we make no more calls, and waits for the peer's end. */
  finish(): void {
    this.#stream.end()
  }

  #fullness(): PluginError | undefined {
    const { maxCalls, maxUnsentBytes } = defaultLimits
    if (this.#pending.size >= maxCalls) return new PluginError('ERR_CALL_LIMIT', { limit: 'calls that have no answer', max: maxCalls })
    if (this.#abandoned > 0 && this.#writer.unsentBytes > maxUnsentBytes) {
      return new PluginError('ERR_CALL_LIMIT', { limit: 'bytes of calls that the other side does not take', max: maxUnsentBytes })
    }
    return undefined
  }

  #watch(seq: number, name: string, signal: AbortSignal): void {
    const onAbort = (): void => this.#abandon(seq, cancelled(name, signal))
    signal.addEventListener('abort', onAbort, { once: true })
    const pending = this.#pending.get(seq)
    if (pending !== undefined) pending.unwatch = () => signal.removeEventListener('abort', onAbort)
  }

  #expire(seq: number, timeoutMs: number): void {
    const name = this.#pending.get(seq)?.name ?? ''
    this.#abandon(seq, new PluginError('ERR_CALL_TIMEOUT', { method: name, timeoutMs }))
  }

  /** Nobody waits for the answer any more; its number stays taken until it comes. */
  #abandon(seq: number, cause: PluginError): void {
    const pending = this.#pending.get(seq)
    if (pending === undefined || pending.abandoned) return
    this.#settle(seq, pending)
    pending.abandoned = true
    this.#abandoned++
    pending.reject(cause)
  }

  #settle(seq: number, pending: Pending): void {
    if (this.#deadlines.size > 0) this.#deadlines.delete(seq)
    pending.unwatch?.()
    if (--this.#carrier.callsInFlight === 0) this.#carrier.letGo()
  }

  // ------------------------------------------------------------------------------------------------ answers

  #receive(bytes: Buffer, start: number, end: number): void {
    if (this.#ended !== undefined) return
    try {
      this.#source.push(bytes, start, end)
    } catch (cause) {
      const fault = isPluginError(cause) ? cause : new PluginError('ERR_CALL_FRAME', { reason: String(cause), offset: 0 }, { cause })
      this.#end(fault)
      this.#stream.reset()
    }
  }

  #onHeader(header: Response): AnySchema | undefined {
    this.#answer = header
    if (header.Error !== '') return undefined
    const pending = this.#pending.get(header.Seq)
    if (pending === undefined || pending.abandoned || pending.method.reply.ignored) return undefined
    return pending.method.reply.schema
  }

  #onBody(value: unknown, cause: PluginError | undefined): void {
    const { Seq: seq, Error: text } = this.#answer as Response
    const pending = this.#pending.get(seq)
    if (pending === undefined) return
    this.#pending.delete(seq)
    if (this.#retiring && this.#pending.size === 0) queueMicrotask(() => this.close())
    if (pending.abandoned) {
      this.#abandoned--
      return
    }
    this.#settle(seq, pending)
    if (text !== '') return pending.reject(remoteError(text, pending.name))
    if (cause !== undefined) return pending.reject(inCall(cause, pending.name, 'result'))
    const { fromWire } = pending.method.reply
    if (fromWire === undefined) return pending.resolve(value)
    try {
      pending.resolve(fromWire(value, this.#carrier))
    } catch (unusable) {
      pending.reject(inCall(unusable, pending.name, 'result'))
    }
  }

  #end(cause: PluginError | undefined): void {
    if (this.#ended !== undefined) return
    const reason = cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: `the other side has ended ${this.#options.label}` })
    this.#ended = reason
    // An end is answered with an end, or Go keeps its half of the stream for five minutes.
    if (cause === undefined) this.#stream.end()
    this.#options.onEnded?.(cause)
    this.#deadlines.close()
    for (const [seq, pending] of this.#pending) {
      if (pending.abandoned) continue
      this.#settle(seq, pending)
      pending.reject(reason)
    }
    this.#pending.clear()
  }
}

/** net/rpc carries no stack; the method at least can be said. */
function remoteError(message: string, method: string): RemoteError {
  const error = new RemoteError({ name: 'Error', message, stack: undefined, data: {} })
  error.stack += `\n    at ${method} [remote]`
  return error
}

/** @internal */
export function cancelled(method: string, signal: AbortSignal): PluginError {
  return new PluginError('ERR_CALL_CANCELLED', { method }, { cause: signal.reason })
}
