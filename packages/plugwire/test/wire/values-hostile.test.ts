// Bytes from a peer that breaks the rules: a coded error or a value, in time and memory in proportion to the bytes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPluginError } from '../../src/errors.ts'
import { planFor } from '../../src/wire/shapes.ts'
import type { ValueDecoder } from '../../src/wire/values.ts'
import { decode, decoder, encode, encoder, hex, limits, refused, small } from './value-bytes.ts'

const u32 = (n: number): Buffer => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n])
const definition = (id: number, keys: readonly unknown[]): Buffer => Buffer.concat([Buffer.from([0xcb, id >>> 8, id]), encode(keys)])
const malformed = (bytes: Buffer, by = decoder()): string => refused(() => decode(bytes, by), 'ERR_VALUE_MALFORMED').facts.reason

for (const [what, bytes, reason] of [
  ['nothing', '', /too early/],
  ['a reserved tag b0', 'b0', /unknown tag 0xb0/],
  ['a reserved tag bf', 'bf', /unknown tag 0xbf/],
  ['a reserved tag d9', 'd9', /unknown tag 0xd9/],
  ['a reserved tag df', 'df', /unknown tag 0xdf/],
  ['a byte behind the value', '0000', /1 bytes behind/],
  ['a shape that is not defined', 'e0', /shape 0 is not defined/],
  ['a shape that is not defined, by its long tag', 'caffff', /shape 65535 is not defined/],
  ['an array of 4 billion items', 'c9ffffffff00', /too early/],
  ['a string of 4 billion bytes', 'c6ffffffff00', /too early/],
  ['a UTF-8 string of 4 billion bytes', 'c7ffffffff00', /too early/],
  ['a UTF-16 string of 4 billion bytes', 'd7fffffffe00', /too early/],
  ['bytes, 4 billion of them', 'c8ffffffff00', /too early/],
  ['a map of 4 billion entries', 'ccffffffff00', /too early/],
  ['a set of 4 billion items', 'cdffffffff00', /too early/],
  ['an object of 4 billion fields', 'ceffffffff00', /too early/],
  ['a bigint of 4 billion bytes', 'd000ffffffff00', /too early/],
  ['a typed array of 4 billion bytes', 'd307fffffff800', /too early/],
  ['half a code unit', 'd70000000161', /half a code unit/],
  ['a part of an element', 'd3070000000400000000', /part of an element/],
  ['a typed array of no kind', 'd30c00000000', /unknown typed array 12/],
  ['a typed array of kind 255', 'd3ff00000000', /unknown typed array 255/],
  ['a sign that is none', 'd00200000000', /sign/],
  ['a hole outside of an array', 'd6', /hole/],
  ['a hole in a set', 'cd00000001d6', /hole/],
  ['a hole in an object', 'ce000000018161d6', /hole/],
  ['a regular expression that is none', 'd1812880', /not a regular expression/],
  ['flags that are none', 'd181618161', /not a regular expression/],
  ['a regular expression of numbers', 'd10102', /no string/],
  ['an address that is none', 'd58161', /not a URL/],
  ['an array buffer of an array', 'd4a0', /without bytes/],
  ['an error with unknown parts', 'd2108080', /unknown parts/],
  ['an error whose name is a number', 'd2000180', /name of an error/],
  ['an error whose message is a number', 'd2008001', /message of an error/],
  ['an error whose stack is a number', 'd201808001', /stack of an error/],
  ['an error whose errors are a number', 'd204808001', /no array/],
  ['an error whose data are a number', 'd208808001', /no object/],
  ['an error whose data are a date', 'd2088080cf0000000000000000', /no object/],
  ['an object with a key that is a number', 'ce000000010101', /key that is no string/],
  ['an object with the same key twice', 'ce000000028161018161 02', /same key twice/],
  ['an object with the key __proto__ twice', 'ce00000002895f5f70726f746f5f5f01895f5f70726f746f5f5f02', /same key twice/],
  ['a shape out of order', 'cb0001a0', /out of order/],
  ['a shape whose keys are a string', 'cb00008161', /not strings/],
  ['a shape whose keys are numbers', 'cb0000a10101', /not strings/],
  ['a shape with a hole for a key', 'cb0000a1d601', /not strings/],
  ['a shape with the same key twice', 'cb0000a2816181610102', /same key twice/],
  ['a shape within its own keys', 'cb0000a1e0', /shape 0 is not defined/],
  ['a reference where nobody reads references', 'd80000000001c1', /reference where none may be/],
] as [string, string, RegExp][]) {
  test(`${what} is malformed`, () => {
    assert.match(malformed(hex(bytes)), reason)
  })
}

