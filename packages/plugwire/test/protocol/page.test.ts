// docs/protocol.md against the program: what it says is sent is what is sent, and what it says may be sent is understood.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { contract } from 'plugwire'
import { launch } from 'plugwire/host'
import { byRef } from '../../src/by-ref.ts'
import { derivedCookie } from '../../src/contract.ts'
import { PluginError } from '../../src/errors.ts'
import { flow } from '../../src/rpc/flow.ts'
import { MAX_MESSAGE_BYTES, MessageType } from '../../src/wire/call-frames.ts'
import { encodeHostVariable, type HostVariable, parseHostVariable } from '../../src/wire/environment.ts'
import { encodeHandshake, type Handshake, parseHandshake } from '../../src/wire/handshake.ts'
import { Outbox } from '../../src/wire/outbox.ts'
import { type FrameType, writeHeader } from '../../src/wire/yamux.ts'
import { Facing } from '../fixtures/facing.ts'
import { examples, lines, named, page, session } from '../fixtures/protocol/page.ts'
import { bytesOf, data, reference, reply, SYN, text, u32, windowUpdate } from '../fixtures/raw-peer.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/protocol/${name}.js`, import.meta.url))
const kv = contract({ name: 'kv', version: 1 })
const withoutStack = (error: Error): Error => {
  delete error.stack
  return error
}

test('what is in PLUGWIRE_HOST and in the handshake line', () => {
  for (const line of lines('host-variables')) assert.equal(encodeHostVariable(parseHostVariable(line) as HostVariable), line)
  for (const line of lines('handshakes')) assert.equal(encodeHandshake(parseHandshake(line) as Handshake), line)
})

test('frames', () => {
  for (const { hex } of examples('frames')) {
    const bytes = bytesOf(hex)
    const out = new Outbox(64)
    writeHeader(out, bytes[1] as FrameType, bytes.readUInt16BE(2), bytes.readUInt32BE(4), bytes.readUInt32BE(8))
    assert.equal(Buffer.concat(out.take()).toString('hex'), hex.slice(0, 24))
    assert.equal(bytes.length - 12, bytes[1] === 0 ? bytes.readUInt32BE(8) : 0)
  }
})

test('numbers of messages, and the longest', () => {
  const words: Record<keyof typeof MessageType, string> = { ...namesOf(), signalGone: 'signal gone' }
  for (const [name, number] of Object.entries(MessageType))
    assert.match(page, new RegExp(`^\\| ${number} \\| ${words[name as keyof typeof words]} \\|`, 'm'))
  assert.match(page, new RegExp(MAX_MESSAGE_BYTES.toLocaleString('en')))
})

function namesOf(): Record<keyof typeof MessageType, string> {
  return Object.fromEntries(Object.keys(MessageType).map(name => [name, name])) as Record<keyof typeof MessageType, string>
}

/** Has a connection send, and returns the next message of a type as it came, with its length. */
async function sent(facing: Facing, type: number, send: () => unknown): Promise<string> {
  const pending = send()
  if (pending instanceof Promise) pending.catch(() => {})
  const body = (await facing.peer.message(type)).toString('hex')
  return u32(body.length / 2) + body
}

const expected = named('messages')
const is = (actual: string, name: string): void => assert.equal(actual, expected.get(name), name)

/** A call whose reply is sent at once, so that the next one has the same id. */
async function asked(facing: Facing, ...call: Parameters<Facing['connection']['call']>): Promise<string> {
  const { connection, peer } = facing
  let answer: Promise<unknown> | undefined
  const hex = await sent(facing, 1, () => {
    answer = connection.call(...call)
    return answer
  })
  peer.send(data(1, reply(0, 'c1')))
  await answer
  return hex
}

