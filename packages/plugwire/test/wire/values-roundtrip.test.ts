// What goes in comes out: every kind of value, in any combination, with and without what the connection already knows.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import fc from 'fast-check'
import { Outbox } from '../../src/wire/outbox.ts'
import { assertSame, decode, decoder, encode, encoder, pair } from './value-bytes.ts'

const key = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.constantFrom(
    '',
    '0',
    '1',
    '10',
    '-1',
    'a',
    'b',
    'constructor',
    'toString',
    'hasOwnProperty',
    '__proto__',
    '__defineGetter__',
    'é',
    '日本',
    "'\\\n\u2028",
  ),
)
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ minLength: 25, maxLength: 70 }),
  fc.array(fc.integer({ min: 0xd700, max: 0xe000 }), { maxLength: 8 }).map(units => String.fromCharCode(...units)),
)
const bytes = fc.uint8Array({ maxLength: 200 })
const view = fc.oneof(
  fc.int8Array(),
  fc.uint8ClampedArray(),
  fc.int16Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
)

const { value } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      fc.integer(),
      fc.double(),
      fc.constantFrom(0, -0, 127, 128, -128, 2 ** 31, -(2 ** 31), 2 ** 53),
      fc.boolean(),
      text,
      fc.constantFrom(null, undefined),
    ),
    fc.oneof(
      fc.bigInt(),
      fc.date({ noInvalidDate: true }),
      bytes,
      view,
      view.map(({ buffer }) => buffer),
      view.map(({ buffer }) => new DataView(buffer)),
    ),
    fc.constantFrom(/a/, /\/[/]\n/giu, new URL('https://x.test:81/ü?q#h')),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.sparseArray(tie('value'), { maxLength: 8 }),
    fc.dictionary(key, tie('value'), { maxKeys: 8 }),
    fc.dictionary(key, fc.integer(), { maxKeys: 80, minKeys: 60, size: 'max' }),
    fc.record({ id: fc.integer(), name: text, next: tie('value') }),
    fc.uniqueArray(fc.tuple(tie('value'), tie('value')), { maxLength: 5 }).map(entries => new Map(entries)),
    fc.array(tie('value'), { maxLength: 5 }).map(items => new Set(items)),
  ),
}))

/** fast-check makes objects without prototype too; they arrive with one. */
function ordinary(given: unknown): unknown {
  if (given instanceof Map) return new Map([...given].map(([k, v]) => [ordinary(k), ordinary(v)]))
  if (given instanceof Set) return new Set([...given].map(ordinary))
  if (Array.isArray(given)) return given.map(ordinary)
  if (typeof given !== 'object' || given === null) return given
  if (Object.getPrototypeOf(given) !== null && Object.getPrototypeOf(given) !== Object.prototype) return given
  return Object.fromEntries(Object.entries(given).map(([k, v]) => [k, ordinary(v)]))
}

test('any value arrives equal, the first time and when its shapes are known', () => {
  const send = pair()
  fc.assert(
    fc.property(value, given => {
      const expected = ordinary(given)
      for (let time = 0; time < 3; time++) assertSame(send(given), expected)
    }),
    { numRuns: 400 },
  )
})

test('any value is encoded alike whatever the size of the buffers', () => {
  fc.assert(
    fc.property(value, fc.integer({ min: 1, max: 300 }), (given, size) => {
      assert.equal(encode(given, encoder(), size).toString('hex'), encode(given, encoder(), 1 << 20).toString('hex'))
    }),
    { numRuns: 100 },
  )
})

test('objects of one shape arrive equal by the loop and by generated code', () => {
  const send = pair()
  const keys = [
    'a',
    '__proto__',
    'constructor',
    'toString',
    '',
    '10',
    '2',
    'a"b',
    "a'b",
    'a\\',
    'a\nb',
    '\u2028',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it must not become one
    '${x}',
    '*/',
    'é',
    '\ud800',
  ]
  for (let time = 0; time < 50; time++) {
    const given = Object.fromEntries(keys.map((name, index) => [name, index * time]))
    const arrived = send(given) as object
    assert.deepStrictEqual(arrived, given)
    assert.equal(Object.getPrototypeOf(arrived), Object.prototype)
    assert.deepStrictEqual(Object.keys(arrived), Object.keys(given))
  }
})

