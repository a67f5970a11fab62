// One go-plugin connection over net/rpc, as both sides have it: a session, its broker, and the calls in both directions. It must not know processes.

import { isPluginError, PluginError } from 'plugwire'
import { type Link, Session, type Stream } from 'plugwire/mux'
import { MuxBroker } from './broker/mux-broker.ts'
import type { Carrier, WireMethod } from './rpc/body.ts'
import { PLUGIN_SERVICE } from './rpc/headers.ts'
import { RpcServer, type ServedMethod } from './rpc/server.ts'

/** Bytes of one argument or result. Go takes up to a gigabyte; what is that long is better passed as a stream. */
const MAX_VALUE_BYTES = 256 * 1024 * 1024

/** Each instance and each passed object has a stream of its own, so there may be more than elsewhere. */
const MAX_STREAMS = 16_384

/** Warnings in a second of streams that nobody wanted. */
const MAX_SURPLUS_WARNINGS = 20

export interface PeerOptions {
  /** The host is the client of the session. */
  readonly role: 'host' | 'plugin'
  /** Streams that the peer opens and that are none of the broker's; true when it was one. */
  readonly onStream?: (stream: Stream) => boolean
  /** Keeps the event loop alive while nothing is in flight, too. */
  readonly stayAlive: boolean
  /** The session ended. What it returns is what open calls and streams end with. */
  readonly onEnded: (cause: PluginError | undefined) => PluginError | Promise<PluginError> | undefined
  readonly warn: (message: string, fields?: Readonly<Record<string, unknown>>) => void
}

export class Peer implements Carrier {
  readonly session: Session
  readonly broker: MuxBroker
  readonly maxValueBytes: number = MAX_VALUE_BYTES
  readonly #warn: PeerOptions['warn']
  callsInFlight = 0
  callsServed = 0
  serviceStreams = 0
  refusal: PluginError | undefined
  #holds = 0
  /** Warnings of this kind since then. */
  #surplus = 0
  #surplusSince = 0

  constructor(link: Link, options: PeerOptions) {
    this.#warn = options.warn
    this.session = new Session(link, {
      role: options.role === 'host' ? 'client' : 'server',
      maxStreams: MAX_STREAMS,
      onStream: stream => {
        if (!options.onStream?.(stream)) this.broker.take(stream)
      },
      onEnded: cause => {
        this.broker.close(cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: 'the other side is gone' }))
        return options.onEnded(cause)
      },
    })
    this.broker = new MuxBroker(this.session, { onSurplus: reason => this.#onSurplus(reason) })
    if (options.stayAlive) this.hold()
    else this.session.unref()
  }

  /** A peer can open streams that nobody wants faster than anybody can read of them. */
  #onSurplus(reason: string): void {
    const now = performance.now()
    if (now - this.#surplusSince >= 1_000) {
      this.#surplusSince = now
      this.#surplus = 0
    }
    if (++this.#surplus <= MAX_SURPLUS_WARNINGS) this.warn(`a brokered stream was closed: ${reason}`)
    else if (this.#surplus === MAX_SURPLUS_WARNINGS + 1) this.warn('more brokered streams were closed, too many to be told of each')
  }

  hold(): void {
    if (this.#holds++ === 0) this.session.ref()
  }

  letGo(): void {
    if (--this.#holds === 0) this.session.unref()
  }

  warn(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#warn(message, fields)
  }

  serve(stream: Stream, label: string, methods: readonly WireMethod[], target: object, onEnded?: () => void): void {
    this.serviceStreams++
    const services = new Map([[PLUGIN_SERVICE, servedMethods(methods, target)]])
    new RpcServer(this, stream, services, cause => {
      this.serviceStreams--
      if (cause !== undefined && !isPluginError(cause, 'ERR_STREAM_RESET') && !this.session.ended) {
        this.warn(`calls of ${label} ended: ${cause.message}`, { code: cause.code })
      }
      onEnded?.()
    })
  }
}

/** The methods that the target has, by their names in Go. */
function servedMethods(methods: readonly WireMethod[], target: object): ReadonlyMap<string, ServedMethod> {
  const served = new Map<string, ServedMethod>()
  for (const { name, serviceMethod, arg, reply } of methods) {
    const run = (target as Record<string, unknown>)[name]
    if (typeof run !== 'function') continue
    served.set(serviceMethod.slice(PLUGIN_SERVICE.length + 1), { arg, reply, run: value => Reflect.apply(run, target, [value]) })
  }
  return served
}
