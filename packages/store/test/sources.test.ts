import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isPluginError } from 'plugwire'
import { formatAddress, parseAddress } from '../src/sources/address.ts'
import { npmSettings } from '../src/sources/npm-settings.ts'
import { Sources, type SourcesOptions } from '../src/sources/open-source.ts'
import type { Release } from '../src/sources/source.ts'
import { tgz } from './archives.ts'
import { make, npmTarball, publish, publishNpm, publishOci, publishTerraform, registryKeys, sha256 } from './releases.ts'
import { serve, type TestServer } from './server.ts'

const code =
  (expected: string, words = /./) =>
  (error: unknown) => {
    assert.ok(isPluginError(error), String((error as Error).stack))
    assert.equal(error.code, expected, error.message)
    assert.match(error.message, words)
    return true
  }

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-sources-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function setting(t: TestContext): Promise<{ server: TestServer; directory: string }> {
  const server = await serve()
  t.after(() => server[Symbol.asyncDispose]())
  return { server, directory: directoryOf(t) }
}

async function resolve(t: TestContext, text: string, options: SourcesOptions = {}): Promise<Release> {
  const sources = new Sources({ ...options, http: { allowLoopback: true, retryDelayMs: 1, attempts: 2, env: {} } })
  t.after(() => sources[Symbol.dispose]())
  const address = parseAddress(text)
  return (await sources.of(address)).resolve(address.name, address.range)
}

test('addresses are read and written', () => {
  const table: readonly (readonly [text: string, kind: string, at: string, name: string, range: string])[] = [
    ['npm:aws', 'npm', '', 'aws', '*'],
    ['npm:@acme/aws-plugin@^2', 'npm', '', '@acme/aws-plugin', '^2'],
    ['npm:aws@>=1 <3', 'npm', '', 'aws', '>=1 <3'],
    ['https://plugins.example.com/aws', 'https', 'https://plugins.example.com/', 'aws', '*'],
    ['https://example.com/some/where/@acme/aws@1.2.3', 'https', 'https://example.com/some/where/', '@acme/aws', '1.2.3'],
    ['https://example.com/@acme/aws@^1', 'https', 'https://example.com/', '@acme/aws', '^1'],
    ['http://127.0.0.1:8080/aws@~1.2', 'http', 'http://127.0.0.1:8080/', 'aws', '~1.2'],
    ['file:./plugins/aws', 'file', './plugins/aws', '', '*'],
    ['file:../a@b/c.tgz#^2', 'file', '../a@b/c.tgz', '', '^2'],
    ['terraform:hashicorp/random@~3.6', 'terraform', '', 'hashicorp/random', '~3.6'],
    ['terraform:tf.example.com:8443/acme/cloud', 'terraform', 'tf.example.com:8443', 'acme/cloud', '*'],
    ['oci:registry.example.com/acme/aws@^1.0.0-rc.1', 'oci', 'registry.example.com', 'acme/aws', '^1.0.0-rc.1'],
    ['oci:localhost:5000/aws', 'oci', 'localhost:5000', 'aws', '*'],
  ]
  for (const [text, kind, at, name, range] of table) {
    assert.deepEqual(parseAddress(text), { kind, at, name, range }, text)
    assert.equal(formatAddress(parseAddress(text)), text)
  }
  const bad = [
    '',
    'aws',
    'npm:',
    'npm:@acme',
    'npm:../x',
    'npm:Aws',
    'npm:aws@nonsense range',
    'npm:aws@',
    'git:x',
    'https://example.com',
    'https://example.com/',
    'https:///aws',
    'https://example.com/a?b=c',
    'https://example.com/..',
    'file:',
    'file:x#nonsense',
    'terraform:random',
    'terraform:a/b/c/d',
    'terraform:../b',
    'oci:aws',
    'oci:host/../x',
    'oci:host/UPPER',
    'npm:a\nb',
    `npm:${'a'.repeat(300)}`,
  ]
  for (const text of bad) assert.throws(() => parseAddress(text), code('ERR_SOURCE_ADDRESS'), text)
  assert.throws(
    () => parseAddress('https://me:secret@example.com/aws@^2'),
    (error: unknown) => isPluginError(error, 'ERR_SOURCE_ADDRESS') && !JSON.stringify([error.message, error.facts]).includes('secret'),
  )
})

