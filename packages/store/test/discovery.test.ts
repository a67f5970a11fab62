import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { currentPlatform } from '@plugwire/trust'
import { isPluginError } from 'plugwire'
import { type DiscoverOptions, discover } from '../src/discovery/discover.ts'
import { compileName, discoverGlob } from '../src/discovery/glob.ts'
import { Ownership } from '../src/discovery/ownership.ts'
import { rankCandidates, selectCandidate } from '../src/discovery/selection.ts'
import { TrustedDirectories } from '../src/discovery/trusted-directories.ts'

function directoryOf(t: TestContext): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'plugwire-discovery-')))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function put(path: string, mode = 0o755, text = '#!/bin/sh\nexit 9\n'): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

const manifestOf = (name: string, version: string, more: object = {}): string =>
  JSON.stringify({
    plugwire: 'manifest/1',
    name,
    version,
    type: 'bundle',
    publisher: { name: 'Acme' },
    contract: { name: 'cloud', versions: [1, 2], protocols: ['plugwire'] },
    platforms: { any: { entry: 'plugin.js', files: {} } },
    ...more,
  })

const only = (directory: string, options: Partial<DiscoverOptions> = {}): DiscoverOptions => ({
  application: 'acme',
  directories: [directory],
  places: [],
  ...options,
})

test('names are matched as Go does', () => {
  // The table is that of path/filepath's own rules, for names without separators.
  const table: readonly [pattern: string, name: string, matches: boolean][] = [
    ['abc', 'abc', true],
    ['*', 'abc', true],
    ['*', '', true],
    ['*', '.hidden', true],
    ['*c', 'abc', true],
    ['a*', 'a', true],
    ['a*', 'abc', true],
    ['a*b*c*d*e*', 'axbxcxdxexxx', true],
    ['a*b?c*x', 'abxbbxdbxebxczzx', true],
    ['a*b?c*x', 'abxbbxdbxebxczzy', false],
    ['ab[c]', 'abc', true],
    ['ab[b-d]', 'abc', true],
    ['ab[e-g]', 'abc', false],
    ['ab[^c]', 'abc', false],
    ['ab[^b-d]', 'abc', false],
    ['ab[^e-g]', 'abc', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'ab', false],
    ['a?b', 'a☺b', true],
    ['a[^a]b', 'a☺b', true],
    ['a???b', 'a☺b', false],
    ['a[^a][^a][^a]b', 'a☺b', false],
    ['[a-ζ]*', 'α', true],
    ['*[a-ζ]', 'A', false],
    ['[\\]a]', ']', true],
    ['[\\-]', '-', true],
    ['[x\\-]', 'x', true],
    ['[x\\-]', '-', true],
    ['[x\\-]', 'z', false],
    ['[\\-x]', 'a', false],
    ['*x', 'xxx', true],
    ['**', 'abc', true],
    ['{a,b}', 'a', false],
    ['{a,b}', '{a,b}', true],
    ['a😀?', 'a😀😀', true],
  ]
  for (const [pattern, name, expected] of table) assert.equal(compileName(pattern)(name), expected, `${pattern} ${name}`)
  for (const pattern of ['[]a]', '[-]', '[x-]', '[-x]', '[a-b-c]', '[', '[^', '[^bc', 'a[', 'ab[', '[a-', '\\', 'a\\', '[\\', '[]', '[^]'])
    assert.throws(
      () => compileName(pattern),
      error => isPluginError(error, 'ERR_DISCOVER_PATTERN'),
      pattern,
    )
})

test('a glob of stars takes time that grows with the name, not beyond all measure', () => {
  assert.equal(compileName(`${'a*'.repeat(200)}b`)('a'.repeat(5_000)), false)
})

