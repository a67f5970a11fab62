// minisign and signify: signatures, and secret keys at rest. Ed25519 by node:crypto. Sources: the file formats at jedisct1.github.io/minisign,
// minisign.h; signify(1) and signify.c of OpenBSD; libsodium's choice of scrypt parameters.
//
// minisign signs the BLAKE2b-512 of a file (`ED`), in its first years and signify to this day the file itself (`Ed`). A second signature covers
// the first one and the trusted comment. signify has neither.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  scrypt,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { PluginError } from 'plugwire'
import { MAX_SCRYPT_BYTES } from '../limits.ts'
import { decodeBase64 } from './base64.ts'
import { blake2b } from './blake2b.ts'
import { keyFault, keyIdOf, type LoadedKey, loadPublicKey } from './public-key.ts'

export interface MinisignSignature {
  readonly format: 'minisign' | 'signify'
  /** Whether the BLAKE2b-512 of the document is signed, or the document itself. */
  readonly prehashed: boolean
  /** Which key it says it was made with. */
  readonly number: Buffer
  readonly signature: Buffer
  /** The bytes of the trusted comment, and what covers it; signify has none. */
  readonly trusted?: { readonly comment: Buffer; readonly signature: Buffer }
}

const UNTRUSTED = 'untrusted comment: '
const TRUSTED = 'trusted comment: '

function signatureFault(reason: string): PluginError<'ERR_SIGNATURE_MALFORMED'> {
  return new PluginError('ERR_SIGNATURE_MALFORMED', { reason, remedy: 'Give the signature file as minisign or signify wrote it.' })
}

/** Whether these bytes begin like a signature of minisign or signify. */
export const looksLikeMinisign = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.subarray(0, UNTRUSTED.length)).toString('latin1') === UNTRUSTED

/** @throws PluginError `ERR_SIGNATURE_MALFORMED` */
export function readMinisign(bytes: Uint8Array): MinisignSignature {
  const lines = Buffer.from(bytes)
    .toString('latin1')
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
  const [comment = '', body = '', trusted, global] = lines
  if (!comment.startsWith(UNTRUSTED)) throw signatureFault('the signature does not begin with an untrusted comment')
  const packed = decodeBase64(body)
  if (packed === undefined || packed.byteLength !== 2 + 8 + 64)
    throw signatureFault('the second line of the signature is no base64 of 74 bytes')
  const algorithm = packed.toString('latin1', 0, 2)
  if (algorithm !== 'ED' && algorithm !== 'Ed') throw signatureFault('the signature is of an unknown algorithm')
  const plain = { prehashed: algorithm === 'ED', number: packed.subarray(2, 10), signature: packed.subarray(10) }
  if (lines.length === 2 && !plain.prehashed) return { format: 'signify', ...plain }
  if (lines.length < 4 || trusted === undefined || global === undefined) throw signatureFault('the signature ends too early')
  if (lines.length > 4) throw signatureFault('something follows the end of the signature')
  if (!trusted.startsWith(TRUSTED)) throw signatureFault('the third line of the signature is no trusted comment')
  const signature = decodeBase64(global)
  if (signature === undefined || signature.byteLength !== 64)
    throw signatureFault('the fourth line of the signature is no base64 of 64 bytes')
  return { format: 'minisign', ...plain, trusted: { comment: Buffer.from(trusted.slice(TRUSTED.length), 'latin1'), signature } }
}

/** Whether the signature says it was made with this key. It may be lying; that shows when it is verified. */
export const isMinisignKey = (signature: MinisignSignature, key: LoadedKey): boolean =>
  key.number !== undefined && timingSafeEqual(signature.number, key.number)

/**
 * Checks document and trusted comment.
 * @throws PluginError `ERR_SIGNATURE_INVALID`
 */
