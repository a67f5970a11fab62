// A server's side: the services that are served, and the connections that were handed in.

import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions as SessionServerOptions,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import type { ServiceDefinition } from './definition.ts'
import { GrpcError } from './grpc-error.ts'
import { handlerOf } from './handlers.ts'
import { addStatus, CONTENT_TYPE } from './headers.ts'
import { sessionOptions, sessionSettings } from './http2-session.ts'
import type { GrpcServer, Handlers, ServerOptions } from './seam.ts'
import { type ServedMethod, ServerCall, type ServerCallOwner } from './server-call.ts'
import { Status } from './status.ts'
import { secureOptions } from './tls.ts'

const MAX_CONCURRENT_CALLS = 65_536
const STREAM_RESET_BURST = 100_000
const STREAM_RESET_RATE = 10_000
/** Milliseconds for a TLS handshake. */
const HANDSHAKE_TIMEOUT_MS = 20_000
/** Milliseconds that a peer may take to close its side once we have closed ours. */
const LINGER_MS = 100

export function createGrpcServer(options: ServerOptions = {}): GrpcServer {
  return new Http2GrpcServer(options)
}

class Http2GrpcServer implements GrpcServer {
  readonly #options: ServerOptions
  readonly #server: Http2Server | Http2SecureServer
  readonly #methods = new Map<string, ServedMethod>()
  readonly #services = new Set<string>()
  readonly #calls = new Set<ServerCall>()
  /** What was injected and is still open, before and after its handshake. */
  readonly #connections = new Set<Duplex>()
  readonly #sessions = new Map<ServerHttp2Session, object>()
  readonly #owner: ServerCallOwner
  #closing = false
  #empty: (() => void) | undefined

  constructor(options: ServerOptions) {
    this.#options = options
    this.#owner = { maxMessageBytes: options.maxMessageBytes ?? Number.POSITIVE_INFINITY, ended: call => this.#ended(call) }
    // Node 22.23 and 24.21 end a connection after a thousand cancelled calls unless told otherwise; older ones do not know the options.
    const resets = {
      streamResetBurst: options.streamResetBurst ?? STREAM_RESET_BURST,
      streamResetRate: options.streamResetRate ?? STREAM_RESET_RATE,
    }
    const common: SessionServerOptions = {
      ...sessionOptions(sessionSettings(options.maxConcurrentCalls ?? MAX_CONCURRENT_CALLS)),
      ...resets,
    }
    if (options.tls === undefined) this.#server = createServer(common)
    else {
      this.#server = createSecureServer({
        ...common,
        ...secureOptions(options.tls),
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      })
      this.#server.on('tlsClientError', error => this.#complain(error))
    }
    const server: Http2Server = this.#server as Http2Server
    server.on('session', session => this.#onSession(session))
    server.on('sessionError', error => this.#complain(error))
    server.on('stream', (stream, headers, _flags, ...[raw]: unknown[]) => this.#onStream(stream, headers, raw as readonly string[]))
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
    if (this.#closing || connection.destroyed) {
      connection.destroy()
      return
    }
    this.#connections.add(connection)
    // It may break before HTTP/2 or TLS listens, and after they have stopped to.
    connection.on('error', error => this.#complain(error, name))
    connection.once('close', () => this.#forget(connection))
    this.#server.emit('connection', connection)
  }

  async close(graceMs: number): Promise<void> {
    this.#closing = true
    for (const session of this.#sessions.keys()) session.close()
    if (graceMs > 0) await this.#emptied(graceMs, () => this.#calls.size === 0)
    for (const session of this.#sessions.keys()) session.close()
    await this.#emptied(LINGER_MS, () => this.#sessions.size === 0)
    this.destroy()
  }

  destroy(): void {
    this.#closing = true
    for (const session of [...this.#sessions.keys()]) session.destroy()
    for (const connection of [...this.#connections]) connection.destroy()
  }

  // ------------------------------------------------------------------------------------------------ connections

  #onSession(session: ServerHttp2Session): void {
    if (this.#closing) return session.destroy()
    this.#sessions.set(session, Object.freeze({}))
    session.once('close', () => {
      this.#sessions.delete(session)
      this.#empty?.()
    })
  }

  #forget(connection: Duplex): void {
    this.#connections.delete(connection)
    this.#empty?.()
  }

  #complain(error: Error, name?: string): void {
    this.#options.onConnectionError?.(error, name)
  }

  // ------------------------------------------------------------------------------------------------ calls

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    if (stream.destroyed) {
      // Cancelled before it was ever seen; its error is still to come, and would end the process.
      stream.on('error', () => {})
      return
    }
    const served = this.#methods.get(headers[':path'] as string)
    const refusal = refusalOf(headers, served)
    if (refusal !== undefined || served === undefined) return refuse(stream, refusal ?? {})
    const peer = this.#sessions.get(stream.session as ServerHttp2Session) ?? {}
    // Its end may come before its beginning is over.
    let over = false
    const owner: ServerCallOwner = {
      maxMessageBytes: this.#owner.maxMessageBytes,
      ended: call => {
        over = true
        this.#owner.ended(call)
      },
    }
    const call = ServerCall.answer(stream, headers, raw, peer, served, owner)
    if (over) return
    this.#calls.add(call)
    if (this.#calls.size === 1) this.#options.hold?.()
  }

  #ended(call: ServerCall): void {
    if (!this.#calls.delete(call) || this.#calls.size > 0) return
    this.#options.release?.()
    this.#empty?.()
  }

  /** Resolves when it is so, at the latest after so many milliseconds. */
  async #emptied(ms: number, isEmpty: () => boolean): Promise<void> {
    if (isEmpty()) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      timer = setTimeout(resolve, ms)
      this.#empty = () => {
        if (isEmpty()) resolve()
      }
    })
    clearTimeout(timer)
    this.#empty = undefined
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
