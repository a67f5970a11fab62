// SSH signatures: the armoured files of `ssh-keygen -Y sign`, and OpenSSH's private keys. Sources: PROTOCOL.sshsig, PROTOCOL.key and
// PROTOCOL.u2f of OpenSSH, RFC 8332 (RSA with SHA-2), RFC 8709 (Ed25519).

import { createHash, type KeyObject, randomBytes, sign, timingSafeEqual, verify } from 'node:crypto'
import { PluginError } from 'plugwire'
import { decodeBase64 } from './base64.ts'
import { ed25519Secret, newEd25519, publicBytesOf } from './minisign.ts'
import { keyFault, type LoadedKey, sshKeyOfBlob } from './public-key.ts'
import { SshFault, SshReader, sshBytes, sshNumber } from './ssh-wire.ts'

/** What our signatures are for. A signature that was made for anything else, git for instance, does not count. */
export const SSH_NAMESPACE = 'plugwire'

export interface SshSignature {
  readonly format: 'ssh'
  readonly key: LoadedKey
  readonly namespace: string
  readonly hash: 'sha256' | 'sha512'
  readonly algorithm: string
  readonly signature: Buffer
  /** Of a security key: what it adds to the signed bytes. */
  readonly device?: Buffer
}

const BEGIN = '-----BEGIN SSH SIGNATURE-----'
const END = '-----END SSH SIGNATURE-----'

function signatureFault(reason: string, cause?: unknown): PluginError<'ERR_SIGNATURE_MALFORMED'> {
  return new PluginError(
    'ERR_SIGNATURE_MALFORMED',
    { reason: `the SSH signature is malformed: ${reason}`, remedy: 'Give the signature file as `ssh-keygen -Y sign` wrote it.' },
    { cause },
  )
}

export const looksLikeSshSignature = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.subarray(0, BEGIN.length)).toString('latin1') === BEGIN

/** @throws PluginError `ERR_SIGNATURE_MALFORMED`, `ERR_SIGNATURE_KEY` */
export function readSshSignature(bytes: Uint8Array): SshSignature {
  const lines = Buffer.from(bytes)
    .toString('latin1')
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
  if (lines[0] !== BEGIN) throw signatureFault('it does not begin with its first line')
  const end = lines.indexOf(END)
  if (end < 0) throw signatureFault('it ends too early')
  if (end !== lines.length - 1) throw signatureFault('something follows its end')
  const packed = decodeBase64(lines.slice(1, end).join(''))
  if (packed === undefined) throw signatureFault('it is not base64')
  try {
    return unpack(packed)
  } catch (cause) {
    if (cause instanceof SshFault) throw signatureFault(cause.message, cause)
    throw cause
  }
}

function unpack(packed: Buffer): SshSignature {
  const reader = new SshReader(packed)
  if (reader.take(6).toString('latin1') !== 'SSHSIG') throw new SshFault('it does not say SSHSIG')
  const version = reader.number()
  if (version !== 1) throw new SshFault(`it is of version ${version}`)
  const key = sshKeyOfBlob(reader.bytes())
  const namespace = reader.bytes().toString('utf8')
  reader.bytes() // Reserved.
  const hash = reader.text()
  if (hash !== 'sha256' && hash !== 'sha512') throw new SshFault('its hash is neither sha256 nor sha512')
  const inner = new SshReader(reader.bytes())
  reader.end()
  const algorithm = inner.text()
  const signature = inner.bytes()
  const device = algorithm.startsWith('sk-') ? Buffer.from(inner.take(5)) : undefined
  inner.end()
  return { format: 'ssh', key, namespace, hash, algorithm, signature, ...(device !== undefined && { device }) }
}

/**
 * Checks that the key in the signature made it over these bytes and for our namespace. Whether the key is trusted is another question.
 * @throws PluginError `ERR_SIGNATURE_INVALID`
 */
export function verifySshSignature(document: Uint8Array, signature: SshSignature, namespace: string = SSH_NAMESPACE): void {
  const { fingerprint } = signature.key
  const fault = (reason: string): PluginError<'ERR_SIGNATURE_INVALID'> =>
    new PluginError('ERR_SIGNATURE_INVALID', {
      fingerprint,
      reason,
      remedy: 'Do not use the file. Fetch file and signature again, from their publisher.',
    })
  if (signature.namespace !== namespace) {
    throw fault(`the signature was made for ${JSON.stringify(signature.namespace.slice(0, 60))}, not for ${JSON.stringify(namespace)}`)
  }
  let valid: boolean
  try {
    valid = isSignatureOf(toBeSigned(document, namespace, signature.hash), signature)
  } catch (cause) {
    if (!(cause instanceof SshFault)) throw cause
    throw fault(`the signature by ${fingerprint} cannot be valid: ${cause.message}`)
  }
  if (!valid) throw fault(`the signature by ${fingerprint} is not of these bytes`)
}

