import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeManifest, type TrustPolicy, verify } from '../src/index.ts'
import { sigstoreVerifier } from '../src/sigstore/sigstore.ts'
import { manifestOf } from './samples.ts'
import { ISSUER, SigstoreWorld, SUBJECT, type Torn } from './sigstore-world.ts'
import { bytesOf, refusal } from './tools.ts'

const world = new SigstoreWorld()
const verifier = sigstoreVerifier({ trustedRoot: world.trustedRoot })
const document = bytesOf('a document\n')

test('a bundle names who signed: the issuer and the subject of the certificate', async () => {
  const signature = world.signature(document)
  assert.ok(verifier.recognizes(signature))
  assert.deepEqual(await verifier.verify(document, signature), { identity: `sigstore:${ISSUER}#${SUBJECT}` })
  await assert.rejects(
    verifier.verify(bytesOf('another document\n'), signature),
    refusal('ERR_SIGNATURE_INVALID', /not valid for these bytes/),
  )
})

test('a manifest counts when its publisher is known by that identity', async () => {
  const manifest = encodeManifest(manifestOf())
  const policy = (...keys: readonly string[]): TrustPolicy => ({ publishers: [{ name: 'acme', keys }] })
  const request = { manifest, signatures: [world.signature(manifest)], verifiers: [verifier] }
  const verdict = await verify({ ...request, policy: policy(`sigstore:${ISSUER}#${SUBJECT}`) })
  assert.deepEqual(
    [verdict.basis, verdict.signers[0]?.format, verdict.signers[0]?.fingerprint],
    ['pinned', 'sigstore', `sigstore:${ISSUER}#${SUBJECT}`],
  )
  await verify({ ...request, policy: policy(`sigstore:${ISSUER}#https://forge.example/acme/aws/release.yml@refs/tags/*`) })
  for (const other of [
    `sigstore:https://other.example#${SUBJECT}`,
    `sigstore:${ISSUER}#https://forge.example/acme/aws/release.yml@refs/heads/*`,
    `sigstore:${ISSUER}`,
  ]) {
    await assert.rejects(verify({ ...request, policy: policy(other) }), refusal('ERR_TRUST_UNKNOWN_SIGNER'), other)
  }
  await assert.rejects(
    verify({
      ...request,
      policy: { ...policy(`sigstore:${ISSUER}#*`), revocations: [{ keys: [`sigstore:${ISSUER}#${SUBJECT}`], manifests: [] }] },
    }),
    refusal('ERR_TRUST_REVOKED'),
  )
})

test('another authority, a certificate that was over, no certificate log, another key', async () => {
  const refused = async (signature: Uint8Array, reason: RegExp): Promise<void> =>
    assert.rejects(verifier.verify(document, signature), refusal('ERR_SIGNATURE_INVALID', reason))
  await refused(new SigstoreWorld().signature(document), /not valid/)
  await refused(world.signature(document, { loggedAt: new Date('2026-06-01T12:30:00Z') }), /certificate/)
  await refused(world.signature(document, { loggedAt: new Date('2026-06-01T11:00:00Z') }), /certificate/)
  await refused(world.signature(document, { withoutSct: true }), /SCT/)
  await refused(
    world.signature(document, { certifiedAt: new Date('2025-06-01T12:00:00Z'), loggedAt: new Date('2025-06-01T12:01:00Z') }),
    /not valid/,
  )
  await refused(world.signature(document, { subject: '' }), /not valid|no subject/)
  const { generateKeyPairSync } = await import('node:crypto')
  await refused(world.signature(document, { signer: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }), /signature/)
})

test('every piece of a bundle that is changed or left out is missed', async () => {
  const entry = (bundle: Torn): Torn => bundle.verificationMaterial.tlogEntries[0]
  const flip = (base64: string): string => {
    const bytes = Buffer.from(base64, 'base64')
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1
    return bytes.toString('base64')
  }
  const changes: readonly ((bundle: Torn) => unknown)[] = [
    b => (b.messageSignature.signature = flip(b.messageSignature.signature)),
    b => (b.messageSignature.messageDigest.digest = flip(b.messageSignature.messageDigest.digest)),
    b => (b.verificationMaterial.certificate.rawBytes = flip(b.verificationMaterial.certificate.rawBytes)),
    b => (b.verificationMaterial.tlogEntries = []),
    b => (entry(b).canonicalizedBody = flip(entry(b).canonicalizedBody)),
    b => (entry(b).integratedTime = String(Number(entry(b).integratedTime) + 1)),
    b => (entry(b).inclusionPromise.signedEntryTimestamp = flip(entry(b).inclusionPromise.signedEntryTimestamp)),
    b => delete entry(b).inclusionPromise,
    b => delete entry(b).inclusionProof,
    b => (entry(b).inclusionProof.checkpoint.envelope = entry(b).inclusionProof.checkpoint.envelope.replace('\n1\n', '\n2\n')),
    b => (entry(b).logId.keyId = flip(entry(b).logId.keyId)),
    b => (b.mediaType = 'application/vnd.dev.sigstore.bundle.v9+json'),
    b => delete b.messageSignature,
    b => delete b.verificationMaterial,
  ]
  for (const change of changes) {
    const bundle = world.bundle(document)
    change(bundle)
    await assert.rejects(
      verifier.verify(document, bytesOf(JSON.stringify(bundle))),
      { name: 'PluginError', code: /^ERR_SIGNATURE_/ },
      String(change),
    )
  }
})

test('what is no signature of a file', async () => {
  const bundle = world.bundle(document)
  const attestation = {
    ...bundle,
    messageSignature: undefined,
    dsseEnvelope: { payload: 'AA==', payloadType: 'x', signatures: [{ sig: 'AA==', keyid: '' }] },
  }
  await assert.rejects(verifier.verify(document, bytesOf(JSON.stringify(attestation))), refusal('ERR_SIGNATURE_MALFORMED', /attestation/))
  const bare = { ...bundle, verificationMaterial: { ...bundle.verificationMaterial, certificate: undefined, publicKey: { hint: 'x' } } }
  await assert.rejects(verifier.verify(document, bytesOf(JSON.stringify(bare))), refusal('ERR_SIGNATURE_MALFORMED', /bare key/))
  await assert.rejects(verifier.verify(document, bytesOf('{')), refusal('ERR_SIGNATURE_MALFORMED'))
  await assert.rejects(verifier.verify(document, new Uint8Array(70_000)), refusal('ERR_SIGNATURE_MALFORMED', /more than/))
  for (const other of ['', '{}', 'untrusted comment: x', '-----BEGIN SSH SIGNATURE-----'])
    assert.equal(verifier.recognizes(bytesOf(other)), false)
  await assert.rejects(
    sigstoreVerifier({ trustedRoot: 'x' }).verify(document, world.signature(document)),
    refusal('ERR_SIGNATURE_KEY', /trusted root/),
  )
})
