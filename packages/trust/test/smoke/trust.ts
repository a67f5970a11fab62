// Smoke program: keys, signatures, verdicts, lock file and trusted keys under this runtime. See CONTRIBUTING.md, "Runtimes".

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  checkChecksum,
  currentPlatform,
  digestFile,
  encodeManifest,
  generateKey,
  isPlatform,
  type KeyFormat,
  readLockFile,
  readSecretKey,
  readTrustFile,
  trustKey,
  trustPolicy,
  updateTrustFile,
  verify,
  verifyAndLock,
  verifySignature,
} from '@plugwire/trust'

const directory = mkdtempSync(join(tmpdir(), 'plugwire-smoke-'))
try {
  const bytes = new Uint8Array(Buffer.from('a plugin'))
  assert.ok(isPlatform(currentPlatform()))
  for (const format of ['minisign', 'ssh'] as KeyFormat[]) {
    const made = generateKey(format)
    const password = format === 'minisign' ? 'hunter2' : undefined
    const pair = await made.export(password === undefined ? {} : { password, cost: { opsLimit: 32_768, memLimit: 16_777_216 } })
    const key = await readSecretKey(pair.secret, password)
    const manifest = encodeManifest({
      name: `a-${format}`,
      version: '1.0.0',
      type: 'program',
      contract: { name: 'a', versions: [1], protocols: ['plugwire'] },
      publisher: { name: format },
      platforms: { any: { entry: 'a', files: { a: digestFile(bytes) } } },
    })
    const signatures = [key.sign(manifest)]
    verifySignature(manifest, signatures[0] as Uint8Array, pair.public)
    const file = join(directory, 'trust.json')
    await updateTrustFile(trust => trustKey(trust, { publisher: format, key: pair.public, basis: 'configured' }), file)
    const request = {
      manifest,
      signatures,
      policy: trustPolicy(await readTrustFile(file)),
      platform: 'linux-x64',
      files: new Map([['a', digestFile(bytes)]]),
    }
    const verdict = await verifyAndLock(join(directory, 'plugwire.lock'), request, { source: 'smoke' })
    assert.equal(verdict.signers[0]?.fingerprint, made.publicKey.fingerprint)
    await assert.rejects(verify({ ...request, manifest: manifest.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) }), { name: 'PluginError' })
    await assert.rejects(verify({ ...request, signatures: [generateKey(format).sign(manifest)] }), { name: 'PluginError' })
    const legacy = format === 'minisign' ? key.sign(manifest, { signify: true }) : key.sign(manifest, { namespace: 'other' })
    verifySignature(manifest, legacy, pair.public, 'other')
  }
  assert.equal((await readLockFile(join(directory, 'plugwire.lock'))).plugins.size, 2)
  await checkChecksum(bytes, { algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest() })
} finally {
  rmSync(directory, { recursive: true, force: true })
}
