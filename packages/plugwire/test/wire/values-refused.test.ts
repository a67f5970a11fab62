// What the encoder refuses: said with the path, and without a trace in the outbox or in what it knows of shapes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byRef } from '../../src/by-ref.ts'
import { PluginError } from '../../src/errors.ts'
import { Outbox } from '../../src/wire/outbox.ts'
import { type ReferenceTarget, TOO_LONG, ValueEncoder } from '../../src/wire/values.ts'
import { decode, decoder, encode, encoder, limits, refused, small } from './value-bytes.ts'

const throwing = {
  get loud(): never {
    throw new Error('boo')
  },
}

for (const [what, value, path, type] of [
  ['a function', { rows: [1, { run: () => 1 }] }, 'value.rows[1].run', 'the function run'],
  ['a symbol', [Symbol('x')], 'value[0]', 'a symbol'],
  ['a promise', { 'a-b': { 5: Promise.resolve() } }, 'value["a-b"]["5"]', 'a Promise'],
  ['a value of a map', new Map([['k', Symbol('x')]]), 'value.get("k")', 'a symbol'],
  ['a value of a map under an object', new Map([[{}, Symbol('x')]]), 'value.values()[0]', 'a symbol'],
  [
    'a key of a map',
    new Map([
      [1, 2],
      [Symbol('x'), 1],
    ] as [unknown, unknown][]),
    'value.keys()[1]',
    'a symbol',
  ],
  ['an item of a set', new Set([1, new WeakMap()]), 'value.values()[1]', 'a WeakMap'],
  ['a cause', new Error('x', { cause: { s: Symbol('x') } }), 'value.cause.s', 'a symbol'],
  ['one of several errors', new AggregateError([1, Symbol('x')]), 'value.errors[1]', 'a symbol'],
  ['data of an error', Object.assign(new Error('x'), { s: Symbol('x') }), 'value.s', 'a symbol'],
  ['a generator', [(function* () {})()], 'value[0]', 'a Generator'],
  ['an iterator', [[].values()], 'value[0]', 'an Array Iterator'],
  ['a weak reference', new WeakRef({}), 'value', 'a WeakRef'],
  ['shared memory', { m: new SharedArrayBuffer(1) }, 'value.m', 'a SharedArrayBuffer'],
  ['a blob', { b: new Blob([]) }, 'value.b', 'a Blob'],
  ['search parameters', new URLSearchParams('a=1'), 'value', 'an URLSearchParams'],
  ['a formatter', [new Intl.NumberFormat()], 'value[0]', 'a NumberFormat'],
  ['an instance of a class that is a promise', new (class Later extends Promise<void> {})(() => {}), 'value', 'a Later'],
  ['a boxed symbol', Object(Symbol('x')), 'value', 'a symbol'],
] as [string, unknown, string, string][]) {
  test(`${what} is refused with its path`, () => {
    const { facts } = refused(() => encode(value), 'ERR_VALUE_UNSUPPORTED')
    assert.deepStrictEqual([facts.path, facts.type], [path, type])
    assert.ok(facts.remedy.length > 0)
  })
}

test('a cycle is refused with its path and where it leads', () => {
  const cycle: Record<string, unknown> = { rows: [{ a: 1 }] }
  ;(cycle['rows'] as unknown[]).push(new Map([['owner', cycle['rows']]]))
  const { facts } = refused(() => encode({ cycle }), 'ERR_VALUE_CYCLE')
  assert.deepStrictEqual(facts, { path: 'value.cycle.rows[1].get("owner")', target: 'value.cycle.rows' })
  const error = new Error('x')
  error.cause = error
  assert.deepStrictEqual(refused(() => encode(error), 'ERR_VALUE_CYCLE').facts, { path: 'value.cause', target: 'value' })
})

test('a value of ten thousand levels is refused, with a path for people', () => {
  for (const wrap of [(inner: unknown) => ({ next: inner }), (inner: unknown) => [inner], (inner: unknown) => new Set([inner])]) {
    let value: unknown = 1
    for (let level = 0; level < 10_000; level++) value = wrap(value)
    const { facts } = refused(() => encode(value), 'ERR_VALUE_DEPTH')
    assert.equal(facts.maxDepth, 500)
    assert.ok(facts.path.length < 500)
    // A limit that the stack cannot hold gives the same error.
    const boundless = new ValueEncoder({ ...limits, maxDepth: 1_000_000 })
    let deeper: unknown = value
    for (let level = 0; level < 50_000; level++) deeper = wrap(deeper)
    refused(() => encode(deeper, boundless), 'ERR_VALUE_DEPTH')
    assert.deepStrictEqual(decode(encode([1], boundless)), [1])
  }
})

