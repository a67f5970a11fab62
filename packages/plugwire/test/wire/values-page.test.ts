// docs/protocol-values.md against the program: every example on the page, both ways, cut everywhere, and its tables.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isPluginError } from '../../src/errors.ts'
import { Tag, VIEW_KINDS } from '../../src/wire/value-tags.ts'
import { assertSame, decode, decoder, encode, encoder, hex } from './value-bytes.ts'

interface Example {
  readonly bytes: Buffer
  readonly source: string
  value(): unknown
}

const page = readFileSync(new URL('../../../../../docs/protocol-values.md', import.meta.url), 'utf8')

function examples(heading: string): Example[] {
  const found: Example[] = []
  for (const [, block] of page.matchAll(new RegExp(`^\`\`\`${heading}\n(.*?)^\`\`\``, 'gms'))) {
    for (const line of (block as string).split('\n')) {
      if (line === '') continue
      const parts = /^([0-9a-f]+(?: [0-9a-f]+)*) {2,}(\S.*)$/.exec(line)
      assert.ok(parts, `not an example: ${line}`)
      const [, bytes, source] = parts as unknown as [string, string, string]
      const make = new Function('withoutStack', `return (${source})`)
      found.push({ bytes: hex(bytes), source, value: () => make(withoutStack) })
    }
  }
  return found
}

function withoutStack(error: Error): Error {
  Object.defineProperty(error, 'stack', { value: undefined, configurable: true })
  return error
}

/** The stack is this process's business. */
const comparable = (value: unknown): unknown =>
  value instanceof Error
    ? { name: value.name, message: value.message, cause: value.cause, errors: (value as AggregateError).errors, data: { ...value } }
    : value

const single = examples('values')
const sequence = examples('values sequence')

test('the page has examples', () => {
  assert.ok(single.length >= 40, `${single.length}`)
  assert.equal(sequence.length, 6)
})

for (const { bytes, source, value } of single) {
  test(`${source} is written as on the page, and read`, () => {
    assert.equal(encode(value()).toString('hex'), bytes.toString('hex'))
    assertSame(comparable(decode(bytes)), comparable(value()))
  })
}

test('the sequence of the page is written and read by one connection', () => {
  const there = encoder()
  const here = decoder()
  for (const { bytes, value } of sequence) {
    assert.equal(encode(value(), there).toString('hex'), bytes.toString('hex'))
    assert.deepStrictEqual(decode(bytes, here), value())
  }
})

test('every example that is cut short, or has a byte too many, is malformed', () => {
  for (const { bytes, source } of single) {
    for (let length = 0; length < bytes.length; length++) assertMalformed(bytes.subarray(0, length), `${source} cut at ${length}`)
    assertMalformed(Buffer.concat([bytes, hex('00')]), `${source} and a byte`)
  }
  for (const [index, { bytes }] of sequence.entries()) {
    for (let length = 0; length < bytes.length; length++) {
      const here = decoder()
      for (const before of sequence.slice(0, index)) decode(before.bytes, here)
      assert.throws(
        () => decode(bytes.subarray(0, length), here),
        error => isPluginError(error, 'ERR_VALUE_MALFORMED'),
      )
    }
  }
})

function assertMalformed(bytes: Buffer, what: string): void {
  assert.throws(
    () => decode(bytes),
    error => isPluginError(error, 'ERR_VALUE_MALFORMED') && error.facts.offset <= bytes.length,
    what,
  )
}

test('the offset of an example inside a larger buffer counts from its own start', () => {
  const bytes = hex('ffffff a2 01 c480000000 ffffff')
  assert.deepStrictEqual(decoder().decode(bytes, 3, 10), [1, -(2 ** 31)])
  assert.throws(() => decoder().decode(bytes, 3, 9), { facts: { reason: 'the value ends too early', offset: 2 } })
})

test('the table of first bytes has every tag, and no other', () => {
  const [table] = page.split('## First byte')[1]?.split('A reader accepts') ?? []
  const listed = [...(table as string).matchAll(/^\| `([0-9a-f]{2})` \|/gm)].map(([, tag]) => Number.parseInt(tag as string, 16))
  assert.deepStrictEqual(listed, Object.values(Tag))
})

test('the table of typed arrays is the one of the program', () => {
  const listed: string[] = []
  for (const [, row] of page.matchAll(/^\| (\d+ \| \w+ \| \d+ \| \w+) \|$/gm)) {
    const [first, left, second, right] = (row as string).split(' | ') as [string, string, string, string]
    listed[Number(first)] = left
    listed[Number(second)] = right
  }
  assert.deepStrictEqual(listed, VIEW_KINDS)
})
