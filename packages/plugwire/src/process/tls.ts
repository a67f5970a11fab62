// Mutual TLS between a host and its plugin, each of which knows exactly one certificate of the other (go-plugin's AutoMTLS).
// node:tls and node:crypto are loaded by the first call, so that wires without TLS never pay for them.

import type { Duplex } from 'node:stream'
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls'
import { PluginError } from '../errors.ts'
import { duplexLink, type Holder } from '../mux/duplex-link.ts'
import type { Link } from '../mux/link.ts'
import type { TlsIdentity } from './certificate.ts'
import { watchLink } from './watched-link.ts'

export interface SecureOptions {
  /** Gives up when it aborts; the socket is destroyed. */
  readonly signal?: AbortSignal
  /** Milliseconds for the whole handshake. Default 10_000. */
  readonly timeoutMs?: number
  /** Who the peer is, for texts. Default `the plugin` for a client, `the host` for a server. */
  readonly plugin?: string
  /** What keeps the event loop alive when the link is referenced, where the socket is made of others and has no handle itself. */
  readonly holders?: readonly Holder[] | undefined
}

/** go-plugin dials with this name, and every certificate of the family carries it. Source: mtls.go, client.go `TLSConfig.ServerName`. */
const SERVER_NAME = 'localhost'
const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * Encrypts a connection and makes sure who is at its other end.
 *
 * A client whose certificate the server refuses learns it only with the first read (that is TLS 1.3): its link then closes with the refusal as cause.
 *
 * @param socket Connected, with nothing read from it. Owned by the link from now on; destroyed when this fails.
 * @param role The host is the client, the plugin the server.
 * @param peer The one certificate that the peer may show, as PEM.
 * @throws PluginError `ERR_TLS`, whatever went wrong.
 */
export async function secureLink(
  socket: Duplex,
  role: 'client' | 'server',
  own: TlsIdentity,
  peer: { readonly certificate: string },
  options: SecureOptions = {},
): Promise<Link> {
  const plugin = options.plugin ?? (role === 'client' ? 'the plugin' : 'the host')
  // Stays for the life of the socket: an error may still come when nobody waits for one any more.
  socket.on('error', () => {})
  try {
    const secured = await handshake(socket, role, own, peer.certificate, options)
    secured.setNoDelay(true)
    // 'data' events, not memory of the reader: measured, the second copy is a tenth of what decryption costs.
    return watchLink(duplexLink(secured, options.holders), {
      explain: cause => new PluginError('ERR_TLS', { plugin, reason: reasonOf(cause) }, { cause }),
    })
  } catch (cause) {
    socket.destroy()
    throw new PluginError('ERR_TLS', { plugin, reason: reasonOf(cause) }, { cause })
  }
}

async function handshake(
  socket: Duplex,
  role: 'client' | 'server',
  own: TlsIdentity,
  pinned: string,
  options: SecureOptions,
): Promise<TLSSocket> {
  const { X509Certificate, constants } = process.getBuiltinModule('node:crypto')
  const { signal, timeoutMs = HANDSHAKE_TIMEOUT_MS } = options
  const expected = expectedCertificate(() => new X509Certificate(pinned).raw)
  if (signal?.aborted) throw new Fault('it was aborted', signal.reason)
  if (socket.destroyed || !socket.readable) throw new Fault('the connection was closed during the handshake')
  const common: Common = {
    key: own.key,
    cert: own.certificate,
    ca: pinned,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    // One launch is one connection: nothing is ever resumed.
    secureOptions: constants.SSL_OP_NO_TICKET,
  }

  let secured: TLSSocket | undefined
  let stop = (): void => {}
  try {
    secured = await new Promise<TLSSocket>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Fault(`no handshake within ${timeoutMs} ms`)), timeoutMs)
      const abort = (): void => reject(new Fault('it was aborted', signal?.reason))
      signal?.addEventListener('abort', abort, { once: true })
      stop = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      if (role === 'client') shakeAsClient(socket, common, resolve, reject)
      else shakeAsServer(socket, common, resolve, reject)
    })
  } finally {
    stop()
  }
  if (!isExactly(secured, expected)) {
    secured.destroy()
    throw new Fault('the peer showed another certificate than the one it announced')
  }
  return secured
}

