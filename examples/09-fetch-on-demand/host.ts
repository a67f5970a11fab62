// The whole story, with a registry and users of our own: published, used for the first time, used again, tampered with, updated.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { npmSettings, update } from '@plugwire/store'
import { generateKey, readLock, readTrustFile, trustPolicy } from '@plugwire/trust'
import { NAME, npmPackage, release, tamper } from './publisher.ts'
import { Registry } from './registry.ts'
import { User } from './user.ts'

const workplace = await mkdtemp(join(tmpdir(), 'fetch-on-demand-'))
try {
  await using registry = await Registry.start()
  const key = generateKey('minisign')
  const first = await release('2.0.0', key, workplace)
  await registry.publish(NAME, first.version, await npmPackage(first, join(workplace, 'npm')))

  const user = await new User('ada', workplace, registry.url).trust(key.publicKey.text)
  await user.types('--dry-run', 'aws', 'regions')
  await user.types('aws', 'regions')
  registry.takeRequests()
  await user.types('aws', 'regions')
  console.log(`  requests to the registry: ${registry.takeRequests()}`)
  await user.types('--offline', 'aws', 'zones')

  console.log('\nSomebody breaks into the registry and changes the next release:')
  const second = await release('2.1.0', key, workplace)
  const genuine = await npmPackage(second, join(workplace, 'npm'))
  await tamper(second)
  await registry.publish(NAME, second.version, await npmPackage(second, join(workplace, 'tampered')))
  await user.types('aws', 'regions') // The lock file leads to what is here.
  const other = await new User('bob', workplace, registry.url).trust(key.publicKey.text)
  await other.types('aws', 'regions')

  console.log('\nThe registry is mended, and ada updates:')
  await registry.publish(NAME, second.version, genuine)
  await update([NAME], {
    lockFile: user.lockFile,
    store: user.store,
    policy: trustPolicy(await readTrustFile(user.trustFile)),
    sources: { npm: await npmSettings(user.env), http: { allowLoopback: true } },
  })
  await user.types('aws', 'regions')

  const { requests, plugins } = readLock(await readFile(user.lockFile))
  console.log('\nplugwire.lock:')
  for (const [request, { plugin, version }] of requests) {
    const { signer, versions } = plugins.get(plugin)!
    console.log(`  ${request} is ${version}, signed by ${signer?.publisher}, from ${versions.get(version)?.source}`)
  }
} finally {
  await rm(workplace, { recursive: true })
}
