// Requests and answers with bytes changed, left out or put in anywhere: each stream ends, everything else goes on, and nothing is left.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPluginError } from 'plugwire'
import { isRemoteError } from 'plugwire/host'
import { bytes, Encoder, int, slice, string, struct } from '../../src/gob/index.ts'
import { method, wireMethods } from '../../src/methods.ts'
import { RpcClient } from '../../src/rpc/client.ts'
import { request, response } from '../../src/rpc/headers.ts'
import { Peers } from '../fixtures/peers.ts'

const entry = struct('main.Entry', { Key: string, Value: bytes, Tags: slice(string) })
const methods = { Echo: method(entry, entry), Later: method(int, int) }
const wire = wireMethods('Plugin', methods)
const kind = { Echo: (value: object) => value, Later: async (value: number) => value }
const value = { Key: 'k', Value: new Uint8Array([1, 2, 3]), Tags: ['a', 'b'] }

function requests(): Buffer {
  const encoder = new Encoder()
  const parts: Uint8Array[] = []
  for (let Seq = 0; Seq < 4; Seq++) {
    parts.push(encoder.encode(request, { ServiceMethod: Seq % 2 === 0 ? 'Plugin.Echo' : 'Plugin.Later', Seq }))
    parts.push(Seq % 2 === 0 ? encoder.encode(entry, value) : encoder.encode(int, Seq))
  }
  return Buffer.concat(parts)
}

function answers(): Buffer {
  const encoder = new Encoder()
  const parts: Uint8Array[] = []
  for (let Seq = 3; Seq >= 0; Seq--) {
    parts.push(encoder.encode(response, { ServiceMethod: 'Plugin.Echo', Seq, Error: Seq === 1 ? 'wrong' : '' }))
    parts.push(encoder.encode(entry, value))
  }
  return Buffer.concat(parts)
}

const change = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('set', 'remove', 'insert', 'cut'),
  byte: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xf8, 0xff), fc.integer({ min: 0, max: 255 })),
})

function changed(whole: Buffer, changes: readonly { at: number; how: string; byte: number }[]): Buffer {
  let result = whole
  for (const { at, how, byte } of changes) {
    const place = at % (result.length + 1)
    const [before, after] = [result.subarray(0, place), result.subarray(place)]
    if (how === 'cut') result = before
    else if (how === 'insert') result = Buffer.concat([before, Buffer.of(byte), after])
    else result = Buffer.concat([before, ...(how === 'set' ? [Buffer.of(byte)] : []), after.subarray(1)])
  }
  return result
}

test('a server answers or ends, whatever comes', async () => {
  await using peers = await Peers.make()
  const whole = requests()
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async changes => {
      const stream = await peers.serveStream(wire, kind)
      const ended = new Promise<void>(resolve => {
        stream.consume({ chunk() {}, end: resolve, fail: () => resolve() })
      })
      stream.resume()
      stream.write(changed(whole, changes))
      stream.end()
      await ended
    }),
    { numRuns: 300 },
  )
  const other = await peers.serve(methods, kind as never)
  assert.equal(await other.Later(3), 3)
  await other[Symbol.asyncDispose]()
  await peers.host.session.ping()
  assert.deepEqual([peers.plugin.session.streamCount, peers.plugin.callsServed], [0, 0])
})

test('a client settles every call, whatever comes', async () => {
  await using peers = await Peers.make()
  const whole = answers()
  const [echo] = wire as [(typeof wire)[number], ...unknown[]]
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async changes => {
      const id = peers.plugin.broker.nextId()
      const accepted = peers.plugin.broker.accept(id)
      const client = new RpcClient(peers.host, await peers.host.broker.dial(id), { label: 'kind' })
      const peer = await accepted
      peer.consume({ chunk() {}, end: () => peer.end(), fail() {} })
      peer.resume()
      const calls = Promise.allSettled(Array.from({ length: 4 }, () => client.call(echo, value, undefined, 'Echo')))
      peer.write(changed(whole, changes))
      peer.end()
      for (const call of await calls) {
        if (call.status === 'rejected') assert.ok(isPluginError(call.reason) || isRemoteError(call.reason), String(call.reason))
      }
    }),
    { numRuns: 300 },
  )
  await peers.host.session.ping()
  assert.deepEqual([peers.host.session.streamCount, peers.host.callsInFlight], [0, 0])
})
