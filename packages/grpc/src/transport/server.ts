// A server's side: the services that are served, and the connections that were handed in.

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { ServiceDefinition } from './definition.ts'
import { GrpcError } from './grpc-error.ts'
import { handlerOf } from './handlers.ts'
import { addStatus, CONTENT_TYPE } from './headers.ts'
import type { GrpcServer, Handlers, ServerOptions } from './seam.ts'
import { type ServedMethod, ServerCall, type ServerCallOwner } from './server-call.ts'
import { ServerConnections } from './server-connections.ts'
import { Status } from './status.ts'

/** Milliseconds that a peer may take to close its side once we have closed ours. */
const LINGER_MS = 100

export function createGrpcServer(options: ServerOptions = {}): GrpcServer {
  return new Http2GrpcServer(options)
}

class Http2GrpcServer implements GrpcServer {
  readonly #connections: ServerConnections
  readonly #methods = new Map<string, ServedMethod>()
  readonly #services = new Set<string>()
  readonly #calls = new Set<ServerCall>()
  readonly #owner: ServerCallOwner
  #closing = false
  #changed: (() => void) | undefined

  constructor(options: ServerOptions) {
    this.#owner = {
      maxMessageBytes: options.maxMessageBytes ?? Number.POSITIVE_INFINITY,
      begun: call => {
        this.#calls.add(call)
        if (this.#calls.size === 1) options.hold?.()
      },
      ended: call => {
        if (!this.#calls.delete(call) || this.#calls.size > 0) return
        options.release?.()
        this.#changed?.()
      },
    }
    this.#connections = new ServerConnections(options, {
      stream: (stream, headers, raw, peer) => this.#answer(stream, headers, raw, peer),
      failed: (error, name) => options.onConnectionError?.(error, name),
      changed: () => this.#changed?.(),
    })
  }

  get services(): readonly string[] {
    return [...this.#services]
  }

  get callsInFlight(): number {
    return this.#calls.size
  }

  get connections(): number {
    return this.#connections.size
  }

  add(service: ServiceDefinition, handlers: Handlers): void {
    const served = Object.entries(service).map(([name, method]): ServedMethod => {
      if (this.#methods.has(method.path)) throw new TypeError(`${method.path} is served already`)
      return { method, handle: handlerOf(name, method, handlers) }
    })
    for (const method of served) {
      const { path } = method.method
      this.#methods.set(path, method)
      this.#services.add(path.slice(1, path.lastIndexOf('/')))
    }
  }

  inject(connection: Duplex, name?: string): void {
    if (this.#closing || connection.destroyed) connection.destroy()
    else this.#connections.add(connection, name)
  }

  async close(graceMs: number): Promise<void> {
    this.#closing = true
    this.#connections.close()
    if (graceMs > 0) await this.#until(() => this.#calls.size === 0, graceMs)
    // Those that came out of their handshakes meanwhile, too.
    this.#connections.close()
    await this.#until(() => this.#connections.size === 0, LINGER_MS)
    this.destroy()
  }

  destroy(): void {
    this.#closing = true
    this.#connections.destroy()
  }

  #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[], peer: object): void {
    const served = this.#methods.get(headers[':path'] as string)
    const refusal = refusalOf(headers, served)
    if (refusal !== undefined || served === undefined) refuse(stream, refusal ?? {})
    else ServerCall.answer(stream, headers, raw, peer, served, this.#owner)
  }

  /** Resolves when it is so, at the latest after so many milliseconds. */
  async #until(isSo: () => boolean, ms: number): Promise<void> {
    if (isSo()) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      timer = setTimeout(resolve, ms)
      this.#changed = () => {
        if (isSo()) resolve()
      }
    })
    clearTimeout(timer)
    this.#changed = undefined
  }
}

/** The headers of an answer to what is no call of ours; undefined when it is one. Codes as grpc-go's. */
function refusalOf(headers: IncomingHttpHeaders, served: ServedMethod | undefined): Record<string, string | number> | undefined {
  if (headers[':method'] !== 'POST') return { ':status': 405, allow: 'POST' }
  if (!headers['content-type']?.startsWith(CONTENT_TYPE)) return { ':status': 415 }
  if (served !== undefined) return undefined
  const answer: Record<string, string> = {}
  addStatus(answer, new GrpcError(Status.UNIMPLEMENTED, `nothing is served at ${headers[':path']}`))
  return { ':status': 200, 'content-type': CONTENT_TYPE, ...answer }
}

function refuse(stream: ServerHttp2Stream, headers: Record<string, string | number>): void {
  stream.on('error', () => {}) // the caller may be gone, which is as good
  stream.respond(headers, { endStream: true })
  // Its requests are dropped; it is told to stop sending them.
  stream.resume()
  // Not at once: closing a stream drops what HTTP/2 has not sent yet.
  stream.once('finish', () => setImmediate(() => stream.close()))
}
