// The keys that a policy leads to: those it pins, those that pinned ones handed over to, less those that were revoked.

import { PluginError } from 'plugwire'
import { MAX_ROTATIONS, MAX_SIGNATURES } from '../limits.ts'
import { type LoadedKey, loadPublicKey } from '../signatures/public-key.ts'
import { checkSignature, claimsKey, readSignature, type Signature } from '../signatures/signature.ts'
import {
  isIdentity,
  mayName,
  namesKey,
  namesManifest,
  type Revocations,
  type SignedDocument,
  type TrustedPublisher,
  type TrustPolicy,
} from './policy.ts'
import { type RevocationList, type Rotation, readRevocationList, readRotation, statementFault } from './statement.ts'

export interface TrustedKey {
  readonly publisher: TrustedPublisher
  readonly key: LoadedKey
  readonly basis: 'pinned' | 'rotated'
  /** Fingerprints of the keys that handed over, the pinned one first. Empty for a pinned one. */
  readonly lineage: readonly string[]
  /** Whether it has handed over to another key itself. */
  readonly retired: boolean
}

/** A publisher known by what a verifier of another format reports. */
export interface TrustedIdentity {
  readonly publisher: TrustedPublisher
  readonly identity: string
}

export interface Keyring {
  readonly keys: readonly TrustedKey[]
  readonly identities: readonly TrustedIdentity[]
}

function policyFault(reason: string, cause?: unknown): PluginError<'ERR_TRUST_POLICY'> {
  return new PluginError(
    'ERR_TRUST_POLICY',
    { reason: `the trust policy cannot be used: ${reason}`, remedy: 'docs/trust.md describes policies.' },
    cause === undefined ? undefined : { cause },
  )
}

/**
 * Reads the policy's keys, and follows the rotations of one publisher.
 * @throws PluginError `ERR_TRUST_POLICY`, `ERR_TRUST_STATEMENT`
 */
export function keyringOf(policy: TrustPolicy, publisherName: string): Keyring {
  const { publishers = [], require = 'signature', firstUse = 'refuse', threshold = 1 } = policy
  if (!['signature', 'digest', 'none'].includes(require)) throw policyFault(`it requires ${JSON.stringify(require)}`)
  if (firstUse !== 'refuse' && firstUse !== 'accept') throw policyFault(`its firstUse is ${JSON.stringify(firstUse)}`)
  if (!Number.isInteger(threshold) || threshold < 1) throw policyFault('its threshold is not a whole number from 1')
  if (new Set(publishers.map(({ name }) => name)).size !== publishers.length) throw policyFault('it names a publisher twice')
  checkLimits(policy)
  const keys: TrustedKey[] = []
  const identities: TrustedIdentity[] = []
  for (const publisher of publishers) {
    for (const text of publisher.keys) {
      // Every key is read, also of publishers that are not asked about now: a policy that is wrong is wrong at once.
      const loaded = isIdentity(text) ? undefined : loadKey(text, publisher.name)
      if (publisher.name !== publisherName) continue
      if (loaded === undefined) identities.push({ publisher, identity: text })
      else keys.push({ publisher, key: loaded, basis: 'pinned', lineage: [], retired: false })
    }
  }
  return { keys: followed(keys, policy, publisherName), identities }
}

/** What narrows a policy: misspelt it would narrow nothing, and nobody would notice. */
function checkLimits({ publishers = [], revocations = [], requireExpiry = false, expired = 'refuse' }: TrustPolicy): void {
  if (typeof requireExpiry !== 'boolean') throw policyFault('its requireExpiry is neither true nor false')
  if (expired !== 'refuse' && expired !== 'locked') throw policyFault(`its expired is ${JSON.stringify(expired)}`)
  for (const { name, plugins } of publishers)
    if (plugins !== undefined && !Array.isArray(plugins)) throw policyFault(`the plugins of ${name} are no list`)
  for (const { keys, manifests } of revocations) {
    if (!Array.isArray(keys) || !Array.isArray(manifests)) throw policyFault('a revocation has no list of keys or of manifests')
    const wrong = keys.find(key => !namesKey(key)) ?? manifests.find(digest => !namesManifest(digest))
    if (wrong !== undefined)
      throw policyFault(`it revokes ${JSON.stringify(wrong)}, which is neither a fingerprint (SHA256:…) nor a SHA-512 in small letters`)
  }
}

function loadKey(text: string, publisher: string): LoadedKey {
  try {
    return loadPublicKey(text)
  } catch (cause) {
    if (!(cause instanceof PluginError)) throw cause
    throw policyFault(`a key of ${publisher}: ${cause.facts.reason}`, cause)
  }
}

