import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import {
  digestFile,
  emptyLock,
  encodeRevocationList,
  encodeRotation,
  generateKey,
  type Lock,
  lockPlugin,
  type Manifest,
  readRevocations,
  type SecretKey,
  type SignatureVerifier,
  type SignedDocument,
  type TrustPolicy,
  type Verdict,
  verify,
  verifyRotation,
} from '../src/index.ts'
import { acme, acmeSsh, mallory, policy, program, type Release, release } from './samples.ts'
import { bytesOf, refusal } from './tools.ts'

const good = release({}, acme)
const files = new Map([['aws', digestFile(program)]])
const platform = 'linux-x64'

/** The lock after these releases were accepted one after the other. */
async function lockOf(...releases: readonly Release[]): Promise<Lock> {
  let lock = emptyLock
  for (const each of releases)
    lock = lockPlugin(lock, await verify({ ...each, policy: { ...policy, require: 'none' } }), { source: 'test' })
  return lock
}
const lockedOf = async (...releases: readonly Release[]) => (await lockOf(...releases)).plugins.get('@acme/aws')

test('a manifest signed by a pinned key, with the files it describes', async () => {
  const verdict = await verify({ ...good, policy, plugin: '@acme/aws', version: '2.1.0', platform, files })
  assert.equal(verdict.basis, 'pinned')
  assert.equal(verdict.filesChecked, true)
  assert.equal(verdict.platform?.entry, 'aws')
  assert.equal(verdict.manifestSha512, createHash('sha512').update(good.manifest).digest('hex'))
  const [signer] = verdict.signers
  assert.deepEqual([signer?.publisher, signer?.fingerprint, signer?.format], ['acme', acme.publicKey.fingerprint, 'minisign'])
  assert.match(String(signer?.comment), /^timestamp:\d+\thashed$/)
  assert.equal((await verify({ ...release({}, acmeSsh), policy })).signers[0]?.format, 'ssh')
})

test('a signature that is required and absent is a failure, whatever else is in order', async () => {
  const unsigned = { manifest: good.manifest, signatures: [] }
  await assert.rejects(verify({ ...unsigned, policy }), refusal('ERR_SIGNATURE_MISSING', /is not signed/))
  await assert.rejects(verify({ ...unsigned, policy: { ...policy, require: 'signature' } }), refusal('ERR_SIGNATURE_MISSING'))
  await assert.rejects(verify({ ...unsigned, policy: {} }), refusal('ERR_SIGNATURE_MISSING'))
  await assert.rejects(verify({ ...unsigned, policy: { ...policy, firstUse: 'accept' } }), refusal('ERR_SIGNATURE_MISSING'))
  assert.deepEqual((await verify({ ...unsigned, policy: { require: 'none' } })).basis, 'unsigned')
})

