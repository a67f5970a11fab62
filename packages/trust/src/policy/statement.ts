// What a publisher says about its own keys, signed like a manifest: that a new key takes over, that keys or releases are no longer good.
// docs/manifest.md has their form. Who has to have signed is decided in keyring.ts.

import { PluginError } from 'plugwire'
import { Fields } from '../manifest/fields.ts'
import { type JsonObject, readCanonical, writeCanonical } from '../manifest/json.ts'
import { isInstant, isPublisherName } from '../manifest/manifest.ts'
import { loadPublicKey } from '../signatures/public-key.ts'
import { namesKey, namesManifest } from './policy.ts'

export const ROTATION_FORMAT = 'rotation/1'
export const REVOCATIONS_FORMAT = 'revocations/1'

/** From now on this publisher signs with another key. Signed with the old one. */
export interface Rotation {
  readonly publisher: string
  /** Public keys, as `readPublicKey` gives their `text`. */
  readonly from: string
  readonly to: string
  /** UTC, to the second. */
  readonly issued: string
}

/** Keys and releases of a publisher that are no longer good. Signed with one of its keys, also one that it lists. */
export interface RevocationList {
  readonly publisher: string
  /** Rises with every list; an older one is refused. */
  readonly sequence: number
  /** UTC, to the second. */
  readonly issued: string
  /** Fingerprints, `SHA256:…`, or identities. */
  readonly keys: readonly string[]
  /** SHA-512 of manifests, lower-case hexadecimal digits. */
  readonly manifests: readonly string[]
}

export function statementFault(reason: string, cause?: unknown): PluginError<'ERR_TRUST_STATEMENT'> {
  return new PluginError(
    'ERR_TRUST_STATEMENT',
    { reason, remedy: 'Get the current statement from the publisher.' },
    cause === undefined ? undefined : { cause },
  )
}

/** @throws PluginError `ERR_TRUST_STATEMENT` */
export function readRotation(bytes: Uint8Array): Rotation {
  return read(bytes, 'the rotation statement', ROTATION_FORMAT, ['publisher', 'from', 'to', 'issued'], fields => {
    const rotation = {
      publisher: fields.text('publisher'),
      from: keyOf(fields, 'from'),
      to: keyOf(fields, 'to'),
      issued: fields.text('issued'),
    }
    if (loadPublicKey(rotation.from).fingerprint === loadPublicKey(rotation.to).fingerprint)
      throw statementFault('the rotation statement leads from a key to itself')
    return rotation
  })
}

/** @throws PluginError `ERR_TRUST_STATEMENT` */
export function readRevocationList(bytes: Uint8Array): RevocationList {
  return read(bytes, 'the revocation list', REVOCATIONS_FORMAT, ['publisher', 'sequence', 'issued', 'keys', 'manifests'], fields => {
    const keys = fields.texts('keys')
    const manifests = fields.texts('manifests')
    if (!keys.every(namesKey) || !manifests.every(namesManifest)) {
      throw statementFault('the revocation list holds something that is neither a fingerprint nor a SHA-512')
    }
    return { publisher: fields.text('publisher'), sequence: fields.count('sequence'), issued: fields.text('issued'), keys, manifests }
  })
}

function read<T extends { readonly publisher: string; readonly issued: string }>(
  bytes: Uint8Array,
  what: string,
  format: string,
  keys: readonly string[],
  take: (fields: Fields) => T,
): T {
  try {
    const fields = new Fields(readCanonical(bytes, what), '')
    if (fields.text('plugwire') !== format) throw statementFault(`${what} is of another format: ${fields.text('plugwire').slice(0, 40)}`)
    fields.only(['plugwire', ...keys])
    const statement = take(fields)
    if (!isPublisherName(statement.publisher)) throw statementFault(`${what} names no publisher`)
    if (!isInstant(statement.issued)) throw statementFault(`${what} has an issued that is no instant in UTC`)
    return statement
  } catch (cause) {
    if (!(cause instanceof PluginError) || cause.code === 'ERR_TRUST_STATEMENT') throw cause
    throw statementFault(cause.facts.reason, cause)
  }
}

function keyOf(fields: Fields, name: string): string {
  const text = fields.text(name)
  if (loadPublicKey(text).text !== text) throw statementFault(`the rotation statement has a ${name} that is not a bare public key`)
  return text
}

/** The bytes to sign, in canonical form. */
export function encodeRotation(rotation: Rotation): Uint8Array {
  const bytes = writeCanonical({ plugwire: ROTATION_FORMAT, ...rotation } satisfies JsonObject)
  readRotation(bytes)
  return bytes
}

/** The bytes to sign, in canonical form. */
export function encodeRevocationList(list: RevocationList): Uint8Array {
  const bytes = writeCanonical({ plugwire: REVOCATIONS_FORMAT, ...list } satisfies JsonObject)
  readRevocationList(bytes)
  return bytes
}