export function verifyMinisign(document: Uint8Array, signature: MinisignSignature, key: LoadedKey): void {
  const fault = (reason: string): PluginError<'ERR_SIGNATURE_INVALID'> =>
    new PluginError('ERR_SIGNATURE_INVALID', {
      fingerprint: key.fingerprint,
      reason,
      remedy: 'Do not use the file. Fetch file and signature again, from their publisher.',
    })
  if (!isMinisignKey(signature, key)) {
    throw fault(`the signature is by key ${keyIdOf(signature.number)}, not by key ${key.keyId ?? key.fingerprint}`)
  }
  if (!verify(null, signature.prehashed ? blake512(document) : document, key.object, signature.signature)) {
    throw fault(`the signature by key ${key.keyId} is not of these bytes`)
  }
  if (signature.trusted === undefined) return
  if (!verify(null, Buffer.concat([signature.signature, signature.trusted.comment]), key.object, signature.trusted.signature)) {
    throw fault(`the trusted comment of the signature by key ${key.keyId} was changed`)
  }
}

/** OpenSSL's where it has it; not in FIPS mode, nor everywhere in Electron. */
function blake512(bytes: Uint8Array): Uint8Array {
  try {
    return createHash('blake2b512').update(bytes).digest()
  } catch {
    return blake2b(bytes, 64)
  }
}

// ---- signing

/** A secret key of minisign or signify, open. */
export interface MinisignSecret {
  readonly number: Buffer
  readonly object: KeyObject
  readonly publicKey: LoadedKey
}

export interface MinisignOptions {
  /** Default: `timestamp:… hashed`, the way minisign writes it. */
  readonly trustedComment?: string
  /** Signs the document itself (`Ed`), for verifiers of minisign's first years. Default false. */
  readonly legacy?: boolean
  /** Writes what signify reads: `Ed`, no trusted comment. Default false. */
  readonly signify?: boolean
}

/** The signature as a file. */
export function signMinisign(document: Uint8Array, secret: MinisignSecret, options: MinisignOptions = {}): Uint8Array {
  const prehashed = !options.legacy && !options.signify
  const signature = sign(null, prehashed ? blake512(document) : document, secret.object)
  const packed = Buffer.concat([Buffer.from(prehashed ? 'ED' : 'Ed'), secret.number, signature])
  const head = `${UNTRUSTED}${options.signify ? 'verify with the public key of the publisher' : `signature from minisign secret key`}\n${packed.toString('base64')}\n`
  if (options.signify) return new Uint8Array(Buffer.from(head))
  const comment = Buffer.from(options.trustedComment ?? `timestamp:${Math.floor(Date.now() / 1000)}${prehashed ? '\thashed' : ''}`, 'utf8')
  if (/[\r\n\0]/.test(comment.toString('latin1'))) throw new TypeError('a trusted comment is one line')
  // As long as minisign reads it: TRUSTEDCOMMENTMAXBYTES of minisign.h, less its prefix.
  if (comment.byteLength > 8000) throw new TypeError('a trusted comment has at most 8000 bytes')
  const global = sign(null, Buffer.concat([signature, comment]), secret.object)
  return new Uint8Array(Buffer.concat([Buffer.from(head), Buffer.from(TRUSTED), comment, Buffer.from(`\n${global.toString('base64')}\n`)]))
}

// ---- secret keys at rest

/** An Ed25519 seed in PKCS #8 follows these bytes. Source: RFC 8410 section 7. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

export const ed25519Secret = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' })

/** Seed and public key of an Ed25519 key that was just made. */
export function newEd25519(): { readonly seed: Buffer; readonly publicBytes: Buffer } {
  const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  return { seed: Buffer.from(d as string, 'base64url'), publicBytes: Buffer.from(x as string, 'base64url') }
}

/** The 32 bytes of the public key that belongs to a secret one. */
export const publicBytesOf = (secret: KeyObject): Buffer =>
  Buffer.from(createPublicKey(secret).export({ format: 'jwk' }).x as string, 'base64url')

const minisignPublicLine = (number: Uint8Array, publicBytes: Uint8Array): string =>
  Buffer.concat([Buffer.from('Ed'), number, publicBytes]).toString('base64')

/** A minisign public key as a file. */
export const minisignPublicFile = (key: LoadedKey): string => `${UNTRUSTED}minisign public key ${key.keyId}\n${key.text}\n`

