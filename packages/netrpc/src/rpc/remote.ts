// An object or a function of the other side, as the application holds it: its calls travel on a net/rpc stream of its own.

import { isPluginError, PluginError } from 'plugwire'
import { type Caller, type CallOptions, createRemoteFunction, createRemoteObject, DISPOSE_METHOD, type Held } from 'plugwire/driver'
import type { Stream } from 'plugwire/mux'
import type { Carrier, WireMethod } from './body.ts'
import { cancelled, RpcClient } from './client.ts'

/** Ends the stream of what the application has lost without disposing it. */
const lost = new FinalizationRegistry<RemoteService>(service => service.retire())

/** @internal An object whose methods are calls on a stream. */
export function remoteObject(carrier: Carrier, coming: Stream | Promise<Stream>, label: string, methods: readonly WireMethod[]): object {
  const service = new RemoteService(carrier, coming, label, methods)
  const object = createRemoteObject(
    service,
    service.held,
    methods.map(({ name }) => name),
  )
  lost.register(object, service)
  carriers.set(object, carrier)
  return object
}

/** @internal A function whose calls are those of the one method. */
export function remoteFunction(
  carrier: Carrier,
  coming: Promise<Stream>,
  label: string,
  method: WireMethod,
): (...args: unknown[]) => Promise<unknown> {
  const service = new RemoteService(carrier, coming, label, [method])
  const remote = createRemoteFunction(service, service.held)
  lost.register(remote, service)
  return remote
}

const carriers = new WeakMap<object, Carrier>()

/** @internal Remembers over which connection an instance is served. */
export function rememberCarrier(instance: object, carrier: Carrier): void {
  carriers.set(instance, carrier)
}

/** @internal The connection of a dispensed object, or of an instance that was dispensed. */
export function carrierOf(object: object): Carrier | undefined {
  return carriers.get(object)
}

class RemoteService implements Caller {
  readonly held: Held
  readonly #carrier: Carrier
  readonly #methods: readonly WireMethod[]
  #client: RpcClient | undefined
  /** Until the stream is there. */
  #coming: Promise<RpcClient> | undefined
  #closed = false

  constructor(carrier: Carrier, coming: Stream | Promise<Stream>, label: string, methods: readonly WireMethod[]) {
    this.#carrier = carrier
    this.#methods = methods
    this.held = { id: 0, name: label, count: 1, released: false, lent: true }
    if (coming instanceof Promise) {
      this.#coming = coming.then(stream => this.#begin(stream))
      // Calls tell of it, if there are any.
      this.#coming.catch(() => undefined)
    } else this.#begin(coming)
  }

  #begin(stream: Stream): RpcClient {
    this.#carrier.serviceStreams++
    const client = new RpcClient(this.#carrier, stream, {
      label: this.held.name,
      onEnded: () => {
        this.#carrier.serviceStreams--
      },
    })
    this.#client = client
    this.#coming = undefined
    if (this.#closed) client.close()
    return client
  }

  call(_target: number, method: number, args: readonly unknown[], options: CallOptions | undefined, name: string): Promise<unknown> {
    if (method === DISPOSE_METHOD) {
      this.close()
      return Promise.resolve()
    }
    const wire = this.#methods[method] as WireMethod
    if (this.#client !== undefined) return this.#client.call(wire, args[0], options, name)
    const since = performance.now()
    this.#carrier.hold()
    return patiently(this.#coming as Promise<RpcClient>, options, name)
      .finally(() => this.#carrier.letGo())
      .then(
        client => client.call(wire, args[0], after(options, performance.now() - since), name),
        cause => {
          throw isPluginError(cause) ? cause : new PluginError('ERR_SESSION_CLOSED', { reason: String(cause) }, { cause })
        },
      )
  }

  release(): void {
    this.close()
  }

  forgetImport(): void {}

  close(): void {
    this.#closed = true
    this.#client?.close()
  }

  /** The application has lost it, perhaps while it waits for an answer. */
  retire(): void {
    if (this.#client !== undefined) this.#client.retire()
    else this.#coming?.then(client => client.retire()).catch(() => undefined)
  }
}

/** Waits for the stream as long as the call may take. */
function patiently(coming: Promise<RpcClient>, options: CallOptions | undefined, method: string): Promise<RpcClient> {
  const { timeoutMs, signal } = options ?? {}
  if (timeoutMs === undefined && signal === undefined) return coming
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancelled(method, signal as AbortSignal))
    const onTime = (): void => reject(new PluginError('ERR_CALL_TIMEOUT', { method, timeoutMs: timeoutMs as number }))
    const timer = timeoutMs === undefined ? undefined : setTimeout(onTime, timeoutMs)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    const settled = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
    coming.then(resolve, reject).finally(settled)
  })
}

/** What is left of the time of a call. */
function after(options: CallOptions | undefined, ms: number): CallOptions | undefined {
  if (options?.timeoutMs === undefined) return options
  return { ...options, timeoutMs: Math.max(1, Math.ceil(options.timeoutMs - ms)) }
}