/** The keys, and those they lead to. A key that has handed over is retired: what it signs later may be by whoever found it. */
function followed(pinned: readonly TrustedKey[], policy: TrustPolicy, publisherName: string): readonly TrustedKey[] {
  const keys = [...pinned]
  const rotations = (policy.rotations ?? []).map(signed => ({ signed, rotation: readRotation(signed.document) }))
  const mine = rotations.filter(({ rotation }) => rotation.publisher === publisherName)
  if (mine.length > MAX_ROTATIONS) throw statementFault(`there are more than ${MAX_ROTATIONS} rotation statements of ${publisherName}`)
  for (let i = 0; i < keys.length; i++) {
    const from = keys[i] as TrustedKey
    if (isRevokedKey(policy, publisherName, from.key.fingerprint)) continue // Whoever has it could hand over to anybody.
    const next = new Map<string, { readonly signed: SignedDocument; readonly rotation: Rotation }>()
    for (const found of mine)
      if (loadPublicKey(found.rotation.from).fingerprint === from.key.fingerprint) next.set(found.rotation.to, found)
    if (next.size > 1) throw statementFault(`${from.key.fingerprint} of ${publisherName} hands over to ${next.size} different keys`)
    const [found] = next.values()
    if (found === undefined) continue
    checkStatement(found.signed, [from], `the rotation statement of ${publisherName}`)
    keys[i] = { ...from, retired: true }
    const to = loadPublicKey(found.rotation.to)
    if (keys.some(({ key }) => key.fingerprint === to.fingerprint)) continue
    keys.push({ publisher: from.publisher, key: to, basis: 'rotated', lineage: [...from.lineage, from.key.fingerprint], retired: false })
  }
  return keys
}

/** One of the signatures has to be by one of the keys, and valid. */
function checkStatement({ document, signatures }: SignedDocument, keys: readonly TrustedKey[], what: string): void {
  if (signatures.length > MAX_SIGNATURES) throw statementFault(`${what} has more than ${MAX_SIGNATURES} signatures`)
  for (const bytes of signatures) {
    let signature: Signature
    try {
      signature = readSignature(bytes)
      const trusted = keys.find(({ key }) => claimsKey(signature, key))
      if (trusted === undefined) continue
      checkSignature(document, signature, trusted.key)
      return
    } catch (cause) {
      if (!(cause instanceof PluginError)) throw cause
      throw statementFault(`${what}: ${cause.facts.reason}`, cause)
    }
  }
  throw statementFault(
    `${what} is not signed by ${keys.length === 0 ? 'a key that is trusted' : keys.map(({ key }) => key.fingerprint).join(' or ')}`,
  )
}

const concerns = (list: Revocations, publisher: string): boolean => list.publisher === undefined || list.publisher === publisher

export const isRevokedKey = (policy: TrustPolicy, publisher: string, fingerprint: string): boolean =>
  (policy.revocations ?? []).some(list => concerns(list, publisher) && list.keys.includes(fingerprint))

export const isRevokedManifest = (policy: TrustPolicy, publisher: string, sha512: string): boolean =>
  (policy.revocations ?? []).some(list => concerns(list, publisher) && list.manifests.includes(sha512))

/** Keys of a publisher that may sign this plugin. */
export const keysFor = (keyring: Keyring, plugin: string): readonly TrustedKey[] =>
  keyring.keys.filter(({ publisher }) => mayName(publisher.plugins, plugin))

/**
 * Reads a publisher's own revocation list, to be put into a policy.
 * @param newest The highest sequence seen of this publisher before; a list below it is refused. Default 0.
 * @throws PluginError `ERR_TRUST_STATEMENT` when it is not signed by a key that the policy trusts for its publisher, or is an old one.
 */
export function readRevocations(signed: SignedDocument, policy: TrustPolicy, newest = 0): RevocationList {
  const list = readRevocationList(signed.document)
  const keys = keyringOf(policy, list.publisher).keys.filter(({ key }) => !isRevokedKey(policy, list.publisher, key.fingerprint))
  checkStatement(signed, keys, `the revocation list of ${list.publisher}`)
  if (list.sequence < newest)
    throw statementFault(`the revocation list of ${list.publisher} has number ${list.sequence}; number ${newest} was seen before`)
  return list
}

/**
 * Checks that a rotation statement is signed by the key it leads from, and that the policy trusts that key for its publisher.
 * @throws PluginError `ERR_TRUST_STATEMENT`
 */
export function verifyRotation(signed: SignedDocument, policy: TrustPolicy): Rotation {
  const rotation = readRotation(signed.document)
  const { fingerprint } = loadPublicKey(rotation.from)
  const keys = keyringOf({ ...policy, rotations: policy.rotations ?? [] }, rotation.publisher).keys
  const from = keys.filter(({ key }) => key.fingerprint === fingerprint && !isRevokedKey(policy, rotation.publisher, fingerprint))
  checkStatement(signed, from, `the rotation statement of ${rotation.publisher}`)
  return rotation
}
