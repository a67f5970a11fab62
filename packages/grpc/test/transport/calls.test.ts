// The same calls with our client and server, and with those of grpc-js on the other side; plain and over mutual TLS.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeStatusDetails } from '../../src/transport/status-details.ts'
import { type Caller, grpcJsCaller, ourCaller } from './support/caller.ts'
import { Echo, failure } from './support/echo.ts'
import { identities } from './support/identities.ts'
import { grpcJsServer, type Listening, ourChannel, ourServer } from './support/listening.ts'

const { client, server } = identities()

const pairs: [string, () => Promise<Listening>, (path: string) => { call: Caller; close(): unknown }][] = [
  ['ours and ours', () => ourServer(), path => ours(path)],
  ['our client, grpc-js server', () => grpcJsServer(), path => ours(path)],
  ['grpc-js client, our server', () => ourServer(), path => theirs(path)],
  ['ours and ours over TLS', () => ourServer({ tls: server }), path => ours(path, true)],
  ['our client, grpc-js server over TLS', () => grpcJsServer(server), path => ours(path, true)],
  ['grpc-js client, our server over TLS', () => ourServer({ tls: server }), path => theirs(path, true)],
]

function ours(path: string, secure = false) {
  const channel = ourChannel(path, secure ? { tls: client } : {})
  return { call: ourCaller(channel), close: () => channel.close() }
}

function theirs(path: string, secure = false) {
  const call = grpcJsCaller(path, secure ? client : undefined)
  return { call, close: () => call.close() }
}

