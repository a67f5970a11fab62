// TLS around a connection, for both roles: go-plugin's AutoMTLS, or what the application brings. Source: go-plugin client.go `dialer`, server.go
// `Serve`: TLS is spoken directly on the socket, and yamux inside of it.

import type { Socket } from 'node:net'
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls'
import { PluginError } from 'plugwire'
import { duplexLink, type MutualTls, secureLink, socketLink } from 'plugwire/driver'
import type { Link } from 'plugwire/mux'

/** Milliseconds that a handshake may take. */
const HANDSHAKE_MS = 10_000
/** What a host of go-plugin calls every plugin. Source: client.go `TLSConfig.ServerName`. */
const SERVER_NAME = 'localhost'

/** @throws PluginError `ERR_TLS`; the socket is destroyed then. */
export function hostLink(socket: Socket, plugin: string, tls: MutualTls | undefined, custom: ConnectionOptions | undefined): Promise<Link> {
  if (custom !== undefined) {
    return shake(socket, plugin, (done, failed) => {
      const { connect } = process.getBuiltinModule('node:tls')
      const secured = connect({ servername: SERVER_NAME, ...custom, socket })
      secured.once('secureConnect', () => done(secured)).on('error', failed)
    })
  }
  if (tls === undefined) return Promise.resolve(socketLink({ socket }))
  return secureLink(socket, 'client', tls.identity, { certificate: tls.peerCertificate }, { plugin })
}

/** @throws PluginError `ERR_TLS`; the socket is destroyed then. */
export function pluginLink(socket: Socket, tls: MutualTls | undefined, custom: TlsOptions | undefined): Promise<Link> {
  if (custom !== undefined) {
    return shake(socket, 'the host', (done, failed) => {
      const { createServer } = process.getBuiltinModule('node:tls')
      // Only a server judges certificates of clients. It never listens.
      const server = createServer(custom)
      server.once('secureConnection', done)
      server.once('tlsClientError', failed)
      server.emit('connection', socket)
    })
  }
  if (tls === undefined) return Promise.resolve(socketLink({ socket }))
  return secureLink(socket, 'server', tls.identity, { certificate: tls.peerCertificate })
}

type Shake = (done: (secured: TLSSocket) => void, failed: (cause: Error) => void) => void

function shake(socket: Socket, plugin: string, begin: Shake): Promise<Link> {
  return new Promise((resolve, reject) => {
    let settled = false
    const fail = (cause: Error): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      socket.destroy()
      reject(new PluginError('ERR_TLS', { plugin, reason: cause.message }, { cause }))
    }
    const timer = setTimeout(() => fail(new Error(`no handshake within ${HANDSHAKE_MS} ms`)), HANDSHAKE_MS)
    socket.on('error', fail).once('close', () => fail(new Error('the connection was closed during the handshake')))
    try {
      begin(secured => {
        if (settled) return void secured.destroy()
        settled = true
        clearTimeout(timer)
        resolve(duplexLink(secured))
      }, fail)
    } catch (cause) {
      fail(cause as Error)
    }
  })
}
