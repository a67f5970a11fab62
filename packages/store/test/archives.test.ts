import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isPluginError } from 'plugwire'
import { type ArchiveFormat, formatOf, type UnpackOptions, unpack } from '../src/archives/unpack.ts'
import { pax, type TarEntry, tar, tarHeader, tgz, type ZipEntry, zip } from './archives.ts'

async function filesOf(source: Parameters<typeof unpack>[0], format: ArchiveFormat, options?: UnpackOptions) {
  const files: Record<string, string> = {}
  for await (const { path, body, executable, size } of unpack(source, format, options)) {
    const chunks: Uint8Array[] = []
    for await (const chunk of body) chunks.push(chunk.slice())
    const bytes = Buffer.concat(chunks)
    assert.equal(bytes.length, size)
    files[executable ? `${path}*` : path] = bytes.toString()
  }
  return files
}

async function refused(source: Parameters<typeof unpack>[0], format: ArchiveFormat, code: string, reason: RegExp, options?: UnpackOptions) {
  await assert.rejects(filesOf(source, format, options), error => {
    assert.ok(isPluginError(error), String((error as Error).stack))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, reason)
    return true
  })
}

async function* cutInto(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += length) yield bytes.subarray(i, i + length)
}

const text = 'a plugin\n'.repeat(100)

test('what GNU tar and zip write is read', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-archives-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const deep = join(directory, 'in', 'd'.repeat(60), 'e'.repeat(60))
  mkdirSync(deep, { recursive: true })
  writeFileSync(join(deep, 'long.js'), text)
  writeFileSync(join(directory, 'in', 'plugin'), text)
  writeFileSync(join(directory, 'in', 'ümläut'), '')
  chmodSync(join(directory, 'in', 'plugin'), 0o755)
  const expected = { 'plugin*': text, [`${'d'.repeat(60)}/${'e'.repeat(60)}/long.js`]: text, ümläut: '' }
  for (const format of ['gnu', 'pax', 'ustar', 'v7']) {
    if (format === 'v7') rmSync(join(directory, 'in', 'd'.repeat(60)), { recursive: true })
    const file = join(directory, `${format}.tar`)
    execFileSync('tar', ['-C', join(directory, 'in'), `--format=${format}`, '-cf', file, '.'])
    const files = await filesOf(readFileSync(file), 'tar')
    if (format === 'v7') assert.deepEqual(files, { 'plugin*': text, ümläut: '' })
    else assert.deepEqual(files, expected, format)
  }
  mkdirSync(deep, { recursive: true })
  writeFileSync(join(deep, 'long.js'), text)
  for (const flags of [['-r'], ['-r0'], ['-rfz'], ['-rfd']]) {
    const file = join(directory, `${flags.join('')}.zip`)
    execFileSync('zip', ['-q', ...flags, file, '.'], { cwd: join(directory, 'in') })
    assert.deepEqual(await filesOf(readFileSync(file), 'zip'), expected, flags.join())
  }
})

test('tar is read alike however its bytes are cut', async () => {
  const bytes = tgz([
    { name: './', type: '5' },
    { name: './a', body: text },
    { name: 'x', type: 'x', body: pax({ path: 'b/ü', mtime: '1.5' }) },
    { name: 'short', body: 'b' },
    { name: '././@LongLink', type: 'L', body: 'c/long\0' },
    { name: 'short', body: '', mode: 0o755 },
    { name: 'pax_global_header', type: 'g', body: pax({ comment: 'a commit' }) },
    { name: 'd', body: 'd', prefix: 'p' },
  ])
  for (const length of [1, 7, 512, 4096, bytes.length])
    assert.deepEqual(await filesOf(cutInto(bytes, length), 'tar.gz'), { a: text, 'b/ü': 'b', 'c/long*': '', 'p/d': 'd' })
})

test('bodies that nobody reads are skipped', async () => {
  const names: string[] = []
  for await (const { path } of unpack(tgz([{ name: 'a', body: text }, { name: 'b' }, { name: 'c', body: text }]), 'tar.gz'))
    names.push(path)
  for await (const { path } of unpack(zip([{ name: 'a', body: text }, { name: 'b' }]), 'zip')) names.push(path)
  assert.deepEqual(names, ['a', 'b', 'c', 'a', 'b'])
})