test('exactly the levels of the limit are allowed', () => {
  let value: unknown = []
  for (let level = 1; level < small.maxDepth; level++) value = [value]
  assert.deepStrictEqual(decode(encode(value, encoder(undefined, small)), decoder(undefined, small)), value)
  refused(() => encode([value], encoder(undefined, small)), 'ERR_VALUE_DEPTH')
  let leaf: unknown = /x/
  for (let level = 0; level < small.maxDepth; level++) leaf = [leaf]
  assert.equal(refused(() => encode(leaf, encoder(undefined, small)), 'ERR_VALUE_DEPTH').facts.path, `value${'[0]'.repeat(small.maxDepth)}`)
})

test('a getter that throws is told with its path and its cause', () => {
  for (const time of [1, 2, 3]) {
    const error = refused(() => encode({ a: [time, throwing] }), 'ERR_VALUE_THROWS')
    assert.deepStrictEqual(error.facts, { path: 'value.a[1].loud', reason: 'boo' })
    assert.equal((error.cause as Error).message, 'boo')
  }
})

test('a getter that throws only once is told with the root', () => {
  let thrown = false
  const value = {
    get once(): number {
      if (thrown) return 1
      thrown = true
      throw new RangeError('first')
    },
  }
  assert.deepStrictEqual(refused(() => encode(value), 'ERR_VALUE_THROWS').facts, { path: 'value', reason: 'first' })
  assert.deepStrictEqual(decode(encode(value)), { once: 1 })
})

