import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  currentPlatform,
  generateKey,
  type ManifestFile,
  type ManifestPlatform,
  readLock,
  readLockFile,
  unlockPlugin,
  updateLockFile,
} from '@plugwire/trust'
import { isPluginError } from 'plugwire'
import { collectGarbage } from '../src/content/garbage.ts'
import { ContentStore } from '../src/content/store.ts'
import { ensurePlugin } from '../src/install/ensure.ts'
import type { InstallEvent } from '../src/install/events.ts'
import { list, why } from '../src/install/inspect.ts'
import { type InstallOptions, install, outdated, update } from '../src/install/install.ts'
import { openPlugin } from '../src/install/stored-plugin.ts'
import { pack } from '../src/publish/pack.ts'
import { tgz } from './archives.ts'
import { acme, make, mallory, npmTarball, policy, publish, publishNpm, publishOci, publishTerraform } from './releases.ts'
import { breaking, serve, type TestServer } from './server.ts'

const code =
  (expected: string, words = /./) =>
  (error: unknown) => {
    assert.ok(isPluginError(error), String((error as Error).stack))
    assert.equal(error.code, expected, error.message)
    assert.match(error.message, words)
    return true
  }

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-install-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

interface Setting {
  readonly server: TestServer
  readonly directory: string
  readonly out: string
  readonly store: ContentStore
  readonly lockFile: string
  readonly options: InstallOptions
  readonly events: InstallEvent[]
  /** Address of the plugin `aws` in the static index. */
  readonly aws: string
  /** Packs and publishes a version. */
  readonly release: (version: string, more?: Parameters<typeof make>[1]) => Promise<Awaited<ReturnType<typeof make>>>
}

async function setting(t: TestContext): Promise<Setting> {
  const server = await serve()
  t.after(() => server[Symbol.asyncDispose]())
  const directory = directoryOf(t)
  const out = join(directory, 'out')
  const store = await ContentStore.open(join(directory, 'store'))
  const lockFile = join(directory, 'plugwire.lock')
  const events: InstallEvent[] = []
  const options: InstallOptions = {
    store,
    lockFile,
    policy,
    platforms: ['linux-x64'],
    sources: {
      http: { allowLoopback: true, retryDelayMs: 1, attempts: 2, env: {} },
      npm: { registry: server.url },
      workingDirectory: directory,
    },
    onEvent: event => void events.push(event),
  }
  const release = async (version: string, more: Parameters<typeof make>[1] = {}) => {
    const made = await make(out, { version, ...more })
    publish(server, out, '/plugins/')
    return made
  }
  return { server, directory, out, store, lockFile, options, events, aws: `${server.url}/plugins/aws`, release }
}

async function entryText({ store, lockFile, options }: Setting, what: string): Promise<string> {
  const plugin = await openPlugin(what, { store, lock: await readLockFile(lockFile), policy: options.policy ?? {}, platform: 'linux-x64' })
  return Buffer.from(await plugin.read(plugin.entry)).toString()
}

