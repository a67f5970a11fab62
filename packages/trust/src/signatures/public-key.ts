// Public keys of both families, and the one fingerprint by which they are known: minisign and signify keys, and lines of OpenSSH `.pub` files.
//
// The fingerprint is that of `ssh-keygen -l`, also for a minisign key: its own eight-byte number is chosen by whoever makes the key and
// proves nothing.

import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { PluginError } from 'plugwire'
import { MAX_KEY_BYTES } from '../limits.ts'
import { decodeBase64 } from './base64.ts'
import { SshFault, SshReader, sshBytes } from './ssh-wire.ts'

export type KeyFormat = 'minisign' | 'ssh'

export interface PublicKey {
  /** Which signatures it verifies: `minisign` those of minisign and signify, `ssh` those of `ssh-keygen -Y`. */
  readonly format: KeyFormat
  /** `ed25519`, or the name that SSH gives to it, e.g. `ecdsa-sha2-nistp256`. */
  readonly algorithm: string
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string
  /** One line that `readPublicKey` reads: the base64 of a minisign key, or the type and base64 of an SSH key. */
  readonly text: string
  /** Of a minisign key its number, as minisign prints it: up to 16 upper-case hexadecimal digits. Names the key, proves nothing. */
  readonly keyId?: string
  /** What stood beside it: minisign's untrusted comment, the end of an SSH line. */
  readonly comment?: string
}

/** What only the verifying modules see. */
export interface LoadedKey extends PublicKey {
  readonly object: KeyObject
  /** As SSH writes it down; of an Ed25519 key it holds the same 32 bytes whatever the format. */
  readonly blob: Buffer
  /** Number of a minisign key, 8 bytes. */
  readonly number?: Buffer
}

const ED25519_BYTES = 32

const WHOLE_KEY = 'Give the whole key, as the tool that made it wrote it.'

export function keyFault(reason: string, cause?: unknown, remedy: string = WHOLE_KEY): PluginError<'ERR_SIGNATURE_KEY'> {
  return new PluginError('ERR_SIGNATURE_KEY', { reason, remedy }, cause === undefined ? undefined : { cause })
}

/**
 * Reads a public key: a minisign or signify file, its base64 line alone, or a line of an OpenSSH `.pub` file.
 * @throws PluginError `ERR_SIGNATURE_KEY`
 */
export function readPublicKey(text: string | Uint8Array): PublicKey {
  const { object: _object, blob: _blob, number: _number, ...key } = loadPublicKey(text)
  return key
}

export function loadPublicKey(given: string | Uint8Array): LoadedKey {
  if (Buffer.byteLength(given) > MAX_KEY_BYTES) throw keyFault(`the public key has more than ${MAX_KEY_BYTES} bytes`)
  const text = typeof given === 'string' ? given : Buffer.from(given).toString('utf8')
  const lines = text
    .split(/\r?\n/)
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
  const comment = /^untrusted comment: ?(.*)$/.exec(lines[0] ?? '')?.[1]
  if (comment !== undefined) lines.shift()
  const [line] = lines
  if (line === undefined || lines.length > 1)
    throw keyFault(line === undefined ? 'there is no public key' : 'that is more than one public key')
  if (/^-----BEGIN|PRIVATE KEY/.test(line))
    throw keyFault('that is no public key; the public one of an SSH key stands in the file that ends in .pub')
  const [type = '', base64 = '', ...rest] = line.split(/[ \t]+/)
  if (base64 === '') return minisignKey(type, comment)
  if (comment !== undefined) throw keyFault('a minisign key has one word of base64')
  return sshKey(type, base64, rest.join(' '))
}

/** Ed, 8 bytes of a number, 32 bytes of the key. signify writes the same. */
function minisignKey(base64: string, comment: string | undefined): LoadedKey {
  const bytes = decodeBase64(base64)
  if (bytes === undefined || bytes.byteLength !== 2 + 8 + ED25519_BYTES || bytes.toString('latin1', 0, 2) !== 'Ed') {
    throw keyFault('that is neither a minisign key nor a line of an SSH .pub file')
  }
  const number = bytes.subarray(2, 10)
  const blob = sshBytes('ssh-ed25519', bytes.subarray(10))
  return {
    format: 'minisign',
    algorithm: 'ed25519',
    fingerprint: fingerprintOf(blob),
    text: bytes.toString('base64'),
    keyId: keyIdOf(number),
    ...(comment && { comment }),
    object: ed25519(bytes.subarray(10)),
    blob,
    number,
  }
}

