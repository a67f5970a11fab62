// Whatever is pinned, handed over, revoked and signed: a verdict is what the rules of docs/trust.md say, computed another way.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeManifest, encodeRotation, generateKey, type SecretKey, type SignedDocument, type TrustPolicy, verify } from '../src/index.ts'
import { manifestOf } from './samples.ts'

const keys = Array.from({ length: 5 }, (_, i) => generateKey(i % 2 === 0 ? 'minisign' : 'ssh'))
const keyOf = (i: number): SecretKey => keys[i] as SecretKey
const manifest = encodeManifest(manifestOf())
const signatures = keys.map(key => key.sign(manifest))
const statements = new Map<string, SignedDocument>()
for (const from of keys.keys()) {
  for (const to of keys.keys()) {
    if (from === to) continue
    const document = encodeRotation({
      publisher: 'acme',
      from: keyOf(from).publicKey.text,
      to: keyOf(to).publicKey.text,
      issued: '2026-01-01T00:00:00Z',
    })
    statements.set(`${from}${to}`, { document, signatures: [keyOf(from).sign(document)] })
  }
}

const some = fc.uniqueArray(fc.nat(keys.length - 1), { maxLength: keys.length })
const world = fc.record({
  pinned: some,
  revoked: some,
  signed: some,
  // Where a key hands over to, if it does: itself means that it does not.
  next: fc.array(fc.nat(keys.length - 1), { minLength: keys.length, maxLength: keys.length }),
  threshold: fc.integer({ min: 1, max: 3 }),
})

test('exactly those verdicts that the rules allow', async () => {
  const outcomes = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(world, async ({ pinned, revoked, signed, next, threshold }) => {
      const handsOver = (key: number): boolean => next[key] !== key
      const policy: TrustPolicy = {
        threshold,
        publishers: [{ name: 'acme', keys: pinned.map(i => keyOf(i).publicKey.text) }],
        rotations: next.flatMap((to, from) => (to === from ? [] : [statements.get(`${from}${to}`) as SignedDocument])),
        revocations: [{ keys: revoked.map(i => keyOf(i).publicKey.fingerprint), manifests: [] }],
      }
      const trusted = new Set(pinned)
      for (const key of trusted) if (!revoked.includes(key) && handsOver(key)) trusted.add(next[key] as number)
      const good = signed.filter(key => trusted.has(key) && !revoked.includes(key) && !handsOver(key))

      const request = { manifest, signatures: signed.map(i => signatures[i] as Uint8Array), policy }
      const outcome = await verify(request).then(
        verdict => {
          assert.deepEqual(
            verdict.signers.map(({ fingerprint }) => fingerprint).sort(),
            good.map(i => keyOf(i).publicKey.fingerprint).sort(),
          )
          return verdict.basis as string
        },
        (error: { code?: string }) => String(error.code),
      )
      assert.equal(!outcome.startsWith('ERR_'), good.length >= threshold, outcome)
      assert.match(outcome, /^(?:pinned|rotated|ERR_(?:SIGNATURE_MISSING|TRUST_UNKNOWN_SIGNER|TRUST_REVOKED))$/)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }),
    { numRuns: 1_000 },
  )
  // All of them have come up, else less was tried than it seems.
  assert.equal(outcomes.size, 5, [...outcomes].join(' '))
})
