// The verdict: whether these bytes may be used as the plugin that was asked for, and why. Pure but for the clock; no file, no process, no network.

import { createHash, timingSafeEqual } from 'node:crypto'
import { PluginError } from 'plugwire'
import { MAX_SIGNATURES } from '../limits.ts'
import { type Manifest, readManifest } from '../manifest/manifest.ts'
import { type SelectedPlatform, selectPlatform } from '../manifest/platform.ts'
import { compareVersions } from '../manifest/version.ts'
import { type LoadedKey, loadPublicKey } from '../signatures/public-key.ts'
import {
  checkSignature,
  claimedKey,
  claimsKey,
  commentOf,
  isForOtherReaders,
  readSignature,
  type Signature,
} from '../signatures/signature.ts'
import { isRevokedKey, isRevokedManifest, type Keyring, keyringOf, keysFor, type TrustedKey } from './keyring.ts'
import { mayName, type TrustPolicy } from './policy.ts'
import type { Basis, FileDigest, Signer, Verdict, VerifyRequest } from './verdict.ts'

/**
 * Checks a manifest against signatures, policy, lock and, when they are given, the digests of files.
 *
 * It answers about bytes. Use exactly the bytes that were hashed for `files`, from memory or an open file; what a path leads to may be
 * something else a moment later.
 * @throws PluginError `ERR_MANIFEST_…`, `ERR_SIGNATURE_…`, `ERR_TRUST_…`: the first thing that is wrong.
 */
export async function verify(request: VerifyRequest): Promise<Verdict> {
  const { policy, locked } = request
  const manifest = readManifest(request.manifest, request.understands === undefined ? {} : { understands: request.understands })
  checkAsked(manifest, request)
  const manifestSha512 = createHash('sha512').update(request.manifest).digest('hex')
  const isLocked = sameHex(locked?.versions.get(manifest.version)?.manifest ?? '', manifestSha512)

  const accepted = await acceptedSigners(request, manifest, isLocked)
  if (isRevokedManifest(policy, manifest.publisher.name, manifestSha512)) {
    throw new PluginError('ERR_TRUST_REVOKED', {
      plugin: manifest.name,
      what: manifestSha512,
      reason: `${manifest.name} ${manifest.version} was revoked`,
      remedy: 'Take another version.',
    })
  }
  checkLockedSigner(manifest, accepted, request, isLocked)
  checkExpiry(manifest, policy, request.now ?? new Date(), isLocked)
  checkVersion(manifest, manifestSha512, request, isLocked)
  const platform = request.platform === undefined ? undefined : selectPlatform(manifest, request.platform)
  if (request.files !== undefined) {
    if (platform === undefined) throw new TypeError('verify() is given files, so it needs to know their platform')
    checkFiles(platform, request.files)
  }
  return {
    manifest,
    manifestSha512,
    basis: accepted.basis,
    signers: accepted.signers,
    ...(platform !== undefined && { platform }),
    filesChecked: request.files !== undefined,
  }
}

interface Accepted {
  readonly basis: Basis
  readonly signers: readonly Signer[]
  /** Fingerprints that led to the signers' keys by rotation. */
  readonly lineage: readonly string[]
}

function checkAsked({ name, version }: Manifest, { plugin, version: asked }: VerifyRequest): void {
  if ((plugin === undefined || plugin === name) && (asked === undefined || asked === version)) return
  const expected = `${plugin ?? name} ${asked ?? version}`
  throw new PluginError('ERR_TRUST_OTHER_PLUGIN', {
    expected,
    actual: `${name} ${version}`,
    reason: `this is the manifest of ${name} ${version}, and ${expected} was asked for`,
    remedy: 'Somebody may be offering one plugin as another: do not use it, and look where it came from.',
  })
}

