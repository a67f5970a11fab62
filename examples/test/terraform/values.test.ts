// Terraform's values: bytes recorded from zclconf/go-cty 1.20, round trips of anything, and what comes of bytes that are wrong.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeValue, encodeValue } from '../../05-terraform-provider/provider/cty/codec.ts'
import { parseJson, valueOfJson } from '../../05-terraform-provider/provider/cty/json.ts'
import { Decimal, exactly, numberFrom, numberOf, textOf } from '../../05-terraform-provider/provider/cty/number.ts'
import { CtyError, type CtyType, parseType } from '../../05-terraform-provider/provider/cty/type.ts'
import { type CtyValue, Dynamic, isKnown, record, same, Unknown, unknown } from '../../05-terraform-provider/provider/cty/value.ts'

const strings: CtyType = ['list', 'string']

/** Value, type, bytes, and the JSON of the state where it can have one. */
const golden: readonly (readonly [CtyValue, CtyType, string, string?])[] = [
  [0, 'number', '00', '0'],
  [127, 'number', '7f', '127'],
  [128, 'number', 'cc80', '128'],
  [65_536, 'number', 'ce00010000', '65536'],
  [4_294_967_296, 'number', 'cf0000000100000000', '4294967296'],
  [-1, 'number', 'ff', '-1'],
  [-33, 'number', 'd0df', '-33'],
  [-129, 'number', 'd1ff7f', '-129'],
  [-32_769, 'number', 'd2ffff7fff', '-32769'],
  [-2_147_483_649, 'number', 'd3ffffffff7fffffff', '-2147483649'],
  [9_007_199_254_740_993n, 'number', 'cf0020000000000001', '9007199254740993'],
  [2n ** 63n - 1n, 'number', 'cf7fffffffffffffff', '9223372036854775807'],
  [-(2n ** 63n), 'number', 'd38000000000000000', '-9223372036854775808'],
  [2n ** 63n, 'number', 'b339323233333732303336383534373735383038', '9223372036854775808'],
  [12_345_678_901_234_567_890n, 'number', 'b43132333435363738393031323334353637383930', '12345678901234567890'],
  [10n ** 23n, 'number', 'b8313030303030303030303030303030303030303030303030', '100000000000000000000000'],
  [0.5, 'number', 'cb3fe0000000000000', '0.5'],
  [0.1, 'number', 'a3302e31', '0.1'],
  [-2.75, 'number', 'cbc006000000000000', '-2.75'],
  [
    numberOf('0.1234567890123456789012345'),
    'number',
    'bb302e31323334353637383930313233343536373839303132333435',
    '0.1234567890123456789012345',
  ],
  [exactly(0.1), 'number', 'cb3fb999999999999a'],
  [Number.POSITIVE_INFINITY, 'number', 'cb7ff0000000000000'],
  ['häll♥', 'string', 'a868c3a46c6ce299a5', '"häll♥"'],
  [true, 'bool', 'c3', 'true'],
  [null, 'string', 'c0', 'null'],
  [unknown, 'string', 'd40000'],
  [new Unknown({ notNull: true, prefix: 'x-' }), 'string', 'c7070c8201c202a2782d'],
  [new Unknown({ notNull: true }), 'bool', 'c7030c8101c2'],
  [
    new Unknown({ notNull: true, min: { value: 1, inclusive: true }, max: { value: 12_345_678_901_234_567_890n, inclusive: false } }),
    'number',
    'c71f0c8301c2039201c30492b43132333435363738393031323334353637383930c2',
  ],
  [new Unknown({ notNull: true, minLength: 1, maxLength: 3 }), strings, 'c7070c8301c205010603'],
  [['a', null], strings, '92a161c0', '["a",null]'],
  [[1, 2], ['set', 'number'], '920102', '[1,2]'],
  [
    record([
      ['b', true],
      ['a', false],
      ['__proto__', true],
    ]),
    ['map', 'bool'],
    '83a95f5f70726f746f5f5fc3a161c2a162c3',
    '{"__proto__":true,"a":false,"b":true}',
  ],
  [['a', 1], ['tuple', ['string', 'number']], '92a16101', '["a",1]'],
  [
    record([
      ['z', 'a'],
      ['a', null],
    ]),
    ['object', { z: 'string', a: 'number' }],
    '82a161c0a17aa161',
    '{"a":null,"z":"a"}',
  ],
  [new Dynamic(strings, ['a']), 'dynamic', '92c4115b226c697374222c22737472696e67225d91a161', '{"value":["a"],"type":["list","string"]}'],
  [new Dynamic('string', null), 'dynamic', '92c40822737472696e6722c0', '{"value":null,"type":"string"}'],
  [null, 'dynamic', 'c0', 'null'],
  [new Dynamic('string', unknown), 'dynamic', '92c40822737472696e6722d40000'],
  [unknown, 'dynamic', 'd40000'],
  [[new Dynamic('string', 'a')], ['list', 'dynamic'], '9192c40822737472696e6722a161', '[{"value":"a","type":"string"}]'],
]

