// Whom a user trusts, as a value: publishers with their keys and how each was come by, handed-over keys, revocations. Knows no file.

import { PluginError } from 'plugwire'
import { MAX_STATE_BYTES } from '../limits.ts'
import { isObject, type Json, JsonFault, type JsonObject, readJson, writeCanonical } from '../manifest/json.ts'
import { instantOf, isInstant, isPublisherName } from '../manifest/manifest.ts'
import { readRevocations, verifyRotation } from '../policy/keyring.ts'
import {
  namesKey,
  namesManifest,
  type Revocations,
  type SignedDocument,
  type TrustedPublisher,
  type TrustPolicy,
} from '../policy/policy.ts'
import { readRotation, statementFault } from '../policy/statement.ts'
import type { Verdict } from '../policy/verdict.ts'
import { readPublicKey } from '../signatures/public-key.ts'

export const TRUST_VERSION = 1

/** How a key came to be trusted: somebody compared it and said so, it was taken as it came, or a trusted key handed over to it. */
export type TrustBasis = 'configured' | 'first-use' | 'rotated'

export interface KnownKey {
  /** The public key as one line. */
  readonly key: string
  readonly basis: TrustBasis
  /** UTC, to the second. */
  readonly since: string
}

export interface KnownPublisher {
  /** By fingerprint. */
  readonly keys: ReadonlyMap<string, KnownKey>
  /** What it may sign, as in a policy; undefined is everything. */
  readonly plugins: readonly string[] | undefined
  /** Its statements by which one key handed over to the next. */
  readonly rotations: readonly SignedDocument[]
  /** All that its revocation lists ever named, and the number of the newest. A list cannot take back what an older one revoked. */
  readonly revoked: { readonly sequence: number; readonly keys: readonly string[]; readonly manifests: readonly string[] }
}

export interface Trust {
  readonly publishers: ReadonlyMap<string, KnownPublisher>
  /** What the user has revoked, whoever it belongs to. */
  readonly revoked: { readonly keys: readonly string[]; readonly manifests: readonly string[] }
}

export const emptyTrust: Trust = { publishers: new Map(), revoked: { keys: [], manifests: [] } }

const nobody: KnownPublisher = { keys: new Map(), plugins: [], rotations: [], revoked: { sequence: 0, keys: [], manifests: [] } }

export interface TrustEntry {
  readonly publisher: string
  /** A public key, in any form that `readPublicKey` reads. */
  readonly key: string
  readonly basis: TrustBasis
  /** Names or patterns, added to those it has. Default: every plugin. */
  readonly plugins?: readonly string[]
  /** Default: the clock. */
  readonly now?: Date
}

/**
 * The trust with one key more.
 *
 * What a publisher may sign holds for all of its keys, so a key of a first use is in the way of more: nobody has compared it.
 * @throws PluginError `ERR_SIGNATURE_KEY`, `ERR_TRUST_POLICY`
 */
export function trustKey(trust: Trust, entry: TrustEntry): Trust {
  if (!isPublisherName(entry.publisher)) {
    throw new PluginError('ERR_TRUST_POLICY', {
      reason: `${JSON.stringify(entry.publisher.slice(0, 120))} is no name of a publisher`,
      remedy: 'It has 1 to 100 printable characters and no space at either end.',
    })
  }
  const { fingerprint, text } = readPublicKey(entry.key)
  const known = trust.publishers.get(entry.publisher) ?? nobody
  const all = entry.plugins === undefined || known.plugins === undefined
  const plugins = all ? undefined : union(known.plugins ?? [], entry.plugins ?? [])
  const unseen = [...known.keys].find(([other, { basis }]) => basis === 'first-use' && other !== fingerprint)?.[0]
  if (unseen !== undefined && plugins?.length !== known.plugins?.length) {
    throw new PluginError('ERR_TRUST_POLICY', {
      reason: `${entry.publisher} has the key ${unseen}, which was taken on first use for ${known.plugins?.join(', ')} alone; it would be good for more`,
      remedy: 'Remove that key first (plugwire trust remove), or add it as one that you have compared.',
    })
  }
  return withPublisher(trust, entry.publisher, {
    ...known,
    keys: new Map(known.keys).set(fingerprint, { key: text, basis: entry.basis, since: instantOf(entry.now ?? new Date()) }),
    plugins,
  })
}