test('the format follows from the name', () => {
  assert.deepEqual(['a.tgz', 'a.TAR.GZ', 'a.tar', 'a.zip', 'a.js'].map(formatOf), ['tar.gz', 'tar.gz', 'tar', 'zip', undefined])
})

const names: readonly [name: string, reason: RegExp][] = [
  ['/etc/passwd', /absolute/],
  ['../up', /leaves the archive/],
  ['a/../../up', /leaves the archive/],
  ['a/..', /leaves the archive/],
  ['a//b', /empty name/],
  ['a/./b', /empty name/],
  ['a\\..\\b', /backslash/],
  ['C:/windows', /colon/],
  ['file:stream', /colon/],
  ['a\nb', /control/],
  ['a\u202egnp.exe', /control/],
  ['CON', /device/],
  ['dir/nul.txt', /device/],
  ['dir./x', /dot or a space/],
  ['x ', /dot or a space/],
  [`${'d/'.repeat(65)}x`, /deeper/],
]
for (const [name, reason] of names) {
  test(`a path such as ${JSON.stringify(name.slice(0, 40))} is refused`, async () => {
    await refused(
      tar([{ name: 'ok' }, { name: '', type: 'x', body: pax({ path: name }) }, { name: 'q' }]),
      'tar',
      'ERR_ARCHIVE_UNSAFE',
      reason,
    )
    await refused(zip([{ name: 'ok' }, { name }]), 'zip', 'ERR_ARCHIVE_UNSAFE', reason)
  })
}

const clashes: readonly (readonly [string, string])[] = [
  ['a', 'a'],
  ['Readme', 'README'],
  ['stra\u00dfe', 'STRASSE'],
  ['\u00e9', 'e\u0301'],
  ['\ufb01le', 'file'],
  ['a', 'a/b'],
  ['a/b', 'a'],
  ['A/x', 'a/y'],
  ['\u212A', 'k'],
]
for (const [one, other] of clashes) {
  test(`${JSON.stringify(one)} and ${JSON.stringify(other)} clash`, async () => {
    await refused(tar([{ name: one }, { name: other }]), 'tar', 'ERR_ARCHIVE_UNSAFE', /twice|same name/)
    await refused(zip([{ name: one }, { name: other }]), 'zip', 'ERR_ARCHIVE_UNSAFE', /twice|same name/)
  })
}

const kinds: readonly [what: string, entry: TarEntry, reason: RegExp][] = [
  ['a symbolic link', { name: 'l', type: '2', link: '/etc/passwd' }, /symbolic/],
  ['a hard link', { name: 'l', type: '1', link: 'ok' }, /hard link/],
  ['a character device', { name: 'd', type: '3' }, /device/],
  ['a block device', { name: 'd', type: '4' }, /device/],
  ['a pipe', { name: 'p', type: '6' }, /pipe/],
  ['a sparse file', { name: 's', type: 'S' }, /kind/],
  ['a long link name', { name: 's', type: 'K', body: 'x\0' }, /kind/],
  ['a kind that nobody knows', { name: 's', type: 'Z' }, /kind/],
  ['a pax sparse file', { name: 's', type: 'x', body: pax({ 'GNU.sparse.major': '1' }) }, /sparse/],
]
for (const [what, entry, reason] of kinds)
  test(`tar: ${what} is refused`, () => refused(tar([{ name: 'ok' }, entry]), 'tar', 'ERR_ARCHIVE_UNSAFE', reason))