export function minisignSecretOf(number: Buffer, seed: Buffer, publicBytes: Uint8Array): MinisignSecret {
  const object = ed25519Secret(seed)
  if (!timingSafeEqual(publicBytesOf(object), publicBytes)) throw keyFault('the secret key is damaged: its halves do not belong together')
  return { number, object, publicKey: loadPublicKey(minisignPublicLine(number, publicBytes)) }
}

/** Lengths of the fields of a minisign secret key, in their order (`SeckeyStruct`). */
const LAYOUT = {
  algorithm: 2,
  kdf: 2,
  checksumKind: 2,
  salt: 32,
  opsLimit: 8,
  memLimit: 8,
  number: 8,
  seed: 32,
  publicBytes: 32,
  checksum: 32,
} as const
const SECRET_BYTES = Object.values(LAYOUT).reduce((sum, length) => sum + length, 0)
const SEALED_BYTES = 8 + 32 + 32 + 32

/** What minisign itself asks of scrypt: 1 GiB and a few seconds (`crypto_pwhash_…_SENSITIVE`). */
const SENSITIVE = { opsLimit: 33_554_432, memLimit: 1_073_741_824 }

function cut(bytes: Buffer): { readonly [Name in keyof typeof LAYOUT]: Buffer } {
  let at = 0
  return Object.fromEntries(Object.entries(LAYOUT).map(([name, length]) => [name, bytes.subarray(at, (at += length))])) as never
}

/**
 * Opens a secret key of minisign, or an unencrypted one of signify.
 * @param password Asked for only when the key has one.
 * @throws PluginError `ERR_SIGNATURE_KEY`
 */
export async function readMinisignSecret(text: string, password: () => Promise<string | undefined>): Promise<MinisignSecret> {
  const [comment = '', body = '', ...rest] = text.trimEnd().split(/\r?\n/)
  const bytes = decodeBase64(body.trim())
  if (!comment.startsWith(UNTRUSTED) || bytes === undefined || rest.length > 0) throw keyFault('that is no secret key of minisign')
  if (bytes.toString('latin1', 0, 4) === 'EdBK') return signifySecret(bytes)
  const fields = cut(bytes)
  if (
    bytes.byteLength !== SECRET_BYTES ||
    fields.algorithm.toString('latin1') !== 'Ed' ||
    fields.checksumKind.toString('latin1') !== 'B2'
  ) {
    throw keyFault('that is no secret key of minisign')
  }
  const kdf = fields.kdf.toString('latin1')
  if (kdf !== 'Sc' && kdf !== '\0\0') throw keyFault('the secret key is encrypted in a way that is not known')
  let open = bytes.subarray(-SEALED_BYTES)
  if (kdf === 'Sc') {
    const given = await password()
    if (given === undefined) throw keyFault('the secret key has a password, and none was given', undefined, 'Give its password.')
    open = xor(open, await stretch(given, fields.salt, fields.opsLimit.readBigUInt64LE(), fields.memLimit.readBigUInt64LE()))
  }
  const [number, seed, publicBytes, checksum] = [open.subarray(0, 8), open.subarray(8, 40), open.subarray(40, 72), open.subarray(72)]
  const expected = blake2b(Buffer.concat([fields.algorithm, open.subarray(0, 72)]), 32)
  // minisign itself writes no checksum into a key without a password; that the halves fit is checked below.
  const unchecked = kdf === '\0\0' && checksum.every(byte => byte === 0)
  if (!unchecked && !timingSafeEqual(checksum, expected)) {
    throw kdf === 'Sc'
      ? keyFault(
          'the password is wrong, or the secret key is damaged',
          undefined,
          'Try the password again, and if it is right, a copy of the key.',
        )
      : keyFault('the secret key is damaged: its checksum is wrong')
  }
  return minisignSecretOf(number, seed, publicBytes)
}