test('a static index: newest in range, pre-releases only by name', async t => {
  const { server, directory } = await setting(t)
  const out = join(directory, 'out')
  for (const version of ['1.0.0', '1.10.0', '1.9.0', '2.0.0-rc.1']) await make(out, { version })
  publish(server, out, '/plugins/')
  const of = async (range: string): Promise<string> => (await resolve(t, `${server.url}/plugins/aws${range}`)).version
  assert.equal(await of(''), '1.10.0')
  assert.equal(await of('@~1.9'), '1.9.0')
  assert.equal(await of('@1.0.0'), '1.0.0')
  assert.equal(await of('@^2.0.0-rc'), '2.0.0-rc.1')
  await assert.rejects(of('@^3'), code('ERR_SOURCE_NOT_FOUND', /only 2\.0\.0-rc\.1, 1\.10\.0, 1\.9\.0, 1\.0\.0/))
  await assert.rejects(resolve(t, `${server.url}/plugins/awz`), code('ERR_SOURCE_NOT_FOUND', /letter by letter/))
  const release = await resolve(t, `${server.url}/plugins/aws`)
  assert.equal(release.address, `${server.url}/plugins/aws@1.10.0`)
  assert.ok(release.layout.kind === 'files')
  assert.equal(release.layout.manifest.location, `${server.url}/plugins/aws/1.10.0/plugwire.json`)
  assert.equal(release.layout.file('../../../etc/passwd'), undefined)
  assert.equal(release.layout.file('https://example.com/x'), undefined)

  const index = (document: unknown): void =>
    void server.files.set('/plugins/aws/index.json', typeof document === 'string' ? document : JSON.stringify(document))
  const version = (more: object) => ({
    plugwire: 'index/1',
    name: 'aws',
    versions: [{ version: '1.0.0', manifest: '1.0.0/plugwire.json', ...more }],
  })
  const malformed: readonly [unknown, RegExp][] = [
    ['{', /no JSON/],
    ['[]', /no object/],
    [{ plugwire: 'index/2', name: 'aws', versions: [] }, /not index\/1/],
    [{ ...version({}), name: 'gcp' }, /index of "gcp"/],
    [{ plugwire: 'index/1', name: 'aws', versions: {} }, /no list/],
    [version({ manifest: '../../x' }), /has the path/],
    [version({ manifest: '/x' }), /has the path/],
    [version({ manifest: 'https://example.com/x' }), /has the path/],
    [version({ manifest: '//example.com/x' }), /has the path/],
    [version({ signatures: ['%2e%2e/x'] }), /has the path/],
    [{ plugwire: 'index/1', name: 'aws', versions: [...version({}).versions, ...version({}).versions] }, /twice/],
  ]
  for (const [document, words] of malformed) {
    index(document)
    await assert.rejects(resolve(t, `${server.url}/plugins/aws`), code('ERR_SOURCE_MALFORMED', words), JSON.stringify(document))
  }
  index({ plugwire: 'index/1', name: 'aws', versions: [] })
  await assert.rejects(resolve(t, `${server.url}/plugins/aws`), code('ERR_SOURCE_NOT_FOUND', /no version of it/))
})