for (const [value, type, hex, json] of golden) {
  test(`${hex} is what Go writes for ${JSON.stringify(type)}`, () => {
    assert.equal(Buffer.from(encodeValue(value, type)).toString('hex'), hex)
    const back = decodeValue(Buffer.from(hex, 'hex'), type)
    assert.deepEqual(back, value)
    assert.ok(same(back, value, type))
    assert.equal(isKnown(value), !/d40000|^c7/.test(hex))
    if (json !== undefined) assert.deepEqual(valueOfJson(parseJson(json), type), value)
  })
}

test('a number has one form, whatever it was written like', () => {
  for (const [text, form] of [
    ['1', 1],
    ['1.0', 1],
    ['-0', 0],
    ['1e3', 1000],
    ['12.50', 12.5],
    ['.5', 0.5],
    ['9007199254740991', 9_007_199_254_740_991],
    ['9007199254740992', 9_007_199_254_740_992n],
    ['1e23', 10n ** 23n],
    ['0.1', 0.1],
    ['1E-2', 0.01],
    ['1e-7', 1e-7],
    ['0.30000000000000004', 0.1 + 0.2],
  ] as const) {
    assert.equal(numberOf(text), form, text)
  }
  assert.ok(numberOf('0.10000000000000000001') instanceof Decimal)
  assert.equal(textOf(numberOf('123.4e-30')), `0.${'0'.repeat(27)}1234`)
  assert.equal(textOf(1e-7), '0.0000001')
  assert.equal(String(exactly(0.1)), '0.1000000000000000055511151231257827021181583404541015625')
  for (const text of ['', '.', 'e1', '1e', '0x10', 'NaN', '1e999999999', `1${'0'.repeat(9000)}`])
    assert.throws(() => numberOf(text), CtyError)
})

test('what a number of JavaScript stands for survives', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true }), value => {
      const back = decodeValue(encodeValue(numberFrom(value), 'number'), 'number')
      assert.equal(Number(back), value === 0 ? 0 : value)
      const exact = exactly(value)
      const exactBack = decodeValue(encodeValue(exact, 'number'), 'number')
      assert.ok(same(exactBack, exact, 'number'), `${exactBack} is not ${exact}`)
    }),
  )
})

const names = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('__proto__', 'constructor', 'toString'))

/** Any type, with a value that fits it. */
const typed: fc.Arbitrary<readonly [CtyType, fc.Arbitrary<CtyValue>]> = fc.letrec<{ typed: readonly [CtyType, fc.Arbitrary<CtyValue>] }>(
  tie => ({
    typed: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant(['string', optional(fc.string({ unit: 'binary' }))] as const),
      fc.constant(['bool', optional(fc.boolean())] as const),
      fc.constant([
        'number',
        optional(
          fc.oneof(
            fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }).map(numberFrom),
            fc.double({ noNaN: true }).map(numberFrom),
            fc.float({ noNaN: true }).map(exactly),
          ),
        ),
      ] as const),
      tie('typed').map(
        ([type, value]) => ['dynamic', type === 'dynamic' ? value : optional(value.map(inner => new Dynamic(type, inner)))] as const,
      ),
      fc
        .tuple(fc.constantFrom('list' as const, 'set' as const), tie('typed'))
        .map(([kind, [type, value]]) => [[kind, type], optional(fc.array(value, { maxLength: 5 }))] as const),
      tie('typed').map(
        ([type, value]) => [['map', type], optional(fc.array(fc.tuple(names, value), { maxLength: 5 }).map(record))] as const,
      ),
      fc
        .array(tie('typed'), { maxLength: 4 })
        .map(members => [['tuple', members.map(([type]) => type)], optional(fc.tuple(...members.map(([, value]) => value)))] as const),
      fc
        .uniqueArray(fc.tuple(names, tie('typed')), { maxLength: 4, selector: ([name]) => name })
        .map(
          members =>
            [
              ['object', record(members.map(([name, [type]]) => [name, type] as const))],
              optional(fc.tuple(...members.map(([name, [, value]]) => value.map(inner => [name, inner] as const))).map(record)),
            ] as const,
        ),
    ) as fc.Arbitrary<readonly [CtyType, fc.Arbitrary<CtyValue>]>,
  }),
).typed