test('shapes are limited in number, keys and length of keys', () => {
  const keys = (count: number): string[] => Array.from({ length: count }, (_, index) => `k${index}`)
  const fields = (count: number): Buffer => Buffer.alloc(count)
  assert.deepStrictEqual(Object.keys(decode(Buffer.concat([definition(0, keys(64)), fields(64)])) as object), keys(64))
  assert.match(malformed(Buffer.concat([definition(0, keys(65)), fields(65)])), /too many or too long keys/)
  assert.deepStrictEqual(decode(Buffer.concat([definition(0, ['x'.repeat(1024)]), fields(1)])), { ['x'.repeat(1024)]: 0 })
  assert.match(malformed(Buffer.concat([definition(0, ['x'.repeat(1025)]), fields(1)])), /too many or too long keys/)
  const here = decoder(undefined, small)
  for (let id = 0; id < small.maxShapes; id++) decode(Buffer.concat([definition(id, [`a${id}`]), fields(1)]), here)
  assert.match(malformed(Buffer.concat([definition(small.maxShapes, ['b']), fields(1)]), here), /more than 64 shapes/)
})

test('keys of shapes are data, however they look', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it must not become one
  const keys = ['__proto__', 'a"]: process.exit(), ["b', "');process.exit()//", '${process.exit()}', '\u2028\u2029', '\0', 'constructor']
  const here = decoder()
  const written = Buffer.concat([definition(0, keys), Buffer.alloc(keys.length)])
  for (let time = 0; time < 40; time++) {
    const object = decode(time === 0 ? written : Buffer.concat([hex('e0'), Buffer.alloc(keys.length)]), here) as object
    assert.deepStrictEqual(Object.keys(object), keys)
    assert.equal(Object.getPrototypeOf(object), Object.prototype)
  }
  assert.equal(({} as Record<string, unknown>)['a'], undefined)
})

test('ten thousand levels are malformed, whatever they are made of', () => {
  const levels = (bytes: string, end = ''): Buffer => hex(bytes.repeat(10_000) + end)
  const boundless = (): ValueDecoder => decoder(undefined, { ...limits, maxDepth: 1_000_000 })
  for (const bytes of [
    levels('a1', '00'),
    levels('c900000001', '00'),
    levels('cd00000001', '00'),
    levels('cc0000000100', '00'),
    levels('ce000000018161', '00'),
    levels('d2028080', '00'),
    levels('d80000000000', '00'),
    levels('d2048080', 'a0'),
    Buffer.concat([hex('cb0000a18161'), levels('e0', '00')]),
  ]) {
    assert.match(malformed(bytes), /deeper than 500/)
    // Where the stack is the only limit, it is a coded error or a value all the same.
    try {
      decode(Buffer.concat([bytes.subarray(0, -1), bytes]), boundless())
    } catch (error) {
      assert.ok(isPluginError(error, 'ERR_VALUE_MALFORMED'), String(error))
    }
  }
})

test('a value of more containers than its bytes may have is malformed', () => {
  const many = (tag: number, count: number, piece: string): Buffer =>
    Buffer.concat([Buffer.from([tag]), u32(count), hex(piece.repeat(count))])
  const tight = { ...limits, maxValueBytes: 160_000 }
  assert.equal((decode(many(0xc9, 9_999, 'a0'), decoder(undefined, tight)) as unknown[]).length, 9_999)
  for (const bytes of [
    many(0xc9, 10_000, 'a0'),
    many(0xc9, 10_000, 'c800000000'),
    many(0xc9, 10_000, 'd30000000000'),
    many(0xc9, 10_000, 'd00000000000'),
    many(0xc9, 10_000, 'cf0000000000000000'),
    many(0xcc, 10_000, '0000'),
    many(0xcd, 10_000, '00'),
    many(0xc9, 625, 'd2008080'),
  ]) {
    assert.match(malformed(bytes, decoder(undefined, tight)), /more than 10000 objects/)
  }
  assert.match(malformed(many(0xc9, 200_000, '00'), decoder(undefined, tight)), /more than 160000 bytes/)
})

