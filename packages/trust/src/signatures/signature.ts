// A signature of any built-in format: told apart, read, verified with one key. Which key is trusted is not known here.

import { PluginError } from 'plugwire'
import { MAX_SIGNATURE_BYTES } from '../limits.ts'
import { isMinisignKey, looksLikeMinisign, type MinisignSignature, readMinisign, verifyMinisign } from './minisign.ts'
import { keyIdOf, type LoadedKey, loadPublicKey, type PublicKey } from './public-key.ts'
import { looksLikeSshSignature, readSshSignature, SSH_NAMESPACE, type SshSignature, verifySshSignature } from './sshsig.ts'

export type Signature = MinisignSignature | SshSignature

/** @throws PluginError `ERR_SIGNATURE_MALFORMED`, also for a format that is not built in. */
export function readSignature(bytes: Uint8Array): Signature {
  const remedy = 'Built in are those of minisign, signify and ssh-keygen -Y sign.'
  if (bytes.byteLength > MAX_SIGNATURE_BYTES) {
    throw new PluginError('ERR_SIGNATURE_MALFORMED', { reason: `the signature has more than ${MAX_SIGNATURE_BYTES} bytes`, remedy })
  }
  if (looksLikeSshSignature(bytes)) return readSshSignature(bytes)
  if (looksLikeMinisign(bytes)) return readMinisign(bytes)
  throw new PluginError('ERR_SIGNATURE_MALFORMED', {
    reason: bytes.byteLength === 0 ? 'the signature is empty' : 'the signature is of no format that is known',
    remedy,
  })
}

/** Whether it looks like a bundle of Sigstore or a signature of OpenPGP, whose readers are optional. */
export const isForOtherReaders = (bytes: Uint8Array): boolean =>
  /^(\{|-----BEGIN PGP SIGNATURE-----)/.test(
    Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 64)).toString('latin1').trimStart(),
  )

/** Whether the signature claims to be by this key. */
export const claimsKey = (signature: Signature, key: LoadedKey): boolean =>
  signature.format === 'ssh' ? key.format === 'ssh' && signature.key.fingerprint === key.fingerprint : isMinisignKey(signature, key)

/** What the signature says of its key before anything is verified. */
export const claimedKey = (signature: Signature): string =>
  signature.format === 'ssh' ? signature.key.fingerprint : `minisign key ${keyIdOf(signature.number)}`

/** @throws PluginError `ERR_SIGNATURE_INVALID` */
export function checkSignature(document: Uint8Array, signature: Signature, key: LoadedKey, namespace: string = SSH_NAMESPACE): void {
  if (signature.format !== 'ssh') return verifyMinisign(document, signature, key)
  if (!claimsKey(signature, key)) {
    throw new PluginError('ERR_SIGNATURE_INVALID', {
      fingerprint: key.fingerprint,
      reason: `the signature is by ${signature.key.fingerprint}, not by ${key.fingerprint}`,
      remedy: 'Was it signed with another key, or is this the wrong public key?',
    })
  }
  verifySshSignature(document, signature, namespace)
}

/** What the signature says under its own protection. */
export const commentOf = (signature: Signature): string | undefined =>
  signature.format === 'ssh' ? undefined : signature.trusted?.comment.toString('utf8')

export interface VerifiedSignature {
  readonly format: 'minisign' | 'signify' | 'ssh'
  readonly key: PublicKey
  /** The trusted comment, where there is one. */
  readonly comment?: string
}

/**
 * Verifies one signature with one key. For plugins use `verify`, which also asks who may sign what.
 * @param key A public key as text.
 * @param namespace Of SSH signatures; minisign has none. Default `plugwire`.
 * @throws PluginError `ERR_SIGNATURE_MALFORMED`, `ERR_SIGNATURE_INVALID`, `ERR_SIGNATURE_KEY`
 */
export function verifySignature(
  document: Uint8Array,
  signature: Uint8Array,
  key: string | Uint8Array,
  namespace: string = SSH_NAMESPACE,
): VerifiedSignature {
  const loaded = loadPublicKey(key)
  const read = readSignature(signature)
  checkSignature(document, read, loaded, namespace)
  const comment = commentOf(read)
  const { object: _object, blob: _blob, number: _number, ...publicKey } = loaded
  return { format: read.format, key: publicKey, ...(comment !== undefined && { comment }) }
}