test('from an index into the store and the lock file, and out again as verified bytes', async t => {
  const all = await setting(t)
  const { server, store, lockFile, options, events, aws } = all
  await all.release('1.0.0')
  await all.release('1.1.0')
  const [installed] = await install([`${aws}@^1`], options)
  assert.deepEqual(
    [installed?.name, installed?.version, installed?.action, installed?.address, installed?.verdict?.basis, installed?.platforms],
    ['aws', '1.1.0', 'installed', `${aws}@1.1.0`, 'pinned', ['linux-x64']],
  )
  assert.deepEqual([...new Set(events.map(({ kind }) => kind))], ['resolved', 'verified', 'fetch', 'locked'])
  assert.match(await entryText(all, `${aws}@^1`), /^#!\/bin\/sh\n# aws 1\.1\.0 linux-x64/)
  assert.match(await entryText(all, 'aws'), /1\.1\.0/)
  const plugin = await openPlugin('aws', { store, lock: await readLockFile(lockFile), policy, platform: 'linux-x64' })
  assert.deepEqual(
    [plugin.name, plugin.version, plugin.entry, [...plugin.files].sort()],
    ['aws', '1.1.0', 'plugin', ['data/table', 'plugin']],
  )
  {
    await using opened = await plugin.open('data/table')
    assert.equal((await opened.handle.readFile()).toString(), 'linux-x64\n')
  }
  assert.throws(() => plugin.read('../x'), TypeError)

  // The second time nobody is asked, not even when offline; a newer version does not change what is locked.
  await all.release('1.2.0')
  const asked = server.log.length
  assert.equal((await install([`${aws}@^1`], { ...options, offline: true }))[0]?.action, 'present')
  assert.equal((await install([], options))[0]?.version, '1.1.0')
  assert.equal(server.log.length, asked)
  // A fresh machine gets what is locked.
  const elsewhere = await ContentStore.open(join(all.directory, 'store2'))
  const [again] = await install([], { ...options, store: elsewhere })
  assert.deepEqual([again?.version, again?.action], ['1.1.0', 'installed'])
  await assert.rejects(install([], { ...options, store: join(all.directory, 'store3'), offline: true }), code('ERR_SOURCE_OFFLINE'))
  assert.equal((await collectGarbage(store)).removed.objects, 0)
})

test('other platforms, several at once, and one that there is not', async t => {
  const all = await setting(t)
  await all.release('1.0.0')
  const [installed] = await install([all.aws], { ...all.options, platforms: ['linux-x64', 'darwin-arm64'] })
  assert.deepEqual(installed?.platforms, ['linux-x64', 'darwin-arm64'])
  const lock = await readLockFile(all.lockFile)
  for (const platform of ['linux-x64', 'darwin-arm64'])
    assert.ok(await (await openPlugin('aws', { ...all, lock, policy, platform })).read('plugin'))
  await assert.rejects(install([all.aws], { ...all.options, platforms: ['win32-x64'] }), code('ERR_MANIFEST_PLATFORM'))
})

test('nothing large is fetched, stored or locked of what must not be trusted', async t => {
  const all = await setting(t)
  const { server, store, lockFile, options, aws } = all
  const refused = async (expected: string, more: Partial<InstallOptions> = {}, address = aws): Promise<void> => {
    server.log.length = 0
    await assert.rejects(install([address], { ...options, ...more }), code(expected))
    assert.ok(!server.log.some(line => line.includes('.tar.gz')), server.log.join('\n'))
  }
  await all.release('1.0.0', { key: null })
  await refused('ERR_SIGNATURE_MISSING')
  await all.release('1.1.0', { key: mallory })
  await refused('ERR_TRUST_UNKNOWN_SIGNER')
  const made = await all.release('1.2.0')
  await refused('ERR_TRUST_UNKNOWN_SIGNER', { policy: {} })
  const signature = readFileSync(`${made.manifestPath}.minisig`)
  server.files.set('/plugins/aws/1.2.0/plugwire.json', readFileSync(made.manifestPath, 'utf8').replaceAll('linux-x64', 'linux-arm64'))
  await refused('ERR_SIGNATURE_INVALID')
  // A good manifest of another plugin, and of another version.
  const other = await make(all.out, { name: 'gcp', version: '1.3.0' })
  server.files.set('/plugins/aws/1.2.0/plugwire.json', readFileSync(other.manifestPath))
  server.files.set('/plugins/aws/1.2.0/plugwire.json.minisig', readFileSync(`${other.manifestPath}.minisig`))
  await refused('ERR_TRUST_OTHER_PLUGIN')
  server.files.set('/plugins/aws/1.2.0/plugwire.json', readFileSync(made.manifestPath))
  server.files.set('/plugins/aws/1.2.0/plugwire.json.minisig', signature)
  assert.equal(existsSync(lockFile), false)
  assert.equal((await collectGarbage(store)).kept.objects, 0)
  assert.equal((await install([aws], options))[0]?.version, '1.2.0')
  // Locked once, the same version with another content is refused, and so is another signer.
  await all.release('1.2.0', { text: 'replaced' }).catch(() => {})
  rmSync(join(all.out, 'aws'), { recursive: true })
  await all.release('1.2.0', { text: 'replaced' })
  await refused('ERR_TRUST_REPLACED', { store: join(all.directory, 'fresh') })
  await all.release('1.4.0', { key: generateKey('minisign') })
  await assert.rejects(update([], options), code('ERR_TRUST_UNKNOWN_SIGNER'))
})

test('archives that are not what the signed manifest says', async t => {
  const all = await setting(t)
  const { server, store, options, aws } = all
  const made = await all.release('1.0.0')
  const path = '/plugins/aws/1.0.0/aws-1.0.0-linux-x64.tar.gz'
  const good = server.files.get(path) as Buffer
  server.files.set(path, Buffer.concat([good, Buffer.from('more')]))
  await assert.rejects(install([aws], options), code('ERR_SOURCE_DIGEST'))
  server.files.set(path, good.subarray(0, 50))
  await assert.rejects(install([aws], options), code('ERR_SOURCE_DIGEST'))
  server.files.delete(path)
  await assert.rejects(install([aws], options), code('ERR_SOURCE_UNREACHABLE', /404/))
  assert.equal(existsSync(all.lockFile), false)
  server.files.set(path, breaking(good, Math.ceil(good.length / 2)))
  const patient = { ...options, sources: { ...options.sources, http: { ...options.sources?.http, attempts: 10 } } }
  assert.equal((await install([aws], patient))[0]?.action, 'installed')
  assert.ok(server.log.some(line => line.includes('range=')))
  assert.ok(made.manifest.platforms['linux-x64']?.archive)
  // Archives signed by the publisher itself, and bad all the same.
  const bad: readonly [string, Parameters<typeof tgz>[0], string, RegExp][] = [
    ['2.0.0', [{ name: 'plugin', body: '2.0.0' }, { name: 'extra' }], 'ERR_ARCHIVE_UNSAFE', /knows no such file/],
    ['2.0.1', [], 'ERR_SOURCE_MALFORMED', /it lacks plugin/],
    ['2.0.2', [{ name: 'plugin', body: '2.0.x' }], 'ERR_SOURCE_DIGEST', /plugin in/],
    ['2.0.3', [{ name: 'plugin', body: 'longer' }], 'ERR_SOURCE_MALFORMED', /6 bytes in it and 5/],
    [
      '2.0.4',
      [
        { name: 'plugin', body: '2.0.4' },
        { name: 'l', type: '2', link: '/etc/passwd' },
      ],
      'ERR_ARCHIVE_UNSAFE',
      /symbolic/,
    ],
  ]
  const { createHash } = await import('node:crypto')
  const { encodeManifest } = await import('@plugwire/trust')
  const digest = (bytes: Uint8Array | string): string => createHash('sha512').update(bytes).digest('hex')
  for (const [version, entries, expected, words] of bad) {
    const archive = tgz(entries)
    const manifest = encodeManifest({
      ...made.manifest,
      version,
      platforms: {
        'linux-x64': {
          entry: 'plugin',
          files: { plugin: { sha512: digest(version), size: 5, executable: true } },
          archive: { path: 'a.tar.gz', sha512: digest(archive), size: archive.length },
        },
      },
    })
    server.files.set(
      '/plugins/aws/index.json',
      JSON.stringify({ plugwire: 'index/1', name: 'aws', versions: [{ version, manifest: `${version}/plugwire.json` }] }),
    )
    server.files.set(`/plugins/aws/${version}/plugwire.json`, manifest)
    server.files.set(`/plugins/aws/${version}/plugwire.json.minisig`, acme.sign(manifest))
    server.files.set(`/plugins/aws/${version}/a.tar.gz`, archive)
    await assert.rejects(install([`${aws}@${version}`], options), code(expected, words))
  }
  assert.deepEqual([...(await readLockFile(all.lockFile)).plugins.get('aws')!.versions.keys()], ['1.0.0'])
  await collectGarbage(store)
  assert.deepEqual(readdirSync(join(store.directory, 'tmp')), [])
})

test('a source cannot take away what belongs to other plugins, whatever it hands out', async t => {
  const { server, options, store, aws, release } = await setting(t)
  const { manifest } = await release('1.0.0')
  await install([aws], options)
  const { files, entry } = manifest.platforms['linux-x64'] as ManifestPlatform
  const victim = files[entry] as ManifestFile
  const bytes = await store.read(victim.sha512, 1_000_000)
  publishNpm(server, 'mallory', [{ version: '1.0.0', tarball: Buffer.from(bytes) }])
  await assert.rejects(install(['npm:mallory'], options), code('ERR_ARCHIVE_MALFORMED'))
  assert.equal(await store.holds(victim.sha512), true)
})

test('an index with signatures without end is refused before they are fetched', async t => {
  const { server, options, aws, release } = await setting(t)
  await release('1.0.0')
  const [path, index] = [...server.files].find(([path]) => path.endsWith('/index.json')) as [string, Uint8Array]
  const document = JSON.parse(Buffer.from(index).toString()) as { versions: { signatures?: string[] }[] }
  for (const version of document.versions) version.signatures = Array.from({ length: 100_000 }, (_, i) => `1.0.0/${i}.minisig`)
  server.files.set(path, JSON.stringify(document))
  await assert.rejects(install([aws], options), code('ERR_SOURCE_MALFORMED', /100000 signatures/))
  assert.ok(!server.log.some(line => line.includes('minisig')))
})

test('a server that answers 403 for what is not there will do', async t => {
  const { server, options, aws, release } = await setting(t)
  await release('1.0.0')
  server.fallback = (_, response) => void response.writeHead(403).end()
  assert.equal((await install([aws], options)).length, 1)
  await assert.rejects(install([`${aws}-not`], options), code('ERR_SOURCE_UNREACHABLE', /403/))
})

test('from npm: one package, platform packages, and no script ever', async t => {
  const all = await setting(t)
  const { server, options } = all
  rmSync('/tmp/plugwire-was-here', { force: true })
  const made = await make(all.out, { name: '@acme/aws', version: '2.1.0' })
  publishNpm(server, '@acme/aws', [{ version: '2.1.0', tarball: npmTarball(made) }])
  const [installed] = await install(['npm:@acme/aws@^2'], options)
  assert.deepEqual(
    [installed?.version, installed?.address, installed?.findings.map(({ state }) => state)],
    ['2.1.0', 'npm:@acme/aws@2.1.0', ['valid']],
  )
  assert.match(await entryText(all, 'npm:@acme/aws@^2'), /@acme\/aws 2\.1\.0 linux-x64/)
  assert.equal(existsSync('/tmp/plugwire-was-here'), false)
  // The archives were needed once.
  const { kept, removed } = await collectGarbage(all.store)
  assert.deepEqual([kept.objects, removed.objects], [4, 0])

  // The same with a package for each platform, as native programs are usually shipped.
  const split = await make(join(all.directory, 'split', 'out'), { name: 'split', version: '1.0.0' })
  const onlyManifest = (name: string): boolean => name.startsWith('plugwire.json')
  publishNpm(server, 'split', [
    {
      version: '1.0.0',
      tarball: npmTarball(split, onlyManifest),
      more: { optionalDependencies: { 'split-linux-x64': '1.0.0', 'split-darwin-arm64': '1.0.0' } },
    },
  ])
  publishNpm(server, 'split-linux-x64', [
    { version: '1.0.0', tarball: npmTarball(split, name => name.includes('linux-x64')), more: { os: ['linux'], cpu: ['x64'] } },
  ])
  await install(['npm:split'], options)
  assert.match(await entryText(all, 'npm:split'), /split 1\.0\.0 linux-x64/)
  assert.ok(!server.log.some(line => line.includes('darwin')))

  const endless = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`endless-${i}-linux-x64`, '1.0.0']))
  for (const name of Object.keys(endless)) publishNpm(server, name, [{ version: '1.0.0', tarball: tgz([]), more: { os: ['linux'] } }])
  const bare = await make(join(all.directory, 'bare', 'out'), { name: 'endless', version: '1.0.0' })
  const tarball = npmTarball(bare, onlyManifest)
  publishNpm(server, 'endless', [{ version: '1.0.0', tarball, more: { optionalDependencies: endless } }])
  await assert.rejects(install(['npm:endless'], options), code('ERR_SOURCE_MALFORMED', /more than 16 packages/))

  publishNpm(server, 'plain', [{ version: '1.0.0', tarball: tgz([{ name: 'package/package.json', body: '{}' }]) }])
  await assert.rejects(install(['npm:plain'], options), code('ERR_SOURCE_MALFORMED', /no plugwire\.json/))
  publishNpm(server, 'impostor', [{ version: '2.1.0', tarball: npmTarball(made) }])
  await assert.rejects(install(['npm:impostor'], options), code('ERR_TRUST_OTHER_PLUGIN'))
})