test('a key that is not pinned, one that is pinned for others, and a publisher nobody knows', async () => {
  await assert.rejects(verify({ ...release({}, mallory), policy }), refusal('ERR_TRUST_UNKNOWN_SIGNER', /not a key of "acme"/))
  await assert.rejects(
    verify({ ...release({ name: '@other/aws' }, acme), policy }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER', /trusted for this plugin/),
  )
  await assert.rejects(
    verify({ ...release({ publisher: { name: 'acme2' } }, acme), policy }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER', /no key of "acme2"/),
  )
  // Mallory's key, pinned for Mallory's plugins, signs as acme.
  const both: TrustPolicy = { publishers: [...(policy.publishers ?? []), { name: 'mallory', keys: [mallory.publicKey.text] }] }
  await assert.rejects(verify({ ...release({}, mallory), policy: both }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  // The key that a manifest brings itself means nothing for a publisher who is known.
  const claim = release({ publisher: { name: 'acme', key: mallory.publicKey.text } }, mallory)
  for (const firstUse of ['refuse', 'accept'] as const) {
    await assert.rejects(verify({ ...claim, policy: { ...policy, firstUse } }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  }
})

test('a signature of another manifest, a changed manifest, a damaged signature', async () => {
  const other = release({ version: '2.2.0' }, acme)
  await assert.rejects(verify({ manifest: good.manifest, signatures: other.signatures, policy }), refusal('ERR_SIGNATURE_INVALID'))
  const text = Buffer.from(good.manifest).toString()
  await assert.rejects(
    verify({ manifest: bytesOf(text.replace('"2.1.0"', '"2.1.1"')), signatures: good.signatures, policy }),
    refusal('ERR_SIGNATURE_INVALID'),
  )
  await assert.rejects(
    verify({ ...good, signatures: [bytesOf('junk')], policy }),
    refusal('ERR_SIGNATURE_MALFORMED', /no format that is known/),
  )
  await assert.rejects(verify({ ...good, signatures: [new Uint8Array()], policy }), refusal('ERR_SIGNATURE_MALFORMED', /empty/))
  // A signature for a reader that is optional and not there shuts nobody out, and lets nobody in.
  const bundle = bytesOf('{ "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json" }')
  assert.equal((await verify({ ...good, signatures: [bundle, ...good.signatures], policy })).basis, 'pinned')
  await assert.rejects(verify({ ...good, signatures: [bundle], policy }), refusal('ERR_SIGNATURE_MALFORMED', /no format that is known/))
  // A bad signature is not made good by a good one beside it.
  await assert.rejects(verify({ ...good, signatures: [...good.signatures, ...other.signatures], policy }), refusal('ERR_SIGNATURE_INVALID'))
  await assert.rejects(
    verify({ ...good, signatures: Array(17).fill(good.signatures[0]), policy }),
    refusal('ERR_SIGNATURE_MALFORMED', /at most 16/),
  )
})

test('an SSH signature that a publisher made for something else', async () => {
  const signatures = [acmeSsh.sign(good.manifest, { namespace: 'git' })]
  await assert.rejects(verify({ manifest: good.manifest, signatures, policy }), refusal('ERR_SIGNATURE_INVALID', /made for "git"/))
})

test('another plugin or version than the one that was asked for', async () => {
  const asked = { ...good, policy, plugin: '@acme/aws' }
  await assert.rejects(verify({ ...asked, plugin: '@acme/azure' }), refusal('ERR_TRUST_OTHER_PLUGIN', /manifest of @acme\/aws 2\.1\.0/))
  await assert.rejects(verify({ ...asked, version: '2.1.1' }), refusal('ERR_TRUST_OTHER_PLUGIN'))
})

test('a manifest is good until its notAfter, to the second', async () => {
  const dated = release({ notAfter: '2027-01-31T00:00:00Z' }, acme)
  await verify({ ...dated, policy, now: new Date('2027-01-30T23:59:59.999Z') })
  await assert.rejects(
    verify({ ...dated, policy, now: new Date('2027-01-31T00:00:00Z') }),
    refusal('ERR_MANIFEST_EXPIRED', /until 2027-01-31/),
  )
  await assert.rejects(verify({ ...dated, policy, now: new Date(Number.NaN) }), refusal('ERR_MANIFEST_EXPIRED'))
  await assert.rejects(verify({ ...good, policy: { ...policy, requireExpiry: true } }), refusal('ERR_MANIFEST_EXPIRED', /does not say/))
  const locked = (await lockOf(good)).plugins.get('@acme/aws')
  const late = { now: new Date('2030-01-01T00:00:00Z'), policy: { ...policy, expired: 'locked' } } as const
  await assert.rejects(verify({ ...dated, ...late, locked: undefined }), refusal('ERR_MANIFEST_EXPIRED'))
  await assert.rejects(
    verify({ ...release({ version: '3.0.0', notAfter: '2027-01-31T00:00:00Z' }, acme), ...late, locked }),
    refusal('ERR_MANIFEST_EXPIRED'),
  )
  const lock = lockPlugin(emptyLock, await verify({ ...dated, policy, now: new Date(0) }), { source: 'test' })
  await verify({ ...dated, ...late, locked: lock.plugins.get('@acme/aws') })
})

test('versions do not go back, unless it is allowed for this plugin', async () => {
  const old = release({ version: '2.0.9' }, acme)
  const locked = await lockedOf(good)
  await assert.rejects(verify({ ...old, policy, locked }), refusal('ERR_TRUST_DOWNGRADE', /older than 2\.1\.0/))
  await assert.rejects(verify({ ...release({ version: '2.1.0-rc.1' }, acme), policy, locked }), refusal('ERR_TRUST_DOWNGRADE'))
  await verify({ ...release({ version: '2.1.1' }, acme), policy, locked })
  await verify({ ...old, policy: { ...policy, allowDowngrade: ['@acme/aws'] }, locked })
  await verify({ ...old, policy: { ...policy, allowDowngrade: true }, locked })
  await assert.rejects(verify({ ...old, policy: { ...policy, allowDowngrade: ['@acme/azure'] }, locked }), refusal('ERR_TRUST_DOWNGRADE'))
  // Side by side: what the lock holds may be used again.
  const both = await lockedOf(old, good)
  await verify({ ...old, policy, locked: both })
  // When the old version is gone from the lock, the highest one is still remembered.
  await assert.rejects(verify({ ...old, policy, locked: { ...both!, versions: new Map() } }), refusal('ERR_TRUST_DOWNGRADE'))
})

test('a version that was published twice', async () => {
  const again = release({ source: 'https://elsewhere.example/' }, acme)
  await assert.rejects(
    verify({ ...again, policy, locked: await lockedOf(good) }),
    refusal('ERR_TRUST_REPLACED', /another manifest bears the same version.*plugwire remove \S+@\d/),
  )
})

test('the lock pins the signer, and a missing signature is a change of signer', async () => {
  const locked = await lockedOf(good)
  const mine: TrustPolicy = { publishers: [{ name: 'mallory', keys: [mallory.publicKey.text] }] }
  const taken = release({ version: '3.0.0', publisher: { name: 'mallory' } }, mallory)
  await verify({ ...taken, policy: mine })
  await assert.rejects(
    verify({ ...taken, policy: mine, locked }),
    refusal('ERR_TRUST_SIGNER_CHANGED', /was signed by acme.*plugwire remove /),
  )
  const unsigned = { manifest: release({ version: '3.0.0' }, acme).manifest, signatures: [] }
  await assert.rejects(verify({ ...unsigned, policy: { require: 'none' }, locked }), refusal('ERR_TRUST_SIGNER_CHANGED', /nobody/))
  // Two keys of one publisher are one publisher.
  await verify({ ...release({ version: '3.0.0' }, acmeSsh), policy, locked })
})

test('digests instead of signatures: what the lock holds, and nothing else', async () => {
  const unsigned = { manifest: good.manifest, signatures: [] }
  const lock = lockPlugin(emptyLock, await verify({ ...unsigned, policy: { require: 'none' } }), { source: 'test' })
  const locked = lock.plugins.get('@acme/aws')
  const digest: TrustPolicy = { require: 'digest' }
  assert.equal((await verify({ ...unsigned, policy: digest, locked })).basis, 'locked')
  await assert.rejects(verify({ ...unsigned, policy: digest }), refusal('ERR_SIGNATURE_MISSING'))
  await assert.rejects(
    verify({ manifest: release({ version: '2.1.1' }).manifest, signatures: [], policy: digest, locked }),
    refusal('ERR_SIGNATURE_MISSING'),
  )
})

test('first use: refused with the fingerprint to compare, accepted only when that was decided', async () => {
  for (const key of [generateKey('minisign'), generateKey('ssh')]) {
    const first = release({ publisher: { name: 'new', key: key.publicKey.text } }, key)
    await assert.rejects(verify({ ...first, policy: {} }), (error: { code?: string; facts?: { fingerprints: string[] } }) => {
      assert.deepEqual([error.code, error.facts?.fingerprints], ['ERR_TRUST_UNKNOWN_SIGNER', [key.publicKey.fingerprint]])
      return true
    })
    const verdict = await verify({ ...first, policy: { firstUse: 'accept' } })
    assert.deepEqual([verdict.basis, verdict.signers[0]?.fingerprint], ['first-use', key.publicKey.fingerprint])
    // It brings a key that did not sign.
    const wrong = release({ publisher: { name: 'new', key: generateKey('minisign').publicKey.text } }, key)
    if (key.format === 'minisign')
      await assert.rejects(verify({ ...wrong, policy: { firstUse: 'accept' } }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  }
  // A minisign signature without a key to check it with.
  await assert.rejects(
    verify({ ...release({}, mallory), policy: { firstUse: 'accept' } }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER', /minisign key [0-9A-F]{16}/),
  )
})

const rotation = (from: SecretKey, to: SecretKey, signer: SecretKey = from): SignedDocument => {
  const document = encodeRotation({ publisher: 'acme', from: from.publicKey.text, to: to.publicKey.text, issued: '2026-01-01T00:00:00Z' })
  return { document, signatures: [signer.sign(document)] }
}

test('a key hands over to the next one by a statement that the old one signed', async () => {
  const [second, third] = [generateKey('ssh'), generateKey('minisign')]
  const only: TrustPolicy = { publishers: [{ name: 'acme', keys: [acme.publicKey.text] }] }
  const rotated: TrustPolicy = { ...only, rotations: [rotation(acme, second), rotation(second, third)] }
  const locked = await lockedOf(good)
  const verdict = await verify({ ...release({ version: '3.0.0' }, third), policy: rotated, locked })
  assert.deepEqual([verdict.basis, verdict.signers[0]?.publisher], ['rotated', 'acme'])
  await assert.rejects(verify({ ...release({}, third), policy: only }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  // The old key signs nothing new; what it signed before, and the lock holds, is still good.
  await assert.rejects(
    verify({ ...release({ version: '3.0.0' }, acme), policy: rotated, locked }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER', /has replaced/),
  )
  await verify({ ...good, policy: rotated, locked })
  // Both keys may sign while readers change over.
  await verify({ ...release({ version: '3.0.0' }, acme, third), policy: rotated })
  assert.equal(verifyRotation(rotation(acme, second), only).to, second.publicKey.text)
})

test('a statement that anybody else signed, that was changed, or that has a rival', async () => {
  const next = generateKey('minisign')
  const only: TrustPolicy = { publishers: [{ name: 'acme', keys: [acme.publicKey.text] }] }
  const attempt = (...rotations: readonly SignedDocument[]): Promise<Verdict> =>
    verify({ ...release({}, next), policy: { ...only, rotations } })
  await attempt(rotation(acme, next))
  await assert.rejects(attempt(rotation(acme, next, mallory)), refusal('ERR_TRUST_STATEMENT', /not signed by/))
  await assert.rejects(attempt(rotation(acme, next, next)), refusal('ERR_TRUST_STATEMENT'))
  await assert.rejects(attempt({ ...rotation(acme, next), signatures: [] }), refusal('ERR_TRUST_STATEMENT'))
  await assert.rejects(
    attempt({ ...rotation(acme, next), signatures: rotation(acme, mallory).signatures }),
    refusal('ERR_TRUST_STATEMENT', /not of these bytes/),
  )
  await assert.rejects(attempt(rotation(acme, next), rotation(acme, mallory)), refusal('ERR_TRUST_STATEMENT', /2 different keys/))
  await assert.rejects(attempt({ document: good.manifest, signatures: good.signatures }), refusal('ERR_TRUST_STATEMENT', /another format/))
  // A manifest's signature is no statement and a statement is no manifest, though the same key signs both.
  await assert.rejects(
    verify({ manifest: rotation(acme, next).document, signatures: rotation(acme, next).signatures, policy: only }),
    refusal('ERR_MANIFEST_FIELD'),
  )
  // A key that nobody pinned hands over to nobody.
  await assert.rejects(attempt(rotation(mallory, next)), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  assert.throws(
    () => encodeRotation({ publisher: 'acme', from: acme.publicKey.text, to: acme.publicKey.text, issued: '2026-01-01T00:00:00Z' }),
    refusal('ERR_TRUST_STATEMENT', /to itself/),
  )
})

const revocations = (
  sequence: number,
  lists: { keys?: readonly string[]; manifests?: readonly string[] },
  signer = acme,
): SignedDocument => {
  const document = encodeRevocationList({ publisher: 'acme', sequence, issued: '2026-01-01T00:00:00Z', keys: [], manifests: [], ...lists })
  return { document, signatures: [signer.sign(document)] }
}

test('revoked keys and releases', async () => {
  const keyGone = readRevocations(revocations(1, { keys: [acme.publicKey.fingerprint] }), policy)
  await assert.rejects(verify({ ...good, policy: { ...policy, revocations: [keyGone] } }), refusal('ERR_TRUST_REVOKED', /was revoked/))
  // Signed with another key of the publisher as well, it is good again.
  await verify({ ...release({}, acme, acmeSsh), policy: { ...policy, revocations: [keyGone] } })
  const { manifestSha512 } = await verify({ ...good, policy })
  const releaseGone = readRevocations(revocations(2, { manifests: [manifestSha512] }), policy)
  await assert.rejects(
    verify({ ...good, policy: { ...policy, revocations: [releaseGone] } }),
    refusal('ERR_TRUST_REVOKED', /@acme\/aws 2\.1\.0 was revoked/),
  )
  // Also on first use, also unsigned, also when it is locked.
  const first = release({ publisher: { name: 'new', key: mallory.publicKey.text } }, mallory)
  await assert.rejects(
    verify({ ...first, policy: { firstUse: 'accept', revocations: [{ keys: [mallory.publicKey.fingerprint], manifests: [] }] } }),
    refusal('ERR_TRUST_REVOKED'),
  )
  await assert.rejects(
    verify({
      manifest: good.manifest,
      signatures: [],
      policy: { require: 'none', revocations: [{ keys: [], manifests: [manifestSha512] }] },
      locked: await lockedOf(good),
    }),
    refusal('ERR_TRUST_REVOKED'),
  )
  // A publisher's list is about its own.
  await verify({ ...good, policy: { ...policy, revocations: [{ ...keyGone, publisher: 'mallory' }] } })
  // A revoked key hands over to nobody.
  const next = generateKey('minisign')
  await assert.rejects(
    verify({ ...release({}, next), policy: { ...policy, rotations: [rotation(acme, next)], revocations: [keyGone] } }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER'),
  )
})

test('a revocation list that is old, changed, or of somebody else', () => {
  assert.throws(() => readRevocations(revocations(1, {}, mallory), policy), refusal('ERR_TRUST_STATEMENT', /not signed by/))
  assert.throws(() => readRevocations(revocations(3, {}), policy, 4), refusal('ERR_TRUST_STATEMENT', /number 4 was seen/))
  assert.equal(readRevocations(revocations(4, {}), policy, 4).sequence, 4)
  assert.throws(
    () => readRevocations({ ...revocations(5, {}), signatures: revocations(4, {}).signatures }, policy),
    refusal('ERR_TRUST_STATEMENT', /not of these bytes/),
  )
})

test('two keys have to have signed where two are required', async () => {
  const strict: TrustPolicy = { ...policy, threshold: 2 }
  await assert.rejects(verify({ ...good, policy: strict }), refusal('ERR_SIGNATURE_MISSING', /1 of the 2 keys/))
  await assert.rejects(
    verify({ ...good, signatures: [...good.signatures, ...good.signatures], policy: strict }),
    refusal('ERR_SIGNATURE_MISSING', /1 of the 2/),
  )
  await assert.rejects(verify({ ...release({}, acme, mallory), policy: strict }), refusal('ERR_SIGNATURE_MISSING'))
  assert.equal((await verify({ ...release({}, acme, acmeSsh), policy: strict })).signers.length, 2)
  const first = release({ publisher: { name: 'new', key: mallory.publicKey.text } }, mallory)
  await assert.rejects(verify({ ...first, policy: { firstUse: 'accept', threshold: 2 } }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
})

test('what one identity with a star made twice is one signature', async () => {
  const verifier: SignatureVerifier = {
    format: 'seal',
    recognizes: bytes => bytes[0] === 0x21,
    verify: async (_, bytes) => ({ identity: `seal:acme@${Buffer.from(bytes.subarray(1)).toString()}` }),
  }
  const sealed = { manifest: good.manifest, signatures: [bytesOf('!one'), bytesOf('!two')], verifiers: [verifier] }
  const pinned = (...keys: string[]): TrustPolicy => ({ threshold: 2, publishers: [{ name: 'acme', keys }] })
  await assert.rejects(verify({ ...sealed, policy: pinned('seal:acme@*') }), refusal('ERR_SIGNATURE_MISSING', /1 of the 2/))
  assert.equal((await verify({ ...sealed, policy: pinned('seal:acme@one', 'seal:acme@two') })).signers.length, 2)
})

test('files: changed, missing, one more, another size, another platform', async () => {
  const request = { ...good, policy, platform }
  const given = (entries: Record<string, Uint8Array>) => new Map(Object.entries(entries).map(([path, bytes]) => [path, digestFile(bytes)]))
  await assert.rejects(
    verify({ ...request, files: given({ aws: program.map(byte => byte ^ 1) }) }),
    refusal('ERR_TRUST_FILE', /not the file/),
  )
  await assert.rejects(verify({ ...request, files: given({ aws: program.subarray(1) }) }), refusal('ERR_TRUST_FILE', /bytes/))
  await assert.rejects(verify({ ...request, files: given({}) }), refusal('ERR_TRUST_FILE', /missing/))
  await assert.rejects(
    verify({ ...request, files: given({ aws: program, more: program }) }),
    refusal('ERR_TRUST_FILE', /more is not in the manifest/),
  )
  await assert.rejects(
    verify({ ...request, files: given({ aws: program, constructor: program }) }),
    refusal('ERR_TRUST_FILE', /not in the manifest/),
  )
  await assert.rejects(verify({ ...request, platform: 'win32-x64', files }), refusal('ERR_MANIFEST_PLATFORM'))
  const two: Manifest['platforms'] = {
    'linux-x64': { entry: 'aws', files: { aws: digestFile(program) } },
    'darwin-arm64': { entry: 'aws', files: { aws: digestFile(bytesOf('another build')) } },
  }
  await assert.rejects(verify({ ...release({ platforms: two }, acme), policy, platform: 'darwin-arm64', files }), refusal('ERR_TRUST_FILE'))
})

test('a policy that cannot be used is an error, not a weaker policy', async () => {
  const bad: readonly TrustPolicy[] = [
    { require: 'signatures' as 'signature', publishers: policy.publishers! },
    { firstUse: 'ask' as 'accept' },
    { publishers: [{ name: 'acme', keys: ['not a key'] }] },
    { publishers: [{ name: 'other', keys: ['not a key'] }] },
    {
      publishers: [
        { name: 'acme', keys: [] },
        { name: 'acme', keys: [] },
      ],
    },
    { ...policy, threshold: 0 },
    { ...policy, threshold: Number.NaN },
    { ...policy, requireExpiry: 'yes' as unknown as boolean },
    { ...policy, expired: 'refused' as 'refuse' },
    { publishers: [{ name: 'acme', keys: [], plugins: '@acme/*' as unknown as string[] }] },
    // Misspelt they would revoke nothing.
    { ...policy, revocations: [{ keys: [acme.publicKey.fingerprint.slice(7)], manifests: [] }] },
    { ...policy, revocations: [{ keys: [], manifests: ['AB'.repeat(64)] }] },
    { ...policy, revocations: [{ manifests: [] } as never] },
  ]
  for (const each of bad) await assert.rejects(verify({ ...good, policy: each }), refusal('ERR_TRUST_POLICY'), JSON.stringify(each))
})

test('a verifier of another format names an identity, which has to be one that is pinned', async () => {
  const verifier = (identity: string): SignatureVerifier => ({
    format: 'seal',
    recognizes: bytes => Buffer.from(bytes).toString().startsWith('SEAL '),
    verify: async () => ({ identity }),
  })
  const sealed = { manifest: good.manifest, signatures: [bytesOf('SEAL 1')] }
  const pinned: TrustPolicy = { publishers: [{ name: 'acme', keys: ['seal:acme@example'] }] }
  const verdict = await verify({ ...sealed, policy: pinned, verifiers: [verifier('seal:acme@example')] })
  assert.deepEqual([verdict.signers[0]?.fingerprint, verdict.signers[0]?.key], ['seal:acme@example', undefined])
  await assert.rejects(
    verify({ ...sealed, policy: pinned, verifiers: [verifier('seal:mallory@example')] }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER'),
  )
  await assert.rejects(verify({ ...sealed, policy: pinned }), refusal('ERR_SIGNATURE_MALFORMED'))
  const revoked: TrustPolicy = { ...pinned, revocations: [{ keys: ['seal:acme@example'], manifests: [] }] }
  await assert.rejects(verify({ ...sealed, policy: revoked, verifiers: [verifier('seal:acme@example')] }), refusal('ERR_TRUST_REVOKED'))
})