test("discoverGlob is go-plugin's Discover", t => {
  const directory = directoryOf(t)
  for (const file of ['b-plugin', 'a-plugin', '.c-plugin', 'x/one-plugin', 'y/two-plugin', 'z[1]/q-plugin', 'plain'])
    put(join(directory, file), 0o644)
  mkdirSync(join(directory, 'dir-plugin'))
  symlinkSync('nowhere', join(directory, 'dangling-plugin'))
  const names = (pattern: string, where = directory) => discoverGlob(pattern, where).map(path => path.slice(directory.length + 1))
  assert.deepEqual(names('*-plugin'), ['.c-plugin', 'a-plugin', 'b-plugin', 'dangling-plugin', 'dir-plugin'])
  assert.deepEqual(names('[ab]-plugin'), ['a-plugin', 'b-plugin'])
  assert.deepEqual(names('?/*-plugin'), ['x/one-plugin', 'y/two-plugin'])
  assert.deepEqual(names('plain'), ['plain'])
  assert.deepEqual(names('dangling-plugin'), ['dangling-plugin'])
  assert.deepEqual(names('missing'), [])
  assert.deepEqual(names('**/*-plugin'), ['x/one-plugin', 'y/two-plugin', 'z[1]/q-plugin'])
  assert.deepEqual(names('x/../a*'), ['a-plugin'])
  assert.deepEqual(names('*', join(directory, 'z[1]')), [])
  assert.deepEqual(names('*', join(directory, 'z\\[1\\]')), ['z[1]/q-plugin'])
  assert.deepEqual(names('*', join(directory, 'missing')), [])
  assert.deepEqual(names('plain/*'), [])
  assert.throws(
    () => names('[a/b]'),
    error => isPluginError(error, 'ERR_DISCOVER_PATTERN'),
  )
  assert.throws(
    () => names('[', join(directory, 'missing')),
    error => isPluginError(error, 'ERR_DISCOVER_PATTERN'),
  )
})

test('names, versions and manifests are read, nothing is run', async t => {
  const directory = directoryOf(t)
  const trace = join(directory, 'ran')
  const script = `#!/bin/sh\ntouch ${trace}\n`
  put(join(directory, 'acme-plugin-aws'), 0o755, script)
  put(join(directory, 'acme-plugin-aws_v1.10.0'), 0o755, script)
  put(join(directory, 'acme-plugin-aws@1.9.0.js'), 0o644, script)
  put(join(directory, 'acme-plugin-gcp.mjs'), 0o644, script)
  put(join(directory, 'acme-plugin-gcp.mjs.plugwire.json'), 0o644, manifestOf('@acme/gcp', '2.0.0'))
  put(join(directory, 'acme-plugin-gcp.mjs.plugwire.json.minisig'), 0o644, 'x')
  put(join(directory, 'acme-plugin-azure', 'plugwire.json'), 0o644, manifestOf('azure', '3.0.0'))
  put(join(directory, 'acme-plugin-azure', 'plugin.js'), 0o644, script)
  for (const version of ['4.0.0', '4.1.0']) {
    put(join(directory, 'acme-plugin-many', version, 'plugwire.json'), 0o644, manifestOf('many', version))
    put(join(directory, 'acme-plugin-many', version, 'plugin.js'), 0o644, script)
  }
  put(join(directory, 'README'), 0o644)
  const { candidates, others, places } = await discover(only(directory))
  assert.deepEqual(
    candidates.map(({ name, version, path, refusals }) => [name, version, path.slice(directory.length + 1), refusals.map(r => r.text)]),
    [
      ['@acme/gcp', '2.0.0', 'acme-plugin-gcp.mjs', []],
      ['aws', '1.10.0', 'acme-plugin-aws_v1.10.0', []],
      ['aws', '1.9.0', 'acme-plugin-aws@1.9.0.js', []],
      ['aws', undefined, 'acme-plugin-aws', []],
      ['azure', '3.0.0', 'acme-plugin-azure/plugin.js', []],
      ['many', '4.1.0', 'acme-plugin-many/4.1.0/plugin.js', []],
      ['many', '4.0.0', 'acme-plugin-many/4.0.0/plugin.js', []],
    ],
  )
  assert.deepEqual(candidates[0]?.claims?.contract, { name: 'cloud', versions: [1, 2], protocols: ['plugwire'] })
  assert.deepEqual(
    others.map(({ reason, path }) => [reason, path]),
    [['name-does-not-fit', join(directory, 'README')]],
  )
  assert.deepEqual(
    places.map(({ failure, seen }) => [failure, seen]),
    [[undefined, 9]],
  )
  assert.ok(!discoverGlob('ran', directory).length)
})

