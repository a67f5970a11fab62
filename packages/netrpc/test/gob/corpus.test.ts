// Golden bytes of Go's encoder: they decode to what Go had, and encoding that gives the same bytes, wherever Go itself would.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Decoder, Encoder } from '../../src/gob/index.ts'
import type { Description } from './described.ts'
import { Described } from './described.ts'
import { buildGoSide, GoSide, whyNoGo } from './go-side.ts'

interface Golden {
  readonly name: string
  readonly hex: string
  readonly exact: boolean
  readonly items: readonly { readonly type: Description; readonly value: unknown; readonly decoded: unknown }[]
}
interface Corpus {
  readonly registry: Record<string, Description>
  readonly cases: readonly Golden[]
}

const skip = whyNoGo()
const kept: Corpus = JSON.parse(readFileSync(new URL('../../../test/gob/corpus.json', import.meta.url), 'utf8'))

function encodeAll(corpus: Corpus, golden: Golden): { hex: string; bytes: Uint8Array[] } {
  const described = new Described(corpus.registry)
  const encoder = new Encoder()
  const bytes = golden.items.map(({ type, value }) => {
    const raw = golden.name.includes('not UTF-8')
    const given = described.value(type, value, false, raw)
    // A nil map can be left out of a struct only.
    return encoder.encode(described.schema(type, raw), given === undefined ? new Map() : given)
  })
  return { hex: Buffer.concat(bytes).toString('hex'), bytes }
}

function decodeAll(corpus: Corpus, golden: Golden, chunks: Iterable<Uint8Array>): void {
  const described = new Described(corpus.registry)
  const decoder = new Decoder()
  let i = 0
  const take = (): void => {
    for (let item: Golden['items'][number] | undefined; (item = golden.items[i]) !== undefined; i++) {
      const raw = golden.name.includes('not UTF-8')
      const next = decoder.next(described.schema(item.type, raw))
      if (next === undefined) return
      assert.deepStrictEqual(next.value, described.value(item.type, item.decoded, true, raw))
    }
  }
  for (const chunk of chunks) {
    decoder.push(chunk)
    take()
  }
  assert.equal(i, golden.items.length, 'not all values came')
  decoder.end()
}

for (const [origin, corpus] of [['kept', kept] as const]) {
  describe(`the ${origin} golden values of Go`, () => {
    for (const golden of corpus.cases) {
      it(golden.name, () => {
        const bytes = Buffer.from(golden.hex, 'hex')
        decodeAll(corpus, golden, [bytes])
        // Byte by byte, each in memory of its own.
        decodeAll(
          corpus,
          golden,
          [...bytes].map(byte => Uint8Array.of(byte)),
        )
        const ours = encodeAll(corpus, golden)
        if (golden.exact) assert.equal(ours.hex, golden.hex)
        decodeAll(corpus, golden, ours.bytes)
        // And told from the wire alone, whatever it is, and passed over.
        const loose = new Decoder()
        loose.push(bytes)
        for (const _ of golden.items) assert.notEqual(loose.next(), undefined)
        loose.end()
        const blind = new Decoder()
        for (const byte of bytes) blind.push(Uint8Array.of(byte))
        for (const _ of golden.items) assert.ok(blind.skip())
        blind.end()
      })
    }
  })
}

describe('the golden values and the Go at hand', { skip }, () => {
  it('are what this Go makes', () => {
    const fresh: Corpus = JSON.parse(execFileSync(buildGoSide(), ['corpus'], { encoding: 'utf8', maxBuffer: 1 << 26 }))
    assert.deepStrictEqual(fresh.registry, kept.registry)
    assert.equal(fresh.cases.length, kept.cases.length)
    for (const [i, golden] of fresh.cases.entries()) {
      if (golden.exact) assert.deepStrictEqual(golden, kept.cases[i])
      decodeAll(fresh, golden, [Buffer.from(golden.hex, 'hex')])
    }
  })

  it('decode in Go as we encode them', async () => {
    await using go = new GoSide()
    for (const golden of kept.cases) {
      const answer = await go.ask({ case: golden.name, hex: encodeAll(kept, golden).hex })
      assert.deepStrictEqual(answer, { value: golden.items.map(item => item.decoded) }, golden.name)
    }
  })
})
