// The serving side of net/rpc on one stream. It must not know what stream that is. The texts of errors are those of Go's net/rpc, which programs
// show to people. Source: net/rpc server.go `readRequestHeader`, `ServeCodec`.

import { isPluginError, PluginError } from 'plugwire'
import { type CallContext, type ContextSource, defaultLimits, serving } from 'plugwire/driver'
import type { Stream } from 'plugwire/mux'
import type { AnySchema } from '../gob/schema.ts'
import { type Body, type Carrier, inCall } from './body.ts'
import { emptyStruct, type Request, request, response } from './headers.ts'
import { PairSource, PairWriter } from './wire.ts'

/** A method that can be called. */
export interface ServedMethod {
  readonly arg: Body
  readonly reply: Body
  readonly run: (arg: unknown) => unknown
}

/** By service, by method. */
export type ServedMethods = ReadonlyMap<string, ReadonlyMap<string, ServedMethod>>

interface Incoming {
  readonly header: Request
  readonly method: ServedMethod | undefined
  /** Why it cannot be served. */
  readonly refusal: string | undefined
}

/**
 * The server of one net/rpc stream. Each call runs by itself and is answered when it is done. When the peer ends, calls that run are
 * still answered, then the stream ends.
 */
export class RpcServer implements ContextSource {
  readonly #stream: Stream
  readonly #carrier: Carrier
  readonly #services: ServedMethods
  readonly #onEnded: (cause: PluginError | undefined) => void
  readonly #writer: PairWriter
  readonly #source: PairSource<Request>
  #incoming: Incoming | undefined
  #running = 0
  #peerEnded = false
  #ended = false
  #controller: AbortController | undefined

  /**
   * @param stream Ours alone from now on; it may be paused.
   * @param onEnded The stream is over, in order or by a cause; every call has been answered then or never will be.
   */
  constructor(carrier: Carrier, stream: Stream, services: ServedMethods, onEnded: (cause: PluginError | undefined) => void) {
    this.#carrier = carrier
    this.#stream = stream
    this.#services = services
    this.#onEnded = onEnded
    this.#writer = new PairWriter(carrier.session, stream, carrier.maxValueBytes)
    this.#source = new PairSource<Request>(
      { header: request, onHeader: header => this.#onHeader(header), onBody: (value, cause) => this.#onBody(value, cause) },
      carrier.maxValueBytes,
    )
    stream.consume({
      chunk: (bytes, start, end) => this.#receive(bytes, start, end),
      end: () => this.#onPeerEnd(),
      fail: cause => this.#end(cause),
    })
    stream.resume()
  }

  /** What `callContext()` gives a method: net/rpc tells of no deadline and no cancellation, so the signal is that of the stream. */
  context(): CallContext {
    const signal = (): AbortSignal => {
      this.#controller ??= new AbortController()
      if (this.#ended) this.#controller.abort()
      return this.#controller.signal
    }
    return {
      get signal() {
        return signal()
      },
      deadline: undefined,
      metadata: {},
    }
  }

  #receive(bytes: Buffer, start: number, end: number): void {
    if (this.#ended || this.#peerEnded) return
    try {
      this.#source.push(bytes, start, end)
    } catch (cause) {
      this.#breach(isPluginError(cause) ? cause : new PluginError('ERR_CALL_FRAME', { reason: String(cause), offset: 0 }, { cause }))
      return
    }
    // Answers that nobody takes: stop taking questions until they have left the session and, for want of credit, the stream.
    if (this.#writer.unsentBytes > defaultLimits.maxUnsentBytes) {
      this.#stream.pause()
      this.#carrier.session.onceFlushed(() => this.#stream.onceWritable(() => this.#stream.resume()))
    }
  }

  /** What came is no request. As in Go, what runs is still answered, and nothing more is read. */
  #breach(cause: PluginError): void {
    this.#carrier.warn(`a stream of calls ended: ${cause.message}`, { code: cause.code })
    this.#peerEnded = true
    if (this.#running === 0) this.#finish()
  }

  #onPeerEnd(): void {
    this.#peerEnded = true
    if (this.#running === 0) this.#finish()
  }

  #finish(): void {
    if (this.#ended) return
    this.#stream.end()
    this.#end(undefined)
  }

  #end(cause: PluginError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#controller?.abort(cause)
    this.#onEnded(cause)
  }

