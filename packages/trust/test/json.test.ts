import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Json, JsonFault, readCanonical, readJson, writeCanonical } from '../src/manifest/json.ts'
import { bytesOf, refusal } from './tools.ts'

const document = (): fc.Arbitrary<Json> =>
  fc.letrec<{ value: Json }>(tie => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger().map(n => (Object.is(n, -0) ? 0 : n)),
      fc.string({ unit: 'binary' }),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', 'a', 'B', '10', '9')),
        tie('value'),
        {
          maxKeys: 4,
          noNullPrototype: false,
        },
      ),
    ),
  })).value

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('what is written is read as the same value, by us and by everybody', () => {
  fc.assert(
    fc.property(document(), value => {
      const bytes = writeCanonical(value)
      assert.deepEqual(plain(readJson(bytes)), plain(value))
      assert.deepEqual(plain(JSON.parse(Buffer.from(bytes).toString())), plain(value))
    }),
  )
})

test('there is one canonical form: whatever the order of keys and the layout before, the bytes are the same', () => {
  fc.assert(
    fc.property(document(), fc.constantFrom(0, 1, 7, '\t'), (value, indent) => {
      const shuffled = Buffer.from(JSON.stringify(reversed(value), undefined, indent))
      const bytes = writeCanonical(readJson(shuffled))
      assert.deepEqual(bytes, writeCanonical(value))
      assert.deepEqual(writeCanonical(readJson(bytes)), bytes)
    }),
  )
})

function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  )
}

test('readCanonical takes the canonical form alone, and says at which byte another one differs', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), document(), { noNullPrototype: false }),
      fc.nat(),
      fc.constantFrom(' ', '\n', '\t', '0', 'x', '"'),
      (value, at, extra) => {
        const bytes = writeCanonical(value)
        assert.deepEqual(plain(readCanonical(bytes, 'it')), plain(value))
        const text = Buffer.from(bytes).toString('latin1')
        const place = at % (text.length + 1)
        const other = Buffer.from(text.slice(0, place) + extra + text.slice(place), 'latin1')
        // An inserted character makes another document or none, never the same one in another form.
        try {
          assert.notDeepEqual(plain(readCanonical(other, 'it')), plain(value))
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ERR_MANIFEST_MALFORMED')
        }
      },
    ),
  )
  const refused: readonly (readonly [string, number])[] = [
    ['{"a": 1}\n', 1],
    ['{\n  "a": 1\n}', 12],
    ['{\n  "a": 1\n}\r\n', 12],
    ['{\n  "b": 1,\n  "a": 1\n}\n', 5],
    ['{\n  "a": "\\u0041"\n}\n', 10],
    ['{\n  "a": "\\/"\n}\n', 10],
    ['\ufeff{}\n', 0],
  ]
  for (const [text, offset] of refused) {
    assert.throws(
      () => readCanonical(bytesOf(text), 'it'),
      (error: { code?: string; facts?: { offset: number } }) => error.code === 'ERR_MANIFEST_MALFORMED' && error.facts?.offset === offset,
      text,
    )
  }
  assert.throws(() => readCanonical(bytesOf('[]\n'), 'it'), refusal('ERR_MANIFEST_MALFORMED', /no JSON object/))
})

test('what is no document, and where', () => {
  const cases: readonly (readonly [string, number, RegExp])[] = [
    ['', 0, /too early/],
    ['{', 1, /key was expected/],
    ['{"a"', 4, /colon/],
    ['{"a":1', 6, /comma or }/],
    ['{"a":1,}', 7, /key was expected/],
    ['{"a":1,"a":2}', 7, /"a" stands there twice/],
    ['{"a":1,"\\u0061":2}', 7, /twice/],
    ['{"ä":1,"ä":2}', 8, /twice/],
    ['{"__proto__":1,"__proto__":2}', 15, /twice/],
    ['[1,]', 3, /value was expected/],
    ['[1 2]', 3, /comma or ]/],
    ['1.5', 0, /whole/],
    ['1e3', 0, /whole/],
    ['01', 0, /whole|expected/],
    ['-0', 0, /exactly/],
    ['9007199254740992', 0, /exactly/],
    ['-', 0, /expected/],
    ['NaN', 0, /expected/],
    ['nul', 0, /null/],
    ['tru', 0, /true/],
    ['falsy', 0, /false/],
    ["'a'", 0, /expected/],
    ['"a', 2, /ends within/],
    ['"\n"', 1, /control/],
    ['"\\x"', 2, /escape/],
    ['"\\u12"', 2, /escape/],
    ['"\\ud800"', 0, /surrogate/],
    ['{} {}', 3, /follows/],
    ['{}\0', 2, /follows/],
    ['/* */ {}', 0, /expected/],
  ]
  for (const [text, offset, reason] of cases) {
    assert.throws(
      () => readJson(bytesOf(text)),
      (error: unknown) => error instanceof JsonFault && error.offset === offset && reason.test(error.message),
      text,
    )
  }
  assert.throws(() => readJson(new Uint8Array([0x22, 0xff, 0x22])), /not UTF-8/)
})

test('a document costs no more than its limits', () => {
  assert.throws(() => readJson(bytesOf('['.repeat(1_000_000))), /nested deeper than 16/)
  assert.throws(() => readJson(bytesOf(`[${'0,'.repeat(300_000)}0]`)), /more than 200000 values/)
  assert.throws(() => readJson(bytesOf(`[${' '.repeat(5_000_000)}]`)), /at most 4194304/)
  assert.throws(() => readJson(bytesOf('{}'), { maxBytes: 1 }), /at most 1 /)
})

test('what cannot be written', () => {
  for (const value of [1.5, Number.NaN, 2 ** 60, -0, '\ud800', { '\udc00': 1 }, undefined, 1n, () => 1]) {
    assert.throws(() => writeCanonical(value as Json), TypeError)
  }
})
