// The connections of a server: each gets TLS if there is to be any, and an HTTP/2 session. It knows streams, and nothing of what is called on them.

import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket, Server as TlsServer } from 'node:tls'
import { FilteredDuplex } from './filtered-duplex.ts'
import { sessionOptions, sessionSettings } from './http2-session.ts'
import { ResetFilter } from './reset-filter.ts'
import type { ServerOptions } from './seam.ts'
import { secureOptions } from './tls.ts'

const MAX_CONCURRENT_CALLS = 65_536
const STREAM_RESET_BURST = 100_000
const STREAM_RESET_RATE = 10_000
/** Streams that may be reset before they are seen; far more than one read from a connection can hold. */
const MAX_UNSEEN_RESETS = 65_536
/** Milliseconds for a TLS handshake. */
const HANDSHAKE_TIMEOUT_MS = 20_000

/** Node knows `streamResetBurst` and `streamResetRate`. Source: nodejs/node pull request 54875. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const knowsResetLimits = major > 22 || (major === 22 && minor >= 12)

export interface ConnectionsOwner {
  /** A call came in. `peer` stands for its connection. */
  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[], peer: object): void
  /** Something broke outside of calls. */
  failed(error: Error, name: string | undefined): void
  /** A session or connection is gone. */
  changed(): void
}

/** What is known of one session. */
interface Peer {
  /** What handlers see. */
  readonly identity: object
  /** By id, as long as they are open; only where resets are filtered. */
  readonly streams: Map<number, ServerHttp2Stream>
  /** Reset before they were seen. */
  readonly resets: Set<number>
  /** The highest id of a stream that was seen; ids only grow. Source: RFC 9113 section 5.1.1. */
  lastId: number
}

export class ServerConnections {
  readonly #owner: ConnectionsOwner
  readonly #http2: Http2Server
  readonly #tls: TlsServer | undefined
  /** What was injected and is still open, before and after its handshake. */
  readonly #connections = new Set<Duplex>()
  readonly #sessions = new Map<ServerHttp2Session, Peer>()

  constructor(options: ServerOptions, owner: ConnectionsOwner) {
    this.#owner = owner
    this.#http2 = createServer({
      ...sessionOptions(sessionSettings(options.maxConcurrentCalls ?? MAX_CONCURRENT_CALLS)),
      ...{
        streamResetBurst: options.streamResetBurst ?? STREAM_RESET_BURST,
        streamResetRate: options.streamResetRate ?? STREAM_RESET_RATE,
      },
    })
    this.#http2.on('sessionError', error => this.#fail(error, undefined))
    if (options.tls === undefined) return
    this.#tls = process
      .getBuiltinModule('node:tls')
      .createServer(
        { ...secureOptions(options.tls), requestCert: true, rejectUnauthorized: true, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
        socket => this.#begin(socket),
      )
    this.#tls.on('tlsClientError', (error, socket) => {
      // Node leaves one open whose handshake took too long.
      socket.destroy()
      this.#fail(refusalOf(socket) ?? error, undefined)
    })
  }

  /** Those that are open, handshakes included. */
  get size(): number {
    return this.#connections.size
  }

  add(connection: Duplex, name: string | undefined): void {
    this.#connections.add(connection)
    // It may break before HTTP/2 or TLS listens, and after they have stopped to.
    connection.on('error', error => this.#fail(error, name))
    connection.once('close', () => {
      this.#connections.delete(connection)
      this.#owner.changed()
    })
    if (this.#tls === undefined) this.#begin(connection)
    else this.#tls.emit('connection', connection)
  }

  /** Tells peers to make no new calls; a session ends with its last one. */
  close(): void {
    for (const session of this.#sessions.keys()) session.close()
  }

  destroy(): void {
    for (const session of [...this.#sessions.keys()]) session.destroy()
    for (const connection of [...this.#connections]) connection.destroy()
  }

  #fail(error: NodeJS.ErrnoException, name: string | undefined): void {
    // That the other side is gone is no failure.
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') this.#owner.failed(error, name)
  }

  #begin(connection: Duplex | TLSSocket): void {
    const peer: Peer = { identity: Object.freeze({}), streams: new Map(), resets: new Set(), lastId: 0 }
    const onReset = (id: number): void => {
      if (!reset(peer, id)) connection.destroy(new Error('the client resets streams that it has not opened'))
    }
    const carrier = knowsResetLimits ? connection : new FilteredDuplex(connection, new ResetFilter(onReset))
    // Emitted in this very turn, unless the connection speaks something else than HTTP/2.
    const serve = (session: ServerHttp2Session): void => {
      this.#serve(session, peer)
      // Node would shut down the writing side by itself when the reading side ends, and fail an assertion if HTTP/2 says its last words meanwhile.
      if (!(carrier instanceof Socket)) session.socket.allowHalfOpen = true
      carrier.once('end', () => session.destroy())
    }
    this.#http2.once('session', serve)
    this.#http2.emit('connection', carrier)
    this.#http2.off('session', serve)
  }

  #serve(session: ServerHttp2Session, peer: Peer): void {
    this.#sessions.set(session, peer)
    session.once('close', () => {
      this.#sessions.delete(session)
      this.#owner.changed()
    })
    session.on('stream', (stream, headers, _flags, ...[raw]: unknown[]) => {
      peer.lastId = stream.id as number
      if (stream.destroyed) {
        // Cancelled before it was ever seen; its error is still to come, and would end the process.
        stream.on('error', () => {})
        return
      }
      if (!knowsResetLimits) follow(peer, stream)
      this.#owner.stream(stream, headers, raw as readonly string[], peer.identity)
    })
  }
}

/** Node tells of a refused certificate as if the client had hung up. */
function refusalOf({ authorizationError }: TLSSocket): Error | undefined {
  // Typed as an error, it is the code of one.
  return authorizationError ? new Error(`the certificate of a client was refused: ${String(authorizationError)}`) : undefined
}

/** Remembers a stream for the resets that the filter takes out. */
function follow({ streams, resets }: Peer, stream: ServerHttp2Stream): void {
  const id = stream.id as number
  streams.set(id, stream)
  stream.once('close', () => streams.delete(id))
  if (resets.delete(id)) setImmediate(() => cancel(stream))
}

/** False when the other side resets more streams that it has not opened than it can have on their way. */
function reset({ streams, resets, lastId }: Peer, id: number): boolean {
  const stream = streams.get(id)
  // Not at once: this runs in the middle of what the connection says.
  if (stream !== undefined) setImmediate(() => cancel(stream))
  // One that is over may be reset all the same, when both sides end it at once.
  else if (id > lastId) resets.add(id)
  return resets.size <= MAX_UNSEEN_RESETS
}

/** Resets from our side what the other side has reset. */
function cancel(stream: ServerHttp2Stream): void {
  if (!stream.closed) stream.close(8)
}