test('every refusal says why and what to do', async t => {
  const directory = directoryOf(t)
  const at = (name: string): string => join(directory, `acme-plugin-${name}`)
  put(at('writable'), 0o757)
  put(at('group'), 0o775)
  put(at('plain'), 0o644)
  put(at('setuid'), 0o755)
  chmodSync(at('setuid'), 0o4755)
  put(at('setgid'), 0o755)
  chmodSync(at('setgid'), 0o2755)
  symlinkSync('nowhere', at('dangling'))
  symlinkSync(at('loop'), at('loop'))
  mkdirSync(at('empty'))
  put(at('x_v1.x'), 0o755)
  put(at('broken.js'), 0o644)
  put(at('broken.js.plugwire.json'), 0o644, '{')
  put(at('huge.js'), 0o644)
  put(at('huge.js.plugwire.json'), 0o644, ' '.repeat(4 * 1024 * 1024 + 1))
  put(join(at('escape'), 'plugwire.json'), 0o644, manifestOf('escape', '1.0.0', { platforms: { any: { entry: '../x', files: {} } } }))
  put(
    join(at('other-os'), 'plugwire.json'),
    0o644,
    manifestOf('other-os', '1.0.0', { platforms: { 'plan9-x64': { entry: 'x', files: {} } } }),
  )
  put(join(at('open-dir'), 'plugwire.json'), 0o644, manifestOf('open-dir', '1.0.0'))
  put(join(at('open-dir'), 'plugin.js'), 0o644)
  chmodSync(at('open-dir'), 0o777)
  put(join(directory, 'far', 'target'), 0o755)
  chmodSync(join(directory, 'far'), 0o777)
  symlinkSync(join(directory, 'far', 'target'), at('linked'))
  put(at('open-manifest.js'), 0o644)
  put(at('open-manifest.js.plugwire.json'), 0o666, manifestOf('open-manifest', '1.0.0'))
  put(at('far-manifest.js'), 0o644)
  put(join(directory, 'far', 'manifest'), 0o644, manifestOf('far-manifest', '1.0.0'))
  symlinkSync(join(directory, 'far', 'manifest'), at('far-manifest.js.plugwire.json'))
  put(at('no-manifest.js'), 0o644)
  symlinkSync('nowhere', at('no-manifest.js.plugwire.json'))
  const { candidates } = await discover(only(directory))
  const reasons = Object.fromEntries(candidates.map(({ name, refusals }) => [name, refusals.map(({ reason }) => reason)]))
  assert.deepEqual(reasons, {
    writable: ['others-may-write'],
    group: ['others-may-write'],
    plain: ['not-executable'],
    setuid: ['setuid'],
    setgid: ['setuid'],
    dangling: ['dangling-link'],
    loop: ['link-loop'],
    empty: ['not-a-file'],
    x: ['version-malformed'],
    broken: ['manifest-malformed'],
    huge: ['manifest-malformed'],
    escape: ['manifest-malformed'],
    'other-os': ['no-platform'],
    'open-dir': ['others-may-write'],
    linked: ['others-may-write'],
    'open-manifest': ['others-may-write'],
    'far-manifest': ['others-may-write'],
    'no-manifest': ['dangling-link'],
  })
  for (const { refusals } of candidates)
    for (const { text, remedy, path } of refusals) assert.ok(text.length > 10 && remedy.length > 10 && path.startsWith('/'), text)
})