for (const [name, listen, dial] of pairs) {
  describe(name, () => {
    const meet = async (run: (call: Caller, listening: Listening) => Promise<void>): Promise<void> => {
      await using listening = await listen()
      const { call, close } = dial(listening.path)
      try {
        await run(call, listening)
      } finally {
        await close()
      }
    }

    test('one request, one answer; also empty ones', () =>
      meet(async call => {
        for (const request of [Buffer.from('hello'), Buffer.alloc(0), Buffer.alloc(70_000, 3)]) {
          const { messages, error } = await call(Echo.Say, [request])
          assert.equal(error, undefined)
          assert.deepEqual(messages, [request])
        }
      }))

    test('500 calls of 10 kB at once', () =>
      meet(async call => {
        const answers = await Promise.all(Array.from({ length: 500 }, (_, index) => call(Echo.Say, [Buffer.alloc(10_000, index)])))
        answers.forEach(({ messages, error }, index) => {
          assert.equal(error, undefined)
          assert.deepEqual(messages, [Buffer.alloc(10_000, index)])
        })
      }))

    test('a message of 64 MB comes back', () =>
      meet(async call => {
        const request = Buffer.alloc(64 * 1024 * 1024, 7)
        const { messages, error } = await call(Echo.Say, [request])
        assert.equal(error, undefined)
        assert.ok(messages[0]?.equals(request))
      }))

    test('streams up, down and both ways, each ended by its own side', () =>
      meet(async call => {
        const up = await call(Echo.Sum, Array(2_000).fill(Buffer.alloc(1_000)))
        assert.deepEqual([up.error, String(up.messages)], [undefined, '2000000'])
        const none = await call(Echo.Sum, [])
        assert.deepEqual([none.error, String(none.messages)], [undefined, '0'])

        const down = await call(Echo.Repeat, [Buffer.from('5000 4096')])
        assert.equal(down.error, undefined)
        assert.equal(down.messages.length, 5_000)
        assert.ok(down.messages.every((message, index) => message.length === 4_096 && message[0] === (index & 0xff)))
        assert.deepEqual((await call(Echo.Repeat, [Buffer.from('0 0')])).messages, [])

        const requests = Array.from({ length: 2_000 }, (_, index) => Buffer.from(`${index}`))
        const both = await call(Echo.Chat, requests)
        assert.equal(both.error, undefined)
        assert.deepEqual(both.messages, [...requests, Buffer.from('bye')])
      }))

    test('a conversation takes turns', () =>
      meet(async call => {
        const turns = new TransformStream<string, Buffer>({ transform: (turn, out) => out.enqueue(Buffer.from(turn)) })
        const writer = turns.writable.getWriter()
        const answer = call(Echo.Chat, turns.readable)
        for (const turn of ['a', 'b']) await writer.write(turn)
        await writer.close()
        assert.equal(String((await answer).messages), 'a,b,bye')
      }))

    test('status, message, details and trailers arrive', () =>
      meet(async call => {
        const { error, messages, trailer } = await call(Echo.Fail, [Buffer.from('x')])
        assert.deepEqual([error?.code, error?.message, messages], [failure.code, failure.message, []])
        assert.deepEqual(decodeStatusDetails(error?.details as Uint8Array), failure.details)
        const own = new Map(trailer.filter(([name]) => name.startsWith('x-')))
        assert.equal(own.get('x-more'), 'trailer')
        assert.deepEqual(own.get('x-why-bin') && [...(own.get('x-why-bin') as Uint8Array)], [0, 255])
      }))

    test('what came before a failure is read before it', () =>
      meet(async call => {
        const { error, messages } = await call(Echo.FailLate, [Buffer.alloc(0)])
        assert.deepEqual([error?.code, error?.message, String(messages)], [10, 'late', 'one,two'])
      }))

    test('metadata goes and comes, bytes and repeated names too', () =>
      meet(async call => {
        const metadata: [string, string | Buffer][] = [
          ['x-text', 'a b'],
          ['x-many', 'one'],
          ['x-many', 'two'],
          ['x-raw-bin', Buffer.from([0, 1, 254, 255])],
          ['x-raw-bin', Buffer.from([7])],
        ]
        const { error, header, trailer } = await call(Echo.Say, [Buffer.alloc(0)], { metadata })
        assert.equal(error, undefined)
        for (const came of [header, trailer]) {
          const values = (name: string) =>
            came.filter(([other]) => other === name).map(([, value]) => (typeof value === 'string' ? value : [...value]))
          assert.deepEqual(values('x-text'), ['a b'])
          // HTTP joins values of one name with a comma, and grpc-js leaves them so.
          assert.equal(values('x-many').join(', '), 'one, two')
          assert.deepEqual(values('x-raw-bin'), [[0, 1, 254, 255], [7]])
        }
      }))

    test('a method that is not there is UNIMPLEMENTED', () =>
      meet(async call => {
        for (const path of ['/test.Echo/Nope', '/test.Nope/Say']) {
          const { error } = await call({ ...Echo.Say, path }, [Buffer.from('x')])
          assert.equal(error?.code, 12)
        }
      }))

    test('a deadline ends calls of all kinds', () =>
      meet(async (call, { seen, server }) => {
        const started = await Promise.all([
          call(Echo.Hang, [Buffer.alloc(0)], { timeoutMs: 50 }),
          call(Echo.HangAll, [], { timeoutMs: 50 }),
        ])
        for (const { error } of started) assert.equal(error?.code, 4)
        // One may have ended before the server heard of it.
        const hanging = () => seen.contexts.filter(({ path }) => path.includes('Hang')).length
        if (server !== undefined) while (seen.cancelled < hanging()) await new Promise(setImmediate)
      }))

    test('cancelling ends calls of all kinds, on the other side too', () =>
      meet(async (call, { seen, server }) => {
        const controller = new AbortController()
        const { signal } = controller
        const started = [call(Echo.Hang, [Buffer.alloc(0)], { signal }), call(Echo.HangAll, [Buffer.alloc(0)], { signal })]
        if (server !== undefined) while (seen.contexts.length < 2) await new Promise(setImmediate)
        else await call(Echo.Say, [Buffer.alloc(0)])
        controller.abort()
        for (const { error } of await Promise.all(started)) assert.equal(error?.code, 1)
        if (server !== undefined) while (seen.cancelled < 2) await new Promise(setImmediate)
      }))

    test('an answer before the requests have ended ends them', () =>
      meet(async call => {
        let asked = 0
        const endless = async function* () {
          for (;;) {
            asked++
            yield Buffer.from('first')
            await new Promise(setImmediate)
          }
        }
        const { messages, error } = await call(Echo.Impatient, endless())
        assert.deepEqual([error, String(messages)], [undefined, 'first'])
        assert.ok(asked >= 1)
      }))
  })
}
