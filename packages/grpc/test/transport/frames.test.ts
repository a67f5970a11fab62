import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeFrame, FrameReader } from '../../src/transport/frames.ts'
import { isGrpcError } from '../../src/transport/grpc-error.ts'

const bytesOf = (message: Uint8Array): Buffer => Buffer.concat([encodeFrame(message)].flat())
const unlimited = Number.POSITIVE_INFINITY

function readAll(chunks: Iterable<Buffer>): { messages: Buffer[]; midMessage: boolean } {
  const messages: Buffer[] = []
  const reader = new FrameReader(unlimited, message => messages.push(message))
  for (const chunk of chunks) reader.push(chunk)
  return { messages, midMessage: reader.midMessage }
}

test('messages come out as they went in, wherever the bytes are cut', () => {
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.integer({ min: 0, max: 70_000 }).map(length => new Uint8Array(length).fill(length)),
  )
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }),
      (messages, sizes) => {
        const whole = Buffer.concat(messages.map(bytesOf))
        const chunks: Buffer[] = []
        for (let offset = 0, index = 0; offset < whole.length; index++) {
          const size = (sizes[index % sizes.length] as number) * (index % 5 === 0 ? 1 : 97)
          chunks.push(whole.subarray(offset, (offset += size)))
        }
        assert.deepEqual(readAll(chunks), { messages: messages.map(bytes => Buffer.from(bytes)), midMessage: false })
      },
    ),
    { numRuns: 200 },
  )
})

test('a message larger than is given memory at once comes out whole', () => {
  const message = Buffer.allocUnsafe(3 * 1024 * 1024 + 1)
  for (let index = 0; index < message.length; index++) message[index] = index
  const whole = bytesOf(message)
  const chunks: Buffer[] = []
  for (let offset = 0; offset < whole.length; offset += 16_384) chunks.push(Buffer.from(whole.subarray(offset, offset + 16_384)))
  const { messages } = readAll(chunks)
  assert.equal(messages.length, 1)
  assert.ok(messages[0]?.equals(message))
})

test('a message has memory of its own', () => {
  const chunk = bytesOf(Buffer.from('kept'))
  const { messages } = readAll([chunk])
  chunk.fill(0)
  assert.equal(String(messages[0]), 'kept')
})

test('a stream that ends in a message is told from one that does not', () => {
  const whole = bytesOf(Buffer.from('abc'))
  for (let length = 1; length < whole.length; length++) assert.equal(readAll([whole.subarray(0, length)]).midMessage, true)
  assert.equal(readAll([whole]).midMessage, false)
  assert.equal(readAll([]).midMessage, false)
})

test('a length beyond the limit is refused before anything is kept', () => {
  const reader = new FrameReader(10, () => assert.fail('nothing was whole'))
  assert.throws(
    () => reader.push(Buffer.from([0, 0, 0, 0, 11])),
    error => isGrpcError(error, 'RESOURCE_EXHAUSTED'),
  )
})

test('a claim of 4 GiB costs no more than what comes', () => {
  const before = process.memoryUsage().arrayBuffers
  const readers = Array.from({ length: 50 }, () => new FrameReader(unlimited, () => {}))
  for (const reader of readers) reader.push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]))
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024)
})

test('a flag without a meaning is refused', () => {
  const reader = new FrameReader(unlimited, () => {})
  assert.throws(
    () => reader.push(Buffer.from([2, 0, 0, 0, 0])),
    error => isGrpcError(error, 'INTERNAL'),
  )
})

test('work grows with the bytes, not with their square', () => {
  const time = (bytes: number): number => {
    const chunk = Buffer.alloc(7)
    const reader = new FrameReader(unlimited, () => {})
    const started = process.cpuUsage()
    reader.push(Buffer.from([0, ...[24, 16, 8, 0].map(shift => (bytes >>> shift) & 0xff)]))
    for (let sent = 0; sent < bytes; sent += 7) reader.push(chunk.subarray(0, Math.min(7, bytes - sent)))
    return process.cpuUsage(started).user
  }
  time(100_000)
  const small = time(1_500_000)
  const large = time(12_000_000)
  assert.ok(Math.log(large / small) / Math.log(8) < 1.6, `${small} us, then ${large} us for eight times as much`)
})
