import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  compareVersions,
  encodeManifest,
  isVersion,
  type Manifest,
  pathFault,
  platformDigests,
  readManifest,
  selectPlatform,
} from '../src/index.ts'
import { writeCanonical } from '../src/manifest/json.ts'
import { bytesOf, refusal } from './tools.ts'

const sha512 = 'ab'.repeat(64)

export const sample: Manifest = {
  name: '@acme/aws',
  version: '2.1.0',
  type: 'program',
  contract: { name: 'cloud', versions: [1, 2], protocols: ['plugwire'] },
  publisher: { name: 'acme' },
  platforms: {
    'linux-x64': { entry: 'aws', files: { aws: { sha512, size: 10 } } },
    'darwin-arm64': { entry: 'aws', files: { aws: { sha512, size: 11 } }, archive: { path: 'aws-darwin.tar.gz', sha512, size: 5 } },
  },
  notAfter: '2027-01-31T00:00:00Z',
  source: 'https://plugins.example/aws',
}

/** The sample's document with some fields replaced; undefined takes one away. */
const document = (fields: Record<string, unknown>): Uint8Array => {
  const plain = { ...(JSON.parse(Buffer.from(encodeManifest(sample)).toString()) as object), ...fields }
  return writeCanonical(JSON.parse(JSON.stringify(plain)))
}

test('a manifest is what was encoded', () => {
  const bytes = encodeManifest(sample)
  assert.deepEqual(JSON.parse(JSON.stringify(readManifest(bytes))), sample)
  assert.deepEqual(encodeManifest(readManifest(bytes)), bytes)
  assert.match(Buffer.from(bytes).toString(), /^\{\n {2}"contract": \{\n {4}"name": "cloud",\n/)
})

test('every byte that is changed is either refused or changes what the manifest says', () => {
  const bytes = encodeManifest(sample)
  const before = JSON.stringify(readManifest(bytes))
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const other = bytes.map((byte, i) => (i === at ? byte ^ flip : byte))
      try {
        assert.notEqual(JSON.stringify(readManifest(other)), before)
      } catch (error) {
        assert.match(String((error as { code?: string }).code), /^ERR_MANIFEST_/)
      }
    }),
    { numRuns: 1000 },
  )
  for (let length = 0; length < bytes.length; length++)
    assert.throws(() => readManifest(bytes.subarray(0, length)), refusal('ERR_MANIFEST_MALFORMED'))
  assert.throws(() => readManifest(bytesOf(`${Buffer.from(bytes).toString()}\n`)), refusal('ERR_MANIFEST_MALFORMED'))
})