test('from a directory, an archive and a container registry', async t => {
  const all = await setting(t)
  const { server, directory, options } = all
  const made = await make(all.out)
  await install(['file:out/aws'], options)
  assert.match(await entryText(all, 'file:out/aws'), /linux-x64/)
  assert.equal((await readLockFile(all.lockFile)).plugins.get('aws')?.versions.get('1.0.0')?.source, 'file:out/aws#1.0.0')
  writeFileSync(join(directory, 'aws.tgz'), npmTarball(made))
  await install(['file:aws.tgz'], { ...options, store: join(directory, 'store2'), lockFile: join(directory, 'lock2') })
  publishOci(server, 'acme/aws', '1.0.0', made)
  await install([`oci:${server.host}/acme/aws`], { ...options, store: join(directory, 'store3'), lockFile: join(directory, 'lock3') })
  assert.equal(readLock(readFileSync(join(directory, 'lock3'))).requests.get(`oci:${server.host}/acme/aws`)?.plugin, 'aws')
})

test('from Terraform: unsigned, so only where that is allowed; pinned from then on', async t => {
  const all = await setting(t)
  const { server, options, lockFile } = all
  const address = `terraform:${server.host}/hashicorp/random`
  publishTerraform(server, 'hashicorp/random', '3.6.0', ['linux_amd64', 'darwin_arm64'])
  await assert.rejects(install([address], options), code('ERR_SIGNATURE_MISSING', /not made for plugwire/))
  assert.ok(!server.log.some(line => line.includes('.zip')))
  const [installed] = await install([address], { ...options, policy: { require: 'none' }, platforms: ['linux-x64', 'darwin-arm64'] })
  assert.deepEqual(
    [installed?.name, installed?.verdict?.basis, installed?.verdict?.manifest.type],
    ['@hashicorp/random', 'unsigned', 'program'],
  )
  const lock = await readLockFile(lockFile)
  assert.match(lock.plugins.get('@hashicorp/random')?.versions.get('3.6.0')?.platforms.get('linux-x64')?.join() ?? '', /archive:sha256:/)
  const locked = { require: 'digest' } as const
  const plugin = await openPlugin(address, { ...all, lock, policy: locked, platform: 'linux-x64' })
  assert.deepEqual(
    [plugin.entry, String(Buffer.from(await plugin.read(plugin.entry)))],
    ['terraform-provider-random_v3.6.0_x5', 'program for linux_amd64'],
  )
  // On another machine, of another kind, the same lock leads to the same manifest.
  const [there] = await install([], { ...options, policy: locked, platforms: ['darwin-arm64'], store: join(all.directory, 'there') })
  assert.deepEqual([there?.action, there?.verdict?.basis], ['installed', 'locked'])
  // The registry hands out something else under the same version.
  server.files.set(`/files/terraform-provider-random_3.6.0_linux_amd64.zip`, 'evil')
  await assert.rejects(install([], { ...options, policy: locked, store: join(all.directory, 'fresh') }), code('ERR_SOURCE_DIGEST'))
})