test('directories and archives', async t => {
  const { directory } = await setting(t)
  const out = join(directory, 'out')
  const made = await make(out, { version: '1.0.0' })
  await make(out, { version: '1.1.0' })
  const of = (path: string) => resolve(t, `file:${path}`, { workingDirectory: directory })
  assert.equal((await of('out/aws')).address, 'file:out/aws#1.1.0')
  assert.equal((await of('./out/aws#~1.0')).version, '1.0.0')
  assert.equal((await of('out/aws/1.0.0')).version, '1.0.0')
  rmSync(join(out, 'aws', 'index.json'))
  assert.equal((await of('out/aws')).version, '1.1.0')
  writeFileSync(join(directory, 'aws.tgz'), npmTarball(made))
  const packed = await of('aws.tgz')
  assert.deepEqual([packed.name, packed.version, packed.layout.kind === 'packages' && packed.layout.inside], ['aws', '1.0.0', 'package'])
  await assert.rejects(of('nowhere'), code('ERR_SOURCE_NOT_FOUND'))
  mkdirSync(join(directory, 'empty'))
  await assert.rejects(of('empty'), code('ERR_SOURCE_NOT_FOUND', /plugwire pack/))
  writeFileSync(join(directory, 'file.txt'), '')
  await assert.rejects(of('file.txt'), code('ERR_SOURCE_MALFORMED', /neither/))
  writeFileSync(join(directory, 'none.tgz'), tgz([{ name: 'x' }]))
  await assert.rejects(of('none.tgz'), code('ERR_SOURCE_MALFORMED', /no plugwire\.json/))
  writeFileSync(join(directory, 'evil.tgz'), tgz([{ name: '../plugwire.json', body: '{}' }]))
  await assert.rejects(of('evil.tgz'), code('ERR_ARCHIVE_UNSAFE'))
})

test("npm: integrity, the registry's signature, and its absence", async t => {
  const { server } = await setting(t)
  const tarball = tgz([{ name: 'package/x' }])
  const npm = { registry: server.url }
  const of = (more: object = {}, name = '@acme/aws') => resolve(t, `npm:${name}`, { npm: { ...npm, ...more } })
  publishNpm(server, '@acme/aws', [
    { version: '1.0.0', tarball },
    { version: '1.2.0', tarball },
  ])
  const release = await of()
  assert.deepEqual(
    [release.version, release.address, release.findings.map(({ state }) => state)],
    ['1.2.0', 'npm:@acme/aws@1.2.0', ['valid']],
  )
  assert.ok(server.log.includes('GET /@acme%2faws'))

  publishNpm(server, '@acme/aws', [{ version: '1.0.0', tarball, signed: false }])
  assert.deepEqual(
    (await of()).findings.map(({ state }) => state),
    ['absent'],
  )
  await assert.rejects(of({ requireSignature: true }), code('ERR_SOURCE_SIGNATURE', /has not signed/))

  // Signed, but for another content: a mirror that swaps tarball and integrity.
  publishNpm(server, '@acme/aws', [{ version: '1.0.0', tarball }])
  const packument = JSON.parse(server.files.get('/@acme%2faws') as string) as { versions: Record<string, { dist: { integrity: string } }> }
  ;(packument.versions['1.0.0'] as { dist: { integrity: string } }).dist.integrity = `sha512-${'A'.repeat(86)}==`
  server.files.set('/@acme%2faws', JSON.stringify(packument))
  await assert.rejects(of(), code('ERR_SOURCE_SIGNATURE', /does not fit/))

  publishNpm(server, '@acme/aws', [{ version: '1.0.0', tarball }])
  await assert.rejects(of({ keys: [{ ...registryKeys.keys[0], keyid: 'SHA256:other' }] }), code('ERR_SOURCE_SIGNATURE', /does not have/))
  server.files.set('/-/npm/v1/keys', (_, response) => void response.writeHead(404).end())
  assert.deepEqual(
    (await of()).findings.map(({ state }) => state),
    ['unchecked'],
  )
  await assert.rejects(of({ requireSignature: true }), code('ERR_SOURCE_SIGNATURE'))
  // A key that has ended is good for what was published before.
  server.files.set('/-/npm/v1/keys', JSON.stringify({ keys: [{ ...registryKeys.keys[0], expires: '2025-01-01T00:00:00.000Z' }] }))
  await assert.rejects(of(), code('ERR_SOURCE_SIGNATURE', /no longer good/))
  publishNpm(server, '@acme/aws', [{ version: '1.0.0', tarball }], { '1.0.0': '2024-06-01T00:00:00.000Z' })
  assert.deepEqual(
    (await of()).findings.map(({ state }) => state),
    ['valid'],
  )
  publishNpm(server, '@acme/aws', [{ version: '1.0.0', tarball }], { '1.0.0': '2025-06-01T00:00:00.000Z' })
  await assert.rejects(of(), code('ERR_SOURCE_SIGNATURE', /no longer good/))
  server.files.set('/-/npm/v1/keys', JSON.stringify(registryKeys))

  // A mirror that hands out the addresses of npm's own registry.
  publishNpm(server, '@acme/aws', [
    { version: '1.0.0', tarball, dist: { tarball: 'https://registry.npmjs.org/@acme/aws/-/aws-1.0.0.tgz' } },
  ])
  const mirrored = await of()
  assert.equal(mirrored.layout.kind === 'packages' && mirrored.layout.packages[0]?.location, `${server.url}/@acme/aws/-/aws-1.0.0.tgz`)

  const wrong: readonly [object, string, RegExp][] = [
    [{ integrity: 'sha1-abc' }, 'ERR_SOURCE_MALFORMED', /no sha512/],
    [{ integrity: undefined }, 'ERR_SOURCE_MALFORMED', /integrity/],
    [{ tarball: 'https://evil.example/x.tgz' }, 'ERR_SOURCE_REDIRECT', /another host/],
    [{ tarball: 'nonsense' }, 'ERR_SOURCE_MALFORMED', /address/],
    [{ signatures: {} }, 'ERR_SOURCE_MALFORMED', /signatures is no list/],
  ]
  for (const [dist, expected, words] of wrong) {
    publishNpm(server, '@acme/aws', [{ version: '1.0.0', tarball, signed: false, dist }])
    await assert.rejects(of(), code(expected, words))
  }
  await assert.rejects(of({}, 'missing'), code('ERR_SOURCE_NOT_FOUND'))
  server.files.set('/other', JSON.stringify({ name: 'something-else', versions: {} }))
  await assert.rejects(of({}, 'other'), code('ERR_SOURCE_MALFORMED', /something-else/))
  server.files.set('/__proto__', '{}')
  await assert.rejects(of({}, 'proto'), code('ERR_SOURCE_NOT_FOUND'))
})

