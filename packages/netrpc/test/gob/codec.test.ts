// The rules of the codec beyond the golden values: what is refused and where, what a hostile stream can do, what survives an error.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isPluginError, type PluginError } from 'plugwire'
import * as gob from '../../src/gob/index.ts'

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s/g, ''), 'hex'))
const encode = <S extends gob.AnySchema>(schema: S, value: gob.InputOf<S>): Uint8Array => new gob.Encoder().encode(schema, value)

function decoderOf(hex: string | Uint8Array, limits: Partial<gob.GobLimits> = {}): gob.Decoder {
  const decoder = new gob.Decoder({ limits })
  decoder.push(typeof hex === 'string' ? bytesOf(hex) : hex)
  return decoder
}

function caught(run: () => unknown): PluginError {
  try {
    run()
  } catch (error) {
    assert.ok(isPluginError(error), error instanceof Error ? error.stack : String(error))
    return error
  }
  assert.fail('nothing was thrown')
}

const refuses = (run: () => unknown, code: string, facts: object): void => {
  const error = caught(run)
  assert.deepStrictEqual({ code: error.code, facts: { ...error.facts, ...facts } }, { code, facts: error.facts }, error.message)
}

const point = gob.struct('main.Point', { X: gob.int, Y: gob.int })

describe('captured from go-plugin', () => {
  const request = gob.struct('net/rpc.Request', { ServiceMethod: gob.string, Seq: gob.uint64 })
  const requests = `
    2f ff 81 03 01 01 07 52 65 71 75 65 73 74 01 ff 82 00 01 02 01 0d 53 65 72 76 69 63 65 4d 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00
    00 00 11 ff 82 01 0c 43 6f 6e 74 72 6f 6c 2e 50 69 6e 67 00 03 02 00 01
    19 ff 82 01 12 44 69 73 70 65 6e 73 65 72 2e 44 69 73 70 65 6e 73 65 01 01 00 05 0c 00 02 6b 76`

  it('requests are header, argument, header, argument', () => {
    const decoder = decoderOf(requests)
    assert.deepStrictEqual(decoder.next(request), { value: { ServiceMethod: 'Control.Ping', Seq: 0n } })
    assert.deepStrictEqual(decoder.next(gob.bool), { value: true })
    assert.deepStrictEqual(decoder.next(request), { value: { ServiceMethod: 'Dispenser.Dispense', Seq: 1n } })
    assert.deepStrictEqual(decoder.next(gob.string), { value: 'kv' })
    assert.equal(decoder.next(request), undefined)
    decoder.end()
  })

  it('an argument nobody wants can be passed over', () => {
    const decoder = decoderOf(requests)
    decoder.next(request)
    assert.equal(decoder.skip(), true)
    assert.equal(decoder.next(request)?.value.Seq, 1n)
    assert.equal(decoder.skip(), true)
    assert.equal(decoder.skip(), false)
  })

  it('a type defined inside an interface inside an interface', () => {
    const decoder = decoderOf(`
      19 ff 81 03 01 01 05 49 66 61 63 65 01 ff 82 00 01 01 01 01 56 01 10 00 00 00
      27 ff 82 01 0a 6d 61 69 6e 2e 49 6e 6e 65 72 ff 83 03 01 01 05 49 6e 6e 65 72 01 ff 84 00 01 01 01 01 56 01 10 00 00 00
      39 ff 84 2b 01 0a 6d 61 69 6e 2e 50 6f 69 6e 74 ff 85 03 01 01 05 50 6f 69 6e 74 01 ff 86 00 01 02 01 01 58 01 04 00 01 01 59 01 04 00 00 00
      09 ff 86 05 01 02 01 04 00 00 00`)
    const types: gob.Registry = gob.registry(() => ({ 'main.Inner': inner, 'main.Point': point }))
    const inner: gob.Schema<unknown, never> = gob.struct('main.Inner', { V: gob.iface(types) })
    const next = decoder.next(gob.struct('main.Iface', { V: gob.iface(types) }))
    assert.deepStrictEqual(next?.value, { V: { type: 'main.Inner', value: { V: { type: 'main.Point', value: { X: 1, Y: 2 } } } } })
    decoder.end()
  })

  it('a value without the count that nobody reads, and a type without its name', () => {
    assert.deepStrictEqual(decoderOf('0a fe 03 e7 04 02 0c 01 10 00 00 08 fe 03 e8 00 01 01 6b 00').next()?.value, new Map([['k', null]]))
  })
})