async function acceptedSigners(request: VerifyRequest, manifest: Manifest, isLocked: boolean): Promise<Accepted> {
  const { policy, signatures } = request
  if (signatures.length > MAX_SIGNATURES) {
    throw new PluginError('ERR_SIGNATURE_MALFORMED', {
      reason: `${signatures.length} signatures were given, at most ${MAX_SIGNATURES} are looked at`,
      remedy: 'Give those of the publisher.',
    })
  }
  const keyring = keyringOf(policy, manifest.publisher.name)
  const found = await lookAt(request, manifest, keyring, isLocked)
  const threshold = policy.threshold ?? 1
  const [first] = found.signers
  if (first !== undefined && found.pins >= threshold) {
    return { basis: found.rotated ? 'rotated' : 'pinned', signers: found.signers, lineage: found.lineage }
  }
  // What is revoked or retired is named before anything else is tried: nobody is to be asked whether to trust it after all.
  if (found.revoked !== undefined) {
    throw new PluginError('ERR_TRUST_REVOKED', {
      plugin: manifest.name,
      what: found.revoked,
      reason: `${manifest.name} ${manifest.version} is signed with ${found.revoked}, which was revoked`,
      remedy: 'Take a version that was signed with another key.',
    })
  }
  const unsigned = unsignedBasis(request, manifest, isLocked)
  if (first === undefined && unsigned !== undefined) return { basis: unsigned, signers: [], lineage: [] }
  if (first !== undefined) {
    throw new PluginError('ERR_SIGNATURE_MISSING', {
      plugin: manifest.name,
      reason: `${manifest.name} ${manifest.version} is signed by ${found.pins} of the ${threshold} keys that the policy requires`,
      remedy: 'Get the other signatures.',
    })
  }
  if (found.retired !== undefined) {
    throw new PluginError('ERR_TRUST_UNKNOWN_SIGNER', {
      plugin: manifest.name,
      publisher: manifest.publisher.name,
      fingerprints: [found.retired],
      reason: `${manifest.name} ${manifest.version} is signed with ${found.retired}, which its publisher has replaced by another key`,
      remedy: 'Take a version that was signed with the new key.',
    })
  }
  if (signatures.length === 0) {
    throw new PluginError('ERR_SIGNATURE_MISSING', {
      plugin: manifest.name,
      reason: `${manifest.name} ${manifest.version} is not signed`,
      remedy: 'Get the signature that belongs to the manifest, or decide in the policy that this plugin needs none.',
    })
  }
  if (found.strangers.length === 0 && found.identities.length === 0) for (const bytes of found.unread) readSignature(bytes)
  return firstUse(request, manifest, found, keyring)
}

function unsignedBasis({ policy, signatures }: VerifyRequest, manifest: Manifest, isLocked: boolean): Basis | undefined {
  if (policy.require === 'digest' && isLocked) return 'locked'
  if (policy.require !== 'none') return undefined
  // A signature of a publisher who is known has to be a good one even where none is needed.
  const known = (policy.publishers ?? []).some(({ name, keys }) => name === manifest.publisher.name && keys.length > 0)
  return signatures.length === 0 || !known ? 'unsigned' : undefined
}

interface Stranger {
  readonly signature: Signature
  readonly bytes: Uint8Array
}

interface Findings {
  readonly signers: readonly Signer[]
  /** How many different keys and identities of the policy the signers come from: what one of them made twice counts once. */
  readonly pins: number
  readonly rotated: boolean
  readonly lineage: readonly string[]
  readonly revoked: string | undefined
  readonly retired: string | undefined
  /** Signatures by keys that the policy does not know. */
  readonly strangers: readonly Stranger[]
  /** Identities that verifiers of other formats reported and the policy does not know. */
  readonly identities: readonly string[]
  /** Signatures for readers that are optional and were not given. */
  readonly unread: readonly Uint8Array[]
}

/**
 * Looks at every signature. One that claims a key we know has to be valid; one that cannot be read is an error, never skipped: but for those of optional
 * readers, or a publisher who adds such a signature would shut out everybody who has not that reader.
 */
async function lookAt(request: VerifyRequest, manifest: Manifest, keyring: Keyring, isLocked: boolean): Promise<Findings> {
  const { policy, manifest: document } = request
  const signers = new Map<string, Signer>()
  const pins = new Set<string>()
  const lineage: string[] = []
  const strangers: Stranger[] = []
  const identities: string[] = []
  const unread: Uint8Array[] = []
  let rotated = false
  let revoked: string | undefined
  let retired: string | undefined
  const keys = keysFor(keyring, manifest.name)
  for (const bytes of request.signatures) {
    const verifier = request.verifiers?.find(candidate => candidate.recognizes(bytes))
    if (verifier !== undefined) {
      const { identity, comment } = await verifier.verify(document, bytes)
      const known = keyring.identities.find(
        candidate => mayName([candidate.identity], identity) && mayName(candidate.publisher.plugins, manifest.name),
      )
      if (isRevokedKey(policy, manifest.publisher.name, identity)) revoked = identity
      else if (known !== undefined) {
        pins.add(known.identity)
        signers.set(identity, {
          publisher: known.publisher.name,
          fingerprint: identity,
          key: undefined,
          format: verifier.format,
          ...(comment !== undefined && { comment }),
        })
      } else identities.push(identity)
      continue
    }
    if (isForOtherReaders(bytes)) {
      unread.push(bytes)
      continue
    }
    const signature = readSignature(bytes)
    const claimed = keys.filter(({ key }) => claimsKey(signature, key))
    if (claimed.length === 0) {
      strangers.push({ signature, bytes })
      continue
    }
    const trusted = signedBy(document, signature, claimed)
    const { fingerprint } = trusted.key
    if (isRevokedKey(policy, manifest.publisher.name, fingerprint)) revoked = fingerprint
    else if (trusted.retired && !isLocked) retired = fingerprint
    else {
      pins.add(trusted.lineage[0] ?? fingerprint)
      signers.set(fingerprint, signerOf(trusted.publisher.name, trusted.key, signature))
      lineage.push(...trusted.lineage)
      rotated ||= trusted.basis === 'rotated'
    }
  }
  return { signers: [...signers.values()], pins: pins.size, rotated, lineage, revoked, retired, strangers, identities, unread }
}

