// Random types and values: what we encode, Go decodes to the same, and the reverse; what is broken ends in a coded error.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPluginError } from 'plugwire'
import { Decoder, Encoder } from '../../src/gob/index.ts'
import type { Description } from './described.ts'
import { basic, Described } from './described.ts'
import { GoSide, whyNoGo } from './go-side.ts'

type Registered = Record<string, Description>

/** A type and a value of it as Go would give it back: no pointers to zero, no NaN among keys. */
class Sample {
  readonly #random: () => number
  readonly #unique: string
  #names = 0
  #interfaces = 0
  readonly registered: Registered = {}

  constructor(seed: number, unique: string) {
    // Mulberry32: the same seed gives the same sample.
    let state = seed | 0
    this.#random = () => {
      state = (state + 0x6d2b79f5) | 0
      let t = Math.imul(state ^ (state >>> 15), 1 | state)
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
    }
    this.#unique = unique
    for (let i = this.#below(3); i > 0; i--) this.registered[`sample.${unique}.T${i}`] = this.#struct(2, true)
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n)
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T
  }

  type(depth: number): Description {
    if (depth <= 0 || this.#random() < 0.45) {
      const name = this.#pick([
        'bool',
        'string',
        'int',
        'int8',
        'int16',
        'int32',
        'int64',
        'uint',
        'uint8',
        'uint16',
        'uint32',
        'uint64',
        'uintptr',
      ])
      const more = this.#pick([name, name, '[]uint8', 'float32', 'float64', 'complex64', 'complex128', 'any', 'time', 'big'])
      if (more === 'any') return { t: 'iface' }
      if (more === 'time') return { t: 'opaque', name: 'time.Time', wire: 5, onPointer: false }
      if (more === 'big') return { t: 'ptr', of: { t: 'opaque', name: 'math/big.Int', wire: 5, onPointer: true } }
      return basic(more)
    }
    switch (this.#below(6)) {
      case 0: {
        const of = this.#element(depth - 1)
        return of.t === 'uint' && of.go === 'uint8' ? { t: 'bytes' } : { t: 'slice', of }
      }
      case 1:
        return { t: 'array', n: this.#below(4), of: this.#element(depth - 1) }
      case 2:
        return { t: 'map', key: basic(this.#pick(['string', 'int', 'uint16', 'bool', 'int64'])), of: this.#element(depth - 1) }
      default:
        return this.#struct(depth - 1, false)
    }
  }

  /** In slices, arrays and maps Go has no nil. */
  #element(depth: number): Description {
    return this.type(depth)
  }

  #struct(depth: number, registered: boolean): Description {
    const fields: [string, Description][] = []
    for (let i = registered ? 1 + this.#below(4) : this.#below(7); i >= 0; i--) {
      const of = this.type(depth)
      const field = of.t === 'struct' && this.#random() < 0.4 ? ({ t: 'ptr', of } as const) : of
      // Two types with the same fields would be one type in Go, and could not have two registered names.
      fields.push([`F${++this.#names}${registered ? `_${this.#unique}` : ''}`, field])
    }
    return { t: 'struct', name: '', fields }
  }

  value(d: Description, field = false): unknown {
    const zero = this.#random() < 0.25
    switch (d.t) {
      case 'bool':
        return this.#random() < 0.5
      case 'int':
      case 'uint': {
        const wide = d.go.endsWith('64') || d.go === 'uintptr'
        const bits = Number(/\d+/.exec(d.go)?.[0] ?? (wide ? 64 : 53))
        const size = BigInt(1 + this.#below(bits - (d.t === 'int' ? 1 : 0)))
        const magnitude = ((BigInt(this.#below(2 ** 32)) << 32n) | BigInt(this.#below(2 ** 32))) & ((1n << size) - 1n)
        if (zero) return '0'
        return String(d.t === 'int' && this.#random() < 0.5 ? -magnitude - (wide ? 1n : 0n) : magnitude)
      }
      case 'float':
        return bits(zero ? 0 : this.#float(d.go === 'float32'))
      case 'complex':
        return [bits(zero ? 0 : this.#float(d.go === 'complex64')), bits(zero ? 0 : this.#float(d.go === 'complex64'))]
      case 'string': {
        const text = zero
          ? ''
          : this.#pick(['a', 'é', '€uro', '😀', 'plain ascii text', '\u0000']).repeat(this.#below(this.#pick([3, 20, 90])))
        return Buffer.from(text).toString('hex')
      }
      case 'bytes':
        return Buffer.from(Array.from({ length: zero ? 0 : this.#below(40) }, () => this.#below(256))).toString('hex')
      case 'slice':
        return Array.from({ length: zero ? 0 : this.#below(5) }, () => this.value(d.of))
      case 'array':
        return Array.from({ length: d.n }, () => this.value(d.of))
      case 'map': {
        if (zero && field) return null
        const entries = new Map(Array.from({ length: this.#below(4) }, () => [String(this.value(d.key)), this.value(d.of)]))
        return [...entries].map(([key, value]) => [d.key.t === 'bool' ? key === 'true' : key, value]).sort(byKey)
      }
      case 'ptr':
        return zero && field ? null : this.value(d.of)
      case 'struct':
        return d.fields.map(([, of]) => this.value(of, true))
      case 'iface': {
        if (zero) return null
        const name = this.#pick([
          ...Object.keys(this.registered),
          'int',
          'int8',
          'uint64',
          'float32',
          'string',
          '[]uint8',
          '[]string',
          'bool',
          'complex128',
          '[]int',
        ])
        const of = this.registered[name] ?? basic(name)
        // Registered types hold interfaces too: an end has to come.
        if (++this.#interfaces > 40) return null
        if (of.t === 'struct' && this.#random() < 0.3) return null
        return { type: name, of, value: this.value(of) }
      }
      case 'opaque':
        if (d.name === 'time.Time')
          return [String(this.#below(2 ** 32) - 2 ** 31), this.#below(1e9), this.#pick([null, 0, 3600, -7200, 20700])]
        return String(BigInt(this.#below(2 ** 32)) ** BigInt(this.#below(5)) * (this.#random() < 0.5 ? -1n : 1n))
      default:
        throw new Error(d.t)
    }
  }

  #float(single: boolean): number {
    const value = this.#pick([1, -1, 0.5, 1e10, -3.25, Math.PI, Infinity, -0.1]) * this.#below(1000)
    return Number.isNaN(value) ? 1 : single ? Math.fround(value) : value
  }
}

const bits = (value: number): string => {
  const raw = Buffer.alloc(8)
  // Go has no negative zero in a field: it is left out there and comes back as zero.
  raw.writeDoubleBE(value === 0 ? 0 : value)
  return raw.toString('hex')
}
const byKey = (a: unknown[], b: unknown[]): number => (String(a[0]) < String(b[0]) ? -1 : 1)

/** Without what only the Go side needs. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const { type, value: inner } = value as { type: string; value: unknown }
  return { type, value: plain(inner) }
}

const skip = whyNoGo()

describe('random types and values', () => {
  it('come back from our own decoder, cut anywhere', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 60 }), (seed, cut) => {
        const sample = new Sample(seed, 'own')
        const type = sample.type(4)
        const described = new Described(sample.registered)
        const schema = described.schema(type)
        const encoder = new Encoder()
        const decoder = new Decoder()
        for (let round = 0; round < 3; round++) {
          const value = plain(sample.value(type))
          const given = described.value(type, value, false)
          const bytes = encoder.encode(schema, given === undefined ? new Map() : given)
          let next: ReturnType<typeof decoder.next<typeof schema>>
          for (let at = 0; at < bytes.length; at += cut) {
            assert.equal(next, undefined)
            decoder.push(bytes.subarray(at, at + cut))
            next = decoder.next(schema)
          }
          assert.deepStrictEqual(next?.value, described.value(type, value, true))
        }
        decoder.end()
      }),
      { numRuns: 300 },
    )
  })

  it('mean the same to Go, both ways', { skip }, async () => {
    await using go = new GoSide()
    let runs = 0
    await fc.assert(
      fc.asyncProperty(fc.integer(), async seed => {
        const sample = new Sample(seed, `r${++runs}`)
        const type = sample.type(4)
        const value = sample.value(type)
        const described = new Described(sample.registered)
        const schema = described.schema(type)
        const given = described.value(type, plain(value), false)
        const bytes = new Encoder().encode(schema, given === undefined ? new Map() : given)
        const answer = await go.ask({ type, registry: sample.registered, value, hex: Buffer.from(bytes).toString('hex') })
        assert.equal(answer.error, undefined)
        const expected = described.value(type, plain(value), true)
        assert.deepStrictEqual(described.value(type, renamed(answer.value, sample.registered), true), expected)
        for (const size of [1 << 20, 1]) {
          const decoder = new Decoder()
          const theirs = Buffer.from(answer.hex as string, 'hex')
          let next: { value: unknown } | undefined
          for (let at = 0; at < theirs.length; at += size) {
            decoder.push(theirs.subarray(at, at + size))
            next = decoder.next(schema)
          }
          assert.deepStrictEqual(next?.value, expected)
          decoder.end()
        }
      }),
      { numRuns: 400 },
    )
  })
})

/** Go's side knows the types that were registered for one question by their spelling alone. */
function renamed(value: unknown, registered: Registered): unknown {
  if (Array.isArray(value)) return value.map(each => renamed(each, registered))
  if (typeof value !== 'object' || value === null) return value
  const { type, value: inner } = value as { type: string; value: unknown }
  const first = /^struct \{ (\w+) /.exec(type)?.[1]
  const name = Object.entries(registered).find(([, d]) => d.t === 'struct' && d.fields[0]?.[0] === first)?.[0]
  return { type: name ?? type, value: renamed(inner, registered) }
}

describe('broken bytes', () => {
  const corpus: { registry: Registered; cases: { name: string; hex: string; items: { type: Description }[] }[] } = JSON.parse(
    readFileSync(new URL('../../../test/gob/corpus.json', import.meta.url), 'utf8'),
  )

  it('end in a coded error or in some value, always with little time and memory', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...corpus.cases),
        fc.array(
          fc.tuple(
            fc.nat(),
            fc.constantFrom('set', 'drop', 'add', 'cut'),
            fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xf8, 0xff)),
          ),
        ),
        fc.constantFrom('schema', 'any', 'skip'),
        (golden, edits, way) => {
          let bytes = [...Buffer.from(golden.hex, 'hex')]
          for (const [where, what, byte] of edits) {
            const at = bytes.length === 0 ? 0 : where % bytes.length
            if (what === 'set') bytes[at] = byte
            else if (what === 'drop') bytes.splice(at, 1)
            else if (what === 'add') bytes.splice(at, 0, byte)
            else bytes = bytes.slice(0, at)
          }
          const described = new Described(corpus.registry)
          const decoder = new Decoder({ limits: { maxValueBytes: 1 << 20, maxItems: 1 << 16 } })
          try {
            decoder.push(Uint8Array.from(bytes))
            for (let i = 0; i < 50; i++) {
              const schema = described.schema(golden.items[Math.min(i, golden.items.length - 1)]?.type as Description)
              try {
                if (way === 'skip' ? !decoder.skip() : (way === 'any' ? decoder.next() : decoder.next(schema)) === undefined) break
              } catch (error) {
                assert.ok(isPluginError(error), String(error))
                if (error.code !== 'ERR_GOB_TYPE' && error.code !== 'ERR_GOB_VALUE') throw error
              }
            }
            decoder.end()
          } catch (error) {
            assert.ok(isPluginError(error) && /^ERR_GOB_/.test(error.code), error instanceof Error ? error.stack : String(error))
          }
        },
      ),
      { numRuns: 8000 },
    )
  })

  it('of no kind at all are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        const decoder = new Decoder()
        try {
          decoder.push(bytes)
          while (decoder.next() !== undefined);
          decoder.end()
        } catch (error) {
          assert.ok(isPluginError(error) && /^ERR_GOB_/.test(error.code), error instanceof Error ? error.stack : String(error))
        }
      }),
      { numRuns: 3000 },
    )
  })
})