/** What both roles give to node:tls. */
type Common = Pick<TlsOptions & ConnectionOptions, 'key' | 'cert' | 'ca' | 'minVersion' | 'rejectUnauthorized' | 'secureOptions'>

function shakeAsClient(socket: Duplex, common: Common, resolve: (secured: TLSSocket) => void, reject: (cause: Error) => void): void {
  const { connect } = process.getBuiltinModule('node:tls')
  const secured = connect({ ...common, socket, servername: SERVER_NAME })
  secured.once('secureConnect', () => resolve(secured))
  secured.on('error', reject)
  secured.once('close', () => reject(new Fault('the connection was closed during the handshake')))
}

/** A server of its own for one connection, because only `tls.Server` judges a client's certificate; it never listens. */
function shakeAsServer(socket: Duplex, common: Common, resolve: (secured: TLSSocket) => void, reject: (cause: Error) => void): void {
  const { createServer } = process.getBuiltinModule('node:tls')
  const server = createServer({ ...common, requestCert: true, handshakeTimeout: 2 ** 31 - 1 })
  server.on('secureConnection', secured => {
    secured.on('error', () => {})
    resolve(secured)
  })
  server.on('tlsClientError', (cause, secured) => {
    secured.on('error', () => {})
    // Node just hangs up on a client that it does not trust, and says why only here.
    const code = secured.authorizationError as unknown
    reject(typeof code === 'string' ? Object.assign(new Error(code), { code }) : cause)
  })
  server.emit('connection', socket)
}

function expectedCertificate(read: () => Uint8Array): Uint8Array {
  try {
    return read()
  } catch (cause) {
    throw new Fault('the certificate that the peer announced cannot be read', cause)
  }
}

/** The chain was judged by OpenSSL; a certificate that merely chains to the pinned one is still another one. */
function isExactly(secured: TLSSocket, expected: Uint8Array): boolean {
  const shown = secured.getPeerX509Certificate()?.raw
  return shown !== undefined && shown.length === expected.length && process.getBuiltinModule('node:crypto').timingSafeEqual(shown, expected)
}

/** A failure that we found ourselves, already in plain words. */
class Fault extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause })
  }
}

/** What OpenSSL and Node call the failures that a person can do something about. */
const reasons: ReadonlyMap<string, string> = new Map([
  ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', 'the peer showed no certificate'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'the peer asks for a certificate and got none'],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'the peer does not accept our certificate'],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'the peer does not accept our certificate'],
  ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'the peer does not accept our certificate'],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN', 'the peer does not accept our certificate'],
  ['ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR', 'the peer does not accept our certificate'],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'the peer does not speak TLS 1.2 or later'],
  ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'the peer does not speak TLS 1.2 or later'],
  ...[
    'WRONG_VERSION_NUMBER',
    'HTTP_REQUEST',
    'HTTPS_PROXY_REQUEST',
    'PACKET_LENGTH_TOO_LONG',
    'BAD_RECORD_TYPE',
    'RECORD_LAYER_FAILURE',
    'UNEXPECTED_MESSAGE',
    'UNKNOWN_PROTOCOL',
    'RECORD_TOO_SMALL',
    'TLSV1_ALERT_RECORD_OVERFLOW',
  ].map(name => [`ERR_SSL_${name}`, 'the peer does not speak TLS'] as const),
  ...['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_SOCKET_CLOSED'].map(
    name => [name, 'the connection was closed during the handshake'] as const,
  ),
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_SIGNATURE_FAILURE'].map(
    name => [name, 'the peer showed another certificate than the one it announced'] as const,
  ),
  ['CERT_HAS_EXPIRED', "the peer's certificate has expired"],
  ['CERT_NOT_YET_VALID', "the peer's certificate is not valid yet; do the clocks agree?"],
  ['ERR_TLS_CERT_ALTNAME_INVALID', `the peer's certificate is not for ${SERVER_NAME}`],
])

function reasonOf(cause: unknown): string {
  if (cause instanceof Fault) return cause.message
  const code = (cause as { code?: unknown } | undefined)?.code
  const message = cause instanceof Error ? cause.message : String(cause)
  return (typeof code === 'string' && reasons.get(code)) || message
}