const malformed: readonly [what: string, bytes: Buffer, reason: RegExp][] = [
  ['no end mark', tar([{ name: 'a', body: 'x' }], Buffer.alloc(0)), /cut off/],
  ['cut in a body', tar([{ name: 'a', body: text }]).subarray(0, 700), /cut off/],
  ['cut in a header', tar([{ name: 'a', body: text }]).subarray(0, 100), /cut off/],
  ['a wrong checksum', tar([{ name: 'a', checksum: 1 }]), /checksum/],
  ['no octal number', tar([{ name: 'a', type: 'x', body: '99 path=a\n' }]), /cannot be read/],
  ['a pax record without an end', tar([{ name: 'a', type: 'x', body: '6 pat=' }]), /cannot be read/],
  ['a pax record of length 0', tar([{ name: 'a', type: 'x', body: '0 path=a\n' }]), /cannot be read/],
  ['a hidden end of a path', tar([{ name: 'a', type: 'x', body: pax({ path: 'a\0b' }) }, { name: 'a' }]), /zero byte/],
  ['a path that is no UTF-8', tar([{ name: 'a', type: 'x', body: Buffer.from('9 path=\xff\n', 'latin1') }, { name: 'a' }]), /UTF-8/],
  ['an extension of 10 GiB', tar([{ name: 'a', type: 'x', size: 10n * 1024n ** 3n }]), /extended header of/],
  ['a size beyond all measure', tar([{ name: 'a', size: 2n ** 62n }]), /measure/],
  ['a path for all entries', tar([{ name: 'a', type: 'g', body: pax({ path: 'x' }) }]), /global/],
  ['something behind the end', Buffer.concat([tar([{ name: 'a' }]), Buffer.from('more')]), /follows/],
  ['a directory with content', tar([{ name: 'a/', type: '5', size: 512, body: '' }]), /directory with content/],
  ['an empty file', Buffer.alloc(0), /cut off/],
]
for (const [what, bytes, reason] of malformed) test(`tar: ${what} is refused`, () => refused(bytes, 'tar', 'ERR_ARCHIVE_MALFORMED', reason))

test('gzip: cut off, damaged, or followed by something', async () => {
  const bytes = tgz([{ name: 'a', body: text }])
  const damaged = Buffer.from(bytes)
  damaged.writeUInt8((damaged[30] as number) ^ 0xff, 30)
  await refused(bytes.subarray(0, bytes.length - 5), 'tar.gz', 'ERR_ARCHIVE_MALFORMED', /unpacked/)
  await refused(damaged, 'tar.gz', 'ERR_ARCHIVE_MALFORMED', /./)
  await refused(Buffer.concat([bytes, Buffer.from('more')]), 'tar.gz', 'ERR_ARCHIVE_MALFORMED', /follows|unpacked/)
  await refused(cutInto(Buffer.concat([bytes, Buffer.from('more')]), 1), 'tar.gz', 'ERR_ARCHIVE_MALFORMED', /follows|unpacked/)
  await refused(Buffer.from('plain'), 'tar.gz', 'ERR_ARCHIVE_MALFORMED', /unpacked/)
})

test('a source that fails is what fails', async () => {
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield tgz([{ name: 'a', body: text }]).subarray(0, 40)
    throw new RangeError('the line went dead')
  }
  await assert.rejects(filesOf(failing(), 'tar.gz'), RangeError)
})

test('limits are held against claims, before anything is read', async () => {
  const claims = tar([{ name: 'a', size: 10n * 1024n ** 3n }])
  await refused(claims, 'tar', 'ERR_ARCHIVE_LIMIT', /maxEntryBytes/)
  await refused(
    tar([{ name: 'a', type: 'x', body: pax({ size: '99999999999' }) }, { name: 'a' }]),
    'tar',
    'ERR_ARCHIVE_LIMIT',
    /maxEntryBytes/,
  )
  const two = [
    { name: 'a', body: text },
    { name: 'b', body: text },
  ]
  await refused(tar(two), 'tar', 'ERR_ARCHIVE_LIMIT', /maxTotalBytes/, { limits: { maxTotalBytes: text.length + 1 } })
  await refused(zip(two), 'zip', 'ERR_ARCHIVE_LIMIT', /maxTotalBytes/, { limits: { maxTotalBytes: text.length + 1 } })
  await refused(zip(two), 'zip', 'ERR_ARCHIVE_LIMIT', /maxEntries/, { limits: { maxEntries: 1 } })
  await refused(zip([{ name: 'a', size: 0xfffffff0 }]), 'zip', 'ERR_ARCHIVE_LIMIT', /maxEntryBytes/)
  await refused(
    tar([{ name: 'x', type: 'x', body: pax({ path: 'd/'.repeat(600) }) }, { name: 'x' }]),
    'tar',
    'ERR_ARCHIVE_LIMIT',
    /maxPathBytes/,
  )
})

