// A key and a self-signed certificate for one launch, and the certificate's way through the handshake line.
// Source of the template: go-plugin mtls.go `generateCert`; Go's crypto/x509 decides how its fields are written. The extensions' order is Go's too.

import {
  ascii,
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  objectId,
  octetString,
  printableString,
  sequence,
  set,
  time,
} from './der.ts'

/** What one side of a mutual TLS connection is known by. */
export interface TlsIdentity {
  /** PEM (PKCS #8). Never leaves the process. */
  readonly key: string
  /** PEM. */
  readonly certificate: string
  readonly der: Uint8Array
}

export type Curve = 'P-256' | 'P-521'

export interface IdentityOptions {
  /** Subject and issuer `O`; nobody looks at it. Default `HashiCorp`, as go-plugin writes. */
  readonly organization?: string
}

const curves = {
  'P-256': { digest: 'sha256', signature: '1.2.840.10045.4.3.2' },
  'P-521': { digest: 'sha512', signature: '1.2.840.10045.4.3.4' },
} as const

/** A peer whose clock is a little behind must still find the certificate valid. */
const BACKDATE_MS = 30_000
/** 30 years of 8_766 hours: the certificate must outlive any process. */
const VALID_MS = 262_980 * 3_600_000
/** digitalSignature, keyEncipherment, keyAgreement, keyCertSign: bits 0, 2, 4 and 5. */
const KEY_USAGE = Uint8Array.of(0b1010_1100)
const KEY_USAGE_UNUSED_BITS = 2

/**
 * Makes a key and its certificate, in about a millisecond with P-256 and four with P-521.
 *
 * @param curve Every go-plugin peer accepts both; go-plugin itself makes P-521. Default P-256: the handshake of TLS is several times faster.
 */
export function createIdentity(curve: Curve = 'P-256', options: IdentityOptions = {}): TlsIdentity {
  const crypto = process.getBuiltinModule('node:crypto')
  const { digest, signature } = curves[curve]
  const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: curve })
  const publicKeyInfo = publicKey.export({ type: 'spki', format: 'der' })
  const publicPoint = publicKeyInfo.subarray(-pointBytes[curve])
  const name = sequence(
    set(sequence(objectId('2.5.4.10'), printableString(options.organization ?? 'HashiCorp'))),
    set(sequence(objectId('2.5.4.3'), printableString('localhost'))),
  )
  const now = Date.now()
  const algorithm = sequence(objectId(signature))
  const extensions = [
    extension('2.5.29.15', bitString(KEY_USAGE, KEY_USAGE_UNUSED_BITS), 'critical'),
    extension('2.5.29.37', sequence(objectId('1.3.6.1.5.5.7.3.2'), objectId('1.3.6.1.5.5.7.3.1'))),
    extension('2.5.29.19', sequence(boolean(true)), 'critical'),
    extension('2.5.29.14', octetString(crypto.createHash('sha1').update(publicPoint).digest())),
    extension('2.5.29.17', sequence(implicit(2, ascii('localhost')))),
  ]
  const content = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(serial(crypto.randomBytes(16))),
    algorithm,
    name,
    sequence(time(new Date(now - BACKDATE_MS)), time(new Date(now + VALID_MS))),
    name,
    publicKeyInfo,
    explicit(3, sequence(...extensions)),
  )
  const der = sequence(content, algorithm, bitString(crypto.sign(digest, content, privateKey)))
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, certificate: encodePem(der), der }
}

/** The certificate as field 6 of the handshake line: base64 without padding. */
export const certificateField = (der: Uint8Array): string =>
  Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64').replace(/=+$/, '')

/**
 * Field 6 of a handshake line as PEM. The missing padding is put back: OpenSSL does not read base64 without it, and Node's `ca` option then trusts
 * nobody without a word.
 */
export const certificateFromField = (field: string): string => encodePem(Buffer.from(field, 'base64'))

/** Wraps DER; lines of 64 characters, as OpenSSL and Go write them. */
export function encodePem(der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`
}

/** Uncompressed point: a 4 and two coordinates. The subject key identifier is its SHA-1; Source: RFC 5280 §4.2.1.2. */
const pointBytes = { 'P-256': 1 + 2 * 32, 'P-521': 1 + 2 * 66 } as const

function extension(id: string, value: Uint8Array, critical?: 'critical'): Uint8Array {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), octetString(value))
}

/** Zero is no legal serial number. */
function serial(random: Uint8Array): Uint8Array {
  return random.some(byte => byte !== 0) ? random : Uint8Array.of(1)
}
