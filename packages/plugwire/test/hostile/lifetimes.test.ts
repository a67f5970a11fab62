// Orders of messages that are rare and legitimate, or wrong and small: references, streams and ids whose lives overlap.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byRef } from '../../src/by-ref.ts'
import { isPluginError } from '../../src/errors.ts'
import type { CallOptions } from '../../src/rpc/call-context.ts'
import { Facing } from '../fixtures/facing.ts'
import { call, data, FIN, message, RST, reference, release, reply, SYN, text, u32, windowUpdate } from '../fixtures/raw-peer.ts'

const never = new Promise<never>(() => {})
const ask = (facing: Facing, args: unknown[] = [], options?: CallOptions): Promise<unknown> =>
  facing.connection.call(0, 0, args, options, 'ask')

test('a one-way call may use the id of a call that is being served', async () => {
  const logged: unknown[] = []
  await using facing = await Facing.make({ root: { ask: () => never, log: (line: unknown) => void logged.push(line) } })
  facing.peer.send(data(1, call(0, 0, 0, 'a0') + call(0, 0, 1, `a1${text('hello')}`, 8)))
  await facing.peer.roundTrip()
  assert.deepEqual(logged, ['hello'])
})

test('a reset of the call stream ends the connection, and the calls in flight with it', async () => {
  await using facing = await Facing.make()
  const pending = ask(facing)
  await facing.peer.message(1)
  facing.peer.send(windowUpdate(1, 0, RST))
  await assert.rejects(pending, { code: 'ERR_CALL_FRAME' })
  assert.equal((await facing.ended)?.code, 'ERR_CALL_FRAME')
})

test('one function twice in the same arguments is two references, and both can be given back', async () => {
  await using facing = await Facing.make()
  const both = (): void => {}
  void ask(facing, [both, both]).catch(() => {})
  const sent = await facing.peer.message(1)
  assert.match(sent.toString('hex'), /a2d80100000001c1d80100000001c1$/)
  facing.peer.send(data(1, release(1, 2)))
  await facing.peer.roundTrip()
  assert.equal(facing.connection.references.exportCount, 1)
})

test('arguments that do not fit into a message count their references once', async () => {
  await using facing = await Facing.make()
  const fn = (): void => {}
  void ask(facing, [fn, 'x'.repeat(200_000), fn]).catch(() => {})
  await facing.peer.message(1)
  facing.peer.send(data(1, release(1, 2)))
  await facing.peer.roundTrip()
  assert.equal(facing.connection.references.exportCount, 1)
  facing.peer.send(data(1, release(1, 1)))
  assert.equal((await facing.ended)?.code, 'ERR_CALL_FRAME')
})

test('an iterable twice in the same arguments is two streams, a byte stream twice is refused with its path', async () => {
  await using facing = await Facing.make()
  const items = { [Symbol.asyncIterator]: async function* () {} }
  void ask(facing, [items, items]).catch(() => {})
  const sent = (await facing.peer.message(1)).toString('hex')
  const [, one, two] = /d805(.{8})c1d805(.{8})c1$/.exec(sent) ?? []
  assert.notEqual(one, two)
  const stream = new ReadableStream()
  await assert.rejects(ask(facing, [stream, stream]), { code: 'ERR_VALUE_UNSUPPORTED' })
  await facing.peer.roundTrip()
})

test('an object that was disposed while another reference to it was on its way may be given back all the same', async () => {
  let disposed = 0
  const thing = byRef({ ping: () => 'pong', [Symbol.dispose]: () => void disposed++ })
  await using facing = await Facing.make({ root: { get: () => thing } })
  facing.peer.send(data(1, call(0, 0, 0, 'a0') + call(1, 0, 0, 'a0')))
  await facing.peer.replyTo(1)
  facing.peer.send(data(1, call(2, 1, 0xffff, 'a101')))
  assert.equal(await facing.peer.replyTo(2), '00c1')
  facing.peer.send(data(1, call(3, 1, 0, 'a0')))
  assert.match(await facing.peer.replyTo(3), /^03a2/, 'an own error: it is gone')
  facing.peer.send(data(1, call(4, 1, 0xffff, 'a101')))
  assert.equal(await facing.peer.replyTo(4), '00c1')
  assert.equal(disposed, 1)
  facing.peer.send(data(1, release(1, 1)))
  assert.equal((await facing.ended)?.code, 'ERR_CALL_FRAME')
})

test('references that were disposed do not count against the limit', async () => {
  await using facing = await Facing.make({ limits: { maxReferences: 10 } })
  for (let id = 1; id <= 30; id++) {
    const got = ask(facing)
    await facing.peer.message(1)
    facing.peer.send(data(1, reply(0, reference(2, id, `a2${text('thing')}a1${text('run')}`))))
    const thing = (await got) as AsyncDisposable
    const done = thing[Symbol.asyncDispose]()
    const sent = await facing.peer.message(1)
    assert.equal(sent.toString('hex'), `01${u32(0)}${u32(id)}ffff00a101`)
    facing.peer.send(data(1, reply(0, 'c1')))
    await done
  }
})