const seeds = [
  { a: 1, b: 'hello', c: [1.5, null, { a: 2, b: 'x', c: [] }] },
  new Map<unknown, unknown>([
    ['k', new Set([1, 'two'])],
    [{ a: 1 }, new Date(0)],
  ]),
  [
    1n,
    -(2n ** 70n),
    /a+/g,
    new URL('http://x.test/'),
    new Error('x', { cause: [new TypeError('y')] }),
    new Float32Array(3),
    'é€😀'.repeat(9),
  ],
  Array.from({ length: 20 }, (_, id) => ({ id, name: `name-${id}`, tags: ['a', 'b'], nested: { id } })),
].map(value => encode([value, value]))

test('whatever bytes come: a value or a coded error', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (seed, changes, cut) => {
        const bytes = Buffer.from(seed)
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        tame(bytes)
        tame(bytes.subarray(0, cut % bytes.length))
      },
    ),
    { numRuns: 3_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => tame(Buffer.from(bytes))),
    { numRuns: 3_000 },
  )
  // Tags are denser than in random bytes.
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0xc0, max: 0xe3 }), { maxLength: 40 }), tags =>
      tame(Buffer.from(tags.flatMap(tag => [tag, 0, 0]))),
    ),
    { numRuns: 2_000 },
  )
})

function tame(bytes: Buffer): void {
  const here = decoder({ read: (kind, id, detail) => ({ kind, id, detail }) }, small)
  try {
    decode(bytes, here)
  } catch (error) {
    assert.ok(isPluginError(error, 'ERR_VALUE_MALFORMED'), `${bytes.toString('hex')}: ${String(error)}`)
    assert.ok(error.facts.offset >= 0 && error.facts.offset <= bytes.length, bytes.toString('hex'))
  }
  assert.ok(here.position <= bytes.length)
}

test('an accepted value can be encoded again, and is then the same', () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.nat(), fc.integer({ min: 0, max: 255 }), (seed, at, byte) => {
      const bytes = Buffer.from(seed)
      bytes[at % bytes.length] = byte
      let value: unknown
      try {
        value = decode(bytes)
      } catch {
        return
      }
      const again = encode(value)
      assert.equal(encode(decode(again)).toString('hex'), again.toString('hex'))
    }),
    { numRuns: 500 },
  )
})

test('work grows linearly with the bytes, in both directions', () => {
  // Counted, not timed: each reading of a byte, each slice of a string and each getter is one.
  const work = (count: number): number => {
    let reads = 0
    const counted = <T>(value: T): T => {
      reads++
      return value
    }
    const row = (id: number): object =>
      Object.defineProperties(
        {},
        {
          id: { enumerable: true, get: () => counted(id) },
          name: { enumerable: true, get: () => counted(`row-${id}-name`) },
        },
      )
    const bytes = encode(Array.from({ length: count }, (_, id) => row(id)))
    const read = (bytes as unknown as { latin1Slice(start: number, end: number): string }).latin1Slice
    let sliced = 0
    Object.defineProperty(bytes, 'latin1Slice', {
      value(start: number, end: number) {
        sliced += end - start
        return read.call(bytes, start, end)
      },
    })
    decode(bytes)
    return reads + sliced
  }
  const few = work(1_000)
  const many = work(16_000)
  assert.ok(many / few < 20, `${few} -> ${many}`)
})

test('objects used as dictionaries use up neither ids nor memory', () => {
  const there = encoder()
  for (let n = 0; n < 20_000; n++) encode({ [`key-${n}`]: n, [`other-${n}`]: n }, there)
  encode({ real: 1, shape: 2 }, there)
  assert.equal(encode({ real: 1, shape: 2 }, there)[0], 0xcb)
  assert.equal(encode({ real: 1, shape: 2 }, there).toString('hex'), 'e00102')
})

test('when all ids are given away, objects travel with their keys', () => {
  const given = { ...limits, maxShapes: 40 }
  const there = encoder(undefined, given)
  const here = decoder(undefined, given)
  for (let time = 0; time < 4; time++) {
    for (let n = 0; n < 60; n++) {
      const value = { [`k${n}`]: time, same: { [`k${n}`]: n } }
      assert.deepStrictEqual(decode(encode(value, there), here), value)
    }
  }
  assert.deepStrictEqual(encode({ k39: 1 }, there)[0], 0xce)
})

test('plans are shared by all connections and bounded', () => {
  const first = planFor(['shared', 'keys'])
  assert.equal(planFor(['shared', 'keys']), first)
  for (let n = 0; n < 5_000; n++) planFor([`plan-${n}`])
  assert.notEqual(planFor(['shared', 'keys']), first)
})