function toBeSigned(document: Uint8Array, namespace: string, hash: 'sha256' | 'sha512'): Buffer {
  return Buffer.concat([Buffer.from('SSHSIG'), sshBytes(namespace, '', hash, createHash(hash).update(document).digest())])
}

/** What the key's own type is called here: `ed25519` is `ssh-ed25519` on the wire. */
const wireName = (key: LoadedKey): string => (key.algorithm === 'ed25519' ? 'ssh-ed25519' : key.algorithm)

function isSignatureOf(bytes: Buffer, { key, algorithm, signature, device }: SshSignature): boolean {
  if (key.algorithm === 'ssh-rsa') {
    // RFC 8332; `ssh-rsa` as the signature's own name would be SHA-1.
    if (algorithm !== 'rsa-sha2-512' && algorithm !== 'rsa-sha2-256') throw new SshFault('an RSA signature is of SHA-256 or SHA-512')
    return verify(algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256', bytes, key.object, signature)
  }
  if (algorithm !== wireName(key)) throw new SshFault('it is of another algorithm than its key')
  const signed = device === undefined ? bytes : deviceSigned(bytes, key, device)
  switch (algorithm) {
    case 'ssh-ed25519':
    case 'sk-ssh-ed25519@openssh.com':
      return signature.byteLength === 64 && verify(null, signed, key.object, signature)
    case 'ecdsa-sha2-nistp256':
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return verifyEcdsa('sha256', 32, signed, key.object, signature)
    case 'ecdsa-sha2-nistp384':
      return verifyEcdsa('sha384', 48, signed, key.object, signature)
    case 'ecdsa-sha2-nistp521':
      return verifyEcdsa('sha512', 66, signed, key.object, signature)
    default:
      throw new SshFault('its algorithm is not supported')
  }
}

/** What a security key signs: the hash of its application, its flags and counter, the hash of the message. Somebody has to have touched it. */
function deviceSigned(bytes: Buffer, key: LoadedKey, device: Buffer): Buffer {
  const reader = new SshReader(key.blob)
  reader.bytes()
  if (key.algorithm.startsWith('sk-ecdsa')) reader.bytes()
  reader.bytes()
  const application = reader.bytes()
  if (((device[0] as number) & 1) === 0) throw new SshFault('nobody touched the security key')
  const sha256 = (part: Buffer): Buffer => createHash('sha256').update(part).digest()
  return Buffer.concat([sha256(application), device, sha256(bytes)])
}

/** SSH writes r and s as numbers; node:crypto takes them as two halves of one length. */
function verifyEcdsa(hash: string, length: number, bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  const reader = new SshReader(signature)
  const halves = [reader.bytes(), reader.bytes()].map(number => {
    const plain = number[0] === 0 ? number.subarray(1) : number
    if (plain.byteLength > length) throw new SshFault('its numbers are too large')
    return Buffer.concat([Buffer.alloc(length - plain.byteLength), plain])
  })
  reader.end()
  return verify(hash, bytes, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat(halves))
}

// ---- signing

export interface SshSecret {
  readonly object: KeyObject
  readonly publicKey: LoadedKey
}

const SIGNATURE_COLUMNS = 70
const KEY_COLUMNS = 70

const wrap = (text: string, columns: number): string => text.replace(new RegExp(`.{1,${columns}}`, 'g'), '$&\n')

/** The signature as a file that `ssh-keygen -Y verify` takes. */
export function signSsh(document: Uint8Array, secret: SshSecret, namespace: string = SSH_NAMESPACE): Uint8Array {
  const signature = sign(null, toBeSigned(document, namespace, 'sha512'), secret.object)
  const packed = Buffer.concat([
    Buffer.from('SSHSIG'),
    sshNumber(1),
    sshBytes(secret.publicKey.blob, namespace, '', 'sha512', sshBytes('ssh-ed25519', signature)),
  ])
  return new Uint8Array(Buffer.from(`${BEGIN}\n${wrap(packed.toString('base64'), SIGNATURE_COLUMNS)}${END}\n`))
}

// ---- private keys

const KEY_BEGIN = '-----BEGIN OPENSSH PRIVATE KEY-----'
const KEY_END = '-----END OPENSSH PRIVATE KEY-----'
const KEY_MAGIC = 'openssh-key-v1\0'

export const looksLikeSshSecret = (text: string): boolean => text.trimStart().startsWith('-----BEGIN')

/**
 * Reads an unencrypted Ed25519 private key of OpenSSH.
 * @throws PluginError `ERR_SIGNATURE_KEY`
 */
export function readSshSecret(text: string): SshSecret {
  const lines = text.trim().split(/\r?\n/)
  if (lines[0] !== KEY_BEGIN || lines.at(-1) !== KEY_END) throw keyFault('that is no private key of OpenSSH')
  const bytes = decodeBase64(lines.slice(1, -1).join(''))
  if (bytes === undefined) throw keyFault('the private key is not base64')
  try {
    return unpackSecret(bytes)
  } catch (cause) {
    if (cause instanceof SshFault) throw keyFault(`the private key is damaged: ${cause.message}`, cause)
    throw cause
  }
}

function unpackSecret(bytes: Buffer): SshSecret {
  const reader = new SshReader(bytes)
  if (reader.take(KEY_MAGIC.length).toString('latin1') !== KEY_MAGIC) throw new SshFault('it does not say what it is')
  const cipher = reader.text()
  if (cipher !== 'none')
    throw keyFault(
      `the private key is encrypted (${cipher.slice(0, 40)})`,
      undefined,
      `Sign with ssh-keygen -Y sign -n ${SSH_NAMESPACE}, which asks for the password, or the agent.`,
    )
  reader.bytes() // Name of the key derivation: none.
  reader.bytes() // Its options: none.
  if (reader.number() !== 1) throw new SshFault('it holds more than one key')
  const publicBlob = reader.bytes()
  const secret = new SshReader(reader.bytes())
  reader.end()
  const [check, again] = [secret.number(), secret.number()]
  if (check !== again) throw new SshFault('its check numbers differ')
  const type = secret.text()
  if (type !== 'ssh-ed25519')
    throw keyFault(
      `a private key of the type ${type.slice(0, 60)}; only Ed25519 keys sign here`,
      undefined,
      `Sign with ssh-keygen -Y sign -n ${SSH_NAMESPACE}.`,
    )
  const publicBytes = secret.bytes()
  const key = secret.bytes()
  if (key.byteLength !== 64) throw new SshFault('an Ed25519 key has 64 bytes')
  const object = ed25519Secret(key.subarray(0, 32))
  if (
    publicBytes.byteLength !== 32 ||
    !timingSafeEqual(publicBytesOf(object), publicBytes) ||
    !publicBlob.equals(sshBytes(type, publicBytes))
  ) {
    throw new SshFault('its halves do not belong together')
  }
  return { object, publicKey: sshKeyOfBlob(publicBlob) }
}

export function newSshSecret(): SshSecret {
  const { seed, publicBytes } = newEd25519()
  return { object: ed25519Secret(seed), publicKey: sshKeyOfBlob(sshBytes('ssh-ed25519', publicBytes)) }
}

/** A private key as a file that OpenSSH reads; not encrypted. */
export function sshSecretFile(secret: SshSecret, comment: string): string {
  const publicBytes = publicBytesOf(secret.object)
  const seed = Buffer.from(secret.object.export({ format: 'jwk' }).d as string, 'base64url')
  const check = randomBytes(4)
  const plain = Buffer.concat([check, check, sshBytes('ssh-ed25519', publicBytes, Buffer.concat([seed, publicBytes]), comment)])
  // Filled up to the block of a cipher that is not there, with 1, 2, 3, …
  const padding = Buffer.from(Array.from({ length: (8 - (plain.byteLength % 8)) % 8 }, (_, i) => i + 1))
  const bytes = Buffer.concat([
    Buffer.from(KEY_MAGIC, 'latin1'),
    sshBytes('none', 'none', ''),
    sshNumber(1),
    sshBytes(secret.publicKey.blob, Buffer.concat([plain, padding])),
  ])
  return `${KEY_BEGIN}\n${wrap(bytes.toString('base64'), KEY_COLUMNS)}${KEY_END}\n`
}

export const sshPublicFile = (key: LoadedKey, comment: string): string => `${key.text}${comment === '' ? '' : ` ${comment}`}\n`