test('update, outdated, list and why', async t => {
  const all = await setting(t)
  const { options, aws, lockFile } = all
  await all.release('1.0.0')
  await install([`${aws}@^1`], options)
  assert.deepEqual(await outdated([], options), [])
  await all.release('1.1.0')
  await all.release('2.0.0')
  const request = `${aws}@^1`
  assert.deepEqual(await outdated([], options), [
    { request, name: 'aws', current: '1.0.0', wanted: '1.1.0', latest: '2.0.0', address: `${aws}@^2.0.0` },
  ])
  await assert.rejects(outdated(['gcp'], options), code('ERR_SOURCE_NOT_FOUND'))
  const [planned] = await update([], { ...options, dryRun: true })
  assert.deepEqual([planned?.action, planned?.before, planned?.version], ['would-install', '1.0.0', '1.1.0'])
  const [updated] = await update(['aws'], options)
  assert.deepEqual([updated?.action, updated?.before, updated?.version], ['installed', '1.0.0', '1.1.0'])
  assert.equal((await update([], options))[0]?.action, 'present')
  assert.deepEqual([...(await readLockFile(lockFile)).plugins.get('aws')!.versions.keys()], ['1.1.0'])
  // Side by side: another address, another version.
  await install([`${aws}@^2`], options)
  assert.match(await entryText(all, request), /aws 1\.1\.0/)
  assert.match(await entryText(all, `${aws}@^2`), /aws 2\.0\.0/)
  const listed = await list(options)
  assert.deepEqual(
    listed.map(({ version, stored, requests }) => [version, stored, requests]),
    [
      ['1.1.0', true, [request]],
      ['2.0.0', true, [`${aws}@^2`]],
    ],
  )
  assert.deepEqual((await why('aws', options)).length, 2)
  assert.equal((await why(request, options))[0]?.signer?.publisher, 'Acme')
  await assert.rejects(why('none', options), code('ERR_SOURCE_NOT_FOUND'))
  // An older one beside newer ones is a step back, and wants to be allowed; once.
  await assert.rejects(install([`${aws}@1.0.0`], options), code('ERR_TRUST_DOWNGRADE'))
  await install([`${aws}@1.0.0`], { ...options, policy: { ...policy, allowDowngrade: ['aws'] } })
  assert.equal((await install([`${aws}@1.0.0`], options))[0]?.action, 'present')
  await updateLockFile(lockFile, lock => ({ ...unlockPlugin(lock, 'aws', '1.0.0') }))
  // What 1.0.0 alone needed goes.
  const { removed } = await collectGarbage(all.store)
  assert.equal(removed.objects, 3)
  assert.match(await entryText(all, request), /aws 1\.1\.0/)
})