test('messages of a caller', async () => {
  await using facing = await Facing.make()
  const { connection, peer } = facing
  is(await asked(facing, 1, 2, ['x'], undefined, 'm'), 'call')
  is(await asked(facing, 1, 2, [], { timeoutMs: 500 }, 'm'), 'timeout')
  is(await asked(facing, 1, 2, [], { metadata: { k: 'v' } }, 'm'), 'metadata')
  is(await asked(facing, 1, 2, ['x'.repeat(200_002)], undefined, 'm'), 'arguments on a stream')
  assert.equal(peer.received(3).length, 200_008)
  is(await sent(facing, 1, () => connection.notifyRoot(0, ['hi', 5])), 'one way')

  const controller = new AbortController()
  const cancelled = connection.call(1, 2, [], { signal: controller.signal }, 'm')
  cancelled.catch(() => {})
  is(await sent(facing, 3, () => controller.abort()), 'cancel')
  await assert.rejects(cancelled, { code: 'ERR_CALL_CANCELLED' })
  peer.send(data(1, reply(0, 'c1')))
  await peer.roundTrip()
  const late = connection.call(1, 2, [], { timeoutMs: 1 }, 'm')
  is(await sent(facing, 3, () => late), 'cancel after a timeout')
  peer.send(data(1, reply(0, 'c1')))
})

test('messages about references, streams and output', async () => {
  await using facing = await Facing.make({ role: 'plugin' })
  const { connection, peer } = facing
  const get = async (value: string): Promise<unknown> => {
    const got = connection.call(1, 2, [], undefined, 'm')
    await peer.message(1)
    peer.send(data(1, reply(0, value)))
    return got
  }
  await peer.frame(({ type, id }) => type === 1 && id === 1)
  const run = (await get(`a2${reference(1, 1)}${reference(1, 1)}`)) as (() => void)[]
  is(await sent(facing, 4, () => (run[0] as never as Disposable)[Symbol.dispose]()), 'release')
  const thing = (await get(reference(2, 1, `a2${text('thing')}a1${text('go')}`))) as AsyncDisposable
  const disposed = thing[Symbol.asyncDispose]()
  is(await sent(facing, 1, () => disposed), 'dispose')
  peer.send(data(1, reply(0, 'c1')))
  await disposed

  peer.send(data(3, '00', SYN))
  const readable = (await get(reference(6, 3))) as ReadableStream
  is(await sent(facing, 5, () => readable.cancel('busy')), 'abort')

  const controller = new AbortController()
  void connection.call(1, 2, [controller.signal], undefined, 'm').catch(() => {})
  const call = (await peer.message(1)).toString('hex')
  assert.ok(call.endsWith(named('references').get('signal') as string), call)
  is(await sent(facing, 6, () => controller.abort('enough')), 'signal')
  is(await sent(facing, 9, () => connection.sendSignalGone(1)), 'signal gone')

  // The peer writes on this stream, so how it sends is its own affair, and ours to ask for.
  const { writable } = new TransformStream<Uint8Array, Uint8Array>()
  void connection.call(1, 2, [writable], undefined, 'm').catch(() => {})
  await peer.message(1)
  is(
    await sent(facing, 7, () => {
      flow(writable).weight = 4
    }),
    'tune',
  )
  is(await sent(facing, 8, () => connection.sendOutput(1, Buffer.from('hi'))), 'output')
})

test('replies', async () => {
  const root = {
    five: () => 5,
    fail() {
      throw withoutStack(new Error('oops'))
    },
    long: () => 'x'.repeat(199_999 + 1),
  }
  await using facing = await Facing.make({ role: 'plugin', root })
  const { peer } = facing
  const call = (method: number): Promise<string> =>
    sent(facing, 2, () => peer.send(data(1, (expected.get('call') as string).replace('000000010002', `00000000000${method}`))))
  is(await call(0), 'reply')
  is(await call(1), 'failed')
  is(await call(2), 'result on a stream')
  // What the page gives as an example of each message is understood, too.
  for (const [name, hex] of expected)
    if (!/reply|failed|result|dispose|release|metadata|timeout|arguments|^call/.test(name)) peer.send(data(1, hex))
  is(await call(0), 'reply')
})