test('what belongs to others is refused, wherever on the way it lies', {
  skip: process.getuid?.() !== 0 && 'only root can give files away',
}, async t => {
  const directory = directoryOf(t)
  put(join(directory, 'own', 'acme-plugin-file'))
  chownSync(join(directory, 'own', 'acme-plugin-file'), 1234, 1234)
  put(join(directory, 'theirs', 'acme-plugin-inside'))
  chownSync(join(directory, 'theirs'), 1234, 1234)
  symlinkSync(put(join(directory, 'good')), join(directory, 'own', 'acme-plugin-link'))
  lchownSync(join(directory, 'own', 'acme-plugin-link'), 1234, 1234)
  symlinkSync(join(directory, 'theirs'), join(directory, 'way'))
  symlinkSync(join(directory, 'way', 'acme-plugin-inside'), join(directory, 'own', 'acme-plugin-by-way'))
  mkdirSync(join(directory, 'sticky'))
  chmodSync(join(directory, 'sticky'), 0o1777)
  put(join(directory, 'sticky', 'mine', 'acme-plugin-sticky'))
  const places = ['own', 'theirs', 'sticky/mine'].map(name => join(directory, name))
  const { candidates } = await discover({ application: 'acme', directories: places, places: [] })
  assert.deepEqual(
    Object.fromEntries(candidates.map(({ name, refusals }) => [name, refusals.map(r => `${r.reason} ${r.path.slice(directory.length)}`)])),
    {
      file: ['other-owner /own/acme-plugin-file'],
      inside: ['other-owner /theirs'],
      link: ['other-owner /own/acme-plugin-link'],
      'by-way': ['other-owner /theirs'],
      sticky: [],
    },
  )
})

