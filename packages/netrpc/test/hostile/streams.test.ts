// A peer that breaks net/rpc on one stream: that stream ends, or one call fails, with a code; everything else goes on.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isPluginError } from 'plugwire'
import { isRemoteError, withOptions } from 'plugwire/host'
import type { Stream } from 'plugwire/mux'
import { type AnySchema, bytes, Decoder, Encoder, int, slice, string, struct, uint } from '../../src/gob/index.ts'
import { method, wireMethods } from '../../src/methods.ts'
import { RpcClient } from '../../src/rpc/client.ts'
import { emptyStruct, request, response } from '../../src/rpc/headers.ts'
import { remoteObject } from '../../src/rpc/remote.ts'
import { coded, Peers } from '../fixtures/peers.ts'

const methods = { Add: method(struct({ A: int, B: int }), int), Slow: method(int, int) }
const wire = wireMethods('Plugin', methods)
const kind = {
  Add: ({ A, B }: { A: number; B: number }) => A + B,
  Slow: (ms: number) => new Promise(resolve => setTimeout(resolve, ms, ms)),
}
const sum = wire[0]?.arg.schema as AnySchema

interface Answer {
  readonly Seq: number
  readonly Error: string
  readonly body: unknown
}

/** Everything that comes back on a stream until it ends. */
function answersOf(stream: Stream): Promise<{ answers: Answer[]; end: string }> {
  const decoder = new Decoder()
  const answers: Answer[] = []
  let header: { Seq: number; Error: string } | undefined
  return new Promise(resolve => {
    stream.consume({
      chunk(chunk, start, end) {
        decoder.push(Buffer.from(chunk.subarray(start, end)))
        for (;;) {
          if (header === undefined) {
            const next = decoder.next(response)
            if (next === undefined) return
            header = next.value
          } else {
            const next = decoder.next()
            if (next === undefined) return
            answers.push({ Seq: header.Seq, Error: header.Error, body: next.value })
            header = undefined
          }
        }
      },
      end() {
        stream.end()
        resolve({ answers, end: 'ended' })
      },
      fail: cause => resolve({ answers, end: cause.code }),
    })
    stream.resume()
  })
}

const pair = (encoder: Encoder, seq: number, serviceMethod = 'Plugin.Add', schema = sum, value: unknown = { A: 1, B: 2 }): Buffer =>
  Buffer.concat([encoder.encode(request, { ServiceMethod: serviceMethod, Seq: seq }), encoder.encode(schema, value as never)])