/** Ed, BK, rounds (0: no password), 16 bytes of salt, 8 of a SHA-512, 8 of the number, 64 of the key. */
function signifySecret(bytes: Buffer): MinisignSecret {
  if (bytes.byteLength !== 2 + 2 + 4 + 16 + 8 + 8 + 64) throw keyFault('that is no secret key of signify')
  if (bytes.readUInt32BE(4) !== 0)
    throw keyFault(
      'the secret key of signify has a password; only keys made with `signify -G -n` can be read',
      undefined,
      'Sign with signify itself.',
    )
  const [checksum, number, key] = [bytes.subarray(24, 32), bytes.subarray(32, 40), bytes.subarray(40)]
  if (!timingSafeEqual(checksum, createHash('sha512').update(key).digest().subarray(0, 8)))
    throw keyFault('the secret key is damaged: its checksum is wrong')
  return minisignSecretOf(number, key.subarray(0, 32), key.subarray(32))
}

const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, i) => byte ^ (b[i] as number)))

/** Which N and p libsodium makes of the two limits, for r = 8 (`pickparams`). */
function stretch(password: string, salt: Buffer, opsLimit: bigint, memLimit: bigint): Promise<Buffer> {
  const r = 8
  // Many operations with little memory would take more of it than the limit says: for what scrypt does side by side.
  if (memLimit > BigInt(MAX_SCRYPT_BYTES) || opsLimit > BigInt(SENSITIVE.opsLimit)) {
    throw keyFault(
      `the secret key's password asks for ${memLimit} bytes of memory and ${opsLimit} operations, which is more than minisign ever asks for`,
    )
  }
  const ops = Math.max(Number(opsLimit), 32_768)
  const memory = Number(memLimit)
  const memoryBound = ops >= memory / 32
  const maxN = memoryBound ? memory / (r * 128) : ops / (r * 4)
  let log = 1
  while (2 ** log <= maxN / 2) log++
  const N = 2 ** log
  const p = memoryBound ? Math.max(1, Math.floor(Math.min(ops / 4 / N, 0x3fffffff) / r)) : 1
  return new Promise((resolve, reject) => {
    const done = (cause: Error | null, key: Buffer): void =>
      cause ? reject(keyFault(`the password cannot be used: ${cause.message}`, cause)) : resolve(key)
    scrypt(Buffer.from(password, 'utf8'), salt, SEALED_BYTES, { N, r, p, maxmem: 128 * r * (N + p) + 1_048_576 }, done)
  })
}

export interface ScryptCost {
  /** As libsodium counts them. Default: what minisign asks for, 33_554_432. */
  readonly opsLimit?: number
  /** Bytes. Default: what minisign asks for, 1 GiB. */
  readonly memLimit?: number
}

/** A secret key as a file that minisign reads. @param password Default: not encrypted, as with `minisign -G -W`. */
export async function minisignSecretFile(secret: MinisignSecret, password: string | undefined, cost: ScryptCost = {}): Promise<string> {
  const seed = Buffer.from(secret.object.export({ format: 'jwk' }).d as string, 'base64url')
  const plain = Buffer.concat([secret.number, seed, publicBytesOf(secret.object)])
  const open = Buffer.concat([plain, blake2b(Buffer.concat([Buffer.from('Ed'), plain]), 32)])
  const [salt, opsLimit, memLimit] = [Buffer.alloc(32), Buffer.alloc(8), Buffer.alloc(8)]
  let sealed: Buffer = open
  if (password !== undefined) {
    const { opsLimit: ops, memLimit: memory } = { ...SENSITIVE, ...cost }
    randomBytes(32).copy(salt)
    opsLimit.writeBigUInt64LE(BigInt(ops))
    memLimit.writeBigUInt64LE(BigInt(memory))
    sealed = xor(open, await stretch(password, salt, BigInt(ops), BigInt(memory)))
  }
  const kdf = password === undefined ? '\0\0' : 'Sc'
  const bytes = Buffer.concat([Buffer.from(`Ed${kdf}B2`, 'latin1'), salt, opsLimit, memLimit, sealed])
  return `${UNTRUSTED}minisign ${password === undefined ? '' : 'encrypted '}secret key\n${bytes.toString('base64')}\n`
}

export function newMinisignSecret(): MinisignSecret {
  const { seed, publicBytes } = newEd25519()
  return minisignSecretOf(randomBytes(8), seed, publicBytes)
}