test('one that cannot be installed does not keep the others from coming, where that is asked for', async t => {
  const { options, aws, release, directory } = await setting(t)
  await release('1.0.0')
  await release('2.0.0')
  await install([`${aws}@^1`, `${aws}@^2`], options)
  const away = `${aws}@^3`
  const wanted = [away, `${aws}@^2`, `${aws}@^1`]
  const failed: [request: string, code: string | undefined][] = []
  const onFailure = (request: string, cause: unknown): void => void failed.push([request, isPluginError(cause) ? cause.code : undefined])
  const store = join(directory, 'fresh')
  const done = await install(wanted, { ...options, store, onFailure })
  assert.deepEqual(failed, [[away, 'ERR_SOURCE_NOT_FOUND']])
  assert.deepEqual(
    done.map(({ version, action }) => [version, action]),
    [
      ['2.0.0', 'installed'],
      ['1.0.0', 'installed'],
    ],
  )
  await assert.rejects(install(wanted, options), code('ERR_SOURCE_NOT_FOUND'))
  // Whoever aborts wants none of them.
  await assert.rejects(install(wanted, { ...options, store: join(directory, 'fresher'), onFailure, signal: AbortSignal.abort() }))
  assert.equal(failed.length, 1)
})

test('ensurePlugin fetches once, and starts what it fetched', async t => {
  const all = await setting(t)
  const { server, store, options, aws } = all
  const { platforms: _, ...rest } = options
  await all.release('1.0.0', { platforms: [currentPlatform()], key: acme })
  const first = await ensurePlugin(aws, rest)
  assert.equal(first.version, '1.0.0')
  const asked = server.log.length
  const again = await ensurePlugin(aws, { ...rest, offline: true })
  assert.equal(server.log.length, asked)
  const program = await again.program()
  assert.equal(program.bytes, again.platform.files['plugin']?.size)
  program.close()
  // What is gone from the store is fetched again.
  rmSync(store.pathOf(again.platform.files['plugin']!.sha512))
  assert.equal(await again.isComplete(), false)
  await assert.rejects(again.program(), code('ERR_STORE_MISSING'))
  assert.equal(await (await ensurePlugin(aws, rest)).isComplete(), true)
  await assert.rejects(ensurePlugin(aws, { ...rest, policy: {} }), code('ERR_TRUST_UNKNOWN_SIGNER'))
})