test('a byte stream that is given up before its first byte fails, it does not hang', async () => {
  await using facing = await Facing.make()
  const got = ask(facing)
  await facing.peer.message(1)
  facing.peer.send(data(1, reply(0, reference(6, 2))), windowUpdate(2, 0, SYN), windowUpdate(2, 0, RST))
  const stream = (await got) as ReadableStream<Uint8Array>
  await assert.rejects(stream.getReader().read(), { code: 'ERR_STREAM_RESET' })
})

test('a byte stream that ends without its first byte is empty', async () => {
  await using facing = await Facing.make()
  const got = ask(facing)
  await facing.peer.message(1)
  facing.peer.send(data(1, reply(0, reference(6, 2))), windowUpdate(2, 0, SYN), windowUpdate(2, 0, FIN))
  const stream = (await got) as ReadableStream<Uint8Array>
  assert.equal((await stream.getReader().read()).done, true)
})

for (const [what, kind] of [
  ['a byte stream', 6],
  ['a Node stream', 7],
  ['an iterable', 5],
] as const) {
  test(`${what} that was reset before the message that names it came fails alone`, async () => {
    await using facing = await Facing.make()
    const got = ask(facing)
    await facing.peer.message(1)
    facing.peer.send(windowUpdate(2, 0, SYN), windowUpdate(2, 0, RST), data(1, reply(0, reference(kind, 2))))
    const stream = (await got) as AsyncIterable<unknown>
    await assert.rejects(stream[Symbol.asyncIterator]().next(), { code: 'ERR_STREAM_RESET' })
    await facing.peer.roundTrip()
  })
}

test('arguments whose stream was reset before the call that names it came fail that call alone', async () => {
  await using facing = await Facing.make({ root: { take: () => 1 } })
  facing.peer.send(windowUpdate(2, 0, SYN), windowUpdate(2, 0, RST), data(1, call(0, 0, 0, `${u32(2)}${u32(10)}`, 4)))
  assert.match(await facing.peer.replyTo(0), /^01d2/)
  await facing.peer.roundTrip()
})

test('a call that is cancelled before its arguments have come is not made', async () => {
  let made = 0
  await using facing = await Facing.make({ ...{ root: { take: () => void made++ } } })
  facing.peer.send(data(1, call(5, 0, 0, `${u32(2)}${u32(1)}`, 4)), data(1, message(`03${u32(5)}${text('cancelled')}`)))
  facing.peer.send(data(2, 'a0', SYN | FIN))
  const answer = await facing.peer.replyTo(5)
  assert.match(answer, /^0[13]/)
  assert.equal(made, 0)
})

test('a call id that waits for its arguments is in use', async () => {
  await using facing = await Facing.make({ root: { take: () => 1 } })
  facing.peer.send(data(1, call(5, 0, 0, `${u32(2)}${u32(1)}`, 4) + call(5, 0, 0, 'a0')))
  assert.equal((await facing.ended)?.code, 'ERR_CALL_FRAME')
})

test('a getter of an argument may itself make a call', async () => {
  await using facing = await Facing.make()
  const sly = {
    before: 'first',
    get now() {
      void ask(facing, ['inner']).catch(() => {})
      return 'second'
    },
  }
  void ask(facing, [sly]).catch(() => {})
  const one = (await facing.peer.message(1)).toString('latin1')
  const two = (await facing.peer.message(1)).toString('latin1')
  assert.deepEqual([one.includes('first') && one.includes('second'), two.includes('inner')], [true, true])
})

test('a stream in arguments that cannot be sent leaves the next call intact', async () => {
  await using facing = await Facing.make()
  const sending = [
    ask(facing, ['good one']),
    assert.rejects(ask(facing, [new ReadableStream(), Symbol('no')]), { code: 'ERR_VALUE_UNSUPPORTED' }),
    ask(facing, ['good two']),
  ]
  const seen = [(await facing.peer.message(1)).toString('latin1'), (await facing.peer.message(1)).toString('latin1')]
  assert.match(seen[0] ?? '', /good one$/)
  assert.match(seen[1] ?? '', /good two$/)
  await sending[1]
  for (const pending of sending) pending.catch((cause: unknown) => isPluginError(cause))
})

test('a reply with unknown flags is a breach', async () => {
  await using facing = await Facing.make()
  const pending = ask(facing)
  await facing.peer.message(1)
  facing.peer.send(data(1, reply(0, 'c1', 8)))
  await assert.rejects(pending, { code: 'ERR_CALL_FRAME' })
})