test('a key that stands there twice is refused, at every level', () => {
  const text = Buffer.from(encodeManifest(sample)).toString()
  for (const key of ['name', 'size', 'linux-x64', 'versions']) {
    const line = new RegExp(`^( *"${key}": .*)$`, 'm').exec(text)?.[1] as string
    const twice = line.endsWith('{') || line.endsWith('[') ? line.replace(/[{[]$/, '0,') : line.replace(/,?$/, ',')
    const doubled = text.replace(line, `${twice}\n${line}`)
    assert.throws(() => readManifest(bytesOf(doubled)), refusal('ERR_MANIFEST_MALFORMED', new RegExp(`"${key}" stands there twice`)))
  }
})

test('fields of a wrong form are named', () => {
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ plugwire: 'manifest/2' }, 'plugwire'],
    [{ plugwire: undefined }, 'plugwire'],
    [{ name: undefined }, 'name'],
    [{ name: 'Aws' }, 'name'],
    [{ name: '../x' }, 'name'],
    [{ name: '@a/../b' }, 'name'],
    [{ name: 'a'.repeat(215) }, 'name'],
    [{ version: '1.0' }, 'version'],
    [{ version: '01.0.0' }, 'version'],
    [{ version: 1 }, 'version'],
    [{ type: 'library' }, 'type'],
    [{ contract: { name: 'x', versions: [], protocols: ['plugwire'] } }, 'contract.versions'],
    [{ contract: { name: 'x', versions: [2, 1], protocols: ['plugwire'] } }, 'contract.versions'],
    [{ contract: { name: 'x', versions: ['1'], protocols: ['plugwire'] } }, 'contract.versions'],
    [{ contract: { name: 'x', versions: [1], protocols: [] } }, 'contract.protocols'],
    [{ contract: { name: 'x', versions: [1], protocols: ['A B'] } }, 'contract.protocols'],
    [{ contract: { name: '', versions: [1], protocols: ['grpc'] } }, 'contract.name'],
    [{ contract: { name: 'x', versions: [1], protocols: ['grpc'], more: 1 } }, 'contract.more'],
    [{ publisher: 'acme' }, 'publisher'],
    [{ publisher: { name: ' acme' } }, 'publisher.name'],
    [{ publisher: { name: 'ac\u202eme' } }, 'publisher.name'],
    [{ publisher: { name: 'acme', keys: [] } }, 'publisher.keys'],
    [{ platforms: {} }, 'platforms'],
    [{ platforms: [] }, 'platforms'],
    [{ platforms: { linux: {} } }, 'platforms'],
    [{ platforms: { any: { entry: 'x', files: {} } } }, 'platforms.any.files'],
    [{ platforms: { any: { entry: 'y', files: { x: { sha512, size: 1 } } } } }, 'platforms.any.entry'],
    [{ platforms: { any: { entry: 'x', files: { x: { sha512: sha512.toUpperCase(), size: 1 } } } } }, 'platforms.any.files.x.sha512'],
    [{ platforms: { any: { entry: 'x', files: { x: { sha512, size: -1 } } } } }, 'platforms.any.files.x.size'],
    [{ platforms: { any: { entry: 'x', files: { x: { sha512, size: 1, mode: 7 } } } } }, 'platforms.any.files.x.mode'],
    [{ platforms: { any: { entry: 'x', files: { x: { sha512, size: 1, executable: false } } } } }, 'platforms.any.files.x.executable'],
    [
      { platforms: { any: { entry: 'x', files: { x: { sha512, size: 1 } }, archive: { path: '../x.zip', sha512, size: 1 } } } },
      'platforms.any.archive.path',
    ],
    [
      { platforms: { any: { entry: 'x', files: { x: { sha512, size: 1 } }, archive: { path: 'x.exe', sha512, size: 1 } } } },
      'platforms.any.archive.path',
    ],
    [{ notAfter: '2027-01-31' }, 'notAfter'],
    [{ notAfter: '2027-02-30T00:00:00Z' }, 'notAfter'],
    [{ notAfter: '2027-01-31T00:00:00+00:00' }, 'notAfter'],
    [{ source: 'here' }, 'source'],
    [{ critical: [] }, 'critical'],
    [{ critical: 'x' }, 'critical'],
    [{ critical: ['gone'] }, 'critical'],
    [{ critical: ['name'] }, 'critical'],
    [{ critical: ['x', 'x'], x: 1 }, 'critical'],
  ]
  for (const [fields, path] of cases) {
    assert.throws(
      () => readManifest(document(fields)),
      (error: { code?: string; facts?: { path: string } }) => {
        assert.deepEqual([error.code, error.facts?.path], ['ERR_MANIFEST_FIELD', path], JSON.stringify(fields))
        return true
      },
    )
  }
})

test('a field that is not known is carried along; a critical one has to be understood', () => {
  const extended: Manifest = { ...sample, extensions: { licence: 'MIT', sandbox: { net: false } }, critical: ['sandbox'] }
  const bytes = encodeManifest(extended)
  assert.throws(() => readManifest(bytes), refusal('ERR_MANIFEST_FIELD', /"sandbox" must be understood/))
  const read = readManifest(bytes, { understands: ['sandbox'] })
  assert.equal(JSON.stringify(read.extensions), '{"licence":"MIT","sandbox":{"net":false}}')
  assert.throws(() => encodeManifest({ ...sample, extensions: { version: '1.0.0' } }), refusal('ERR_MANIFEST_FIELD', /no extension/))
})