test('all that the codec does, it does where code from strings is forbidden', () => {
  const fixture = fileURLToPath(new URL('../fixtures/values-without-code.js', import.meta.url))
  const { NODE_OPTIONS: _, ...env } = process.env
  const told = execFileSync(process.execPath, ['--disallow-code-generation-from-strings', fixture], { encoding: 'utf8', env })
  assert.equal(told, 'EvalError 1000\n')
})

test('strings of every length around the tags and buffers arrive', () => {
  const send = pair()
  for (const unit of ['a', 'é', '€', '😀', '\ud800']) {
    for (const length of [0, 1, 2, 5, 6, 30, 31, 32, 58, 59, 60, 100, 511, 512, 4000, 16_383, 16_384, 40_000]) {
      const given = unit.repeat(length)
      assert.ok(send(given) === given, `${length} times ${JSON.stringify(unit)}`)
    }
  }
})

test('many short strings in a large value arrive, each as it was', () => {
  const given = Array.from({ length: 5_000 }, (_, index) => `${index}-${'x'.repeat(index % 60)}`)
  assert.deepStrictEqual(decode(encode(given)), given)
})

test('byte arrays of every size arrive with memory that is not the input', () => {
  const send = pair()
  for (const length of [0, 1, 24, 25, 64, 65, 1_000, 2_048, 2_049, 32_767, 32_768, 100_000]) {
    const given = new Uint8Array(length).map((_, index) => index)
    const written = encode([given, given])
    const [first, second] = decode(written) as [Uint8Array, Uint8Array]
    written.fill(0)
    first.fill(1)
    assert.deepStrictEqual(second, given)
    assert.equal(Object.getPrototypeOf(send(Buffer.from(given))), Uint8Array.prototype)
  }
})

test('a byte array that is most of a message which may be kept is a view of it', () => {
  const given = new Uint8Array(5_000).fill(7)
  const read = (value: unknown): { value: unknown; lent: boolean } => {
    const written = encode(value)
    const result = decoder().decode(written, 0, written.length, true)
    return { value: result, lent: [result].flat().some(item => (item as Uint8Array).buffer === written.buffer) }
  }
  assert.deepEqual(read([1, given]), { value: [1, given], lent: true })
  assert.equal(read([given, given]).lent, false)
  assert.equal(read(new Uint8Array(100)).lent, false)
  // Whoever asks for the memory itself gets no more of it than was sent.
  assert.deepEqual(read(given.buffer), { value: given.buffer, lent: false })
})

test('large byte arrays are attached, small ones copied', () => {
  const out = new Outbox()
  const large = new Uint8Array(40_000)
  encoder().encode(out, [large, new Uint8Array(10), new Float64Array(large.buffer)], 'value')
  const parts = out.take()
  assert.equal(parts.filter(part => part.buffer === large.buffer).length, 2)
})

test('array buffers and typed arrays have memory of their own', () => {
  const [buffer, view] = decode(encode([new Uint8Array(100).buffer, new Int16Array(50)])) as [ArrayBuffer, Int16Array]
  assert.equal(buffer.byteLength, 100)
  assert.equal(view.buffer.byteLength, 100)
})

test('class instances arrive as their own data, with getters read and toJSON ignored', () => {
  class Point {
    x = 1
    #secret = 2
    get sum(): number {
      return this.x + this.#secret
    }
    toJSON(): string {
      return 'no'
    }
  }
  const send = pair()
  for (let time = 0; time < 40; time++) {
    const given = Object.defineProperty(new Point(), 'read', { enumerable: true, get: () => time })
    assert.deepStrictEqual(send(given), { x: 1, read: time })
    assert.deepStrictEqual(send({ x: 3, read: time }), { x: 3, read: time })
    assert.deepStrictEqual(send(Object.assign(Object.create(null), { x: 4, read: time })), { x: 4, read: time })
    assert.deepStrictEqual(send(Object.create({ inherited: 1 }, { x: { value: 5, enumerable: true } })), { x: 5 })
  }
})