describe('TypeScript types follow from schemas', () => {
  it('for what is decoded and for what may be encoded', () => {
    const schema = gob.struct('main.Item', {
      Key: gob.string,
      Value: gob.bytes,
      Count: gob.int64,
      Next: gob.pointer(point),
      By: gob.map(gob.string, gob.slice(gob.int)),
      Any: gob.iface(gob.registry({ 'main.Point': point })),
    })
    type Item = gob.TypeOf<typeof schema>
    const value: Item = {
      Key: 'k',
      Value: new Uint8Array(1),
      Count: 1n,
      Next: null,
      By: new Map([['a', [1]]]),
      Any: { type: 'main.Point', value: { X: 1, Y: 2 } },
    }
    const given: gob.InputOf<typeof schema> = { Key: 'k', Count: 1, Any: 'bare' }
    // @ts-expect-error a string is no bytes
    const wrong: Item['Value'] = 'text'
    // @ts-expect-error no such type is registered
    const unknown: gob.InputOf<typeof schema> = { Any: { type: 'main.Other', value: {} } }
    assert.equal(typeof wrong, 'string')
    assert.deepStrictEqual(decoderOf(encode(schema, value)).next(schema)?.value, value)
    const full = { ...value, Value: new Uint8Array(0), By: new Map(), Any: { type: 'string', value: 'bare' } }
    assert.deepStrictEqual(decoderOf(encode(schema, given)).next(schema)?.value, full)
    refuses(() => encode(schema, unknown), 'ERR_GOB_TYPE', { path: 'value.Any', found: '"main.Other"' })
    const any = value.Any
    if (any?.type === 'main.Point') assert.equal(any.value.X, 1)
  })

  it('through a type that contains itself', () => {
    interface Tree {
      Name: string
      Kids: Tree[]
    }
    const tree: gob.Schema<Tree> = gob.struct('main.Tree', { Name: gob.string, Kids: gob.slice(gob.lazy(() => tree)) })
    const value: Tree = { Name: 'a', Kids: [{ Name: 'b', Kids: [] }] }
    assert.deepStrictEqual(decoderOf(encode(tree, value)).next(tree)?.value, value)
  })
})

