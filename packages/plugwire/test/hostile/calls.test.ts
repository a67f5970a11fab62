// A peer that breaks the rules of calls: each breach ends one session with its code, and nothing else.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import type { CallOptions } from '../../src/rpc/call-context.ts'
import { Facing } from '../fixtures/facing.ts'
import {
  call,
  data,
  FIN,
  header,
  message,
  RST,
  reference,
  release,
  reply,
  SYN,
  text,
  tune,
  u32,
  windowUpdate,
} from '../fixtures/raw-peer.ts'

const ask = (facing: Facing, args: unknown[] = [], options?: CallOptions): Promise<unknown> =>
  facing.connection.call(0, 0, args, options, 'ask')
const never = new Promise<never>(() => {})

class Base {
  inherited(): string {
    return 'inherited'
  }
}
class Root extends Base {
  field = () => 'field'
  ask(...args: unknown[]): unknown {
    return args.length
  }
  wait(): Promise<never> {
    return never
  }
  _private(): string {
    return 'private'
  }
  get getter(): never {
    throw new Error('a getter was read')
  }
  then(): string {
    return 'then'
  }
  override toString(): string {
    return 'own toString'
  }
}

describe('breaches end the session, calls in flight reject with the reason', () => {
  const signals = Array.from({ length: 70 }, (_, index) => reference(4, index + 1)).join('')
  const breaches: [string, string, ErrorCode][] = [
    ['a message longer than the limit', data(1, 'ffffffff'), 'ERR_CALL_FRAME'],
    ['one byte more than the limit', data(1, '00100001'), 'ERR_CALL_FRAME'],
    ['an empty message', data(1, message('')), 'ERR_CALL_FRAME'],
    ['an unknown type', data(1, message('0a0000000000000000')), 'ERR_CALL_FRAME'],
    ['type 0', data(1, message('00')), 'ERR_CALL_FRAME'],
    ['a call that is too short', data(1, message('0100000000')), 'ERR_CALL_FRAME'],
    ['unknown flags', data(1, call(0, 0, 0, 'a0', 0x10)), 'ERR_CALL_FRAME'],
    ['a call that ends in its timeout', data(1, call(0, 0, 0, '0001', 1)), 'ERR_CALL_FRAME'],
    ['metadata that are no texts', data(1, call(0, 0, 0, `a105a0`, 2)), 'ERR_CALL_FRAME'],
    ['arguments that are no list', data(1, call(0, 0, 0, '05')), 'ERR_CALL_FRAME'],
    ['arguments that are malformed', data(1, call(0, 0, 0, 'b0')), 'ERR_VALUE_MALFORMED'],
    ['arguments with bytes left over', data(1, call(0, 0, 0, 'a005')), 'ERR_VALUE_MALFORMED'],
    ['arguments nested 10,000 deep', data(1, call(0, 0, 0, `${'a1'.repeat(10_000)}05`)), 'ERR_VALUE_MALFORMED'],
    ['a call id that is in use', data(1, call(3, 0, 2, 'a0') + call(3, 0, 2, 'a0')), 'ERR_CALL_FRAME'],
    ['a call id that is too high', data(1, call(65_536, 0, 0, 'a0')), 'ERR_CALL_FRAME'],
    ['the highest call id', data(1, call(0xffff_ffff, 0, 0, 'a0')), 'ERR_CALL_FRAME'],
    ['a reply for a call never made', data(1, reply(9, '05')), 'ERR_CALL_FRAME'],
    ['a reply for the highest id', data(1, reply(0xffff_ffff, '05')), 'ERR_CALL_FRAME'],
    ['two replies for one call', data(1, reply(0, '05') + reply(0, '05')), 'ERR_CALL_FRAME'],
    ['a reply that is malformed', data(1, reply(0, 'ff')), 'ERR_VALUE_MALFORMED'],
    ['a reference given back that was never sent', data(1, release(7, 1)), 'ERR_CALL_FRAME'],
    ['no reference given back', data(1, release(0, 0)), 'ERR_CALL_FRAME'],
    ['our own thing that we never sent', data(1, call(0, 0, 0, `a1${reference(3, 7)}`)), 'ERR_VALUE_MALFORMED'],
    ['our root as a value', data(1, call(0, 0, 0, `a1${reference(3, 0)}`)), 'ERR_VALUE_MALFORMED'],
    ['a reference of unknown kind', data(1, call(0, 0, 0, `a1${reference(10, 1)}`)), 'ERR_VALUE_MALFORMED'],
    ['an object whose methods are no list', data(1, call(0, 0, 0, `a1${reference(2, 1, `a2${text('x')}05`)}`)), 'ERR_VALUE_MALFORMED'],
    ['more signals than the limit', data(1, call(0, 0, 0, `c900000046${signals}`)), 'ERR_CALL_LIMIT'],
    ['more functions than the limit', data(1, call(0, 0, 0, `c900000046${signals.replaceAll('d804', 'd801')}`)), 'ERR_CALL_LIMIT'],
    ['a tune of NaN', data(1, tune(1, Number.NaN, 0)), 'ERR_CALL_FRAME'],
    ['a tune of a negative weight', data(1, tune(1, -1, 0)), 'ERR_CALL_FRAME'],
    ['a tune of an infinite weight', data(1, tune(1, Number.POSITIVE_INFINITY, 0)), 'ERR_CALL_FRAME'],
    ['a tune of a ceiling below 1', data(1, tune(1, 0, 0.5)), 'ERR_CALL_FRAME'],
    ['a tune of a NaN ceiling', data(1, tune(1, 0, Number.NaN)), 'ERR_CALL_FRAME'],
    ['arguments on a stream that is ours', data(1, call(0, 0, 0, `${u32(3)}${u32(5)}`, 4)), 'ERR_CALL_FRAME'],
    ['arguments on the call stream', data(1, call(0, 0, 0, `${u32(1)}${u32(5)}`, 4)), 'ERR_CALL_FRAME'],
    ['arguments on stream 0', data(1, call(0, 0, 0, `${u32(0)}${u32(5)}`, 4)), 'ERR_CALL_FRAME'],
    ['arguments on a stream, without its length', data(1, call(0, 0, 0, `${u32(2)}`, 4)), 'ERR_CALL_FRAME'],
    ['arguments of no bytes', data(1, call(0, 0, 0, `${u32(2)}${u32(0)}`, 4)) + windowUpdate(2, 0, SYN), 'ERR_CALL_FRAME'],
    ['arguments larger than the limit', data(1, call(0, 0, 0, `${u32(2)}ffffffff`, 4)), 'ERR_VALUE_TOO_LARGE'],
    [
      'announced arguments that add up beyond the limit',
      data(1, Array.from({ length: 5 }, (_, index) => call(index, 0, 0, `${u32(2 + 2 * index)}${u32(64 * 1024 * 1024)}`, 4)).join('')),
      'ERR_VALUE_TOO_LARGE',
    ],
    ['a stream named twice', data(1, call(0, 0, 0, `${u32(2)}${u32(5)}`, 4) + call(1, 0, 0, `${u32(2)}${u32(5)}`, 4)), 'ERR_CALL_FRAME'],
    ['arguments that are longer than they said', data(1, call(0, 0, 2, `${u32(2)}${u32(1)}`, 4)) + data(2, 'a000', SYN), 'ERR_CALL_FRAME'],
    [
      'arguments on a stream that are malformed',
      data(1, call(0, 0, 0, `${u32(2)}${u32(1)}`, 4)) + data(2, 'b0', SYN | FIN),
      'ERR_VALUE_MALFORMED',
    ],
    ['a byte stream of unknown mode', data(1, call(0, 0, 0, `a1${reference(6, 2)}`)) + data(2, '07', SYN), 'ERR_VALUE_MALFORMED'],
  ]
  for (const [name, hex, code] of breaches) {
    test(name, async () => {
      await using facing = await Facing.make({ root: new Root(), limits: { maxReferences: 64 } })
      const pending = ask(facing)
      const settled = pending.catch((cause: { code?: string }) => cause.code)
      await facing.peer.message(1)
      facing.peer.send(hex)
      const cause = await facing.ended
      assert.equal(cause?.code, code, cause?.message)
      assert.ok([code, 5].includes((await settled) as never), 'the call in flight has its answer or the reason')
      assert.equal(await facing.peer.goneAway(), 1)
      await assert.rejects(ask(facing), { code })
    })
  }
})