/**
 * The trust with the key that a first use brought, for this plugin alone.
 * @throws TypeError when the verdict is not of a first use: such a key must not get here by mistake. PluginError `ERR_TRUST_POLICY` when the publisher has
 * become known since by another key.
 */
export function trustFirstUse(trust: Trust, verdict: Verdict, now: Date = new Date()): Trust {
  const [signer] = verdict.signers
  if (verdict.basis !== 'first-use' || signer?.key === undefined) throw new TypeError('the verdict is not of a first use')
  const known = trust.publishers.get(signer.publisher)?.keys
  if (known !== undefined && known.size > 0 && !known.has(signer.fingerprint)) {
    throw new PluginError('ERR_TRUST_POLICY', {
      reason: `${signer.publisher} has become known by another key than ${signer.fingerprint} meanwhile`,
      remedy: 'Try again: it is no first use any more.',
    })
  }
  return trustKey(trust, { publisher: signer.publisher, key: signer.key, basis: 'first-use', plugins: [verdict.manifest.name], now })
}

/** The trust without one key, or without the publisher. What it revoked stays revoked. */
export function distrust(trust: Trust, publisher: string, fingerprint?: string): Trust {
  const known = trust.publishers.get(publisher)
  if (known === undefined) return trust
  const keys = new Map(known.keys)
  if (fingerprint === undefined) keys.clear()
  else keys.delete(fingerprint)
  const { revoked } = known
  const nothingLeft = keys.size === 0 && revoked.sequence === 0
  if (!nothingLeft) return withPublisher(trust, publisher, keys.size === 0 ? { ...nobody, revoked } : { ...known, keys })
  const publishers = new Map(trust.publishers)
  publishers.delete(publisher)
  return { ...trust, publishers }
}

/** The trust without these keys and manifests, whoever says what. Only taking them out of the file brings them back. */
export function revoke(trust: Trust, revoked: Partial<Trust['revoked']>): Trust {
  return {
    ...trust,
    revoked: { keys: union(trust.revoked.keys, revoked.keys ?? []), manifests: union(trust.revoked.manifests, revoked.manifests ?? []) },
  }
}

/** Whether a key of a publisher is refused, by the user or by the publisher's own lists. */
export const isRevoked = (trust: Trust, publisher: string, fingerprint: string): boolean =>
  trust.revoked.keys.includes(fingerprint) || (trust.publishers.get(publisher)?.revoked.keys.includes(fingerprint) ?? false)

/**
 * The trust with a key that an already trusted one handed over to.
 *
 * The new key is recorded in its own right: when the old one is revoked later, which is often why it was replaced, the new one stays.
 * @throws PluginError `ERR_TRUST_STATEMENT`
 */
export function trustRotation(trust: Trust, signed: SignedDocument, now: Date = new Date()): Trust {
  const rotation = verifyRotation(signed, trustPolicy(trust))
  const known = trust.publishers.get(rotation.publisher) ?? nobody
  const to = readPublicKey(rotation.to)
  const from = readPublicKey(rotation.from).fingerprint
  // By fingerprint: one key can be written in several ways.
  const again = handovers(known).find(before => before.from === from)?.to
  if (again === to.fingerprint && known.keys.has(again)) return trust
  if (again !== undefined && again !== to.fingerprint)
    throw statementFault(`the key of ${rotation.publisher} has already handed over to ${again}`)
  const keys = new Map(known.keys)
  if (!keys.has(to.fingerprint)) keys.set(to.fingerprint, { key: to.text, basis: 'rotated', since: instantOf(now) })
  const rotations = again === undefined ? [...known.rotations, signed] : known.rotations
  return withPublisher(trust, rotation.publisher, { ...known, keys, rotations })
}

