// The application's own TLS, in place of AutoMTLS: whatever node:tls takes, put around connections before gRPC sees them.

import type { Duplex } from 'node:stream'
import type { ConnectionOptions, TlsOptions } from 'node:tls'
import { type MutualTls, PluginError } from 'plugwire/driver'
import type { GrpcServer, TlsIdentity } from '../transport/seam.ts'

/** Certificates of AutoMTLS as the transport takes them. */
export function identityOf({ identity, peerCertificate }: MutualTls): TlsIdentity {
  return { cert: identity.certificate, key: identity.key, ca: peerCertificate }
}

/**
 * Role client: resolves after the handshake.
 *
 * @param name Who is at the other end, for texts.
 * @throws PluginError `ERR_TLS`.
 */
export async function secureClient(connection: Duplex, options: ConnectionOptions, name: string, signal: AbortSignal): Promise<Duplex> {
  const { connect } = process.getBuiltinModule('node:tls')
  return await new Promise<Duplex>((resolve, reject) => {
    const socket = connect({ servername: 'localhost', ...options, socket: connection, ALPNProtocols: ['h2'] })
    let settled = false
    const settle = (finish: () => void): void => {
      settled = true
      signal.removeEventListener('abort', aborted)
      connection.off('close', closed)
      finish()
    }
    const fail = (cause: unknown): void => {
      if (settled) return
      socket.destroy()
      connection.destroy()
      const reason = cause instanceof Error ? cause.message : String(cause)
      settle(() => reject(new PluginError('ERR_TLS', { plugin: name, reason }, { cause })))
    }
    const aborted = (): void => fail(signal.reason)
    // Whoever closed it may have said why, which comes a little later.
    const closed = (): void => void setImmediate(() => fail(new Error('the connection was closed in the middle of the handshake')))
    signal.addEventListener('abort', aborted)
    connection.on('close', closed)
    socket.on('error', fail)
    socket.once('secureConnect', () => settle(() => resolve(socket)))
  })
}

/**
 * Role server: every connection goes to the server when its handshake is done; those that fail are dropped.
 *
 * @param onFailure Told of those.
 */
export function secureServer(server: GrpcServer, options: TlsOptions, onFailure: (cause: Error) => void): GrpcServer {
  const { createServer } = process.getBuiltinModule('node:tls')
  const connections = new Set<Duplex>()
  const secure = createServer({ ...options, ALPNProtocols: ['h2'] }, connection => server.inject(connection))
  secure.on('tlsClientError', (cause, socket) => {
    socket.destroy()
    onFailure(cause)
  })
  /** Those in the middle of a handshake are nobody else's. */
  const dropAll = (): void => {
    for (const connection of connections) connection.destroy()
  }
  return {
    get services() {
      return server.services
    },
    get callsInFlight() {
      return server.callsInFlight
    },
    get connections() {
      return server.connections
    },
    add: (service, handlers) => server.add(service, handlers),
    inject: connection => {
      connection.on('error', () => {}) // it is dropped, and its end is all that anybody needs to know
      connections.add(connection)
      connection.once('close', () => connections.delete(connection))
      secure.emit('connection', connection)
    },
    async close(graceMs) {
      await server.close(graceMs)
      dropAll()
    },
    destroy() {
      server.destroy()
      dropAll()
    },
  }
}