/** Several keys may carry the same number of minisign: it is the signature that decides. */
function signedBy(document: Uint8Array, signature: Signature, claimed: readonly TrustedKey[]): TrustedKey {
  let refusal: unknown
  for (const trusted of claimed) {
    try {
      checkSignature(document, signature, trusted.key)
      return trusted
    } catch (cause) {
      refusal ??= cause
    }
  }
  throw refusal
}

function signerOf(publisher: string, key: LoadedKey, signature: Signature): Signer {
  const comment = commentOf(signature)
  return { publisher, fingerprint: key.fingerprint, key: key.text, format: signature.format, ...(comment !== undefined && { comment }) }
}

/** The key that a stranger's signature was made with: the one inside of it, or the one that the manifest names. Undefined when it is neither. */
function strangersKey(document: Uint8Array, { signature }: Stranger, asserted: LoadedKey | undefined): LoadedKey | undefined {
  const key = signature.format === 'ssh' ? signature.key : asserted
  if (key === undefined || !claimsKey(signature, key)) return undefined
  checkSignature(document, signature, key)
  return key
}

function firstUse(
  { policy, manifest: document }: VerifyRequest,
  manifest: Manifest,
  { strangers, identities }: Findings,
  keyring: Keyring,
): Accepted {
  const publisher = manifest.publisher.name
  const asserted = manifest.publisher.key === undefined ? undefined : loadPublicKey(manifest.publisher.key)
  const keys = strangers.map(stranger => ({ stranger, key: strangersKey(document, stranger, asserted) }))
  const signers = keys.flatMap(({ stranger, key }) => (key === undefined ? [] : [signerOf(publisher, key, stranger.signature)]))
  const revoked = signers.find(({ fingerprint }) => isRevokedKey(policy, publisher, fingerprint))
  if (revoked !== undefined) {
    throw new PluginError('ERR_TRUST_REVOKED', {
      plugin: manifest.name,
      what: revoked.fingerprint,
      reason: `${manifest.name} ${manifest.version} is signed with ${revoked.fingerprint}, which was revoked`,
      remedy: 'Do not use it.',
    })
  }
  const isNew = keyring.keys.length === 0 && keyring.identities.length === 0
  const [first] = signers
  if (isNew && first !== undefined && policy.firstUse === 'accept' && (policy.threshold ?? 1) === 1) {
    return { basis: 'first-use', signers: [first], lineage: [] }
  }
  const otherwise = strangers.some(({ signature }) => keyring.keys.some(({ key }) => claimsKey(signature, key)))
  const fingerprints = [...keys.map(({ stranger, key }) => key?.fingerprint ?? claimedKey(stranger.signature)), ...identities]
  const said = fingerprints.length === 0 ? 'somebody who is not trusted for it' : fingerprints.join(' and ')
  throw new PluginError('ERR_TRUST_UNKNOWN_SIGNER', {
    plugin: manifest.name,
    publisher,
    fingerprints,
    reason: isNew
      ? `${manifest.name} ${manifest.version} is signed by ${said}, and no key of ${JSON.stringify(publisher)} is trusted yet`
      : `${manifest.name} ${manifest.version} is signed by ${said}, which is not a key of ${JSON.stringify(publisher)} that is trusted for this plugin`,
    remedy: isNew
      ? 'Compare the fingerprint with the one that the publisher shows elsewhere; if it is the same, trust it: plugwire trust add.'
      : otherwise
        ? `Its publisher is trusted for other plugins only. If it is to be for this one, too: plugwire trust add <publisher> <key> --plugin ${manifest.name}.`
        : 'Do not use it, unless the publisher tells you that it has a new key; then get its rotation statement.',
  })
}

function checkLockedSigner(manifest: Manifest, { signers, lineage }: Accepted, { locked, policy }: VerifyRequest, isLocked: boolean): void {
  const before = locked?.signer
  if (before === undefined || before === null) return
  if (signers.some(({ fingerprint }) => fingerprint === before.fingerprint) || lineage.includes(before.fingerprint)) return
  // Several keys of one publisher: the policy says that they are one.
  if (signers.some(({ publisher }) => publisher === before.publisher) && policy.publishers?.some(({ name }) => name === before.publisher))
    return
  if (signers.length === 0 && isLocked) return // The very same manifest, whose signature was checked when it was locked.
  const now = signers.map(({ publisher, fingerprint }) => `${publisher}, ${fingerprint}`).join(' and ') || 'nobody'
  throw new PluginError('ERR_TRUST_SIGNER_CHANGED', {
    plugin: manifest.name,
    before: before.fingerprint,
    now: signers[0]?.fingerprint ?? '',
    reason: `${manifest.name} was signed by ${before.publisher}, ${before.fingerprint}, and is now signed by ${now}`,
    remedy: `Do not use it, unless the publisher tells you of the change; then forget the old one (plugwire remove ${manifest.name}) and install it again.`,
  })
}

