// TLS inside of a connection that somebody else made, as a client. Fetched only when a channel has an identity.

import type { Duplex } from 'node:stream'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import type { TlsIdentity } from './seam.ts'

/** The options of node:tls that both roles share. ALPN is not optional: grpc-go talks to no peer that does not choose `h2`. */
export function secureOptions({ cert, key, ca, minVersion }: TlsIdentity): SecureContextOptions & { ALPNProtocols: string[] } {
  return {
    cert,
    key,
    ca: Array.isArray(ca) ? [...ca] : (ca as string | Buffer),
    minVersion: minVersion ?? 'TLSv1.2',
    ALPNProtocols: ['h2'],
  }
}

/** Resolves after the handshake, with the server's certificate verified. */
export async function connectTls(
  connection: Duplex,
  identity: TlsIdentity & { readonly serverName?: string },
  signal: AbortSignal,
): Promise<TLSSocket> {
  const { connect } = await import('node:tls')
  return await new Promise((resolve, reject) => {
    const socket = connect({ ...secureOptions(identity), socket: connection, servername: identity.serverName ?? 'localhost' })
    const settle = (finish: () => void): void => {
      signal.removeEventListener('abort', aborted)
      socket.off('error', reject).off('close', closed)
      connection.off('close', closed)
      finish()
    }
    const aborted = (): void => {
      socket.destroy()
      settle(() => reject(signal.reason))
    }
    const closed = (): void => settle(() => reject(new Error('the connection was closed in the middle of the TLS handshake')))
    signal.addEventListener('abort', aborted)
    socket.on('error', reject).on('close', closed)
    connection.on('close', closed)
    socket.once('secureConnect', () => settle(() => resolve(socket)))
  })
}