describe('a server', () => {
  test('ends a stream whose header is none, and answers what runs before', async () => {
    const strange = new Encoder()
    const headers: readonly Buffer[] = [
      Buffer.from('hello, is this the plugin?'),
      Buffer.from('ff', 'hex'),
      Buffer.from('f8ffffffffffffffff', 'hex'),
      Buffer.from(new Encoder().encode(string, 'no header')),
      Buffer.from(new Encoder().encode(struct({ Seq: string }), { Seq: '1' })),
      Buffer.concat([strange.encode(struct({ Other: int }), { Other: 1 }), strange.encode(int, 3)]),
      Buffer.from('0a', 'hex'),
    ]
    for (const bad of headers) {
      await using peers = await Peers.make()
      const stream = await peers.serveStream(wire, kind)
      stream.write(pair(new Encoder(), 0, 'Plugin.Slow', int, 20))
      stream.write(bad)
      // What is merely not whole yet may still become so.
      stream.end()
      const { answers, end } = await answersOf(stream)
      assert.deepEqual([answers.map(({ Seq, body }) => [Seq, body]), end], [[[0, 20]], 'ended'], bad.toString('hex'))
      const other = await peers.serve(methods, kind as never)
      assert.equal(await other.Add({ A: 1, B: 1 }), 2)
      await peers.host.session.ping()
      assert.equal(peers.plugin.callsServed, 0)
    }
  })

  test('fails one call for an argument that does not fit, and goes on', async () => {
    await using peers = await Peers.make()
    const stream = await peers.serveStream(wire, kind)
    const encoder = new Encoder()
    stream.write(pair(encoder, 0, 'Plugin.Add', string, 'text'))
    stream.write(pair(encoder, 1, 'Plugin.Add', struct({ A: string }), { A: 'text' }))
    stream.write(pair(encoder, 2, 'Plugin.Add', struct({ C: int }), { C: 1 }))
    stream.write(pair(encoder, 3, 'Plugin.Nothing', slice(slice(bytes)), [[new Uint8Array(9)]]))
    stream.write(pair(encoder, 4))
    stream.end()
    const { answers, end } = await answersOf(stream)
    assert.equal(end, 'ended')
    assert.deepEqual(
      answers.map(({ Seq, Error: text }) => [Seq, text === '']),
      [
        [0, false],
        [1, false],
        [2, false],
        [3, false],
        [4, true],
      ],
    )
    assert.equal(answers[4]?.body, 3)
  })

  test('ends a stream on whose argument the bytes break, with that call refused', async () => {
    await using peers = await Peers.make()
    const stream = await peers.serveStream(wire, kind)
    const encoder = new Encoder()
    stream.write(encoder.encode(request, { ServiceMethod: 'Plugin.Add', Seq: 5 }))
    stream.write(Buffer.from('05ff990102030405', 'hex'))
    const { answers, end } = await answersOf(stream)
    assert.equal(end, 'ended')
    assert.equal(answers[0]?.Seq, 5)
    assert.notEqual(answers[0]?.Error, '')
  })

  test('takes a request that is cut at any byte, and ends one that stops at any byte', async () => {
    const whole = pair(new Encoder(), 7)
    for (let cut = 0; cut <= whole.length; cut += cut < 40 ? 1 : 7) {
      await using peers = await Peers.make()
      const [joined, stopped] = [await peers.serveStream(wire, kind), await peers.serveStream(wire, kind)]
      joined.write(whole.subarray(0, cut))
      stopped.write(whole.subarray(0, cut))
      stopped.end()
      await peers.host.session.ping()
      joined.write(whole.subarray(cut))
      joined.end()
      const { answers } = await answersOf(joined)
      assert.deepEqual(
        answers.map(({ Seq, body }) => [Seq, body]),
        [[7, 3]],
      )
      assert.equal((await answersOf(stopped)).end, 'ended')
    }
  })

  test('takes no more calls while its answers are not taken, and goes on when they are', async () => {
    await using peers = await Peers.make()
    const [big] = wireMethods('Plugin', { Big: method(int, bytes) })
    const answer = new Uint8Array(64 * 1024)
    let made = 0
    const stream = await peers.serveStream([big as never], {
      Big: () => {
        made++
        return answer
      },
    })
    const encoder = new Encoder()
    const calls = 800
    for (let seq = 0; seq < calls; seq++) {
      stream.write(pair(encoder, seq, 'Plugin.Big', int, 1))
      if (seq % 10 === 9) await peers.host.session.ping()
    }
    // What may wait unsent, and what came with the call that went beyond.
    assert.ok(made < 300, `${made} answers were made`)
    stream.end()
    const { answers, end } = await answersOf(stream)
    assert.deepEqual([answers.length, end], [calls, 'ended'])
  })

  test('bounds what it keeps of a value that never ends', async () => {
    await using peers = await Peers.make()
    const stream = await peers.serveStream(wire, kind)
    // A message of almost 2^53 bytes.
    stream.write(Buffer.from('f91fffffffffffff00', 'hex'))
    assert.equal((await answersOf(stream)).end, 'ended')
  })
})

