import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { after, test } from 'node:test'
import { checkSha256Sum, verify } from '../src/index.ts'
import { openPgpVerifier, readSignedSha256Sums, verifyOpenPgp } from '../src/openpgp/openpgp.ts'
import { release } from './samples.ts'
import { bytesOf, put, refusal, run, take, takeText, without, workspace } from './tools.ts'

const directory = workspace('openpgp')
const home = `${directory}/home`
mkdirSync(home, { mode: 0o700 })
after(() => spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']))
const skip = without('gpg')

const gpg = (...args: readonly string[]): string =>
  run('gpg', ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...args])
const makeKey = (name: string, algorithm: string, expires = 'never'): string => {
  gpg('--quick-generate-key', name, algorithm, 'sign', expires)
  return gpg('--armor', '--export', name)
}
const signed = (by: string, file: string, ...flags: readonly string[]): Uint8Array => {
  const output = `${file}.${by}.${flags.join('') || 'sig'}`
  gpg('--yes', '--local-user', by, ...flags, '--output', output, '--detach-sign', file)
  return take(output)
}

const digest = createHash('sha256').update('zip').digest('hex')
const sums = bytesOf(`${digest}  provider_1.0.0_linux_amd64.zip\n`)
const file = put(directory, 'SHA256SUMS', sums)

for (const [name, algorithm] of [
  ['release', 'rsa3072'],
  ['modern', 'ed25519'],
] as const) {
  test(`a release signed with gpg and ${algorithm}`, { skip }, async () => {
    const key = makeKey(`${name}@example`, algorithm)
    for (const flags of [[], ['--armor']]) {
      const signature = signed(`${name}@example`, file, ...flags)
      const { sums: read, signer } = await readSignedSha256Sums(sums, signature, [key])
      checkSha256Sum(read, 'provider_1.0.0_linux_amd64.zip', digest)
      assert.match(gpg('--fingerprint', '--with-colons', `${name}@example`), new RegExp(`^fpr:+${signer.fingerprint}:`, 'm'))
      assert.ok(Math.abs(signer.signedAt.getTime() - Date.now()) < 600_000)
      await assert.rejects(
        readSignedSha256Sums(bytesOf(`${digest}  other.zip\n`), signature, [key]),
        refusal('ERR_SIGNATURE_INVALID', /is not valid/),
      )
      for (const length of [0, 1, 20, signature.length - 20]) {
        await assert.rejects(verifyOpenPgp(sums, signature.subarray(0, length), [key]), { name: 'PluginError' }, `cut at ${length}`)
      }
    }
  })
}

test('another key, no key, a secret key, noise', { skip }, async () => {
  const [key, other] = [makeKey('one@example', 'ed25519'), makeKey('two@example', 'ed25519')]
  const signature = signed('one@example', file)
  await verifyOpenPgp(sums, signature, [other, key])
  await assert.rejects(verifyOpenPgp(sums, signature, [other]), refusal('ERR_SIGNATURE_INVALID', /none of those given/))
  await assert.rejects(verifyOpenPgp(sums, signature, []), refusal('ERR_SIGNATURE_INVALID', /none of those given/))
  await assert.rejects(
    verifyOpenPgp(sums, signature, [gpg('--armor', '--export-secret-keys', 'one@example')]),
    refusal('ERR_SIGNATURE_KEY', /secret/),
  )
  await assert.rejects(verifyOpenPgp(sums, signature, ['no key']), refusal('ERR_SIGNATURE_KEY'))
  await assert.rejects(verifyOpenPgp(sums, bytesOf('noise'), [key]), refusal('ERR_SIGNATURE_MALFORMED'))
  await assert.rejects(verifyOpenPgp(sums, new Uint8Array(20_000), [key]), refusal('ERR_SIGNATURE_MALFORMED', /more than/))
  await assert.rejects(
    verifyOpenPgp(sums, new Uint8Array([...signature, ...signature]), [key]),
    refusal('ERR_SIGNATURE_MALFORMED', /2 signatures/),
  )
})

test('a signature of a text, one by SHA-1, one by a key that is over', { skip }, async () => {
  const key = makeKey('old@example', 'rsa3072', '2d')
  await assert.rejects(verifyOpenPgp(sums, signed('old@example', file, '--textmode'), [key]), refusal('ERR_SIGNATURE_INVALID', /of a text/))
  await assert.rejects(
    verifyOpenPgp(sums, signed('old@example', file, '--digest-algo', 'SHA1'), [key]),
    refusal('ERR_SIGNATURE_INVALID', /not valid/),
  )
  const signature = signed('old@example', file)
  const { fingerprint } = await verifyOpenPgp(sums, signature, [key])
  // What was signed while the key was good stays good, as with gpg; what claims to be from the future is not.
  const inDays = (days: number): Date => new Date(Date.now() + days * 86_400_000)
  await verifyOpenPgp(sums, signature, [key], { now: inDays(3) })
  await assert.rejects(verifyOpenPgp(sums, signature, [key], { now: inDays(-1) }), refusal('ERR_SIGNATURE_INVALID'))
  const revocation = takeText(`${home}/openpgp-revocs.d/${fingerprint}.rev`).replace(/^[\s\S]*:-----BEGIN/, '-----BEGIN')
  gpg('--import', put(directory, 'revocation', revocation))
  await assert.rejects(
    verifyOpenPgp(sums, signature, [gpg('--armor', '--export', 'old@example')]),
    refusal('ERR_SIGNATURE_INVALID', /revoked/),
  )
})

test('a manifest may be signed that way, by a fingerprint that the policy pins', { skip }, async () => {
  const key = makeKey('manifest@example', 'ed25519')
  const { manifest } = release({})
  const path = put(directory, 'plugin.json', manifest)
  const verifiers = [openPgpVerifier([key])]
  const { identity } = await verifyOpenPgp(manifest, signed('manifest@example', path), [key])
  const policy = { publishers: [{ name: 'acme', keys: [identity] }] }
  for (const flags of [[], ['--armor']]) {
    const signatures = [signed('manifest@example', path, ...flags)]
    const verdict = await verify({ manifest, signatures, policy, verifiers })
    assert.deepEqual([verdict.basis, verdict.signers[0]?.fingerprint, verdict.signers[0]?.format], ['pinned', identity, 'openpgp'])
    await assert.rejects(
      verify({ manifest, signatures, policy: { publishers: [{ name: 'acme', keys: ['openpgp:00'] }] }, verifiers }),
      refusal('ERR_TRUST_UNKNOWN_SIGNER'),
    )
  }
})