test('npm: another registry for a scope gets a token of its own or none', async t => {
  const { server } = await setting(t)
  const { server: other } = await setting(t)
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-npmrc-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const userconfig = join(directory, 'npmrc')
  const seen: (string | undefined)[] = []
  const record = (request: IncomingMessage, response: ServerResponse): void => {
    seen.push(request.headers['authorization'])
    response.writeHead(404).end()
  }
  server.fallback = record
  other.fallback = record
  const ask = async (lines: readonly string[], address: string): Promise<void> => {
    writeFileSync(userconfig, lines.join('\n'))
    const npm = await npmSettings({ npm_config_userconfig: userconfig })
    using sources = new Sources({ npm, http: { allowLoopback: true, env: {} } })
    const parsed = parseAddress(address)
    await assert.rejects((await sources.of(parsed)).versions(parsed.name), code('ERR_SOURCE_NOT_FOUND'))
  }
  const general = [`registry=${server.url}/`, `//${server.host}/:_authToken=general`]
  await ask(general, 'npm:aws')
  await ask(general, 'npm:@acme/aws')
  await ask([...general, `@acme:registry=${other.url}/`], 'npm:@acme/aws')
  await ask([...general, `@acme:registry=${other.url}/`, `//${other.host}/:_authToken=own`], 'npm:@acme/aws')
  assert.deepEqual(seen, ['Bearer general', 'Bearer general', undefined, 'Bearer own'])
  writeFileSync(userconfig, '//registry.npmjs.org/:_authToken=theirs')
  assert.equal((await npmSettings({ npm_config_userconfig: userconfig })).token, 'theirs')
})

test('npm: a token goes to the registry and nowhere else', async t => {
  const { server } = await setting(t)
  const { server: other } = await setting(t)
  const seen: (string | undefined)[] = []
  const tarball = tgz([{ name: 'package/x' }])
  publishNpm(server, 'aws', [{ version: '1.0.0', tarball, dist: { tarball: `${other.url}/aws.tgz` } }])
  other.files.set('/aws.tgz', (request, response) => {
    seen.push(request.headers['authorization'])
    response.end(tarball)
  })
  const document = server.files.get('/aws') as string
  server.files.set('/aws', (request, response) => {
    seen.push(request.headers['authorization'])
    response.end(document)
  })
  const sources = new Sources({
    npm: { registry: server.url, token: 'secret', hosts: [other.host] },
    http: { allowLoopback: true, env: {} },
  })
  t.after(() => sources[Symbol.dispose]())
  const source = await sources.of(parseAddress('npm:aws'))
  const release = await source.resolve('aws', '*')
  assert.ok(release.layout.kind === 'packages')
  const fetched = await source.fetch(release.layout.packages[0] as never)
  for await (const _ of fetched.body);
  assert.deepEqual(seen, ['Bearer secret', undefined])
})

