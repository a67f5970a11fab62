import assert from 'node:assert/strict'
import { createHash, getHashes } from 'node:crypto'
import { test } from 'node:test'
import { checkChecksum, checkSha256Sum, readSha256Sums } from '../src/index.ts'
import { bytesOf, put, refusal, run, without, workspace } from './tools.ts'

const bytes = bytesOf('the plugin')

test('any hash of node:crypto', async () => {
  for (const hash of getHashes()) {
    const digest = createHash(hash).update(bytes).digest()
    assert.deepEqual(Buffer.from(await checkChecksum(bytes, { algorithm: hash, digest })), digest, hash)
    await assert.rejects(checkChecksum(bytesOf('another'), { algorithm: hash, digest }), refusal('ERR_CHECKSUM', /as expected/), hash)
  }
})

test('as hexadecimal digits, and of a stream', async () => {
  const checksum = createHash('sha256').update(bytes).digest('hex')
  await checkChecksum(bytes, { algorithm: 'sha256', digest: checksum.toUpperCase() })
  const parts = async function* (): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield Uint8Array.of(byte)
  }
  await checkChecksum(parts(), { algorithm: 'SHA256', digest: checksum })
})

test('a checksum that says nothing never passes', async () => {
  const sha256 = createHash('sha256').update(bytes).digest()
  for (const checksum of [
    new Uint8Array(),
    '',
    'xyz',
    'abc',
    sha256.subarray(0, 31),
    Buffer.concat([sha256, Buffer.of(0)]),
    sha256.toString('hex').slice(1),
  ]) {
    await assert.rejects(checkChecksum(bytes, { algorithm: 'sha256', digest: checksum }), refusal('ERR_CHECKSUM'), String(checksum))
  }
  for (const hash of ['', 'crc32', '__proto__'])
    await assert.rejects(checkChecksum(bytes, { algorithm: hash, digest: sha256 }), refusal('ERR_CHECKSUM', /no hash/))
})

test('what sha256sum prints is read', { skip: without('sha256sum') }, () => {
  const directory = workspace('sums')
  const names = ['plain', 'with space', 'back\\slash', 'new\nline', 'ü']
  for (const name of names) put(directory, name, name)
  for (const flag of ['--text', '--binary']) {
    const sums = readSha256Sums(bytesOf(run('sha256sum', [flag, ...names.map(name => `${directory}/${name}`)])))
    for (const name of names) checkSha256Sum(sums, `${directory}/${name}`, createHash('sha256').update(name).digest('hex'))
  }
})

test('sums that are malformed, twice there, or of another file', () => {
  const digest = 'ab'.repeat(32)
  const sums = readSha256Sums(bytesOf(`${digest}  a.zip\r\n\n${digest.toUpperCase()} *b.zip\n`))
  assert.deepEqual(
    [...sums],
    [
      ['a.zip', digest],
      ['b.zip', digest],
    ],
  )
  assert.throws(() => checkSha256Sum(sums, 'c.zip', digest), refusal('ERR_CHECKSUM', /no line for "c\.zip"/))
  assert.throws(() => checkSha256Sum(sums, 'a.zip', 'cd'.repeat(32)), refusal('ERR_CHECKSUM', /a\.zip/))
  for (const text of [
    `${digest}  a\n${digest}  a\n`,
    `${digest}\n`,
    `${digest.slice(1)}  a\n`,
    `${digest}\ta\n`,
    'SHA256 (a) = x\n',
    `x${digest}  a\n`,
  ]) {
    assert.throws(() => readSha256Sums(bytesOf(text)), refusal('ERR_CHECKSUM', /line/), text)
  }
  assert.throws(() => readSha256Sums(new Uint8Array([0xff])), refusal('ERR_CHECKSUM', /UTF-8/))
  assert.throws(() => readSha256Sums(new Uint8Array(5_000_000)), refusal('ERR_CHECKSUM', /more than/))
})