/** Which key handed over to which, by their fingerprints. */
function handovers({ rotations }: KnownPublisher): readonly { readonly from: string; readonly to: string }[] {
  return rotations.map(({ document }) => {
    const { from, to } = readRotation(document)
    return { from: readPublicKey(from).fingerprint, to: readPublicKey(to).fingerprint }
  })
}

/**
 * The trust less what a publisher's list revokes.
 * @throws PluginError `ERR_TRUST_STATEMENT`
 */
export function trustRevocations(trust: Trust, signed: SignedDocument): Trust {
  const publisher = readRevocations(signed, trustPolicy(trust)).publisher
  const known = trust.publishers.get(publisher) ?? nobody
  const list = readRevocations(signed, trustPolicy(trust), known.revoked.sequence)
  const after = withPublisher(trust, publisher, {
    ...known,
    revoked: {
      sequence: list.sequence,
      keys: union(known.revoked.keys, list.keys),
      manifests: union(known.revoked.manifests, list.manifests),
    },
  })
  return Buffer.compare(encodeTrust(trust), encodeTrust(after)) === 0 ? trust : after
}

/**
 * A policy of what the application has decided and what the user trusts.
 * @param policy The application's. A publisher that it pins is its own affair: what the user's file says of that name does not count.
 */
export function trustPolicy(trust: Trust, policy: TrustPolicy = {}): TrustPolicy {
  const pinned = new Set((policy.publishers ?? []).map(({ name }) => name))
  const mine = [...trust.publishers].filter(([name]) => !pinned.has(name))
  const publishers = mine
    .filter(([, { keys }]) => keys.size > 0)
    .map(
      ([name, { keys, plugins }]): TrustedPublisher => ({
        name,
        keys: [...keys.values()].map(({ key }) => key),
        ...(plugins !== undefined && { plugins }),
      }),
    )
  const [rotations, revocations]: [SignedDocument[], Revocations[]] = [[], []]
  for (const [publisher, known] of trust.publishers) {
    // A key that took over and that the user has removed does not come back by the statement that led to it. Nor does the old one.
    const removed = handovers(known).map(({ to }) => !known.keys.has(to))
    const gone = handovers(known).flatMap(({ to }, i) => (removed[i] && !pinned.has(publisher) ? [to] : []))
    revocations.push({ publisher, keys: union(known.revoked.keys, gone), manifests: known.revoked.manifests })
    // Also of a publisher that the application pins: a statement counts only if its key is trusted.
    rotations.push(...known.rotations.filter((_, i) => !pinned.has(publisher) || !removed[i]))
  }
  return {
    ...policy,
    publishers: [...(policy.publishers ?? []), ...publishers],
    rotations: [...(policy.rotations ?? []), ...rotations],
    revocations: [...(policy.revocations ?? []), ...revocations, trust.revoked],
  }
}

const withPublisher = (trust: Trust, name: string, publisher: KnownPublisher): Trust => ({
  ...trust,
  publishers: new Map(trust.publishers).set(name, publisher),
})

const union = (a: readonly string[], b: readonly string[]): readonly string[] => [...new Set([...a, ...b])].sort()

// ---- as a text