describe('encoding refuses, and says where', () => {
  const line = gob.struct('main.Line', { Sku: gob.string, Count: gob.int8, Price: gob.float32, Quad: gob.byteArray(4) })
  const order = gob.struct('main.Order', { Lines: gob.slice(line), By: gob.map(gob.string, line), When: gob.time, N: gob.uint })
  const cases: [string, gob.AnySchema, unknown, string, object][] = [
    [
      'a number out of range',
      order,
      { Lines: [{}, { Count: 128 }] },
      'ERR_GOB_VALUE',
      { path: 'value.Lines[1].Count', reason: 'is 128, out of range of int8' },
    ],
    ['a negative uint', order, { N: -1 }, 'ERR_GOB_VALUE', { path: 'value.N' }],
    ['half a number', gob.int, 1.5, 'ERR_GOB_VALUE', { path: 'value', reason: 'is 1.5, no whole number, where Go has int' }],
    ['a number that is not exact', gob.int64, 2 ** 60, 'ERR_GOB_VALUE', { path: 'value' }],
    ['a bigint beyond 64 bits', gob.uint64, 2n ** 64n, 'ERR_GOB_VALUE', { path: 'value' }],
    [
      'a text for a number',
      order,
      { By: new Map([['k', { Count: '1' }]]) },
      'ERR_GOB_TYPE',
      { path: 'value.By["k"].Count', expected: 'int8', found: 'a string' },
    ],
    ['a plain object for a Map', order, { By: { k: {} } }, 'ERR_GOB_TYPE', { path: 'value.By', found: 'an object' }],
    ['an array for a struct', gob.slice(line), [[]], 'ERR_GOB_TYPE', { path: 'value[0]', expected: 'main.Line', found: 'a Array' }],
    ['too large a float32', line, { Price: 1e39 }, 'ERR_GOB_VALUE', { path: 'value.Price' }],
    [
      'an array of another length',
      line,
      { Quad: new Uint8Array(3) },
      'ERR_GOB_VALUE',
      { path: 'value.Quad', reason: 'has 3 bytes where Go has 4' },
    ],
    ['an invalid Date', order, { When: new Date(Number.NaN) }, 'ERR_GOB_VALUE', { path: 'value.When' }],
    ['a lone surrogate', line, { Sku: 'x\ud800' }, 'ERR_GOB_VALUE', { path: 'value.Sku' }],
    ['a long lone surrogate', line, { Sku: `${'x'.repeat(200)}\udc00` }, 'ERR_GOB_VALUE', { path: 'value.Sku' }],
    ['a bare number in an interface', gob.iface(), 1, 'ERR_GOB_TYPE', { path: 'value', found: 'a number' }],
    ['nil where there is no place for it', gob.slice(gob.pointer(line)), [null], 'ERR_GOB_VALUE', { path: 'value[0]' }],
    ['null for a struct', order, { Lines: [null] }, 'ERR_GOB_TYPE', { path: 'value.Lines[0]', found: 'null' }],
    ['what has no type', gob.slice(gob.any as gob.Schema<unknown, unknown>), [1], 'ERR_GOB_TYPE', {}],
  ]
  for (const [name, schema, value, code, facts] of cases) {
    it(name, () => refuses(() => encode(schema, value as never), code, facts))
  }

  it('a value that contains itself', () => {
    interface Loop {
      Next: Loop | null
    }
    const schema: gob.Schema<Loop> = gob.struct('main.Loop', { Next: gob.pointer(gob.lazy(() => schema)) })
    const loop: Loop = { Next: null }
    loop.Next = loop
    refuses(() => encode(schema, loop), 'ERR_GOB_LIMIT', { limit: 'levels (maxDepth)', max: 500 })
  })

  it('more bytes than allowed', () => {
    const encoder = new gob.Encoder({ limits: { maxValueBytes: 1000 } })
    refuses(() => encoder.encode(gob.bytes, new Uint8Array(1001)), 'ERR_GOB_LIMIT', { max: 1000 })
    assert.equal(hexOf(encoder.encode(gob.string, 'kv')), '050c00026b76')
  })

  it('and leaves the stream as it was', () => {
    const types = gob.registry({ 'main.Point': point, 'main.Line': line })
    const holder = gob.struct('main.Holder', { A: gob.iface(types), B: gob.int8 })
    const encoder = new gob.Encoder()
    const good = { A: { type: 'main.Point', value: { X: 1 } }, B: 1 } as const
    assert.throws(() => encoder.append(holder, { ...good, B: 1000 }))
    assert.equal(encoder.take().length, 0)
    encoder.append(gob.bool, true)
    assert.throws(() => encoder.append(holder, { A: { type: 'main.Line', value: { Count: 1000 } } }))
    encoder.append(holder, good)
    encoder.append(holder, good)
    const decoder = decoderOf(encoder.take())
    assert.equal(decoder.next(gob.bool)?.value, true)
    for (let i = 0; i < 2; i++)
      assert.deepStrictEqual(decoder.next(holder)?.value, { A: { type: 'main.Point', value: { X: 1, Y: 0 } }, B: 1 })
    decoder.end()
  })

  it('schemas that Go could not have', () => {
    for (const make of [
      () => gob.struct({ lower: gob.int }),
      () => gob.struct({ 'Not a name': gob.int }),
      () => gob.slice(gob.uint8),
      () => gob.array(-1, gob.int),
      () => gob.array(1.5, gob.int),
      () => gob.named('', gob.int),
      () => gob.registry({ int: point }),
    ])
      refuses(make, 'ERR_CONTRACT', {})
    const endless: gob.Schema<unknown, never> = gob.slice(gob.lazy(() => endless as gob.Schema<unknown>))
    refuses(() => encode(endless, [] as never), 'ERR_CONTRACT', {})
    const anew = (): gob.Schema<unknown, unknown> => gob.struct({ Next: gob.pointer(gob.lazy(anew)) }) as gob.Schema<unknown, unknown>
    const encoder = new gob.Encoder()
    const one = anew()
    for (let i = 0; i < 2; i++) refuses(() => encoder.encode(one, {}), 'ERR_CONTRACT', {})
    assert.equal(hexOf(encoder.encode(gob.slice(gob.string), ['a', 'bc'])), '0b7f020102ff8000010c000009ff8000020161026263')
    interface Same {
      Next: Same | null
    }
    const same: gob.Schema<Same> = gob.struct({ Next: gob.pointer(gob.lazy(() => same)) })
    const decoder = decoderOf(encode(same, { Next: { Next: null } }))
    refuses(() => decoder.next(anew()), 'ERR_CONTRACT', {})
    decoder.end()
    const itself: gob.Schema<unknown, never> = gob.lazy(() => itself as gob.Schema<unknown>) as gob.Schema<unknown, never>
    refuses(() => encode(itself, {} as never), 'ERR_CONTRACT', {})
  })
})