  #onHeader(header: Request): AnySchema | undefined {
    const { ServiceMethod: name } = header
    const dot = name.lastIndexOf('.')
    let refusal: string | undefined
    let method: ServedMethod | undefined
    if (dot < 0) refusal = `rpc: service/method request ill-formed: ${name}`
    else {
      const service = this.#services.get(name.slice(0, dot))
      if (service === undefined) refusal = `rpc: can't find service ${name}`
      else {
        method = service.get(name.slice(dot + 1))
        if (method === undefined) refusal = `rpc: can't find method ${name}`
        else if (this.#running >= defaultLimits.maxCalls) refusal = `rpc: more than ${defaultLimits.maxCalls} calls at a time`
      }
    }
    this.#incoming = { header, method, refusal }
    return refusal !== undefined || method?.arg.ignored ? undefined : method?.arg.schema
  }

  #onBody(value: unknown, cause: PluginError | undefined): void {
    const { header, method, refusal } = this.#incoming as Incoming
    this.#incoming = undefined
    if (refusal !== undefined || method === undefined) return this.#refuse(header, refusal ?? '')
    if (cause !== undefined) return this.#refuse(header, textOf(inCall(cause, header.ServiceMethod, 'argument')))
    let result: unknown
    const before = serving(this)
    try {
      result = method.run(this.#taken(header, method, value))
    } catch (thrown) {
      this.#refuse(header, textOf(thrown))
      return
    } finally {
      serving(before)
    }
    if (!isPromise(result)) return this.#answer(header, method, result)
    this.#running++
    this.#carrier.callsServed++
    Promise.resolve(result).then(
      settled => this.#settle(() => this.#answer(header, method, settled)),
      thrown => this.#settle(() => this.#refuse(header, textOf(thrown))),
    )
  }

  #taken({ ServiceMethod }: Request, { arg: { fromWire } }: ServedMethod, value: unknown): unknown {
    try {
      return fromWire === undefined ? value : fromWire(value, this.#carrier)
    } catch (cause) {
      throw inCall(cause, ServiceMethod, 'argument')
    }
  }

  #settle(answer: () => void): void {
    this.#running--
    this.#carrier.callsServed--
    answer()
    if (this.#peerEnded && this.#running === 0) this.#finish()
  }

  #answer({ ServiceMethod, Seq }: Request, method: ServedMethod, result: unknown): void {
    if (this.#ended) return
    // A getter of another answer is being read: after that one.
    if (this.#writer.busy) return queueMicrotask(() => this.#answer({ ServiceMethod, Seq }, method, result))
    try {
      const { toWire, schema } = method.reply
      const value = toWire === undefined ? result : toWire(result, this.#carrier)
      this.#writer.write(response, { ServiceMethod, Seq, Error: '' }, schema, value as never)
    } catch (cause) {
      this.#refuse({ ServiceMethod, Seq }, `the result of ${ServiceMethod} cannot travel: ${textOf(cause)}`)
    }
  }

  #refuse({ ServiceMethod, Seq }: Request, text: string): void {
    if (this.#ended) return
    if (this.#writer.busy) return queueMicrotask(() => this.#refuse({ ServiceMethod, Seq }, text))
    this.#writer.write(response, { ServiceMethod, Seq, Error: sendable(text) }, emptyStruct, {})
  }
}

/** What an error says. An error without words would be none for the caller. */
function textOf(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return String(thrown) || 'an empty error'
    return String(thrown.message || thrown.name || 'an error without words')
  } catch {
    // Anything may be thrown, also what has no string.
    return 'an error that cannot be told'
  }
}

/** Texts may hold what is no Unicode, and be of any length. */
const MAX_ERROR_CHARACTERS = 1024 * 1024
const sendable = (text: string): string => Buffer.from(text.slice(0, MAX_ERROR_CHARACTERS)).toString()

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