export function encodeTrust(trust: Trust): Uint8Array {
  const publishers: Record<string, Json> = Object.create(null)
  for (const [name, { keys, plugins, rotations, revoked }] of trust.publishers) {
    publishers[name] = {
      keys: Object.fromEntries([...keys].map(([fingerprint, key]) => [fingerprint, { ...key }])),
      plugins: plugins ?? null,
      rotations: rotations.map(({ document, signatures }) => ({ document: base64(document), signatures: signatures.map(base64) })),
      revoked: { ...revoked },
    }
  }
  return writeCanonical({ trustVersion: TRUST_VERSION, publishers, revoked: { ...trust.revoked } })
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

/** @throws PluginError `ERR_TRUST_STORE` */
export function readTrust(bytes: Uint8Array, path: string): Trust {
  try {
    return trustOf(readJson(bytes, { maxBytes: MAX_STATE_BYTES }))
  } catch (cause) {
    if (cause instanceof PluginError && cause.code === 'ERR_TRUST_STORE') throw cause
    const offset = cause instanceof JsonFault ? ` at byte ${cause.offset}` : ''
    const reason = cause instanceof PluginError ? (cause.facts as { reason: string }).reason : (cause as Error).message
    throw new PluginError(
      'ERR_TRUST_STORE',
      { path, reason: `${path} is malformed${offset}: ${reason}`, remedy: 'Restore it, or move it away and trust your publishers again.' },
      { cause },
    )
  }
}

function trustOf(document: Json): Trust {
  const root = object(document, 'the document', ['trustVersion', 'publishers', 'revoked'])
  if (root['trustVersion'] !== TRUST_VERSION) throw new Error(`its trustVersion is not ${TRUST_VERSION}`)
  const publishers = new Map<string, KnownPublisher>()
  for (const [name, value] of Object.entries(object(root['publishers'], 'publishers'))) {
    const fields = object(value, name, ['keys', 'plugins', 'rotations', 'revoked'])
    const revoked = object(fields['revoked'], 'revoked', ['sequence', 'keys', 'manifests'])
    const sequence = revoked['sequence']
    if (typeof sequence !== 'number' || sequence < 0) throw new Error('a sequence is a whole number')
    publishers.set(name, {
      keys: new Map(
        Object.entries(object(fields['keys'], 'keys')).map(([fingerprint, key]) => [
          fingerprint,
          keyOf(fingerprint, object(key, 'a key', ['key', 'basis', 'since'])),
        ]),
      ),
      plugins: fields['plugins'] === null ? undefined : texts(fields['plugins'], 'plugins'),
      rotations: list(fields['rotations'], 'rotations').map(item => signedOf(object(item, 'a rotation', ['document', 'signatures']))),
      revoked: { sequence, ...revokedOf(revoked) },
    })
  }
  return { publishers, revoked: revokedOf(object(root['revoked'], 'revoked', ['keys', 'manifests'])) }
}

function revokedOf(fields: JsonObject): Trust['revoked'] {
  const [keys, manifests] = [texts(fields['keys'], 'keys'), texts(fields['manifests'], 'manifests')]
  const wrong = keys.find(key => !namesKey(key)) ?? manifests.find(digest => !namesManifest(digest))
  if (wrong !== undefined)
    throw new Error(`${JSON.stringify(wrong)} is revoked, and is neither a fingerprint nor a SHA-512 in small letters`)
  return { keys, manifests }
}

function keyOf(fingerprint: string, fields: JsonObject): KnownKey {
  const { key, basis, since } = fields
  if (basis !== 'configured' && basis !== 'first-use' && basis !== 'rotated') throw new Error('the basis of a key is not known')
  if (typeof since !== 'string' || !isInstant(since)) throw new Error('since is an instant in UTC')
  if (typeof key !== 'string' || readPublicKey(key).fingerprint !== fingerprint) throw new Error(`the key of ${fingerprint} is another one`)
  return { key, basis, since }
}

function signedOf(fields: JsonObject): SignedDocument {
  const bytes = (value: Json | undefined): Uint8Array => {
    if (typeof value !== 'string') throw new Error('a signed document is base64')
    return new Uint8Array(Buffer.from(value, 'base64'))
  }
  return { document: bytes(fields['document']), signatures: list(fields['signatures'], 'signatures').map(bytes) }
}

/** With these fields and no others: an older program must not drop what a newer one wrote. */
function object(value: Json | undefined, what: string, known?: readonly string[]): JsonObject {
  if (!isObject(value)) throw new Error(`${what} is no object`)
  const strange = known && Object.keys(value).find(field => !known.includes(field))
  if (strange !== undefined) throw new Error(`${what} has ${JSON.stringify(strange)}, which is not known there`)
  return value
}

function list(value: Json | undefined, what: string): readonly Json[] {
  if (!Array.isArray(value)) throw new Error(`${what} is no list`)
  return value
}

function texts(value: Json | undefined, what: string): readonly string[] {
  return list(value, what).map(item => {
    if (typeof item !== 'string') throw new Error(`${what} is a list of texts`)
    return item
  })
}