describe('decoding refuses what does not fit, says where, and goes on', () => {
  const theirs = gob.struct('main.Their', {
    Name: gob.string,
    Big: gob.int64,
    List: gob.slice(gob.struct('main.In', { N: gob.int, S: gob.string })),
    By: gob.map(gob.string, gob.uint),
    Any: gob.iface(gob.registry({ 'main.Point': point })),
    When: gob.time,
  })
  const value = {
    Name: 'n',
    Big: 2n ** 60n,
    List: [{ N: 1 }, { N: 300, S: 's' }],
    By: new Map([['k', 300]]),
    Any: { type: 'main.Point', value: { X: 1 } },
    When: new Date(0),
  } as const
  const cases: [string, gob.AnySchema, string, object][] = [
    ['another kind', gob.struct({ Name: gob.int }), 'ERR_GOB_TYPE', { path: 'value.Name', expected: 'int', found: 'string' }],
    ['bytes for a string', gob.struct({ Name: gob.bytes }), 'ERR_GOB_TYPE', { path: 'value.Name', expected: '[]uint8', found: 'string' }],
    [
      'a uint for an int',
      gob.struct({ By: gob.map(gob.string, gob.int) }),
      'ERR_GOB_TYPE',
      { path: 'value.By', expected: 'int', found: 'uint' },
    ],
    [
      'a slice for a struct',
      gob.struct({ List: point }),
      'ERR_GOB_TYPE',
      { path: 'value.List', expected: 'main.Point', found: '[]main.In' },
    ],
    [
      'a kind deep inside',
      gob.struct({ List: gob.slice(gob.struct({ S: gob.bool })) }),
      'ERR_GOB_TYPE',
      { path: 'value.List.S', expected: 'bool', found: 'string' },
    ],
    [
      'a number beyond 2^53',
      gob.struct({ Big: gob.int }),
      'ERR_GOB_VALUE',
      { path: 'value.Big', reason: 'is 1152921504606846976, beyond what a number holds exactly: the schema wants int64' },
    ],
    [
      'a number out of range',
      gob.struct({ List: gob.slice(gob.struct({ N: gob.int8 })) }),
      'ERR_GOB_VALUE',
      { path: 'value.List[1].N', reason: 'is 300, out of range of int8' },
    ],
    [
      'the same in a map',
      gob.struct({ By: gob.map(gob.string, gob.uint8) }),
      'ERR_GOB_VALUE',
      { path: 'value.By["k"]', reason: 'is 300, out of range of uint8' },
    ],
    [
      'a name that is not registered',
      gob.struct({ Any: gob.iface() }),
      'ERR_GOB_TYPE',
      { path: 'value.Any', expected: 'a registered type', found: '"main.Point"' },
    ],
    [
      'a registered name of another type',
      gob.struct({ Any: gob.iface(gob.registry({ 'main.Point': gob.int })) }),
      'ERR_GOB_TYPE',
      { path: 'value.Any.(main.Point)', expected: 'int', found: 'Point' },
    ],
    [
      'a concrete type for an interface',
      gob.struct({ Name: gob.iface() }),
      'ERR_GOB_TYPE',
      { path: 'value.Name', expected: 'interface {}', found: 'string' },
    ],
    ['an interface for a concrete type', gob.struct({ Any: gob.string }), 'ERR_GOB_TYPE', { path: 'value.Any' }],
    [
      'another way to make bytes',
      gob.struct({ When: gob.binaryMarshaler('main.T', { encode: () => new Uint8Array(), decode: () => 0, zero: () => 0 }) }),
      'ERR_GOB_TYPE',
      { path: 'value.When', found: 'a GobEncoder' },
    ],
    [
      'bytes that a codec refuses',
      gob.struct({
        When: gob.gobEncoder('main.T', {
          encode: () => new Uint8Array(),
          decode: () => {
            throw new Error('odd')
          },
          zero: () => 0,
        }),
      }),
      'ERR_GOB_VALUE',
      { path: 'value.When', reason: 'is no main.T: odd' },
    ],
    [
      'a struct of which no field is known',
      gob.struct('main.Other', { Else: gob.int }),
      'ERR_GOB_TYPE',
      { path: 'value', expected: 'main.Other' },
    ],
    ['a struct for a bool', gob.bool, 'ERR_GOB_TYPE', { path: 'value', expected: 'bool', found: 'Their' }],
  ]
  for (const [name, schema, code, facts] of cases) {
    it(name, () => {
      const encoder = new gob.Encoder()
      const decoder = new gob.Decoder()
      for (let round = 0; round < 2; round++) {
        decoder.push(encoder.encode(theirs, value))
        refuses(() => decoder.next(schema), code, facts)
        decoder.push(encoder.encode(gob.string, 'after'))
        assert.equal(decoder.next(gob.string)?.value, 'after')
      }
      decoder.end()
    })
  }

  it('also when the refused value comes in pieces', () => {
    const split = bytesOf(`
      19 ff 81 03 01 01 05 49 66 61 63 65 01 ff 82 00 01 01 01 01 56 01 10 00 00 00
      2d ff 82 01 0a 6d 61 69 6e 2e 50 6f 69 6e 74 ff 83 03 01 01 05 50 6f 69 6e 74 01 ff 84 00 01 02 01 01 58 01 04 00 01 01 59 01 04 00 00 00
      09 ff 84 05 01 2c 01 42 00 00
      17 ff 82 01 0a 6d 61 69 6e 2e 50 6f 69 6e 74 ff 84 05 01 02 01 02 00 00`)
    const known = gob.struct({ V: gob.iface(gob.registry({ 'main.Point': point })) })
    const unknown = gob.struct({ V: gob.iface() })
    const decoder = new gob.Decoder()
    const errors: string[] = []
    const values: unknown[] = []
    for (const byte of split) {
      decoder.push(Uint8Array.of(byte))
      try {
        const next = decoder.next(errors.length === 0 ? unknown : known)
        if (next) values.push(next.value)
      } catch (error) {
        errors.push((error as PluginError).code)
      }
    }
    decoder.end()
    assert.deepStrictEqual(errors, ['ERR_GOB_TYPE'])
    assert.deepStrictEqual(values, [{ V: { type: 'main.Point', value: { X: 1, Y: 1 } } }])
  })

  it('zero for what was left out, each of its own', () => {
    const all = gob.struct({
      Known: gob.int,
      B: gob.bool,
      I: gob.int,
      I64: gob.int64,
      F: gob.float,
      C: gob.complex,
      S: gob.string,
      Bs: gob.bytes,
      L: gob.slice(gob.int),
      M: gob.map(gob.string, gob.int),
      NM: gob.nullable(gob.map(gob.string, gob.int)),
      A: gob.array(2, gob.int),
      BA: gob.byteArray(2),
      P: gob.pointer(point),
      St: point,
      T: gob.time,
      N: gob.bigInt,
      An: gob.iface(),
      Deep: gob.struct({ St: point, L: gob.slice(point) }),
    })
    const bytes = encode(gob.struct({ Known: gob.int }), { Known: 7 })
    const expected = {
      Known: 7,
      B: false,
      I: 0,
      I64: 0n,
      F: 0,
      C: { re: 0, im: 0 },
      S: '',
      Bs: new Uint8Array(0),
      L: [],
      M: new Map(),
      NM: null,
      A: [0, 0],
      BA: new Uint8Array(2),
      P: null,
      St: { X: 0, Y: 0 },
      T: new Date('0001-01-01T00:00:00Z'),
      N: 0n,
      An: null,
      Deep: { St: { X: 0, Y: 0 }, L: [] },
    }
    const first = decoderOf(bytes).next(all)?.value
    const second = decoderOf(bytes).next(all)?.value
    assert.deepStrictEqual(first, expected)
    assert.notEqual(first?.L, second?.L)
    assert.notEqual(first?.St, second?.St)
    // In whatever order the fields come, the object has them in the order of the schema.
    assert.deepStrictEqual(Object.keys(first ?? {}), Object.keys(expected))
    const turned = gob.struct({ Y: gob.int, X: gob.int })
    assert.deepStrictEqual(Object.keys(decoderOf(encode(point, { X: 1 })).next(turned)?.value ?? {}), ['Y', 'X'])
  })

  it('fields nobody asked for are passed over, whatever is in them', () => {
    const decoder = decoderOf(encode(theirs, value))
    assert.deepStrictEqual(decoder.next(gob.struct({ Name: gob.string, More: gob.int }))?.value, { Name: 'n', More: 0 })
    decoder.end()
  })

  it('names of fields reach no prototype', () => {
    const evil = bytesOf(
      '1f ff 81 03 01 02 ff 82 00 01 02 01 09 5f 5f 70 72 6f 74 6f 5f 5f 01 04 00 01 01 58 01 04 00 00 00'.replace('1f', '20'),
    )
    const decoder = new gob.Decoder()
    decoder.push(evil)
    decoder.push(bytesOf('07 ff 82 01 2c 01 42 00'))
    const { value: decoded } = decoder.next() as { value: Record<string, unknown> }
    assert.deepStrictEqual(Object.keys(decoded), ['__proto__', 'X'])
    assert.equal(Object.getPrototypeOf(decoded), null)
  })
})