test('a dry run changes nothing', async t => {
  const all = await setting(t)
  await all.release('1.0.0')
  const [would] = await install([all.aws], { ...all.options, dryRun: true })
  assert.deepEqual([would?.action, would?.version, would?.verdict?.basis], ['would-install', '1.0.0', 'pinned'])
  assert.equal(existsSync(all.lockFile), false)
  assert.equal((await collectGarbage(all.store)).removed.objects, 0)
  await assert.rejects(install([all.aws], { ...all.options, dryRun: true, policy: {} }), code('ERR_TRUST_UNKNOWN_SIGNER'))
})

test('what lies damaged in the store is fetched again; what is started is checked each time', async t => {
  const all = await setting(t)
  const made = await all.release('1.0.0')
  await install([all.aws], all.options)
  const path = all.store.pathOf(made.manifest.platforms['linux-x64']!.files['plugin']!.sha512)
  chmodSync(path, 0o600)
  writeFileSync(path, '#!/bin/sh\nevil\n')
  await assert.rejects(entryText(all, 'aws'), code('ERR_STORE_CORRUPT'))
  assert.equal((await install([all.aws], all.options))[0]?.action, 'installed')
  assert.match(await entryText(all, 'aws'), /aws 1\.0\.0/)
  // Another sound object under that name is no better.
  const other = await all.store.put(Buffer.from('sound and evil'))
  renameSync(all.store.pathOf(other.sha512), path)
  await assert.rejects(entryText(all, 'aws'), code('ERR_STORE_CORRUPT'))
  // Trust is asked each time too.
  const lock = await readLockFile(all.lockFile)
  const revoked = { ...policy, revocations: [{ keys: [], manifests: [lock.plugins.get('aws')!.versions.get('1.0.0')!.manifest] }] }
  await install([all.aws], all.options)
  await assert.rejects(openPlugin('aws', { ...all, lock, policy: revoked, platform: 'linux-x64' }), code('ERR_TRUST_REVOKED'))
  await assert.rejects(openPlugin('gcp', { ...all, lock, policy }), code('ERR_STORE_MISSING', /plugwire list.*by its address/))
  await assert.rejects(openPlugin('npm:gcp@^1', { ...all, lock, policy }), code('ERR_STORE_MISSING', /plugwire install npm:gcp@\^1/))
})