describe('a client', () => {
  /** A client of ours, and the other end of its stream. */
  async function facing(peers: Peers): Promise<{ client: RpcClient; peer: Stream; encoder: Encoder }> {
    const id = peers.plugin.broker.nextId()
    const accepted = peers.plugin.broker.accept(id)
    const client = new RpcClient(peers.host, await peers.host.broker.dial(id), { label: 'kind' })
    const peer = await accepted
    peer.consume({ chunk() {}, end: () => peer.end(), fail() {} })
    peer.resume()
    return { client, peer, encoder: new Encoder() }
  }
  const answer = (encoder: Encoder, seq: number, error: string, schema: AnySchema, value: unknown): Buffer =>
    Buffer.concat([encoder.encode(response, { ServiceMethod: 'whatever', Seq: seq, Error: error }), encoder.encode(schema, value as never)])
  const call = (client: RpcClient): Promise<unknown> => client.call(wire[0] as never, { A: 1, B: 2 }, undefined, 'Add')

  test('passes over answers to calls that were not made, and bodies of errors whatever they are', async () => {
    await using peers = await Peers.make()
    const { client, peer, encoder } = await facing(peers)
    const calls = [call(client), call(client), call(client)]
    peer.write(answer(encoder, 99, '', slice(string), ['nobody asked']))
    peer.write(answer(encoder, 1, 'went wrong', struct({ Deep: slice(uint) }), { Deep: [1, 2] }))
    peer.write(answer(encoder, 1, '', int, 5))
    peer.write(answer(encoder, 2, 'also', emptyStruct, {}))
    peer.write(answer(encoder, 0, '', int, 3))
    assert.equal(await calls[0], 3)
    await assert.rejects(calls[1] as Promise<unknown>, error => isRemoteError(error) && error.message === 'went wrong')
    await assert.rejects(calls[2] as Promise<unknown>, error => isRemoteError(error) && error.message === 'also')
  })

  test('rejects every call when the answers break, and nothing else', async () => {
    for (const [bad, code] of [
      [Buffer.from('ff', 'hex'), 'ERR_GOB_MALFORMED'],
      [Buffer.from(new Encoder().encode(string, 'no header')), 'ERR_GOB_TYPE'],
      [Buffer.from('f91fffffffffffff00', 'hex'), 'ERR_GOB_LIMIT'],
    ] as const) {
      await using peers = await Peers.make()
      const { client, peer } = await facing(peers)
      const calls = Promise.allSettled([call(client), call(client)])
      peer.write(bad)
      if (bad.length === 1) peer.end()
      for (const settled of await calls) {
        assert.ok(settled.status === 'rejected' && isPluginError(settled.reason), String(settled.status))
        assert.equal(settled.reason.code, bad.length === 1 ? 'ERR_SESSION_CLOSED' : code)
      }
      await assert.rejects(call(client))
      const other = await peers.serve(methods, kind as never)
      assert.equal(await other.Add({ A: 1, B: 1 }), 2)
    }
  })

  test('rejects every call when the other side ends or resets the stream', async () => {
    await using peers = await Peers.make()
    const [one, two] = [await facing(peers), await facing(peers)]
    const calls = Promise.allSettled([call(one.client), call(two.client)])
    one.peer.end()
    two.peer.reset()
    const [ended, reset] = await calls
    assert.ok(ended?.status === 'rejected' && coded('ERR_SESSION_CLOSED')(ended.reason))
    assert.ok(reset?.status === 'rejected' && coded('ERR_STREAM_RESET')(reset.reason))
    await peers.host.session.ping()
    assert.deepEqual([peers.host.session.streamCount, peers.host.callsInFlight], [0, 0])
  })

  test('ends calls at their deadline also while its connection is being dialled', async () => {
    await using peers = await Peers.make()
    const remote = remoteObject(peers.host, peers.host.broker.dial(77), 'kind', wire) as { Slow(ms: number): Promise<number> }
    await assert.rejects(withOptions(remote, { timeoutMs: 20 }).Slow(1), coded('ERR_CALL_TIMEOUT'))
    const controller = new AbortController()
    const cancelled = withOptions(remote, { signal: controller.signal, timeoutMs: 60_000 }).Slow(1)
    controller.abort()
    await assert.rejects(cancelled, coded('ERR_CALL_CANCELLED'))
    await assert.rejects(withOptions(remote, { signal: controller.signal }).Slow(1), coded('ERR_CALL_CANCELLED'))
    const later = withOptions(remote, { timeoutMs: 60_000 }).Slow(3)
    peers.plugin.serve(await peers.plugin.broker.accept(77), 'kind', wire, kind)
    assert.equal(await later, 3)
  })

  test('tells calls of a connection that could not be dialled why', async () => {
    await using peers = await Peers.make()
    const remote = remoteObject(peers.host, Promise.reject(new Error('no way')), 'kind', wire) as { Add(value: object): Promise<number> }
    await assert.rejects(remote.Add({ A: 1 }), coded('ERR_SESSION_CLOSED'))
  })
})