/** As minisign prints it: the number is little-endian. */
export const keyIdOf = (number: Uint8Array): string => Buffer.from(number).reverse().toString('hex').toUpperCase()

function sshKey(type: string, base64: string, comment: string): LoadedKey {
  const blob = decodeBase64(base64)
  if (blob === undefined) throw keyFault('the SSH key is not base64')
  const { algorithm, object } = loadSshBlob(blob)
  if (algorithm !== type) throw keyFault(`the line says ${JSON.stringify(type.slice(0, 60))}, the key in it is ${algorithm}`)
  return {
    format: 'ssh',
    algorithm: algorithm === 'ssh-ed25519' ? 'ed25519' : algorithm,
    fingerprint: fingerprintOf(blob),
    text: `${type} ${blob.toString('base64')}`,
    ...(comment !== '' && { comment }),
    object,
    blob,
  }
}

/** The key that an SSH signature brings along. */
export function sshKeyOfBlob(blob: Uint8Array): LoadedKey {
  const bytes = Buffer.from(blob)
  const { algorithm } = loadSshBlob(bytes)
  return sshKey(algorithm, bytes.toString('base64'), '')
}

export const fingerprintOf = (blob: Uint8Array): string => `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`

export const ed25519 = (bytes: Uint8Array): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(bytes).toString('base64url') }, format: 'jwk' })

const curves: ReadonlyMap<string, { readonly crv: string; readonly bytes: number }> = new Map([
  ['nistp256', { crv: 'P-256', bytes: 32 }],
  ['nistp384', { crv: 'P-384', bytes: 48 }],
  ['nistp521', { crv: 'P-521', bytes: 66 }],
])

/** Source: RFC 8709 (Ed25519), RFC 5656 (ECDSA), RFC 4253 section 6.6 (RSA), PROTOCOL.u2f of OpenSSH (`sk-`). */
function loadSshBlob(blob: Buffer): { readonly algorithm: string; readonly object: KeyObject } {
  try {
    const reader = new SshReader(blob)
    const algorithm = reader.text()
    const object = sshKeyObject(algorithm, reader)
    if (algorithm.startsWith('sk-')) reader.text() // The application, "ssh:" as a rule; sshsig.ts hashes it.
    reader.end()
    return { algorithm, object }
  } catch (cause) {
    if (cause instanceof PluginError) throw cause
    throw keyFault(`the SSH key is damaged: ${cause instanceof SshFault ? cause.message : 'its numbers are no key'}`, cause)
  }
}

function sshKeyObject(algorithm: string, reader: SshReader): KeyObject {
  switch (algorithm) {
    case 'ssh-ed25519':
    case 'sk-ssh-ed25519@openssh.com': {
      const bytes = reader.bytes()
      if (bytes.byteLength !== ED25519_BYTES) throw new SshFault('an Ed25519 key has 32 bytes')
      return ed25519(bytes)
    }
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return ecdsa(reader.text(), reader.bytes(), algorithm)
    case 'ssh-rsa': {
      const [e, n] = [reader.bytes(), reader.bytes()].map(unsigned) as [Buffer, Buffer]
      if (n.byteLength < 256 || n.byteLength > 2048) throw keyFault(`an RSA key of ${n.byteLength * 8} bits; 2048 to 16384 are accepted`)
      return createPublicKey({ key: { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }, format: 'jwk' })
    }
    default:
      throw keyFault(`SSH keys of the type ${JSON.stringify(algorithm.slice(0, 60))} are not supported`)
  }
}

function ecdsa(name: string, point: Buffer, algorithm: string): KeyObject {
  const curve = curves.get(name)
  if (curve === undefined || !algorithm.includes(`ecdsa-sha2-${name}`)) throw new SshFault('its curve does not fit its type')
  if (point.byteLength !== 1 + 2 * curve.bytes || point[0] !== 4) throw new SshFault('its point is not an uncompressed one')
  const [x, y] = [point.subarray(1, 1 + curve.bytes), point.subarray(1 + curve.bytes)]
  return createPublicKey({ key: { kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') }, format: 'jwk' })
}

/** SSH writes a number with a zero in front when its first bit is set. */
const unsigned = (bytes: Buffer): Buffer => (bytes[0] === 0 ? bytes.subarray(1) : bytes)
