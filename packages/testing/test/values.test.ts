// The kit's own reader of values, against the page that it was written from.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  bytesOf,
  encodeValue,
  isReferenceValue,
  type ReferenceValue,
  referenceValue,
  type Shapes,
  ValueFault,
  ValueReader,
} from '@plugwire/testing'

const page = readFileSync(new URL('../../../../docs/protocol-values.md', import.meta.url), 'utf8')

function read(hex: string, shapes: Shapes = []): unknown {
  const reader = new ValueReader(bytesOf(hex), 0, shapes)
  const value = reader.value()
  reader.end()
  return value
}

test('every example of the page is read to its end', () => {
  let examples = 0
  for (const [, sequence, block = ''] of page.matchAll(/^```values( sequence)?\n(.*?)^```/gms)) {
    const memory: Shapes = []
    for (const line of block.split('\n').filter(Boolean)) {
      const hex = /^[0-9a-f]+(?: [0-9a-f]+)*(?= |$)/.exec(line)?.[0] ?? ''
      read(hex, sequence === undefined ? [] : memory)
      examples++
    }
  }
  assert.ok(examples > 40, `${examples} examples`)
})

test('what is written is read again', () => {
  for (const value of [0, 127, 128, -1, 1.5, -0, 2 ** 40, '', 'é€', null, undefined, true, [1, [2]], { a: { b: [null] } }]) {
    assert.deepEqual(read(encodeValue(value).toString('hex')), value)
  }
  assert.deepEqual(read(encodeValue(Uint8Array.of(1, 2)).toString('hex')), Buffer.of(1, 2))
  const reference = read(encodeValue(referenceValue(2, 7, ['store', ['get']])).toString('hex')) as ReferenceValue
  assert.deepEqual([isReferenceValue(reference), reference.kind, reference.id, reference.detail], [true, 2, 7, ['store', ['get']]])
  assert.equal(isReferenceValue({ kind: 2, id: 7, detail: undefined }), false)
})

test('what is no value is refused, before anything is made for it', () => {
  for (const hex of [
    '',
    'b0',
    'df',
    'd6',
    'a1',
    'c700000005 61',
    'c9ffffffff',
    'ceffffffff',
    'e0',
    'cb0001a0',
    'cb0000a28161816101 02',
    'd202',
    'c0c0',
  ]) {
    assert.throws(() => read(hex), ValueFault, hex)
  }
  assert.throws(() => read('a1'.repeat(600)), ValueFault)
})