function optional(value: fc.Arbitrary<CtyValue>): fc.Arbitrary<CtyValue> {
  return fc.oneof(
    { weight: 8, arbitrary: value },
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant(unknown) },
  )
}

const anyTyped = typed.chain(([type, value]) => fc.tuple(fc.constant(type), value))

test('any value of any type survives', () => {
  fc.assert(
    fc.property(anyTyped, ([type, value]) => {
      assert.deepEqual(parseType(JSON.stringify(type)), type)
      const bytes = encodeValue(value, type)
      const back = decodeValue(bytes, type)
      assert.ok(same(back, value, type))
      assert.deepEqual(Buffer.from(encodeValue(back, type)), Buffer.from(bytes))
    }),
    { numRuns: 300 },
  )
})

test('bytes that were cut or changed give a CtyError or another value, never anything else', () => {
  fc.assert(
    fc.property(anyTyped, fc.nat(), fc.nat(255), ([type, value], at, byte) => {
      const bytes = encodeValue(value, type)
      const cut = at % bytes.length
      assert.throws(() => decodeValue(bytes.subarray(0, cut), type), CtyError)
      const changed = Uint8Array.from(bytes)
      changed[cut] = byte
      try {
        decodeValue(changed, type)
      } catch (error) {
        assert.ok(error instanceof CtyError, String(error))
      }
    }),
    { numRuns: 300 },
  )
})

test('lengths that are announced and not there cost no memory', () => {
  for (const hex of ['ddffffffff', 'dfffffffff', 'dbffffffff', 'c6ffffffff00', 'c9ffffffff0c']) {
    assert.throws(
      () => decodeValue(Buffer.from(hex, 'hex'), hex.startsWith('df') ? ['map', 'string'] : hex.startsWith('dd') ? strings : 'string'),
      CtyError,
    )
  }
})

test('an error names the attribute', () => {
  const type: CtyType = ['object', { rules: ['list', ['object', { port: 'number' }]] }]
  const rules = (port: CtyValue) => record([['rules', [record([['port', 80]]), record([['port', port]])]]])
  assert.throws(() => encodeValue(rules('http'), type), {
    name: 'CtyError',
    message: 'rules.1.port: a number expected, a string found',
    path: ['rules', 1, 'port'],
  })
  const wrong: CtyType = ['object', { rules: ['list', ['object', { port: 'string' }]] }]
  assert.throws(() => decodeValue(encodeValue(rules(8080), type), wrong), { message: /^rules\.0\.port: string expected, integer found/ })
})

test('refinements of other versions are passed over', () => {
  const bytes = Buffer.from('d70c82099192c00101c2', 'hex')
  const value = decodeValue(bytes, 'string')
  assert.ok(value instanceof Unknown)
  assert.deepEqual(value.refinement, { notNull: true })
})

test('types that are none are refused', () => {
  for (const json of [
    '"text"',
    '["list"]',
    '["bag","string"]',
    '{}',
    '1',
    'null',
    '',
    `${'["list",'.repeat(100)}"string"${']'.repeat(100)}`,
  ]) {
    assert.throws(() => parseType(json), CtyError)
  }
})

test('JSON keeps every digit, and megabytes of text', () => {
  const long = 'a "quote" \\ and é\n'.repeat(200_000)
  const text = JSON.stringify({ long, n: null }).replace('null', '[12345678901234567890, 0.1234567890123456789012345, -1.5e3, 7]')
  const json = parseJson(text) as { long: string; n: CtyValue[] }
  assert.equal(json.long, long)
  assert.deepEqual(json.n.map(String), ['12345678901234567890', '0.1234567890123456789012345', '-1500', '7'])
})

test('JSON without numbers reads as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (value, space) => {
      const text = JSON.stringify(value, (_, inner) => (typeof inner === 'number' ? String(inner) : inner), space)
      assert.equal(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)))
    }),
  )
  for (const text of ['', '{', '[1,]', '{"a" 1}', '{"a":1,}', '"abc', '"\\x"', 'tru', '01', '1 2', '[1 2]', `${'['.repeat(1000)}`])
    assert.throws(() => parseJson(text), CtyError)
})

test('a state that is older or newer than the schema still reads', () => {
  const type: CtyType = ['object', { kept: 'string', added: 'number' }]
  assert.deepEqual(
    valueOfJson(parseJson('{"kept":"x","removed":[1]}'), type),
    record<CtyValue>([
      ['kept', 'x'],
      ['added', null],
    ]),
  )
  assert.throws(() => valueOfJson(parseJson('{"kept":["x"]}'), type), { message: /^kept: JSON does not fit "string"/ })
})