describe('what is odd but no breach', () => {
  const oddities: [string, string][] = [
    ['a cancel of a call never made', data(1, message(`03${u32(5)}80`))],
    ['a signal never sent', data(1, message(`06${u32(5)}80`) + message(`09${u32(5)}`))],
    ['an abort of a stream never opened', data(1, message(`05${u32(50)}80`))],
    ['a tune of a stream never opened', data(1, tune(50, 3, 1_000))],
    ['a tune of the call stream', data(1, tune(1, 0.001, 1))],
    ['a release of the root', data(1, release(0, 5))],
    ['an empty output', data(1, message('0801'))],
    ['a fragment of a length', data(1, '00')],
    ['credit for nothing', windowUpdate(1, 0)],
  ]
  for (const [name, hex] of oddities) {
    test(name, async () => {
      await using facing = await Facing.make({ root: new Root() })
      facing.peer.send(hex)
      await facing.peer.roundTrip()
    })
  }

  test('an abort for every stream there could be keeps no memory', async () => {
    await using facing = await Facing.make()
    const aborts = Array.from({ length: 20_000 }, (_, id) => message(`05${u32(id)}${text('a reason')}`)).join('')
    for (let at = 0; at < aborts.length; at += 400_000) facing.peer.send(data(1, aborts.slice(at, at + 400_000)))
    await facing.peer.roundTrip()
  })
})

