// OpenPGP signatures, for importing releases that have them: `SHA256SUMS` with `SHA256SUMS.sig`. Needs the package `openpgp`, which is loaded
// when the first signature is verified. Whoever signs for plugwire alone has simpler ways.

import type { Key, Signature } from 'openpgp'
import { PluginError } from 'plugwire'
import { MAX_SIGNATURE_BYTES, MAX_SUMS_BYTES } from '../limits.ts'
import type { SignatureVerifier } from '../policy/verdict.ts'
import { readSha256Sums } from '../sha256sums.ts'

export interface OpenPgpSigner {
  /** `openpgp:` and the fingerprint of the primary key, in upper-case hexadecimal digits: what a policy pins. */
  readonly identity: string
  readonly fingerprint: string
  readonly signedAt: Date
}

export interface OpenPgpOptions {
  /** When keys and signatures have to be valid. Default: the clock. */
  readonly now?: Date
}

const ARMOUR = '-----BEGIN PGP SIGNATURE-----'
/** OpenPGP's signature of bytes as they are; the other kind ignores how lines end. */
const BINARY = 0

const malformed = (reason: string, cause?: unknown): PluginError<'ERR_SIGNATURE_MALFORMED'> =>
  new PluginError('ERR_SIGNATURE_MALFORMED', { reason, remedy: 'Give the detached signature as gpg wrote it.' }, { cause })

/**
 * Verifies a detached signature, binary or armoured.
 * @param keys Public keys, armoured; one of them has to have signed.
 * @throws PluginError `ERR_SIGNATURE_MALFORMED`, `ERR_SIGNATURE_INVALID` (also when the signing key was revoked or had expired), `ERR_SIGNATURE_KEY`
 */
export async function verifyOpenPgp(
  document: Uint8Array,
  signature: Uint8Array,
  keys: readonly string[],
  options: OpenPgpOptions = {},
): Promise<OpenPgpSigner> {
  const openpgp = await load()
  const trusted = await readKeys(openpgp, keys)
  const read = await readSignature(openpgp, signature)
  const { signatures } = await openpgp.verify({
    message: await openpgp.createMessage({ binary: document }),
    signature: read,
    verificationKeys: trusted,
    format: 'binary',
    date: options.now ?? new Date(),
  })
  const [found] = signatures
  if (found === undefined || signatures.length > 1) throw malformed(`there are ${signatures.length} signatures; one is expected`)
  const keyId = found.keyID.toHex().toUpperCase()
  const key = trusted.find(candidate => candidate.getKeys(found.keyID).length > 0)
  const fault = (reason: string, cause?: unknown): PluginError<'ERR_SIGNATURE_INVALID'> =>
    new PluginError(
      'ERR_SIGNATURE_INVALID',
      {
        fingerprint: key?.getFingerprint().toUpperCase() ?? keyId,
        reason,
        remedy: 'Do not use the file. Fetch file and signature again, from their publisher.',
      },
      { cause },
    )
  if (key === undefined) throw fault(`the signature is by OpenPGP key ${keyId}, which is none of those given`)
  const packet = (await found.signature).packets[0]
  if (packet === undefined || packet.signatureType !== BINARY)
    throw fault(`the signature by OpenPGP key ${keyId} is of a text, not of bytes`)
  try {
    await found.verified
  } catch (cause) {
    throw fault(`the signature by OpenPGP key ${keyId} is not valid: ${(cause as Error).message}`, cause)
  }
  const fingerprint = key.getFingerprint().toUpperCase()
  return { identity: `openpgp:${fingerprint}`, fingerprint, signedAt: packet.created ?? new Date(Number.NaN) }
}

type OpenPgp = typeof import('openpgp')

async function load(): Promise<OpenPgp> {
  try {
    return await import('openpgp')
  } catch (cause) {
    throw new PluginError(
      'ERR_SIGNATURE_KEY',
      { reason: 'OpenPGP signatures cannot be verified: the package openpgp is not installed', remedy: 'npm install openpgp@6' },
      { cause },
    )
  }
}

async function readKeys(openpgp: OpenPgp, keys: readonly string[]): Promise<readonly Key[] & Key[]> {
  const read: Key[] = []
  for (const armoredKeys of keys) {
    try {
      read.push(...(await openpgp.readKeys({ armoredKeys })))
    } catch (cause) {
      throw new PluginError(
        'ERR_SIGNATURE_KEY',
        {
          reason: `an OpenPGP key cannot be read: ${(cause as Error).message}`,
          remedy: 'Give public keys as gpg --armor --export writes them.',
        },
        { cause },
      )
    }
  }
  if (read.some(key => key.isPrivate())) {
    throw new PluginError('ERR_SIGNATURE_KEY', {
      reason: 'that is a secret OpenPGP key',
      remedy: 'Give the public one, and keep that one to yourself.',
    })
  }
  return read
}

async function readSignature(openpgp: OpenPgp, bytes: Uint8Array): Promise<Signature> {
  if (bytes.byteLength > MAX_SIGNATURE_BYTES) throw malformed(`the signature has more than ${MAX_SIGNATURE_BYTES} bytes`)
  try {
    if (!looksArmoured(bytes)) return await openpgp.readSignature({ binarySignature: bytes })
    return await openpgp.readSignature({ armoredSignature: Buffer.from(bytes).toString('latin1') })
  } catch (cause) {
    throw malformed(`the OpenPGP signature cannot be read: ${(cause as Error).message}`, cause)
  }
}

const looksArmoured = (bytes: Uint8Array): boolean => Buffer.from(bytes.subarray(0, ARMOUR.length)).toString('latin1') === ARMOUR

/**
 * Reads a `SHA256SUMS` file whose signature is good.
 * @throws PluginError as `verifyOpenPgp` and `readSha256Sums` do.
 */
export async function readSignedSha256Sums(
  sums: Uint8Array,
  signature: Uint8Array,
  keys: readonly string[],
  options: OpenPgpOptions = {},
): Promise<{ readonly sums: ReadonlyMap<string, string>; readonly signer: OpenPgpSigner }> {
  if (sums.byteLength > MAX_SUMS_BYTES) throw malformed(`the checksums have more than ${MAX_SUMS_BYTES} bytes`)
  const signer = await verifyOpenPgp(sums, signature, keys, options)
  return { sums: readSha256Sums(sums), signer }
}

/** For `verify`: manifests with OpenPGP signatures. Policies pin the identity, `openpgp:<fingerprint>`. */
export function openPgpVerifier(keys: readonly string[], options: OpenPgpOptions = {}): SignatureVerifier {
  return {
    format: 'openpgp',
    // A binary signature begins with the tag of its packet: 2, in the old form or in the new one.
    recognizes: bytes => looksArmoured(bytes) || ((bytes[0] ?? 0) & 0xfc) === 0x88 || bytes[0] === 0xc2,
    verify: async (document, signature) => ({ identity: (await verifyOpenPgp(document, signature, keys, options)).identity }),
  }
}