test('Terraform: a registry, its checksums and their signature', async t => {
  const { server } = await setting(t)
  const of = (more: object = {}, name = 'hashicorp/random') => resolve(t, `terraform:${server.host}/${name}`, { terraform: more })
  const archives = publishTerraform(server, 'hashicorp/random', '3.6.0', ['linux_amd64', 'windows_386'])
  const release = await of()
  assert.deepEqual(
    [release.name, release.version, release.address],
    ['@hashicorp/random', '3.6.0', `terraform:${server.host}/hashicorp/random@3.6.0`],
  )
  assert.ok(release.layout.kind === 'import')
  assert.deepEqual([...release.layout.platforms], ['linux-x64', 'win32-ia32'])
  assert.deepEqual(release.layout.as.contract, { name: 'terraform-provider', versions: [5, 6], protocols: ['grpc'] })
  const { file, findings } = await release.layout.archive('linux-x64')
  assert.equal(file.digests?.sha256, sha256(archives.get(file.name) as Buffer))
  assert.deepEqual(
    findings.map(({ what, state }) => `${what} ${state}`),
    ['checksums valid', 'checksums-signature unchecked'],
  )
  await assert.rejects(release.layout.archive('plan9-arm'), code('ERR_SOURCE_PLATFORM', /linux-x64, win32-ia32/))
  const archive = async (more: object = {}) => {
    const { layout } = await of(more)
    return layout.kind === 'import' ? layout.archive('linux-x64') : undefined
  }
  let given: unknown[] = []
  const verifyChecksums = async (...parts: unknown[]): Promise<{ identity: string }> => {
    given = parts
    return { identity: 'openpgp:ABCD' }
  }
  assert.equal((await archive({ verifyChecksums }))?.findings[1]?.state, 'valid')
  assert.equal(String(given[1]), 'an OpenPGP signature')
  assert.deepEqual(given[2], ['the key'])
  await assert.rejects(archive({ verifyChecksums: () => Promise.reject(new RangeError('forged')) }), RangeError)
  publishTerraform(server, 'hashicorp/random', '3.6.0', ['linux_amd64'], { signature: false })
  assert.equal((await archive())?.findings[1]?.state, 'absent')
  publishTerraform(server, 'hashicorp/random', '3.6.0', ['linux_amd64'], { shasum: 'a'.repeat(64) })
  await assert.rejects(archive(), code('ERR_SOURCE_MALFORMED', /something else/))
  publishTerraform(server, 'hashicorp/random', '3.6.0', ['linux_amd64'], { sums: '' })
  await assert.rejects(archive(), code('ERR_SOURCE_MALFORMED', /something else/))
  publishTerraform(server, 'hashicorp/random', '3.6.0', ['linux_amd64'])
  server.files.delete('/files/terraform-provider-random_3.6.0_SHA256SUMS.sig')
  await assert.rejects(archive(), code('ERR_SOURCE_SIGNATURE', /announced and not there/))
  await assert.rejects(of({}, 'hashicorp/none'), code('ERR_SOURCE_NOT_FOUND'))
  server.files.set('/.well-known/terraform.json', '{}')
  await assert.rejects(of(), code('ERR_SOURCE_MALFORMED', /no registry/))
})