describe('strings', () => {
  it('that are not UTF-8 decode with U+FFFD, and lose nothing as bytes', () => {
    const raw = Uint8Array.from([0x63, 0xff, 0x61, 0xe9])
    const bytes = encode(gob.rawString, raw)
    assert.equal(decoderOf(bytes).next(gob.string)?.value, 'c\ufffda\ufffd')
    assert.deepStrictEqual(decoderOf(bytes).next(gob.rawString)?.value, raw)
  })

  it('of every length and place come back', () => {
    const list = gob.slice(gob.string)
    for (const unit of ['a', 'é', '€', '😀', 'aé']) {
      const value = Array.from({ length: 140 }, (_, i) => unit.repeat(i))
      assert.deepStrictEqual(decoderOf(encode(list, value)).next(list)?.value, value)
    }
  })
})

describe('times and large integers', () => {
  it('keep nanoseconds and zones in full, milliseconds as a Date', () => {
    const precise: gob.GoTime = { seconds: -1n, nanoseconds: 999_999_999, offsetSeconds: -3607 }
    const bytes = encode(gob.preciseTime, precise)
    assert.deepStrictEqual(decoderOf(bytes).next(gob.preciseTime)?.value, precise)
    assert.deepStrictEqual(decoderOf(bytes).next(gob.time)?.value, new Date(-1))
    for (const ms of [-8.64e15, -1, 0, 1, 8.64e15])
      assert.deepStrictEqual(decoderOf(encode(gob.time, new Date(ms))).next(gob.time)?.value, new Date(ms))
    refuses(() => decoderOf(encode(gob.preciseTime, { ...precise, seconds: 10n ** 15n })).next(gob.time), 'ERR_GOB_VALUE', {})
    refuses(() => encode(gob.preciseTime, { ...precise, offsetSeconds: -60 }), 'ERR_GOB_VALUE', {})
    refuses(() => encode(gob.preciseTime, { ...precise, nanoseconds: 1e9 }), 'ERR_GOB_VALUE', {})
    refuses(() => encode(gob.preciseTime, { ...precise, seconds: 2n ** 63n }), 'ERR_GOB_VALUE', {})
  })

  it('integers of any size', () => {
    for (const n of [0n, 1n, -1n, 255n, 256n, -(2n ** 64n), 3n ** 500n])
      assert.equal(decoderOf(encode(gob.bigInt, n)).next(gob.bigInt)?.value, n)
  })
})