test('pack makes the same bytes from the same files, and never a version twice', async t => {
  const directory = directoryOf(t)
  const one = await make(join(directory, 'one', 'out'))
  const two = await make(join(directory, 'two', 'out'))
  assert.deepEqual(
    one.files.map(({ sha512 }) => sha512),
    two.files.map(({ sha512 }) => sha512),
  )
  assert.match(execFileSync('tar', ['-tvzf', one.files[0]!.path], { encoding: 'utf8' }), /-rwxr-xr-x 0\/0 .*1970.* plugin/)
  await assert.rejects(make(join(directory, 'one', 'out')), code('ERR_STORE_IO', /there already/))
  const file = join(directory, 'plugin.js')
  writeFileSync(file, 'export {}')
  const given = {
    name: 'js',
    version: '1.0.0',
    contract: { name: 'cloud', versions: [1], protocols: ['plugwire'] },
    publisher: { name: 'Acme' },
    builds: { any: { path: file } },
    out: join(directory, 'js'),
  }
  const dry = await pack({ ...given, dryRun: true })
  assert.equal(existsSync(given.out), false)
  const packed = await pack(given)
  assert.deepEqual([packed.manifest.type, packed.manifest.platforms['any']?.archive], ['bundle', undefined])
  assert.deepEqual(dry.files, packed.files)
  assert.equal(readFileSync(join(dirname(packed.manifestPath), 'plugin.js'), 'utf8'), 'export {}')
  await pack({ ...given, version: '1.10.0' })
  await pack({ ...given, version: '1.9.0' })
  const index = JSON.parse(readFileSync(packed.indexPath, 'utf8')) as { versions: { version: string }[] }
  assert.deepEqual(
    index.versions.map(({ version }) => version),
    ['1.10.0', '1.9.0', '1.0.0'],
  )
  // What the index says of other versions is not pack's to change.
  const written = { version: '0.9.0', manifest: 'old/plugin.json', signatures: ['old/plugin.json.sig'] }
  writeFileSync(packed.indexPath, JSON.stringify({ plugwire: 'index/1', name: 'js', versions: [written] }))
  await pack({ ...given, version: '2.0.0' })
  assert.deepEqual((JSON.parse(readFileSync(packed.indexPath, 'utf8')) as { versions: unknown[] }).versions, [
    { version: '2.0.0', manifest: '2.0.0/plugwire.json' },
    written,
  ])
  for (const [more, words] of [
    [{ builds: { plan9: { path: file } } }, /no platform/],
    [{ builds: { any: { path: join(directory, 'none') } } }, /not there/],
    [{ builds: { any: { path: directory } } }, /which of its files/],
    [{ builds: { any: { path: directory, entry: 'none' } } }, /not there/],
  ] as const)
    await assert.rejects(pack({ ...given, version: '3.0.0', ...more }), code('ERR_STORE_IO', words))
  assert.ok(!readdirSync(join(given.out, 'js')).some(name => name.startsWith('.')))
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}/x.js`
  const { mkdirSync } = await import('node:fs')
  mkdirSync(dirname(join(directory, 'tree', long)), { recursive: true })
  writeFileSync(join(directory, 'tree', long), 'export {}')
  const tree = await pack({ ...given, name: 'tree', builds: { any: { path: join(directory, 'tree'), entry: long } } })
  assert.equal(tree.manifest.type, 'package')
  assert.match(execFileSync('tar', ['-tzf', tree.files[0]!.path], { encoding: 'utf8' }), /x\.js/)
  const store = join(directory, 'store')
  const [installed] = await install([`file:${join(given.out, 'tree')}`], {
    store,
    lockFile: join(directory, 'lock'),
    policy: { require: 'none' },
  })
  assert.equal(installed?.name, 'tree')
})

interface Ended {
  readonly exit: number | NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function run(name: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const file = fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url))
    const { NODE_EXTRA_CA_CERTS: _, NODE_TEST_CONTEXT: __, ...own } = process.env
    const child = spawn(process.execPath, [file, ...args], { env: { ...own, ...env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject).on('close', (exit, signal) => resolve({ exit: signal ?? exit, stdout, stderr }))
  })
}

for (const when of ['before', 'after'] as const)
  test(`an installer killed ${when} every step: the next run finds a sound store, the old or the new lock file, and completes`, async t => {
    const all = await setting(t)
    const { server, directory, options } = all
    const made = await all.release('1.0.0', { platforms: ['linux-x64'] })
    const path = '/plugins/aws/1.0.0/aws-1.0.0-linux-x64.tar.gz'
    // The first request for the archive breaks, so that a download is continued too.
    const bytes = server.files.get(path) as Buffer
    server.files.set(path, (request, response, count) =>
      breaking(bytes, Math.ceil(bytes.length / 2), count % 2 === 0 ? 0 : Number.POSITIVE_INFINITY)(request, response, count),
    )
    const key = (await acme.export()).public
    const args = (name: string): string[] => [all.aws, join(directory, `${name}.store`), join(directory, `${name}.lock`), key]
    const whole = await run('install-steps', args('whole'))
    assert.equal(whole.exit, 0, whole.stderr)
    const steps = Number(whole.stdout)
    assert.ok(steps > 40, whole.stdout)
    let killed = 0
    let locked = 0
    const attempt = async (step: number): Promise<void> => {
      const name = `${step}`
      const [, where = '', lockFile = ''] = args(name)
      const { exit, stderr } = await run('install-steps', args(name), { KILL_AT: `${step}:${when}` })
      if (exit === 'SIGKILL') killed++
      else assert.equal(exit, 0, stderr)
      const lock = await readLockFile(lockFile)
      if (lock.plugins.size > 0) {
        // Whatever the lock file names is there.
        locked++
        const store = await ContentStore.open(where)
        assert.ok(await (await openPlugin('aws', { store, lock, policy, platform: 'linux-x64' })).read('plugin'))
      }
      const store = await ContentStore.open(where)
      for await (const { sha512 } of store.objects()) await (await store.open(sha512))[Symbol.asyncDispose]()
      const [installed] = await install([all.aws], { ...options, store, lockFile })
      assert.equal(installed?.version, '1.0.0')
      const after = await readLockFile(lockFile)
      assert.ok(await (await openPlugin('aws', { store, lock: after, policy, platform: 'linux-x64' })).read('plugin'))
      const { kept, unknown } = await collectGarbage(store)
      assert.deepEqual([kept.objects, unknown], [4, []], `step ${step}`)
      assert.deepEqual(readdirSync(join(where, 'turns')), [])
      assert.deepEqual(
        readdirSync(join(where, 'tmp')).filter(file => !file.startsWith('get-')),
        [],
      )
      rmSync(where, { recursive: true })
    }
    // After one step is before the next: together both tests see every place, each of them every second one.
    const mine = Array.from({ length: steps }, (_, i) => i + 1).filter(step => (step % 2 === 0) === (when === 'before'))
    for (let i = 0; i < mine.length; i += 2) await Promise.all(mine.slice(i, i + 2).map(attempt))
    // Two run at once, and the server counts for both: of one the download may not break, and that one has fewer steps.
    assert.ok(killed >= mine.length * 0.75, `${killed} of ${mine.length}`)
    assert.ok(locked > 0 && locked < mine.length / 2, `${locked}`)
    assert.ok(made.manifest.platforms['linux-x64'])
    t.diagnostic(`killed at ${killed} of ${mine.length} steps`)
  })

test('two installers of the same plugin at once, into one store and one lock file', async t => {
  const all = await setting(t)
  await all.release('1.0.0', { platforms: ['linux-x64'] })
  await make(all.out, { name: 'gcp', platforms: ['linux-x64'] })
  publish(all.server, all.out, '/plugins/')
  const key = (await acme.export()).public
  const args = (name: string): string[] => [`${all.server.url}/plugins/${name}`, all.store.directory, all.lockFile, key]
  const ended = await Promise.all(['aws', 'aws', 'gcp'].map(name => run('install-steps', args(name))))
  for (const { exit, stderr } of ended) assert.equal(exit, 0, stderr)
  const lock = await readLockFile(all.lockFile)
  assert.deepEqual([...lock.plugins.keys()].sort(), ['aws', 'gcp'])
  for (const name of ['aws', 'gcp']) assert.match(await entryText(all, name), new RegExp(name))
  assert.equal((await collectGarbage(all.store)).removed.objects, 0)
})

test('a disk that is full in the middle of an installation', async t => {
  const disk = mkdtempSync(join(tmpdir(), 'plugwire-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=192k', 'tmpfs', disk], { stdio: 'ignore' })
  } catch {
    rmdirSync(disk)
    return t.skip('a small disk can be mounted only by root on Linux')
  }
  t.after(() => {
    execFileSync('umount', ['-l', disk])
    rmdirSync(disk)
  })
  const all = await setting(t)
  const { randomBytes } = await import('node:crypto')
  await all.release('1.0.0', { platforms: ['linux-x64'], text: randomBytes(1_500).toString('hex') })
  const options = { ...all.options, store: join(disk, 'store'), lockFile: join(disk, 'plugwire.lock') }
  await assert.rejects(install([all.aws], options), code('ERR_STORE_FULL'))
  assert.equal(existsSync(options.lockFile), false)
  const store = await ContentStore.open(options.store)
  for await (const { sha512 } of store.objects()) await (await store.open(sha512))[Symbol.asyncDispose]()
  assert.deepEqual(readdirSync(join(options.store, 'turns')), [])
  execFileSync('mount', ['-o', 'remount,size=4m', disk])
  assert.equal((await install([all.aws], options))[0]?.action, 'installed')
})