test('a million entries end at the limit', async () => {
  const many = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 1_000_000; i++) yield tarHeader({ name: `f${i}` })
  }
  await refused(many(), 'tar', 'ERR_ARCHIVE_LIMIT', /50000 \(maxEntries\)/)
  const extensions = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 1_000_000; i++) yield tar([{ name: 'x', type: 'x', body: pax({ path: 'x' }) }], Buffer.alloc(0))
  }
  await refused(extensions(), 'tar', 'ERR_ARCHIVE_LIMIT', /maxEntries/, { limits: { maxEntries: 1_000 } })
})

test('zeros without end behind an archive are refused', async () => {
  let sent = 0
  const padded = async function* (): AsyncGenerator<Uint8Array> {
    yield tar([{ name: 'x' }])
    const zeros = Buffer.alloc(64 * 1024)
    for (; sent < 1024 ** 3; sent += zeros.length) yield zeros
  }
  await refused(padded(), 'tar', 'ERR_ARCHIVE_MALFORMED', /no end/)
  assert.ok(sent < 2 * 1024 ** 2)
  const extensions = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) yield tar([{ name: 'x', type: 'x', body: pax({ comment: 'x'.repeat(60_000) }) }], Buffer.alloc(0))
  }
  await refused(extensions(), 'tar', 'ERR_ARCHIVE_LIMIT', /maxTotalBytes/, { limits: { maxTotalBytes: 1024 ** 2 } })
})

test('a bomb takes no more memory than its limit', async () => {
  const bomb = gzipSync(Buffer.concat([tarHeader({ name: 'zeros', size: 300 * 1024 ** 2 }), Buffer.alloc(40 * 1024 ** 2)]))
  assert.ok(bomb.length < 64 * 1024)
  await refused(bomb, 'tar.gz', 'ERR_ARCHIVE_LIMIT', /maxEntryBytes/, { limits: { maxEntryBytes: 1024 ** 2 } })
  const small = zip([{ name: 'zeros', body: Buffer.alloc(8 * 1024 ** 2), size: 100, localSize: 100 }])
  await refused(small, 'zip', 'ERR_ARCHIVE_MALFORMED', /larger than it says/)
})

