// The program of docs/gob.md, on the package as it is published.

import assert from 'node:assert/strict'
import { it } from 'node:test'
// #region page
import { bytes, Decoder, Encoder, iface, int64, map, registry, slice, string, struct, type TypeOf, time, typed } from '@plugwire/netrpc/gob'

// type Point struct{ X, Y int64 }, registered in Go with gob.Register(Point{})
const point = struct('github.com/acme/shop/shared.Point', { X: int64, Y: int64 })
const types = registry({ 'github.com/acme/shop/shared.Point': point })
const item = struct('github.com/acme/shop/shared.Item', {
  Key: string,
  Value: bytes,
  Tags: slice(string),
  Made: time,
  Extra: map(string, iface(types)), // map[string]interface{}
})
type Item = TypeOf<typeof item> // { Key: string; Value: Uint8Array; Tags: string[]; Made: Date; Extra: Map<string, …> }

const encoder = new Encoder() // one for each direction of each stream
const sent = encoder.encode(item, {
  Key: 'k',
  Made: new Date(0),
  Extra: new Map([['at', typed('github.com/acme/shop/shared.Point', { X: 1, Y: 2n })]]),
})

const decoder = new Decoder()
decoder.push(sent.subarray(0, 20)) // in whatever pieces it comes
console.log(decoder.next(item)) // undefined: not all of it is here
decoder.push(sent.subarray(20))
const received: Item | undefined = decoder.next(item)?.value
const at = received?.Extra.get('at')
if (at?.type === 'github.com/acme/shop/shared.Point') console.log(at.value.X) // 1n
// #endregion

it('the page’s program does what it says', () => {
  assert.deepStrictEqual(received, {
    Key: 'k',
    Value: new Uint8Array(0),
    Tags: [],
    Made: new Date(0),
    Extra: new Map([['at', { type: 'github.com/acme/shop/shared.Point', value: { X: 1n, Y: 2n } }]]),
  })
})