describe('only what was offered can be called', () => {
  test('of the root: methods of its classes and its own functions, by number', async () => {
    await using facing = await Facing.make({ root: new Root() })
    const { connection } = facing
    const names = connection.references.find(0)?.methods.names ?? []
    assert.deepEqual([...names].sort(), ['ask', 'field', 'inherited', 'toString', 'wait'])
    for (const [id, method] of [names.length, 99, 0xfffe, 0xffff].entries()) {
      facing.peer.send(data(1, call(id, 0, method, 'a0')))
      const answer = await facing.peer.replyTo(id)
      assert.match(answer, /^03a2/)
      assert.match(Buffer.from(answer, 'hex').toString('latin1'), /ERR_METHOD_NOT_FOUND/)
    }
  })

  for (const target of [1, 5, 0xffff_ffff]) {
    test(`reference ${target} that was never sent`, async () => {
      await using facing = await Facing.make({ root: new Root() })
      facing.peer.send(data(1, call(0, target, 0, 'a0') + call(1, target, 0xffff, 'a101')))
      for (const id of [0, 1]) assert.match(Buffer.from(await facing.peer.replyTo(id), 'hex').toString('latin1'), /ERR_REFERENCE_RELEASED/)
    })
  }

  test('a remote object has the methods it came with, whatever their names', async () => {
    await using facing = await Facing.make()
    const names = ['constructor', '__proto__', 'then', 'toString', '_private', 'hasOwnProperty', 'ok']
    const got = ask(facing)
    await facing.peer.message(1)
    const methods = `a${names.length.toString(16)}${names.map(text).join('')}`
    facing.peer.send(data(1, reply(0, reference(2, 1, `a2${text('__proto__')}${methods}`))))
    const remote = (await got) as Record<string, (...args: unknown[]) => Promise<unknown>>
    assert.equal(remote['then'], undefined)
    assert.equal(typeof remote['constructor'], 'function')
    assert.equal(({} as Record<string, unknown>)['ok'], undefined)
    const answer = remote['ok']?.()
    const sent = await facing.peer.message(1)
    assert.equal(sent.readUInt32BE(5), 1)
    // Its place in the list as it was sent: leaving out some names must not move the others.
    assert.equal(sent.readUInt16BE(9), names.indexOf('ok'))
    facing.peer.send(data(1, reply(0, '05')))
    assert.equal(await answer, 5)
  })
})

describe('what a value stream may do', () => {
  const begin = async (facing: Facing, args: string): Promise<void> => {
    facing.peer.send(data(1, call(0, 0, 0, args, 4)))
    await facing.peer.roundTrip()
  }
  test('ends too early: the call fails, the session goes on', async () => {
    await using facing = await Facing.make({ root: new Root() })
    await begin(facing, `${u32(2)}${u32(100)}`)
    facing.peer.send(data(2, 'a0', SYN | FIN))
    assert.match(await facing.peer.replyTo(0), /^01/)
    await facing.peer.roundTrip()
  })
  test('is reset: the same', async () => {
    await using facing = await Facing.make({ root: new Root() })
    await begin(facing, `${u32(2)}${u32(100)}`)
    facing.peer.send(data(2, 'a0', SYN), windowUpdate(2, 0, RST))
    assert.match(await facing.peer.replyTo(0), /^01/)
    await facing.peer.roundTrip()
  })
  test('never comes: the caller’s deadline ends the wait', async () => {
    await using facing = await Facing.make()
    const pending = ask(facing, [], { timeoutMs: 30 })
    await facing.peer.message(1)
    facing.peer.send(data(1, reply(0, `${u32(2)}${u32(100)}`, 4)))
    await assert.rejects(pending, { code: 'ERR_CALL_TIMEOUT' })
    await facing.peer.roundTrip()
  })
})