const zips: readonly [what: string, bytes: Buffer, code: string, reason: RegExp][] = [
  ['a symbolic link', zip([{ name: 'l', body: '/etc/passwd', mode: 0o120777 }]), 'ERR_ARCHIVE_UNSAFE', /symbolic/],
  ['a device', zip([{ name: 'd', mode: 0o020666 }]), 'ERR_ARCHIVE_UNSAFE', /device/],
  ['a file that is a directory by its mode', zip([{ name: 'd', mode: 0o040755 }]), 'ERR_ARCHIVE_UNSAFE', /device/],
  ['encryption', zip([{ name: 'e', flags: 0x801 }]), 'ERR_ARCHIVE_UNSAFE', /encrypted/],
  ['an unknown method', zip([{ name: 'e', method: 12 }]), 'ERR_ARCHIVE_UNSAFE', /method 12/],
  ['another name in front of the data', zip([{ name: 'good', localName: 'evil' }]), 'ERR_ARCHIVE_MALFORMED', /another name/],
  ['another size in front of the data', zip([{ name: 'a', body: text, localSize: 1 }]), 'ERR_ARCHIVE_MALFORMED', /other things/],
  ['other flags in front of the data', zip([{ name: 'a', body: text, localFlags: 0 }]), 'ERR_ARCHIVE_MALFORMED', /other things/],
  ['a wrong checksum', zip([{ name: 'a', body: text, crc: 1 }]), 'ERR_ARCHIVE_MALFORMED', /checksum/],
  ['less than it says', zip([{ name: 'a', body: text, size: 5_000 }]), 'ERR_ARCHIVE_MALFORMED', /smaller/],
  ['two sizes of a stored entry', zip([{ name: 'a', body: text, method: 0, size: 5_000 }]), 'ERR_ARCHIVE_MALFORMED', /two sizes/],
  ['damaged data', zip([{ name: 'a', body: text, packed: Buffer.from('07ff00ff', 'hex') }]), 'ERR_ARCHIVE_MALFORMED', /unpacked/],
  ['something between entries', zip([{ name: 'a', gap: Buffer.alloc(30) }, { name: 'b' }]), 'ERR_ARCHIVE_MALFORMED', /fill the place/],
  ['something in front', zip([{ name: 'a' }], { prepend: Buffer.from('#!/bin/sh\n') }), 'ERR_ARCHIVE_MALFORMED', /hide/],
  ['something in front of nothing', zip([], { prepend: Buffer.from('#!/bin/sh\n') }), 'ERR_ARCHIVE_MALFORMED', /hide/],
  [
    'entries on top of each other',
    zip([
      { name: 'a', body: text },
      { name: 'b', at: 0 },
    ]),
    'ERR_ARCHIVE_MALFORMED',
    /overlap|fill the place|cut off/,
  ],
  ['more entries than it says', zip([{ name: 'a' }, { name: 'b' }], { count: 1 }), 'ERR_ARCHIVE_MALFORMED', /more entries/],
  ['fewer entries than it says', zip([{ name: 'a' }], { count: 2 }), 'ERR_ARCHIVE_MALFORMED', /for 2 entries|fewer entries/],
  ['65535 entries claimed', zip([{ name: 'a' }], { count: 65_535 }), 'ERR_ARCHIVE_LIMIT', /maxEntries/],
  ['a directory elsewhere', zip([{ name: 'a' }], { shift: 4 }), 'ERR_ARCHIVE_MALFORMED', /does not lie/],
  ['a directory of 4 GiB', zip([{ name: 'a' }], { bytes: 0xfffffff0 }), 'ERR_ARCHIVE_MALFORMED', /does not lie/],
  ['something behind the end', Buffer.concat([zip([{ name: 'a' }]), Buffer.from('more')]), 'ERR_ARCHIVE_MALFORMED', /no directory/],
  ['no archive at all', Buffer.from('hello'), 'ERR_ARCHIVE_MALFORMED', /no directory/],
  ['a second path', zip([{ name: 'a', extra: Buffer.from('75700400aabbccdd', 'hex') }]), 'ERR_ARCHIVE_MALFORMED', /two paths/],
  ['a cut extra field', zip([{ name: 'a', extra: Buffer.from('0100ff00', 'hex') }]), 'ERR_ARCHIVE_MALFORMED', /cut off/],
  ['a directory with content', zip([{ name: 'd/', body: text, mode: 0o040755 }]), 'ERR_ARCHIVE_MALFORMED', /directory with content/],
  ['a path that is no UTF-8', zip([{ name: Buffer.from([0xff]) }]), 'ERR_ARCHIVE_MALFORMED', /UTF-8/],
]
for (const [what, bytes, code, reason] of zips) test(`zip: ${what} is refused`, () => refused(bytes, 'zip', code, reason))

test('zip: a comment, a data descriptor and a stored entry are fine', async () => {
  const entries: ZipEntry[] = [
    { name: 'a', body: text, descriptor: true },
    { name: 'b', body: text, method: 0 },
    { name: 'c/', mode: 0o040755, method: 0 },
  ]
  assert.deepEqual(await filesOf(zip(entries, { comment: 'hello' }), 'zip'), { a: text, b: text })
  assert.deepEqual(await filesOf(zip([]), 'zip'), {})
})

test('every archive cut at any byte, or with any byte changed, ends in an error of its own or in the same files', async () => {
  for (const [bytes, format] of [
    [
      tar([
        { name: 'a', body: 'hello' },
        { name: 'x', type: 'x', body: pax({ path: 'b' }) },
        { name: 'q', body: 'w' },
      ]),
      'tar',
    ],
    [
      zip([
        { name: 'a', body: 'hello' },
        { name: 'b', body: text, descriptor: true },
      ]),
      'zip',
    ],
  ] as const) {
    for (let i = 0; i < bytes.length; i += 3) {
      const changed = Buffer.from(bytes)
      changed[i] = (changed[i] as number) ^ (1 << (i % 8))
      for (const attempt of [bytes.subarray(0, i), changed]) {
        await filesOf(attempt, format).catch((error: unknown) => {
          if (!isPluginError(error)) throw new Error(`byte ${i} of ${format}`, { cause: error })
        })
      }
    }
  }
})
