import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  defaultTrustFile,
  distrust,
  emptyTrust,
  encodeRevocationList,
  encodeRotation,
  encodeTrust,
  generateKey,
  readTrust,
  readTrustFile,
  revoke,
  type SecretKey,
  type SignedDocument,
  trustFirstUse,
  trustKey,
  trustPolicy,
  trustRevocations,
  trustRotation,
  updateTrustFile,
  verify,
} from '../src/index.ts'
import { acme, mallory, release } from './samples.ts'
import { bytesOf, refusal, run, workspace } from './tools.ts'

const directory = workspace('trust')
const now = new Date('2026-05-01T12:00:00Z')
const known = trustKey(emptyTrust, { publisher: 'acme', key: acme.publicKey.text, basis: 'configured', plugins: ['@acme/*'], now })

const rotation = (from: SecretKey, to: SecretKey): SignedDocument => {
  const document = encodeRotation({ publisher: 'acme', from: from.publicKey.text, to: to.publicKey.text, issued: '2026-01-01T00:00:00Z' })
  return { document, signatures: [from.sign(document)] }
}
const revocations = (sequence: number, keys: readonly string[], signer: SecretKey = acme): SignedDocument => {
  const document = encodeRevocationList({ publisher: 'acme', sequence, issued: '2026-01-01T00:00:00Z', keys, manifests: [] })
  return { document, signatures: [signer.sign(document)] }
}