test('references as they are sent', async () => {
  const references = named('references')
  class Store {
    get(): void {}
    put(): void {}
  }
  const sendable: Record<string, () => unknown> = {
    function: () => () => {},
    object: () => Object.assign(byRef(Object.defineProperty(new Store(), 'constructor', { value: { name: 'store' } })), {}),
    signal: () => new AbortController().signal,
    'aborted signal': () => AbortSignal.abort('done'),
    items: () => ({ async *[Symbol.asyncIterator]() {} }),
    readable: () => new ReadableStream(),
    writable: () => new WritableStream(),
  }
  for (const [name, make] of Object.entries(sendable)) {
    await using facing = await Facing.make()
    const hex = await sent(facing, 1, () => facing.connection.call(0, 0, [make()], undefined, 'm'))
    assert.ok(hex.endsWith(`a1${references.get(name)}`), `${name}: ${hex}`)
  }
  await using facing = await Facing.make({ root: { take: (own: () => void) => void taken.push(own) } })
  const taken: unknown[] = []
  const own = (): void => {}
  void facing.connection.call(0, 0, [own], undefined, 'm').catch(() => {})
  await facing.peer.message(1)
  facing.peer.send(data(1, `00000014 01 00000000 00000000 0000 00 a1 ${references.get('yours')}`.replaceAll(' ', '')))
  await facing.peer.replyTo(0)
  assert.deepEqual(taken, [own])
})

test('own errors', async () => {
  for (const line of lines('own-error')) {
    const [, code, facts] = /^(\w+) {2}(.*)$/.exec(line) as unknown as [string, 'ERR_METHOD_NOT_FOUND', string]
    const error = new PluginError(code, new Function(`return (${facts})`)() as never)
    assert.doesNotMatch(error.message, /undefined/)
  }
})

test('items', async () => {
  const items = named('items')
  for (const end of ['returned', 'failed']) {
    await using facing = await Facing.make()
    const iterable = {
      async *[Symbol.asyncIterator]() {
        yield 7
        if (end === 'failed') throw withoutStack(new Error('oops'))
        return 'done'
      },
    }
    await sent(facing, 1, () => facing.connection.call(0, 0, [iterable], undefined, 'm'))
    facing.peer.send(data(3, items.get('credit') as string))
    await facing.peer.frame(({ id, flags }) => id === 3 && (flags & 4) !== 0)
    assert.equal(facing.peer.received(3).toString('hex'), `${items.get('item')}${items.get(end)}`)
  }
  await using facing = await Facing.make()
  const got = facing.connection.call(0, 0, [], undefined, 'm')
  await facing.peer.message(1)
  facing.peer.send(windowUpdate(2, 0, SYN), data(1, reply(0, reference(5, 2))))
  const next = ((await got) as AsyncIterator<unknown>).next()
  await facing.peer.until(() => facing.peer.received(2).length === 4)
  assert.equal(facing.peer.received(2).toString('hex'), items.get('credit'))
  facing.peer.send(data(2, `${items.get('item')}${items.get('returned')}`, 4))
  assert.deepEqual(await next, { done: false, value: 7 })
  await facing.peer.frame(({ id, flags }) => id === 2 && (flags & 4) !== 0)
})

test('the session: what a host sends', async () => {
  const said: string[] = []
  const plugin = await launch(
    kv,
    { command: process.execPath, args: [fixture('replay-plugin')] },
    { logger: record => void said.push(record.message) },
  )
  const store = (await plugin.dispense('store')) as object as { get(key: string): Promise<unknown> } & AsyncDisposable
  assert.deepEqual(await store.get('k'), new Uint8Array([0x76]))
  assert.equal(await store.get('x'), undefined)
  await store[Symbol.asyncDispose]()
  await plugin.close()
  assert.deepEqual(said, ['as on the page'])
})

test('the session: what a plugin sends', async () => {
  const { key, value } = derivedCookie('kv')
  const { NODE_EXTRA_CA_CERTS: _, ...inherited } = process.env
  const child = spawn(process.execPath, [fixture('store-plugin')], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    env: { ...inherited, [key]: value, PLUGIN_PROTOCOL_VERSIONS: '1', PLUGWIRE_HOST: '1|fd|3|plugwire|' },
  })
  const exited = once(child, 'exit')
  const received: Buffer[] = []
  const three = child.stdio[3] as Duplex
  three.on('data', (chunk: Buffer) => void received.push(chunk))
  let wanted = Buffer.from('1|1|fd|3|plugwire||false|1\n')
  const arrived = async (): Promise<void> => {
    while (Buffer.concat(received).length < wanted.length) await once(three, 'data')
    assert.equal(Buffer.concat(received).toString('hex'), wanted.toString('hex'))
  }
  await arrived()
  for (const { from, bytes } of session()) {
    if (from === 'H') three.write(bytes)
    else {
      wanted = Buffer.concat([wanted, bytes])
      await arrived()
    }
  }
  assert.deepEqual(await exited, [0, null])
  await arrived()
})