function checkExpiry(manifest: Manifest, { expired, requireExpiry }: TrustPolicy, now: Date, isLocked: boolean): void {
  const { name: plugin, version, notAfter } = manifest
  if (notAfter === undefined) {
    if (requireExpiry !== true) return
    throw new PluginError('ERR_MANIFEST_EXPIRED', {
      plugin,
      version,
      notAfter: '',
      reason: `the manifest of ${plugin} ${version} does not say how long it is good, and the policy requires that`,
      remedy: 'Ask the publisher for a manifest with notAfter.',
    })
  }
  // Not "if it is later": a clock that gives no number would pass.
  if (Date.parse(notAfter) > now.getTime() || (isLocked && expired === 'locked')) return
  throw new PluginError('ERR_MANIFEST_EXPIRED', {
    plugin,
    version,
    notAfter,
    reason: `the manifest of ${plugin} ${version} was good until ${notAfter}`,
    remedy: 'Get a newer release; if there cannot be one yet, look at the clock of this machine.',
  })
}

function checkVersion(
  { name: plugin, version }: Manifest,
  manifestSha512: string,
  { locked, policy }: VerifyRequest,
  isLocked: boolean,
): void {
  if (locked === undefined || isLocked) return
  const before = locked.versions.get(version)?.manifest
  if (before !== undefined) {
    throw new PluginError('ERR_TRUST_REPLACED', {
      plugin,
      version,
      before,
      now: manifestSha512,
      reason: `${plugin} ${version} is not what it was when it was locked: another manifest bears the same version`,
      remedy: `Ask the publisher why. To accept it, take this version out of the lock file (plugwire remove ${plugin}@${version}) and install it again.`,
    })
  }
  const allowed = policy.allowDowngrade === true || (Array.isArray(policy.allowDowngrade) && policy.allowDowngrade.includes(plugin))
  if (allowed || compareVersions(version, locked.highest) >= 0) return
  throw new PluginError('ERR_TRUST_DOWNGRADE', {
    plugin,
    version,
    highest: locked.highest,
    reason: `${plugin} ${version} is older than ${locked.highest}, which was used before`,
    remedy: 'An old version may have holes that are known. If you want it all the same, allow the downgrade of this plugin.',
  })
}

/** Exactly the files of the platform: none missing, none more, each with its size and digest. */
function checkFiles(platform: SelectedPlatform, files: ReadonlyMap<string, FileDigest>): void {
  for (const path of files.keys()) {
    if (!Object.hasOwn(platform.files, path)) throw fileFault(path, 'is not in the manifest', 'nothing', 'a file')
  }
  for (const path of Object.keys(platform.files)) {
    const found = files.get(path)
    if (found === undefined) throw fileFault(path, 'is missing', 'a file', 'nothing')
    checkFile(platform, path, found)
  }
}

/**
 * Checks one file of a platform.
 * @throws PluginError `ERR_TRUST_FILE`
 */
export function checkFile(platform: SelectedPlatform, path: string, found: FileDigest): void {
  const file = Object.hasOwn(platform.files, path) ? platform.files[path] : undefined
  if (file === undefined) throw fileFault(path, 'is not in the manifest', 'nothing', 'a file')
  if (file.size !== found.size)
    throw fileFault(path, `has ${found.size} bytes, the manifest says ${file.size}`, `${file.size} bytes`, `${found.size} bytes`)
  if (!sameHex(file.sha512, found.sha512)) throw fileFault(path, 'is not the file that the manifest describes', file.sha512, found.sha512)
}

/** Size and digest of bytes that are in memory. */
export function digestFile(bytes: Uint8Array): FileDigest {
  return { sha512: createHash('sha512').update(bytes).digest('hex'), size: bytes.byteLength }
}

function fileFault(path: string, what: string, expected: string, actual: string): PluginError<'ERR_TRUST_FILE'> {
  return new PluginError('ERR_TRUST_FILE', {
    path,
    expected,
    actual,
    reason: `${path} ${what}`,
    remedy: 'Fetch the files again; do not run them.',
  })
}

/** In a time that does not tell how much of it is the same. */
function sameHex(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')]
  return left.byteLength === right.byteLength && timingSafeEqual(left, right)
}