describe('a hostile stream', () => {
  const malformed: [string, string, RegExp][] = [
    ['a type never defined', '04 ff 82 01 00', /type 65 was never defined/],
    ['a type defined twice', '0c ff 81 02 01 02 ff 82 00 01 0c 00 00 0c ff 81 02 01 02 ff 82 00 01 0c 00 00', /defined twice/],
    ['a definition of a type that is Go’s own', '0b 03 02 01 02 ff 82 00 01 0c 00 00', /cannot be defined/],
    ['a definition and something behind it', '0d ff 81 02 01 02 ff 82 00 01 0c 00 00 00', /something follows/],
    ['a definition of nothing', '04 ff 81 00 00', /a definition of kind 0/],
    ['a type that is in itself never defined', '0d ff 81 02 01 02 ff 82 00 01 ff 90 00 00 04 ff 82 00 00', /type 72 was never defined/],
    ['a message that ends in a number', '03 04 00 fe', /a number is cut off/],
    ['a number of nine bytes', '0c 06 00 f7 01 01 01 01 01 01 01 01 01', /a number of 9 bytes/],
    ['a length beyond the message', '05 0c 00 50 6b 76', /80 bytes announced, 2 left/],
    ['a length beyond all bounds', '0c 0c 00 f8 ff ff ff ff ff ff ff ff 00', /beyond all bounds/],
    ['a slice of a trillion', '0c ff 81 02 01 02 ff 82 00 01 0c 00 00 0a ff 82 00 fb 01 00 00 00 00 00', /elements announced/],
    ['a map of a trillion', '0e ff 83 04 01 02 ff 84 00 01 0c 01 04 00 00 0a ff 84 00 fb 01 00 00 00 00 00', /entries announced/],
    ['an array of another length', '0e ff 81 01 01 02 ff 82 00 01 06 01 08 00 00 07 ff 82 00 03 01 02 00', /an array of 4 with 3/],
    [
      'an interface slice of a trillion nothings',
      '0c ff 81 02 01 02 ff 82 00 01 10 00 00 0a ff 82 00 fb 01 00 00 00 00 00',
      /the message ends after|levels|elements announced/,
    ],
    [
      'a field beyond the last',
      '1f ff 81 03 01 01 05 50 6f 69 6e 74 01 ff 82 00 01 02 01 01 58 01 04 00 01 01 59 01 04 00 00 00 05 ff 82 05 2c 00',
      /with a field 4/,
    ],
    ['a name of a type that is longer than any', `fe 08 00 10 00 fe 07 f0 ${'61'.repeat(2043)}`, /name of a type has 2032 bytes/],
    ['a value that is no struct and does not say so', '03 02 01 01', /does not begin with 0/],
    ['a struct field without a name', '0f ff 81 03 01 02 ff 82 00 01 01 02 04 00 00 00', /without a name/],
    ['an array of less than nothing', '0e ff 81 01 01 02 ff 82 00 01 06 01 07 00 00', /an array of -4 elements/],
  ]
  for (const [name, hex, reason] of malformed) {
    it(name, () => {
      for (const read of [(d: gob.Decoder) => d.next(), (d: gob.Decoder) => d.next(gob.slice(gob.iface()))]) {
        const decoder = decoderOf(hex)
        const error = caught(() => {
          for (let i = 0; i < 4 && read(decoder); i++);
          decoder.end()
        })
        if (error.code === 'ERR_GOB_TYPE') continue
        assert.equal(error.code, 'ERR_GOB_MALFORMED', error.message)
        assert.match(error.message, reason)
        assert.equal(
          caught(() => decoder.next()),
          error,
          'the stream is over',
        )
        decoder.push(Uint8Array.of(1))
        assert.equal(
          caught(() => decoder.skip()),
          error,
        )
      }
      const any = decoderOf(hex)
      assert.equal(
        caught(() => {
          any.next()
          any.next()
          any.end()
        }).code,
        'ERR_GOB_MALFORMED',
      )
    })
  }

  it('a message longer than allowed is refused by its length alone', () => {
    refuses(() => decoderOf('fc 04 00 00 01').next(), 'ERR_GOB_LIMIT', { limit: 'bytes (maxValueBytes)', max: 64 * 1024 * 1024 })
    refuses(() => decoderOf('f8 ff ff ff ff ff ff ff ff').next(), 'ERR_GOB_LIMIT', {})
    assert.equal(decoderOf('fc 03 ff ff 00').next(), undefined)
  })

  it('a value of many messages counts as one', () => {
    const decoder = new gob.Decoder({ limits: { maxValueBytes: 400 } })
    decoder.push(bytesOf('0c ff 81 02 01 02 ff 82 00 01 10 00 00'))
    // One element after the other, each with a type of its own, each in a message of its own.
    const parts: number[] = []
    for (let i = 0; i < 60; i++) {
      const id = 70 + i
      const first = i === 0 ? [0xff, 0x82, 0x00, 0x7f] : []
      const definition = [1, 0x61, 0xff, id * 2 - 1, 3, 1, 2, 0xff, id * 2, 0, 0, 0].filter(byte => byte <= 0xff)
      if (id * 2 > 0xff) break
      const head = i === 0 ? [] : [0xff, (id - 1) * 2, 1, 0]
      parts.push(first.length + head.length + definition.length, ...first, ...head, ...definition)
    }
    decoder.push(Uint8Array.from(parts))
    refuses(() => decoder.next(), 'ERR_GOB_LIMIT', { limit: 'bytes (maxValueBytes)' })
  })

  it('nesting is bounded in values and in types', () => {
    interface Chain {
      Next: Chain | null
    }
    const chain: gob.Schema<Chain> = gob.struct('main.Chain', { Next: gob.pointer(gob.lazy(() => chain)) })
    let deep: Chain = { Next: null }
    for (let i = 0; i < 900; i++) deep = { Next: deep }
    const bytes = new gob.Encoder({ limits: { maxDepth: 5_000 } }).encode(chain, deep)
    const decoder = decoderOf(bytes)
    refuses(() => decoder.next(chain), 'ERR_GOB_LIMIT', { limit: 'levels (maxDepth)' })
    decoder.push(bytesOf('05 0c 00 02 6b 76'))
    assert.equal(decoder.next(gob.string)?.value, 'kv')
    refuses(() => decoderOf(bytes).next(), 'ERR_GOB_LIMIT', { limit: 'levels (maxDepth)' })

    let list: gob.Schema<unknown, unknown> = gob.int as gob.Schema<unknown, unknown>
    for (let i = 0; i < 600; i++) list = gob.slice(list) as gob.Schema<unknown, unknown>
    const types = encode(list, [])
    // The type may be deep: it is the value that counts.
    const shallow = decoderOf(types)
    assert.deepStrictEqual(shallow.next()?.value, [])
    shallow.end()
  })

  it('elements are counted, and the zeros of fields that were left out', () => {
    const large = gob.struct({ Known: gob.int, Numbers: gob.array(10_000, gob.int) })
    const list = encode(
      gob.slice(gob.struct({ Known: gob.int })),
      Array.from({ length: 5000 }, () => ({})),
    )
    const decoder = decoderOf(list)
    refuses(() => decoder.next(gob.slice(large)), 'ERR_GOB_LIMIT', { limit: 'items (maxItems)', max: 16_777_216 })
    decoder.end()
    refuses(() => decoderOf(encode(gob.slice(gob.bool), new Array(2000).fill(true)), { maxItems: 1999 }).next(), 'ERR_GOB_LIMIT', {
      max: 1999,
    })
  })

  it('what takes memory beyond its bytes counts for it, present or absent', () => {
    const takes = (count: number, values: unknown, schema: gob.AnySchema, read: gob.AnySchema = schema): void => {
      const bytes = encode(schema as never, values as never)
      assert.ok(decoderOf(bytes, { maxItems: count }).next(read))
      refuses(() => decoderOf(bytes, { maxItems: count - 1 }).next(read), 'ERR_GOB_LIMIT', { limit: 'items (maxItems)' })
    }
    const empty = new Uint8Array(0)
    takes(3, [1, 2, 3], gob.slice(gob.int))
    takes(10, [empty, empty], gob.slice(gob.bytes))
    takes(10, [empty, empty], gob.slice(gob.bytes), gob.any)
    takes(10, [new Map(), new Map()], gob.slice(gob.map(gob.int, gob.int)))
    takes(8, [new Uint8Array(9)], gob.slice(gob.byteArray(9)))
    takes(2, [{ re: 1, im: 1 }], gob.slice(gob.complex))
    const fields = { Known: gob.int, Data: gob.bytes, Map: gob.map(gob.int, gob.int) }
    takes(13, [{ Known: 1 }], gob.slice(gob.struct(fields)))
    takes(13, [{ Known: 1, Data: Uint8Array.of(1), Map: new Map() }], gob.slice(gob.struct(fields)))
  })

  it('a small message keeps no large one in memory', () => {
    const encoder = new gob.Encoder()
    assert.equal(encoder.encode(gob.bytes, new Uint8Array(4 << 20)).length, (4 << 20) + 10)
    assert.ok(encoder.encode(gob.bytes, new Uint8Array(1)).buffer.byteLength < 1 << 20)
  })

  it('a definition is not read beyond the limit of its bytes', () => {
    const fields = Buffer.alloc(6 * 200_000, Buffer.from([1, 1, 0x41, 1, 4, 0]))
    const count = Buffer.from([0xfd, 200_000 >> 16, (200_000 >> 8) & 0xff, 200_000 & 0xff])
    // It ends where more fields should follow.
    const body = Buffer.concat([Buffer.from([0xff, 0x81, 3, 1, 2, 0xff, 0x82, 0, 1]), count, fields.subarray(6)])
    const message = Buffer.concat([Buffer.from([0xfd, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]), body])
    refuses(() => decoderOf(message).next(), 'ERR_GOB_LIMIT', { limit: 'bytes of types (maxTypeBytes)', max: 1 << 20 })
  })

  it('errors do not repeat keys and names of any length', () => {
    const long = 'k'.repeat(100_000)
    const wrong = encode(gob.map(gob.string, gob.int), new Map([[long, 300]]))
    assert.ok(caught(() => decoderOf(wrong).next(gob.map(gob.string, gob.int8))).message.length < 2_000)
    const named = encode(gob.struct(`main.${long}`, { F: gob.int }), {})
    assert.ok(caught(() => decoderOf(named).next(gob.string)).message.length < 2_000)
    assert.ok(caught(() => encode(gob.map(gob.string, gob.int8), new Map([[long, 300]]))).message.length < 2_000)
  })

  it('types are counted and weighed', () => {
    const encoder = new gob.Encoder()
    const few = new gob.Decoder({ limits: { maxTypes: 20 } })
    const small = new gob.Decoder({ limits: { maxTypeBytes: 300 } })
    const codes = [few, small].map(decoder =>
      caught(() => {
        for (let i = 0; i < 50; i++) {
          decoder.push(encoder.encode(gob.struct(`main.T${i}`, { F: gob.int }), {}))
          decoder.next()
        }
      }),
    )
    assert.deepStrictEqual(
      codes.map(error => error.facts),
      [
        { path: 'value', limit: 'types (maxTypes)', max: 20 },
        { path: 'value', limit: 'bytes of types (maxTypeBytes)', max: 300 },
      ],
    )
  })

  it('a million pieces of one value are each looked at a few times only', () => {
    // A value that goes on and on: each message ends in the definition of a type that nobody knows yet. Were it read from its start
    // whenever a message comes, this would take hours.
    const decoder = new gob.Decoder()
    decoder.push(bytesOf('0c ff 81 02 01 02 ff 82 00 01 10 00 00'))
    const nils = Buffer.alloc(1 << 20)
    const count = nils.length + 4000
    const head = Buffer.from([0xff, 0x82, 0x00, 0xfd, count >> 16, (count >> 8) & 0xff, count & 0xff])
    let values = 0
    for (let i = 0; i < 4000; i++) {
      const id = 100 + i
      const wire = (n: number): number[] => (n <= 0x7f ? [n] : n <= 0xff ? [0xff, n] : [0xfe, n >> 8, n & 0xff])
      const definition = Buffer.from([1, 0x61, ...wire(id * 2 - 1), 3, 1, 2, ...wire(id * 2), 0, 0, 0])
      const body = Buffer.concat([i === 0 ? Buffer.concat([head, nils]) : Buffer.from([...wire((id - 1) * 2), 1, 0]), definition])
      decoder.push(
        Buffer.concat([
          Buffer.from(
            wire(body.length).length > 2 && body.length > 0xffff
              ? [0xfd, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]
              : wire(body.length),
          ),
          body,
        ]),
      )
      if (decoder.next() !== undefined) values++
    }
    assert.equal(values, 0)
    const last = (100 + 3999) * 2
    decoder.push(Uint8Array.from([5, 0xfe, last >> 8, last & 0xff, 1, 0]))
    const { value } = decoder.next() as { value: unknown[] }
    assert.equal(value.length, count)
    assert.deepStrictEqual((value.at(-1) as gob.Typed).type, 'a')
    decoder.end()
  })

  it('a stream that ends in the middle', () => {
    const whole = encode(point, { X: 1, Y: 2 })
    for (let length = 1; length < whole.length; length++) {
      const decoder = decoderOf(whole.subarray(0, length))
      assert.equal(decoder.next(), undefined)
      refuses(() => decoder.end(), 'ERR_GOB_MALFORMED', { reason: 'the stream ends in the middle' })
    }
    new gob.Decoder().end()
  })
})