test('a key that was recorded is trusted for the plugins it was recorded for', async () => {
  assert.equal((await verify({ ...release({}, acme), policy: trustPolicy(known) })).basis, 'pinned')
  await assert.rejects(
    verify({ ...release({ name: 'other' }, acme), policy: trustPolicy(known) }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER', /for other plugins only.*--plugin other/),
  )
  const all = trustKey(known, { publisher: 'acme', key: acme.publicKey.text, basis: 'configured' })
  await verify({ ...release({ name: 'other' }, acme), policy: trustPolicy(all) })
  assert.throws(() => trustKey(emptyTrust, { publisher: ' x', key: acme.publicKey.text, basis: 'configured' }), refusal('ERR_TRUST_POLICY'))
})

test('first use is recorded with its date and fingerprint, for that plugin alone, and then it is pinned', async () => {
  const key = generateKey('ssh')
  const first = { publisher: { name: 'new', key: key.publicKey.text } }
  const verdict = await verify({ ...release(first, key), policy: trustPolicy(emptyTrust, { firstUse: 'accept' }) })
  const trust = trustFirstUse(emptyTrust, verdict, now)
  assert.deepEqual(
    [...trust.publishers.get('new')!.keys],
    [[key.publicKey.fingerprint, { key: key.publicKey.text, basis: 'first-use', since: '2026-05-01T12:00:00Z' }]],
  )
  assert.deepEqual(trust.publishers.get('new')?.plugins, ['@acme/aws'])
  const policy = trustPolicy(trust, { firstUse: 'accept' })
  const again = await verify({ ...release(first, key), policy })
  assert.equal(again.basis, 'pinned')
  assert.throws(() => trustFirstUse(trust, again), TypeError)
  // Somebody else under the same name is no first use any more.
  const claim = { publisher: { name: 'new', key: mallory.publicKey.text } }
  await assert.rejects(verify({ ...release(claim, mallory), policy }), refusal('ERR_TRUST_UNKNOWN_SIGNER', /not a key of "new"/))
})

test('a key of a first use is good for its plugin alone, also when the real key comes', async () => {
  const key = generateKey('ssh')
  const verdict = await verify({
    ...release({ publisher: { name: 'acme', key: key.publicKey.text } }, key),
    policy: trustPolicy(emptyTrust, { firstUse: 'accept' }),
  })
  const first = trustFirstUse(emptyTrust, verdict, now)
  const real = { publisher: 'acme', key: acme.publicKey.text, basis: 'configured', now } as const
  assert.throws(() => trustKey(first, real), refusal('ERR_TRUST_POLICY', /taken on first use for @acme\/aws alone/))
  assert.throws(() => trustKey(first, { ...real, plugins: ['@acme/*'] }), refusal('ERR_TRUST_POLICY'))
  // Nor when the real key was there first, and nobody saw it yet.
  assert.throws(() => trustFirstUse(trustKey(emptyTrust, real), verdict), refusal('ERR_TRUST_POLICY', /become known by another key/))
  // For that plugin, or without that key, or when somebody has compared it as well.
  await verify({ ...release({}, acme), policy: trustPolicy(trustKey(first, { ...real, plugins: ['@acme/aws'] })) })
  const other = release({ name: '@acme/other' }, key)
  const alone = trustKey(distrust(first, 'acme', key.publicKey.fingerprint), real)
  await assert.rejects(verify({ ...other, policy: trustPolicy(alone) }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  const both = trustKey(trustKey(first, { ...real, key: key.publicKey.text }), real)
  await verify({ ...other, policy: trustPolicy(both) })
})

test('what the application pins is its own affair', async () => {
  const tricked = trustKey(emptyTrust, { publisher: 'acme', key: mallory.publicKey.text, basis: 'first-use' })
  const policy = trustPolicy(tricked, { publishers: [{ name: 'acme', keys: [acme.publicKey.text] }] })
  await verify({ ...release({}, acme), policy })
  await assert.rejects(verify({ ...release({}, mallory), policy }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
})

test('a rotation is recorded once, in the order in which keys handed over', async () => {
  const [second, third] = [generateKey('minisign'), generateKey('minisign')]
  assert.throws(() => trustRotation(known, rotation(second, third)), refusal('ERR_TRUST_STATEMENT'))
  const trust = trustRotation(trustRotation(known, rotation(acme, second)), rotation(second, third))
  assert.equal(trustRotation(trust, rotation(acme, second)), trust)
  assert.deepEqual(
    [...trust.publishers.get('acme')!.keys.values()].map(({ basis }) => basis),
    ['configured', 'rotated', 'rotated'],
  )
  await verify({ ...release({}, third), policy: trustPolicy(trust) })
  await assert.rejects(verify({ ...release({}, second), policy: trustPolicy(trust) }), refusal('ERR_TRUST_UNKNOWN_SIGNER', /has replaced/))
  assert.throws(() => trustRotation(trust, rotation(acme, mallory)), refusal('ERR_TRUST_STATEMENT', /already handed over/))
})

test('the old key hands over once, however it is written down', () => {
  const trust = trustRotation(known, rotation(acme, generateKey('minisign')))
  const renumbered = Buffer.from(acme.publicKey.text, 'base64').fill(7, 2, 10).toString('base64')
  const document = encodeRotation({ publisher: 'acme', from: renumbered, to: mallory.publicKey.text, issued: '2026-01-01T00:00:00Z' })
  assert.throws(
    () => trustRotation(trust, { document, signatures: [acme.sign(document)] }),
    refusal('ERR_TRUST_STATEMENT', /already handed over/),
  )
})

test('a key that took over and was removed does not come back by the statement, and the old one stays replaced', async () => {
  const next = generateKey('minisign')
  const removed = distrust(trustRotation(known, rotation(acme, next)), 'acme', next.publicKey.fingerprint)
  await assert.rejects(verify({ ...release({}, next), policy: trustPolicy(removed) }), refusal('ERR_TRUST_REVOKED'))
  await assert.rejects(verify({ ...release({}, acme), policy: trustPolicy(removed) }), refusal('ERR_TRUST_UNKNOWN_SIGNER', /has replaced/))
  const pins = { publishers: [{ name: 'acme', keys: [acme.publicKey.text] }] }
  await verify({ ...release({}, acme), policy: trustPolicy(removed, pins) })
  await assert.rejects(verify({ ...release({}, next), policy: trustPolicy(removed, pins) }), refusal('ERR_TRUST_UNKNOWN_SIGNER'))
  // Until it is trusted again, by hand or by the statement.
  const again = trustKey(removed, { publisher: 'acme', key: next.publicKey.text, basis: 'configured' })
  for (const trust of [again, trustRotation(removed, rotation(acme, next))]) {
    await verify({ ...release({}, next), policy: trustPolicy(trust) })
    assert.equal(trust.publishers.get('acme')?.rotations.length, 1)
  }
})

test('a key that took over stays when the old one is revoked afterwards, and hands over to nobody when it was before', async () => {
  const next = generateKey('minisign')
  const gone = revoke(trustRotation(known, rotation(acme, next)), { keys: [acme.publicKey.fingerprint] })
  await verify({ ...release({}, next), policy: trustPolicy(gone) })
  const first = revoke(known, { keys: [acme.publicKey.fingerprint] })
  assert.throws(() => trustRotation(first, rotation(acme, next)), refusal('ERR_TRUST_STATEMENT'))
})

test('what was revoked stays revoked, whatever later lists say', async () => {
  const second = generateKey('minisign')
  const two = trustKey(known, { publisher: 'acme', key: second.publicKey.text, basis: 'configured' })
  const gone = trustRevocations(two, revocations(3, [acme.publicKey.fingerprint]))
  assert.throws(() => trustRevocations(gone, revocations(4, [])), refusal('ERR_TRUST_STATEMENT')) // Signed with the key that is gone.
  assert.throws(() => trustRevocations(gone, revocations(2, [], second)), refusal('ERR_TRUST_STATEMENT', /number 3 was seen/))
  const later = trustRevocations(gone, revocations(4, [], second))
  assert.equal(trustRevocations(later, revocations(4, [], second)), later)
  await assert.rejects(verify({ ...release({}, acme), policy: trustPolicy(later) }), refusal('ERR_TRUST_REVOKED'))
  await verify({ ...release({}, second), policy: trustPolicy(later) })
  await assert.rejects(verify({ ...release({}, acme), policy: trustPolicy(distrust(later, 'acme')) }), { name: 'PluginError' })
  const again = trustKey(distrust(later, 'acme'), { publisher: 'acme', key: acme.publicKey.text, basis: 'configured' })
  await assert.rejects(verify({ ...release({}, acme), policy: trustPolicy(again) }), refusal('ERR_TRUST_REVOKED'))
})

test('the user revokes, and takes trust away', async () => {
  const mine = revoke(known, { keys: [acme.publicKey.fingerprint] })
  await assert.rejects(verify({ ...release({}, acme), policy: trustPolicy(mine) }), refusal('ERR_TRUST_REVOKED'))
  await assert.rejects(
    verify({ ...release({}, acme), policy: trustPolicy(distrust(known, 'acme', acme.publicKey.fingerprint)) }),
    refusal('ERR_TRUST_UNKNOWN_SIGNER'),
  )
  assert.equal(distrust(known, 'nobody'), known)
  assert.deepEqual(distrust(known, 'acme'), emptyTrust)
})

test('it is written and read as it is', () => {
  const trust = revoke(
    trustRotation(trustRevocations(known, revocations(2, [generateKey('ssh').publicKey.fingerprint])), rotation(acme, mallory)),
    {
      manifests: ['ab'.repeat(64)],
    },
  )
  const bytes = encodeTrust(trust)
  assert.deepEqual(encodeTrust(readTrust(bytes, 'x')), bytes)
  assert.deepEqual(readTrust(encodeTrust(emptyTrust), 'x'), emptyTrust)
  const text = Buffer.from(bytes).toString()
  assert.throws(
    () => readTrust(bytesOf(text.replaceAll(acme.publicKey.text, generateKey('minisign').publicKey.text)), 'x'),
    refusal('ERR_TRUST_STORE', /another one/),
  )
  assert.throws(() => readTrust(bytesOf(text.slice(0, -5)), 'x'), refusal('ERR_TRUST_STORE', /malformed at byte/))
  assert.throws(() => readTrust(bytesOf(text.replace('"trustVersion": 1', '"trustVersion": 2')), 'x'), refusal('ERR_TRUST_STORE'))
  assert.throws(() => readTrust(bytesOf(text.replace('"configured"', '"gift"')), 'x'), refusal('ERR_TRUST_STORE'))
  // What is misspelt would revoke nothing, and what is not understood might narrow something.
  assert.throws(() => readTrust(bytesOf(text.replace('abab', 'ABAB')), 'x'), refusal('ERR_TRUST_STORE', /neither a fingerprint nor/))
  assert.throws(
    () => readTrust(bytesOf(text.replace('"basis"', '"until": "2030", "basis"')), 'x'),
    refusal('ERR_TRUST_STORE', /a key has "until", which is not known there/),
  )
})

test('the file is private, and is not believed when others may write it', {
  skip: process.platform === 'win32' ? 'there are no modes' : false,
}, async () => {
  const file = join(directory, 'config', 'plugwire', 'trust.json')
  assert.equal(await readTrustFile(file), emptyTrust)
  await updateTrustFile(() => known, file)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.equal(statSync(join(directory, 'config', 'plugwire')).mode & 0o777, 0o700)
  assert.deepEqual(await readTrustFile(file), known)
  assert.deepEqual(readdirSync(join(directory, 'config', 'plugwire')), ['trust.json'])

  chmodSync(file, 0o620)
  await assert.rejects(readTrustFile(file), refusal('ERR_TRUST_STORE', /can be written by others\..*chmod go-w/))
  await assert.rejects(
    updateTrustFile(trust => trust, file),
    refusal('ERR_TRUST_STORE'),
  )
  chmodSync(file, 0o600)
  chmodSync(join(directory, 'config', 'plugwire'), 0o777)
  await assert.rejects(readTrustFile(file), refusal('ERR_TRUST_STORE', /plugwire can be written by others/))
  chmodSync(join(directory, 'config', 'plugwire'), 0o700)
  chmodSync(join(directory, 'config'), 0o770)
  await assert.rejects(readTrustFile(file), refusal('ERR_TRUST_STORE', /config can be written by others/))
  await assert.rejects(
    updateTrustFile(trust => trust, file),
    refusal('ERR_TRUST_STORE'),
  )
  await assert.rejects(
    updateTrustFile(() => known, join(directory, 'config', 'new', 'trust.json')),
    refusal('ERR_TRUST_STORE'),
  )
  chmodSync(join(directory, 'config'), 0o1777) // As /tmp: what is mine stays mine.
  await readTrustFile(file)
  chmodSync(join(directory, 'config'), 0o700)
  // By way of a link, both ways count.
  mkdirSync(join(directory, 'open'), { mode: 0o700 })
  symlinkSync(file, join(directory, 'open', 'trust.json'))
  await readTrustFile(join(directory, 'open', 'trust.json'))
  chmodSync(join(directory, 'open'), 0o777)
  await assert.rejects(readTrustFile(join(directory, 'open', 'trust.json')), refusal('ERR_TRUST_STORE', /open can be written/))
  if (process.getuid?.() === 0) {
    // As root: what belongs to root is believed, what belongs to a user is not.
    chownSync(file, 65534, 65534)
    await assert.rejects(readTrustFile(file), refusal('ERR_TRUST_STORE', /belongs to user 65534/))
    // Whoever owns a directory renames what is in it, sticky or not.
    chownSync(file, 0, 0)
    chmodSync(join(directory, 'config'), 0o1777)
    chownSync(join(directory, 'config'), 65534, 65534)
    await assert.rejects(readTrustFile(file), refusal('ERR_TRUST_STORE', /config belongs to user 65534/))
  }
  mkdirSync(join(directory, 'config', 'not-a-file'))
  await assert.rejects(readTrustFile(join(directory, 'config', 'not-a-file')), refusal('ERR_TRUST_STORE', /cannot be read/))
  run('mkfifo', [join(directory, 'config', 'pipe')])
  await assert.rejects(readTrustFile(join(directory, 'config', 'pipe')), refusal('ERR_TRUST_STORE', /no regular file|belongs to user/))
  writeFileSync(join(directory, 'huge'), Buffer.alloc(17 * 1024 * 1024), { mode: 0o600 })
  await assert.rejects(readTrustFile(join(directory, 'huge')), refusal('ERR_TRUST_STORE', /at most/))
})

test('where the file is', { skip: process.platform === 'win32' ? 'another place there' : false }, () => {
  assert.equal(defaultTrustFile({}), join(homedir(), '.config/plugwire/trust.json'))
  assert.equal(defaultTrustFile({ XDG_CONFIG_HOME: '/x' }), '/x/plugwire/trust.json')
  // A relative path would be a stranger's directory as soon as we are in one.
  assert.equal(defaultTrustFile({ XDG_CONFIG_HOME: 'x' }), join(homedir(), '.config/plugwire/trust.json'))
})
