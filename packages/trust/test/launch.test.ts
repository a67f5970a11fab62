// From a publisher's key to a running plugin, as the pages tell it. The code between the regions is in docs/trust.md.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { currentPlatform, readLockFile, readTrustFile, trustPolicy, verifyAndLock } from '@plugwire/trust'
import { launch, verifyProgram } from 'plugwire/host'
import { digestFile, encodeManifest, generateKey } from '../src/index.ts'
import { greeters } from './fixtures/greeter-contract.ts'
import { refusal, workspace } from './tools.ts'

const directory = workspace('launch')
process.env['XDG_CONFIG_HOME'] = directory // Nobody's own keys.
const plugin = fileURLToPath(new URL('fixtures/greeter.js', import.meta.url))
const key = generateKey('minisign')
const ACME_KEY = key.publicKey.text
const at = (name: string): string => join(directory, name)

async function publish(program: Uint8Array): Promise<void> {
  const manifest = encodeManifest({
    name: '@acme/greeter',
    version: '1.0.0',
    type: 'program',
    contract: { name: 'trusted-greeters', versions: [1], protocols: ['plugwire'] },
    publisher: { name: 'acme' },
    platforms: { [currentPlatform()]: { entry: 'greeter', files: { greeter: digestFile(program) } } },
  })
  await writeFile(at('greeter'), program, { mode: 0o755 })
  await writeFile(at('plugin.json'), manifest)
  await writeFile(at('plugin.json.minisig'), key.sign(manifest))
}

async function greet(): Promise<string> {
  // #region launch
  const manifest = await readFile(at('plugin.json'))
  const signatures = [await readFile(at('plugin.json.minisig'))]
  // Whom the application trusts, and whom its user does.
  const policy = trustPolicy(await readTrustFile(), { publishers: [{ name: 'acme', keys: [ACME_KEY], plugins: ['@acme/*'] }] })

  // Throws unless it is signed by one of them, and neither older than nor different from what the lock file has of this plugin.
  const verdict = await verifyAndLock(
    at('plugwire.lock'),
    { manifest, signatures, policy, plugin: '@acme/greeter', platform: currentPlatform() },
    { source: 'https://plugins.example/greeter' },
  )

  // Reads the file once, and keeps exactly the bytes that have the digest: nothing that happens to the path counts from here.
  const { entry, files } = verdict.platform!
  using program = await verifyProgram(at(entry), { algorithm: 'sha512', digest: files[entry]!.sha512 })
  await using plugin = await launch(greeters, program)
  await using greeter = await plugin.dispense('greeter')
  const greeting = await greeter.greet('world')
  // #endregion
  return greeting
}

test('a signed plugin is verified, launched and locked; another file under its name is not', {
  skip: process.platform === 'win32' ? 'the program is a shell script' : false,
}, async () => {
  const script = (file: string): Uint8Array => new Uint8Array(Buffer.from(`#!/bin/sh\nexec '${process.execPath}' '${file}'\n`))
  await publish(script(plugin))
  assert.equal(await greet(), 'Hello, world!')
  assert.equal((await readLockFile(at('plugwire.lock'))).plugins.get('@acme/greeter')?.signer?.fingerprint, key.publicKey.fingerprint)

  await writeFile(at('greeter'), script('/bin/false'))
  await assert.rejects(greet(), refusal('ERR_CHECKSUM'))
  // Signed by the publisher again, but under the version that is locked.
  await publish(script('/bin/false'))
  await assert.rejects(greet(), refusal('ERR_TRUST_REPLACED'))
})