test('what changes while it is looked at is refused or not, and ends nothing', async t => {
  const path = join(directoryOf(t), 'acme-plugin-flips')
  // Now a link, now a file.
  const script = `
    const { renameSync, symlinkSync, writeFileSync } = require('node:fs')
    const path = process.argv[1]
    for (let i = 0; ; i++) {
      if (i % 2 === 0) writeFileSync(path + '~', '')
      else symlinkSync('elsewhere', path + '~')
      renameSync(path + '~', path)
      if (i === 0) console.log('ready')
    }`
  const flipping = spawn(process.execPath, ['-e', script, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(flipping.stdout, 'data')
    for (let i = 0; i < 20_000; i++) new Ownership().inspect(path)
  } finally {
    flipping.kill('SIGKILL')
    await once(flipping, 'close')
  }
})

test('places come in order, and an earlier one shadows the same version in a later one', async t => {
  const directory = directoryOf(t)
  const env = { XDG_DATA_HOME: join(directory, 'data') }
  put(join(directory, 'app', 'acme-plugin-a_v1.0.0'))
  put(join(directory, 'data', 'acme', 'plugins', 'acme-plugin-a_v1.0.0'))
  put(join(directory, 'data', 'acme', 'plugins', 'acme-plugin-a_v1.1.0'))
  put(join(directory, 'bin', 'acme-plugin-b'), 0o644)
  put(join(directory, 'bin', 'acme'))
  put(join(directory, 'cwd', 'acme-plugin-b'))
  const options: DiscoverOptions = {
    application: 'acme',
    directories: [join(directory, 'app'), join(directory, 'none')],
    program: join(directory, 'bin', 'acme'),
    workingDirectory: join(directory, 'cwd'),
    env,
  }
  const found = await discover(options)
  assert.deepEqual(
    found.candidates.map(({ name, version, place, refusals }) => [name, version, place.kind, refusals.map(({ reason }) => reason)]),
    [
      ['a', '1.1.0', 'user', []],
      ['a', '1.0.0', 'application', []],
      ['a', '1.0.0', 'user', ['shadowed']],
      ['b', undefined, 'program', ['not-executable']],
      ['b', undefined, 'working', ['untrusted-directory']],
    ],
  )
  assert.deepEqual(
    found.places.map(({ kind, failure, passedOver }) => [kind, failure, passedOver]),
    [
      ['application', undefined, 0],
      ['application', 'missing', 0],
      ['user', undefined, 0],
      ['program', undefined, 1],
      ['working', undefined, 0],
    ],
  )
  const list = TrustedDirectories.read(join(directory, 'config', 'directories.json'))
  assert.equal(list.has(join(directory, 'cwd')), false)
  list.add(join(directory, 'cwd'))
  const again = TrustedDirectories.read(join(directory, 'config', 'directories.json'))
  const trusting = await discover({ ...options, trusts: again.has })
  assert.equal(selectCandidate(trusting, { name: 'b' }).path, join(directory, 'cwd', 'acme-plugin-b'))
  // Another directory under the same name is another directory.
  renameSync(join(directory, 'cwd'), join(directory, 'moved'))
  put(join(directory, 'cwd', 'acme-plugin-b'))
  assert.equal(again.has(join(directory, 'cwd')), false)
  again.remove(join(directory, 'cwd'))
  assert.deepEqual(TrustedDirectories.read(join(directory, 'config', 'directories.json')).directories, [])
  chmodSync(join(directory, 'config', 'directories.json'), 0o666)
  assert.throws(
    () => TrustedDirectories.read(join(directory, 'config', 'directories.json')),
    error => isPluginError(error, 'ERR_STORE_ROOT'),
  )
})

test('the newest that fits range and contract is chosen, and nothing else', async t => {
  const directory = directoryOf(t)
  for (const [version, versions] of [
    ['1.0.0', [1]],
    ['1.5.0', [1, 2]],
    ['2.0.0', [2]],
    ['3.0.0-rc.1', [3]],
  ] as const) {
    const file = put(join(directory, `acme-plugin-aws_v${version}.js`), 0o644)
    put(`${file}.plugwire.json`, 0o644, manifestOf('aws', version, { contract: { name: 'cloud', versions, protocols: ['plugwire'] } }))
  }
  put(join(directory, 'acme-plugin-aws'), 0o755)
  const found = await discover(only(directory))
  const version = (wanted: object): string | undefined => selectCandidate(found, { name: 'aws', ...wanted }).version
  assert.equal(version({}), '3.0.0-rc.1')
  assert.equal(version({ range: '^1' }), '1.5.0')
  assert.equal(version({ range: '>=1' }), '2.0.0')
  assert.equal(version({ contract: { versions: [1] } }), '1.5.0')
  assert.equal(version({ contract: { name: 'cloud', versions: [2, 9], protocols: ['grpc', 'plugwire'] } }), '2.0.0')
  assert.equal(version({ contract: { protocols: ['grpc'] } }), undefined)
  assert.throws(
    () => version({ range: '^9' }),
    error => isPluginError(error, 'ERR_DISCOVER_NONE') && error.facts.refusals.length === 5 && /\^9 is wanted/.test(error.message),
  )
  assert.throws(
    () => version({ range: 'nonsense' }),
    error => isPluginError(error, 'ERR_SOURCE_ADDRESS'),
  )
  assert.throws(
    () => selectCandidate(found, { name: 'none' }),
    error => isPluginError(error, 'ERR_DISCOVER_NONE'),
  )
  assert.equal(rankCandidates(found, { name: 'aws' }).length, 5)
})

test('terraform providers by their own pattern', async t => {
  const directory = directoryOf(t)
  put(join(directory, 'terraform-provider-random_v3.6.0_x5'))
  put(join(directory, `terraform-provider-null_v3.2.1_x5${process.platform === 'win32' ? '.exe' : ''}`))
  const { candidates } = await discover(only(directory, { pattern: 'terraform-provider-*' }))
  assert.deepEqual(
    candidates.map(({ name, version }) => `${name} ${version}`),
    ['null 3.2.1', 'random 3.6.0'],
  )
})

test('a thousand candidates with manifests', async t => {
  const directory = directoryOf(t)
  const platform = currentPlatform()
  for (let i = 0; i < 1_000; i++) {
    const file = put(join(directory, `acme-plugin-p${i}_v1.0.${i}`), 0o755, '')
    put(`${file}.plugwire.json`, 0o644, manifestOf(`p${i}`, `1.0.${i}`, { platforms: { [platform]: { entry: 'plugin', files: {} } } }))
  }
  const before = process.cpuUsage()
  const { candidates } = await discover(only(directory))
  const { user, system } = process.cpuUsage(before)
  assert.equal(candidates.filter(({ refusals }) => refusals.length === 0).length, 1_000)
  t.diagnostic(`${((user + system) / 1_000).toFixed(1)} ms of CPU`)
})