test('a proxy that throws is told like a getter', () => {
  const fail = (): never => {
    throw new Error('trap')
  }
  for (const trap of ['get', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const) {
    const proxy = new Proxy({ a: 1 }, { [trap]: fail })
    assert.equal(refused(() => encode([proxy]), 'ERR_VALUE_THROWS').facts.reason, 'trap')
  }
  assert.deepStrictEqual(decode(encode(new Proxy({ a: [1] }, {}))), { a: [1] })
})

test('a map that changes while it is read is refused', () => {
  const map = new Map<string, unknown>()
  map.set('a', {
    get grow() {
      return map.set('b', 1).size
    },
  })
  assert.equal(refused(() => encode([map]), 'ERR_VALUE_THROWS').facts.path, 'value[0]')
})

test('a getter that sends on the same connection is refused, and the value goes on', () => {
  const there = encoder()
  const out = new Outbox()
  let inner: PluginError | undefined
  there.encode(
    out,
    {
      get call() {
        assert.ok(there.busy)
        return (inner = refused(() => there.encode(out, 1, 'inner'), 'ERR_VALUE_THROWS')).code
      },
    },
    'value',
  )
  assert.ok(!there.busy)
  assert.deepStrictEqual(decode(Buffer.concat(out.take())), { call: 'ERR_VALUE_THROWS' })
  assert.ok(inner)
})

test('after a failure the outbox is as before, and the shapes of the failed value are unknown', () => {
  for (const size of [64, 1 << 20]) {
    const there = encoder()
    const here = decoder()
    const out = new Outbox(size)
    const arrived: unknown[] = []
    const take = (): void => {
      const all = Buffer.concat(out.take())
      for (let at = 0; at < all.length; at = here.position) arrived.push(here.decodeNext(all, at, all.length))
    }
    const item = (n: number, more: unknown): unknown => ({ n, list: [{ deep: { er: more } }, { deep: { er: more } }] })
    there.encode(out, item(0, 0), 'value')
    for (let time = 1; time < 30; time++) {
      const before = out.length
      refused(
        () =>
          there.encode(
            out,
            [item(time, 1), 'x'.repeat(100), new Uint8Array(50_000), { [`k${time}`]: 1 }, item(time, Symbol('x'))],
            'value',
          ),
        'ERR_VALUE_UNSUPPORTED',
      )
      assert.equal(out.length, before)
      there.encode(out, item(time, 2), 'value')
    }
    take()
    assert.deepStrictEqual(arrived, [item(0, 0), ...Array.from({ length: 29 }, (_, index) => item(index + 1, 2))])
  }
})

test('a value over the limit is refused before it is written in full', () => {
  const tight = { ...limits, maxValueBytes: 100_000 }
  for (const value of [
    'x'.repeat(200_000),
    '€'.repeat(50_000),
    '\ud800'.repeat(60_000),
    new Uint8Array(200_000),
    [new Uint8Array(60_000), new Uint8Array(60_000)],
    Array(40).fill('x'.repeat(3_000)),
    Array(200_000).fill(1),
    new Array(4_000_000_000),
    Array(7_000).fill({}),
    Array(400).fill(Object.assign(new Error(''), { stack: undefined })),
    new Set(Array.from({ length: 7_000 }, (_, index) => index)),
    new Map(Array.from({ length: 7_000 }, (_, index) => [index, 1])),
    2n ** 900_000n,
    new Float64Array(20_000),
    new ArrayBuffer(200_000),
    new Error('x'.repeat(200_000)),
  ]) {
    const { facts } = refused(() => encode(value, encoder(undefined, tight)), 'ERR_VALUE_TOO_LARGE')
    assert.ok(facts.bytes > facts.maxBytes && facts.maxBytes === 100_000)
  }
  const fits = new Uint8Array(100_000 - 5)
  assert.deepStrictEqual(decode(encode(fits, encoder(undefined, tight)), decoder(undefined, tight)), fits)
  refused(() => encode(new Uint8Array(100_000 - 4), encoder(undefined, tight)), 'ERR_VALUE_TOO_LARGE')
})

test('a small graph that unfolds to an endless value is refused', () => {
  let value: unknown = [1]
  for (let level = 0; level < 60; level++) value = [value, value]
  refused(() => encode(value, encoder(undefined, { ...limits, maxValueBytes: 1 << 20 })), 'ERR_VALUE_TOO_LARGE')
})

test('past the soft cap encoding gives up, and nothing stays', () => {
  const there = encoder()
  there.softCapBytes = 1_000
  const out = new Outbox()
  there.encode(out, 'x'.repeat(995), 'value')
  for (const value of [
    'x'.repeat(996),
    Array(1_001).fill(1),
    [new Uint8Array(40_000)],
    [[{ a: 1 }], [{ a: 1 }], 'x'.repeat(980)],
    '€'.repeat(333),
  ]) {
    assert.throws(
      () => there.encode(out, value, 'value'),
      thrown => thrown === TOO_LONG,
    )
    assert.equal(out.length, 1_000)
  }
  there.softCapBytes = 0
  there.encode(out, [{ a: 1 }, { a: 2 }, 'x'.repeat(5_000)], 'value')
  const all = Buffer.concat(out.take())
  assert.deepStrictEqual(decode(all.subarray(1_000)), [{ a: 1 }, { a: 2 }, 'x'.repeat(5_000)])
})

// ---- references

const offered: unknown[] = []
const references = {
  write(value: object, target: ReferenceTarget): boolean {
    offered.push(value)
    if (value instanceof Data) return false
    target.writeReference(7, 0xfffffffe, typeof value === 'function' ? undefined : ['name', { a: 1 }])
    return true
  },
}
class Data {
  x = 1
}

test('functions and whatever lives somewhere are offered, data is not', () => {
  const living = [
    () => 1,
    class {},
    new Data(),
    { a: 1, [Symbol.asyncIterator]: () => {} },
    { a: 1, [Symbol.dispose]: () => {} },
    { a: 1, [Symbol.asyncDispose]: () => {} },
    Object.create({ [Symbol.asyncDispose]: () => {} }, { a: { value: 1, enumerable: true } }),
    new (class extends Map {
      [Symbol.dispose](): void {}
    })(),
    (async function* () {})(),
    new AbortController().signal,
    new ReadableStream(),
    new WritableStream(),
    Promise.resolve(),
    byRef({ a: 1 }),
    byRef(Object.freeze({ a: 1 })),
    byRef(new Map()),
  ]
  const data = [
    { a: 1 },
    [1],
    Object.create(null),
    new Date(),
    new Map(),
    new Set(),
    /a/,
    new Error('x'),
    new Uint8Array(1),
    new URL('a:b'),
    new ArrayBuffer(1),
    Object(1),
  ]
  const there = encoder(references)
  const here = decoder({ read: (kind, id, detail) => ({ kind, id, detail }) })
  // Often enough that the shape `a` has generated code.
  for (let time = 0; time < 40; time++) {
    offered.length = 0
    for (const value of data) decode(encode(value, there), here)
    assert.deepStrictEqual(offered, [])
    for (const value of living) {
      offered.length = 0
      const arrived = decode(encode({ deep: [value] }, there), here)
      assert.deepStrictEqual(offered, [value])
      assert.equal(offered[0], value)
      const expected =
        value instanceof Data ? { x: 1 } : { kind: 7, id: 0xfffffffe, detail: typeof value === 'function' ? undefined : ['name', { a: 1 }] }
      assert.deepStrictEqual(arrived, { deep: [expected] })
    }
  }
})

test('what the layer above throws for a reference is thrown as it is, or told with the path', () => {
  const own = new PluginError('ERR_CALL_LIMIT', { limit: 'references', max: 1 })
  const fails = (thrown: unknown) =>
    encoder({
      write: () => {
        throw thrown
      },
    })
  assert.throws(
    () => encode([() => 1], fails(own)),
    thrown => thrown === own,
  )
  assert.equal(refused(() => encode([1, { f: () => 1 }], fails(new Error('no'))), 'ERR_VALUE_THROWS').facts.path, 'value[1].f')
})