test('Terraform: a filesystem mirror, packed and unpacked', async t => {
  const { directory } = await setting(t)
  const base = join(directory, 'registry.terraform.io', 'hashicorp', 'random')
  const put = (path: string): void => {
    mkdirSync(dirname(join(base, path)), { recursive: true })
    writeFileSync(join(base, path), '')
  }
  put('terraform-provider-random_3.5.0_linux_amd64.zip')
  put('terraform-provider-random_3.5.0_darwin_arm64.zip')
  put('3.6.0/linux_amd64/terraform-provider-random_v3.6.0_x5')
  put('3.6.0/linux_amd64/LICENSE')
  put('index.json')
  // What else may lie there.
  put('3.6.0/darwin_arm64')
  symlinkSync('nowhere', join(base, '3.7.0'))
  const release = await resolve(t, 'terraform:hashicorp/random', { terraform: { mirror: directory } })
  assert.ok(release.layout.kind === 'import')
  assert.deepEqual(
    [release.version, release.address, release.layout.platforms],
    ['3.6.0', 'terraform:hashicorp/random@3.6.0', ['linux-x64']],
  )
  assert.match((await release.layout.archive('linux-x64')).file.location, /_x5$/)
  await assert.rejects(release.layout.archive('darwin-arm64'), code('ERR_SOURCE_PLATFORM'))
  const older = await resolve(t, 'terraform:hashicorp/random@~3.5', { terraform: { mirror: directory } })
  assert.deepEqual(older.layout.kind === 'import' && [...older.layout.platforms].sort(), ['darwin-arm64', 'linux-x64'])
  await assert.rejects(resolve(t, 'terraform:hashicorp/none', { terraform: { mirror: directory } }), code('ERR_SOURCE_NOT_FOUND'))
})

test('OCI: a list of tags has an end', async t => {
  const { server } = await setting(t)
  const tags = Array.from({ length: 100_001 }, (_, i) => `1.0.${i}`)
  server.files.set('/v2/acme/aws/tags/list', JSON.stringify({ tags }))
  await assert.rejects(resolve(t, `oci:${server.host}/acme/aws`), code('ERR_SOURCE_MALFORMED', /more than 100000 versions/))
})

test('OCI: tags on several pages, a token, files by digest', async t => {
  const { server, directory } = await setting(t)
  const made = await make(join(directory, 'out'))
  publishOci(server, 'acme/aws', 'v1.0.0', made)
  const of = (more: object = {}) => resolve(t, `oci:${server.host}/acme/aws`, { oci: more })
  const release = await of()
  assert.deepEqual([release.version, release.address], ['1.0.0', `oci:${server.host}/acme/aws@1.0.0`])
  assert.ok(release.layout.kind === 'files')
  assert.equal(release.layout.signatures.length, 1)
  assert.ok(release.layout.file('aws-1.0.0-linux-x64.tar.gz')?.digests?.sha256)
  const wrong: readonly [(layers: object[]) => object[], RegExp][] = [
    [layers => [...layers, ...layers], /twice/],
    [() => [], /no plugwire\.json/],
    [() => [{ digest: 'md5:x', size: 1, annotations: { 'org.opencontainers.image.title': 'x' } }], /no sha256/],
    [() => [{ digest: `sha256:${'a'.repeat(64)}`, size: -1, annotations: { 'org.opencontainers.image.title': 'x' } }], /no size/],
    [() => [{ digest: `sha256:${'a'.repeat(64)}`, size: 1 }], /title/],
  ]
  for (const [change, words] of wrong) {
    publishOci(server, 'acme/aws', 'v1.0.0', made, change)
    await assert.rejects(of(), code('ERR_SOURCE_MALFORMED', words))
  }
  publishOci(server, 'acme/aws', 'v1.0.0', made)
  server.files.set('/token', (_, response) => void response.writeHead(403).end())
  await assert.rejects(of(), code('ERR_SOURCE_UNREACHABLE', /answered 403/))
  server.files.set(
    '/v2/acme/aws/manifests/v1.0.0',
    (_, response) => void response.writeHead(200, { 'docker-content-digest': `sha256:${'a'.repeat(64)}` }).end('{}'),
  )
  await assert.rejects(of(), code('ERR_SOURCE_DIGEST'))
  server.files.set(
    '/v2/acme/aws/manifests/v1.0.0',
    (_, response) => void response.writeHead(401, { 'www-authenticate': 'Bearer realm="https://elsewhere.example/token"' }).end(),
  )
  await assert.rejects(of({ credentials: { username: 'me', password: 'secret' } }), code('ERR_SOURCE_REDIRECT', /another domain/))
})