test('calls of a peer that takes no answers are not read any more', async () => {
  const answer = 'x'.repeat(16 * 1024)
  let made = 0
  await using facing = await Facing.make({
    root: {
      ask() {
        made++
        return answer
      },
    },
    limits: { maxUnsentBytes: 512 * 1024 },
  })
  // Pings are answered, so the connection itself stands; only the stream of calls gets no credit.
  for (let id = 0; id < 800; id++) {
    facing.peer.send(data(1, call(id, 0, 0, 'a0')))
    if (id % 10 === 9) await facing.peer.roundTrip()
  }
  // 4 MiB of credit, which it has from the start, and what may wait.
  assert.ok(made < 400, `${made} answers were made`)
  facing.peer.send(windowUpdate(1, 64 * 1024 * 1024))
  await facing.peer.until(() => made === 800)
})

test('items beyond the credit end the session', async () => {
  await using facing = await Facing.make()
  const got = ask(facing)
  await facing.peer.message(1)
  facing.peer.send(windowUpdate(2, 0, SYN), data(1, reply(0, reference(5, 2))))
  const items = (await got) as AsyncIterator<unknown>
  await facing.peer.roundTrip()
  const first = items.next()
  await facing.peer.until(() => facing.peer.received(2).length === 4)
  facing.peer.send(data(2, '000000020005'.repeat(200)))
  assert.deepEqual(await first, { done: false, value: 5 })
  assert.equal((await facing.ended)?.code, 'ERR_CALL_FRAME')
})

for (const [what, hex] of [
  ['without a tag', '00000000'],
  ['with an unknown tag', '000000020305'],
  ['longer than the limit', 'ffffffff'],
] as const) {
  test(`an item ${what} ends the session`, async () => {
    await using facing = await Facing.make()
    const got = ask(facing)
    await facing.peer.message(1)
    facing.peer.send(windowUpdate(2, 0, SYN), data(1, reply(0, reference(5, 2))))
    const items = (await got) as AsyncIterator<unknown>
    const next = items.next()
    next.catch(() => {})
    facing.peer.send(data(2, hex))
    assert.equal((await facing.ended)?.code, 'ERR_CALL_FRAME')
    await assert.rejects(next)
  })
}

describe('values that cannot be sent', () => {
  const nested = (depth: number): unknown => {
    let value: unknown = 1
    for (let level = 0; level < depth; level++) value = { in: value }
    return value
  }
  const cyclic: Record<string, unknown> = { name: 'me' }
  cyclic['self'] = cyclic
  const throwing = {
    fine: 1,
    get bad(): never {
      throw new Error('from the getter')
    },
  }
  for (const [what, value, code, path] of [
    ['nested 10,000 deep', nested(10_000), 'ERR_VALUE_DEPTH', /^args\[0\]\.in/],
    ['cyclic', cyclic, 'ERR_VALUE_CYCLE', /^args\[0\]\.self/],
    ['with a getter that throws', throwing, 'ERR_VALUE_THROWS', /^args\[0\]\.bad/],
    ['with a symbol', { s: Symbol('x') }, 'ERR_VALUE_UNSUPPORTED', /^args\[0\]\.s/],
  ] as const) {
    test(`${what}: told to the sender with the path; nothing leaves`, async () => {
      await using facing = await Facing.make()
      await assert.rejects(ask(facing, [value]), (cause: { code: string; facts: { path: string } }) => {
        assert.equal(cause.code, code)
        assert.match(cause.facts.path, path)
        return true
      })
      void ask(facing, ['next']).catch(() => {})
      assert.match((await facing.peer.message(1)).toString('latin1'), /next$/)
      assert.equal(facing.peer.messages.length, 1)
    })
  }
})

test('a message that stops in the middle holds nothing up but its sender', async () => {
  await using facing = await Facing.make({ root: new Root() })
  const pending = ask(facing, [], { timeoutMs: 20 })
  facing.peer.send(header(0, 0, 1, 1_000), call(0, 0, 1, 'a0'), u32(500))
  assert.equal(await facing.peer.replyTo(0), '0000')
  await assert.rejects(pending, { code: 'ERR_CALL_TIMEOUT' })
  facing.peer.socket.destroy()
  await facing.ended
})