test('objects of another realm arrive as ours', () => {
  const foreign = vm.runInNewContext(
    "({ o: { a: 1 }, l: [1], m: new Map([[1, 2]]), s: new Set([1]), d: new Date(5), r: /a/g, b: new Uint8Array([1]), f: new Float32Array([1]), e: new TypeError('x') })",
  )
  const { e, ...rest } = pair()(foreign) as { e: Error }
  assert.deepStrictEqual(rest, {
    o: { a: 1 },
    l: [1],
    m: new Map([[1, 2]]),
    s: new Set([1]),
    d: new Date(5),
    r: /a/g,
    b: new Uint8Array([1]),
    f: new Float32Array([1]),
  })
  assert.ok(e instanceof TypeError)
})

test('boxed primitives arrive bare, shared objects twice, symbol keys not at all', () => {
  const shared = { a: 1 }
  const arrived = pair()({ n: Object(1), s: Object('x'), b: Object(false), i: Object(1n), x: shared, y: shared, [Symbol('z')]: 1 })
  assert.deepStrictEqual(arrived, { n: 1, s: 'x', b: false, i: 1n, x: { a: 1 }, y: { a: 1 } })
  assert.notEqual((arrived as { x: unknown }).x, (arrived as { y: unknown }).y)
})

test('errors arrive with name, message, stack, cause, code and the errors of an aggregate', () => {
  class QuotaError extends RangeError {
    override name = 'QuotaError'
    code = 'E_QUOTA'
    used = { bytes: 5 }
  }
  const given = new QuotaError('too much', { cause: new TypeError('inner', { cause: undefined }) })
  const arrived = pair()(given) as QuotaError
  assert.ok(arrived instanceof Error)
  assert.equal(arrived.name, 'QuotaError')
  assert.equal(arrived.message, 'too much')
  assert.equal(arrived.stack, given.stack)
  assert.deepStrictEqual({ ...arrived }, { code: 'E_QUOTA', used: { bytes: 5 } })
  assert.ok(arrived.cause instanceof TypeError)
  assert.equal(arrived.cause.message, 'inner')
  assert.ok(Object.hasOwn(arrived.cause, 'cause'))
  const many = pair()(new AggregateError([new SyntaxError('a'), 1], 'both')) as AggregateError
  assert.ok(many instanceof AggregateError)
  assert.ok(many.errors[0] instanceof SyntaxError)
  assert.equal(many.errors[1], 1)
  const aborted = pair()(new DOMException('stop', 'AbortError')) as Error
  assert.equal(aborted.name, 'AbortError')
  assert.equal(aborted.message, 'stop')
})

test('the layer above may make of an error what it likes', () => {
  const here = decoder({ read: () => assert.fail(), error: ({ name, message, cause, data }) => ({ name, message, cause, data }) })
  const arrived = decode(encode(Object.assign(new TypeError('x', { cause: new Error('y') }), { code: 1 })), here)
  assert.deepStrictEqual(arrived, {
    name: 'TypeError',
    message: 'x',
    cause: { name: 'Error', message: 'y', cause: undefined, data: {} },
    data: { code: 1 },
  })
})

test('several values back to back are decoded one after the other', () => {
  const there = encoder()
  const out = new Outbox()
  for (const item of [1, { a: 1 }, { a: 2 }, 'x']) there.encode(out, item, 'value')
  const all = Buffer.concat(out.take())
  const here = decoder()
  const arrived: unknown[] = []
  for (here.position = 0; here.position < all.length; ) arrived.push(here.decodeNext(all, here.position, all.length))
  assert.deepStrictEqual(arrived, [1, { a: 1 }, { a: 2 }, 'x'])
})