test('a bundle is one file', () => {
  const files = { 'a.js': { sha512, size: 1 }, 'b.js': { sha512, size: 1 } }
  assert.throws(
    () => encodeManifest({ ...sample, type: 'bundle', platforms: { any: { entry: 'a.js', files } } }),
    refusal('ERR_MANIFEST_FIELD', /one file/),
  )
  encodeManifest({ ...sample, type: 'package', platforms: { any: { entry: 'a.js', files } } })
})

test('names of files mean one file everywhere', () => {
  for (const path of ['a', 'a.js', 'lib/a.js', 'a b', '@scope/x', 'Ä', '.hidden', 'console', 'com', 'a..b'])
    assert.equal(pathFault(path), undefined, path)
  const bad = [
    '',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    '../a',
    'a/../b',
    'a/./b',
    'a\\b',
    'C:a',
    'a:b',
    'a\0',
    'a\n',
    'a.',
    'a ',
    'con',
    'CON.txt',
    'x/nul',
    'COM1',
    'a*',
    'A\u0308',
    'a\u200eb',
    'x'.repeat(513),
  ]
  for (const path of bad) assert.notEqual(pathFault(path), undefined, JSON.stringify(path))
  const two =
    (a: string, b: string): (() => unknown) =>
    () =>
      encodeManifest({
        ...sample,
        type: 'package',
        platforms: { any: { entry: a, files: { [a]: { sha512, size: 1 }, [b]: { sha512, size: 1 } } } },
      })
  assert.throws(two('a.js', 'A.js'), refusal('ERR_MANIFEST_FIELD', /twice where letters have no case/))
  assert.throws(two('ﬁ', 'fi'), refusal('ERR_MANIFEST_FIELD', /twice/))
  assert.throws(two('lib', 'lib/a.js'), refusal('ERR_MANIFEST_FIELD', /as a file and as a directory/))
  two('lib.js', 'lib/a.js')()
})

test('a platform is chosen by its name, otherwise what fits any', () => {
  const manifest = readManifest(
    encodeManifest({ ...sample, platforms: { ...sample.platforms, any: { entry: 'x', files: { x: { sha512, size: 1 } } } } }),
  )
  assert.equal(selectPlatform(manifest, 'linux-x64').name, 'linux-x64')
  assert.equal(selectPlatform(manifest, 'linux-x64-musl').name, 'any')
  assert.throws(() => selectPlatform(readManifest(encodeManifest(sample)), 'win32-x64'), refusal('ERR_MANIFEST_PLATFORM', /linux-x64/))
  // Names of a prototype are not platforms.
  assert.throws(() => selectPlatform(sample, 'constructor'), refusal('ERR_MANIFEST_PLATFORM'))
})

test('a platform has its own digests, and another one when anything of it changes', () => {
  const digests = (size: number): readonly string[] | undefined =>
    platformDigests({ ...sample, platforms: { any: { entry: 'x', files: { x: { sha512, size } } } } }).get('any')
  assert.match(String(digests(1)), /^files:sha512:[0-9a-f]{128}$/)
  assert.notDeepEqual(digests(1), digests(2))
  assert.equal(platformDigests(sample).get('darwin-arm64')?.[0], `archive:sha512:${sha512}`)
})

test('versions stand in the order that semver.org gives', () => {
  const rising = [
    '0.0.1',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.9.0',
    '1.10.0',
    '2.0.0',
  ]
  for (const [i, a] of rising.entries()) {
    for (const [j, b] of rising.entries()) assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} ${b}`)
  }
  assert.equal(compareVersions('1.0.0+a', '1.0.0+b'), 0)
  assert.equal(Math.sign(compareVersions('1.0.0-99999999999999999999', '1.0.0-100000000000000000000')), -1)
  for (const bad of [
    '',
    '1',
    '1.2',
    'v1.2.3',
    '1.2.3.4',
    '01.2.3',
    '1.2.3-',
    '1.2.3-01',
    '1.2.3+',
    ' 1.2.3',
    '1.2.3\n',
    `1.2.3-${'a'.repeat(130)}`,
    '9999999999999999.0.0',
  ]) {
    assert.equal(isVersion(bad), false, bad)
    assert.throws(() => compareVersions(bad, '1.0.0'), RangeError)
  }
})
