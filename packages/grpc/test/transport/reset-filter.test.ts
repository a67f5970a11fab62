import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ResetFilter } from '../../src/transport/reset-filter.ts'

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

function frame(type: number, streamId: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, payload])
}

const rst = (streamId: number): Buffer => frame(3, streamId, Buffer.from([0, 0, 0, 8]))

function run(bytes: Buffer, cut: (offset: number) => number, now?: () => number) {
  const passed: Buffer[] = []
  /** How many bytes had been passed on when a reset was told of. */
  const told: [streamId: number, after: number][] = []
  const length = (): number => passed.reduce((sum, part) => sum + part.length, 0)
  const filter = new ResetFilter(id => told.push([id, length()]), now)
  for (let offset = 0; offset < bytes.length; ) {
    const end = offset + cut(offset)
    filter.push(bytes.subarray(offset, end), part => passed.push(Buffer.from(part)))
    offset = end
  }
  return { passed: Buffer.concat(passed), told }
}

test('few resets pass, and with them everything else, wherever it is cut', () => {
  const any = fc.record({
    type: fc.integer({ min: 0, max: 20 }),
    id: fc.integer({ min: 0, max: 100 }),
    payload: fc.uint8Array({ maxLength: 40 }),
  })
  fc.assert(
    fc.property(fc.array(any), fc.integer({ min: 1, max: 40 }), (frames, size) => {
      const bytes = Buffer.concat([preface, ...frames.map(({ type, id, payload }) => frame(type, id, payload))])
      assert.deepEqual(
        run(bytes, () => size),
        { passed: bytes, told: [] },
      )
    }),
  )
})

test('what is too many is taken out in its place, wherever it is cut', () => {
  const ids = Array.from({ length: 700 }, (_, index) => 2 * index + 1)
  const data = (id: number): Buffer => frame(0, id, Buffer.alloc(id % 50, 3))
  const bytes = Buffer.concat([preface, ...ids.flatMap(id => [data(id), rst(id)])])
  const rest = Buffer.concat([preface, ...ids.flatMap((id, index) => (index < 500 ? [data(id), rst(id)] : [data(id)]))])
  for (const size of [1, 2, 7, 13, 1_000, bytes.length]) {
    const { passed, told } = run(
      bytes,
      () => size,
      () => 0,
    )
    assert.ok(passed.equals(rest))
    assert.deepEqual(
      told.map(([id]) => id),
      ids.slice(500),
    )
    // Each is told of when all that the other side said before it has been passed on.
    const [first] = told as [[number, number]]
    const before = Buffer.concat([preface, ...ids.slice(0, 500).flatMap(id => [data(id), rst(id)]), data(1_001)])
    assert.equal(first[1], before.length)
  }
})

test('with time more pass again', () => {
  let now = 0
  const filter = new ResetFilter(
    () => taken++,
    () => now,
  )
  let taken = 0
  filter.push(preface, () => {})
  const send = (count: number): number => {
    taken = 0
    for (let index = 0; index < count; index++) filter.push(rst(1), () => {})
    return taken
  }
  assert.equal(send(600), 100)
  now = 1_000
  assert.equal(send(100), 84)
  now = 3_600_000
  assert.equal(send(1_000), 500)
})

test('a reset of another length is left for HTTP/2 to see', () => {
  const wrong = frame(3, 1, Buffer.alloc(5))
  const bytes = Buffer.concat([preface, ...Array(600).fill(rst(1)), wrong])
  assert.ok(
    run(bytes, () => bytes.length)
      .passed.subarray(-wrong.length)
      .equals(wrong),
  )
})
