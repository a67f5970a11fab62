// How far ahead streams run, and who is told when one is left.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GrpcError, isGrpcError } from '../../src/transport/grpc-error.ts'
import type { GrpcContext } from '../../src/transport/seam.ts'
import { Echo } from './support/echo.ts'
import { ourChannel, ourServer } from './support/listening.ts'

const turn = () => new Promise(setImmediate)
const MEGABYTE = 1024 * 1024

async function untilStill(number: () => number): Promise<number> {
  for (let last = -1, still = 0; ; ) {
    await new Promise(resolve => setTimeout(resolve, 5))
    still = number() === last ? still + 1 : 0
    last = number()
    if (still === 10) return last
  }
}

test('a server does not run ahead of a client that does not read', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  let made = 0
  const method = {
    ...Echo.Repeat,
    path: '/test.Counted/Repeat',
    responseSerialize: (bytes: Uint8Array) => {
      made += bytes.length
      return Echo.Repeat.responseSerialize(bytes)
    },
  }
  listening.server.add({ Repeat: method }, { repeat: () => endless(64 * 1024) })
  const answers = channel.serverStream(method, Buffer.alloc(0))
  await answers.next()
  const ahead = await untilStill(() => made)
  assert.ok(ahead < 4 * MEGABYTE, `${ahead} bytes were made for one message that was read`)
  for (let index = 0; index < 200; index++) await answers.next()
  assert.ok(made > ahead)
  await answers.return()
})

test('a client does not run ahead of a server that does not read', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  let asked = 0
  let stopped = false
  const source = (async function* () {
    try {
      for (;;) {
        asked += 64 * 1024
        yield Buffer.alloc(64 * 1024)
      }
    } finally {
      stopped = true
    }
  })()
  const controller = new AbortController()
  const answers = channel.bidi(Echo.HangAll, source, { signal: controller.signal })
  const ahead = await untilStill(() => asked)
  assert.ok(ahead < 4 * MEGABYTE, `${ahead} bytes were asked for`)
  controller.abort()
  await assert.rejects(answers.next(), error => isGrpcError(error, 'CANCELLED'))
  while (!stopped) await turn()
})

test('leaving a loop cancels the call, and the generator on the other side ends', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  let count = 0
  for await (const _ of channel.serverStream(Echo.Repeat, Buffer.from('1000000 100'))) if (++count === 3) break
  while (listening.seen.returned < 1) await turn()
  assert.equal(channel.callsInFlight, 0)
})

test('a stream that nobody reads any more ends when its server ends it', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const answers = channel.serverStream(Echo.FailLate, Buffer.alloc(0))
  while (channel.callsInFlight > 0) await turn()
  assert.equal(String((await answers.next()).value), 'one')
  assert.equal(String((await answers.next()).value), 'two')
  await assert.rejects(answers.next(), error => isGrpcError(error, 'ABORTED'))
})

test('headers can leave before the first message', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const method = { ...Echo.Repeat, path: '/test.Early/Repeat' }
  let answer = (): void => {}
  listening.server.add(
    { Repeat: method },
    {
      async *repeat(_request: unknown, context: GrpcContext) {
        context.setHeader({ 'x-early': 'yes' })
        context.sendHeader()
        await new Promise<void>(resolve => {
          answer = resolve
        })
        assert.throws(() => context.setHeader({ late: 'x' }))
        yield Buffer.from('late')
      },
    },
  )
  let header: string | undefined
  const answers = channel.serverStream(method, Buffer.alloc(0), {
    onHeader: metadata => {
      header = metadata.get('x-early') as string
    },
  })
  while (header === undefined) await turn()
  answer()
  assert.equal(String((await answers.next()).value), 'late')
})

test('handlers see what a call is, and calls of one connection the same peer', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path, { authority: 'unused' })
  await using other = ourChannel(listening.path)
  await channel.unary(Echo.Say, Buffer.alloc(0), { timeoutMs: 60_000 })
  await channel.unary(Echo.Say, Buffer.alloc(0))
  await other.unary(Echo.Say, Buffer.alloc(0))
  const [first, second, third] = listening.seen.contexts
  assert.equal(first?.authority, 'unused')
  assert.equal(third?.authority, 'localhost')
  assert.equal(first?.path, Echo.Say.path)
  assert.ok(Math.abs((first?.deadline?.getTime() as number) - Date.now() - 60_000) < 5_000)
  assert.equal(second?.deadline, undefined)
  assert.equal(first?.peer, second?.peer)
  assert.notEqual(first?.peer, third?.peer)
  assert.equal(first?.signal.aborted, false)
})

test('metadata that HTTP/2 refuses fails its call, in every place', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const twice = { authorization: ['a', 'b'] }
  const set: Record<string, (context: GrpcContext) => void> = {
    header: context => context.setHeader(twice),
    trailer: context => context.setTrailer(twice),
    both: context => {
      context.setHeader(twice)
      context.setTrailer(twice)
    },
    error: () => {
      throw new GrpcError('ABORTED', 'x', { metadata: twice })
    },
    'header and error': context => {
      context.setHeader(twice)
      throw new GrpcError('ABORTED', 'x', { metadata: twice })
    },
  }
  for (const [where, prepare] of Object.entries(set)) {
    const say = { ...Echo.Say, path: `/test.Refused/${where.replaceAll(' ', '')}` }
    const list = { ...Echo.Repeat, path: `${say.path}s` }
    listening.server.add(
      { say, list },
      {
        say: (_: unknown, context: GrpcContext) => {
          prepare(context)
          return Buffer.from('said')
        },
        async *list(_: unknown, context: GrpcContext) {
          prepare(context)
          yield Buffer.from('said')
        },
      },
    )
    await assert.rejects(channel.unary(say, Buffer.alloc(0)), error => isGrpcError(error, 'INTERNAL'), where)
    await assert.rejects(
      (async () => {
        for await (const _ of channel.serverStream(list, Buffer.alloc(0)));
      })(),
      error => isGrpcError(error, 'INTERNAL'),
      where,
    )
  }
  await assert.rejects(channel.unary(Echo.Say, Buffer.alloc(0), { metadata: twice }), error => isGrpcError(error, 'INTERNAL'))
  assert.deepEqual(await channel.unary(Echo.Say, Buffer.from('on')), Buffer.from('on'))
})

test('an answer that cannot be iterated fails its call', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const locked = () => {
    const stream = new ReadableStream()
    stream.getReader()
    return stream
  }
  const now = { ...Echo.Repeat, path: '/test.Locked/Now' }
  const later = { ...Echo.Repeat, path: '/test.Locked/Later' }
  listening.server.add({ now, later }, { now: locked, later: async () => locked() })
  for (const method of [now, later]) {
    await assert.rejects(
      channel.serverStream(method, Buffer.alloc(0)).next(),
      error => isGrpcError(error, 'UNKNOWN') && /locked/.test(error.message),
    )
  }
  await assert.rejects(channel.clientStream(Echo.Sum, locked()), error => isGrpcError(error, 'CANCELLED') && /locked/.test(error.message))
})

test('what is too large for headers fails its call, and no other', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const other = channel.unary(Echo.Hang, Buffer.alloc(0))
  other.catch(() => {})
  while (listening.server.callsInFlight < 1) await turn()
  const long = 'a'.repeat(70_000)
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`x-${index}`, 'a'.repeat(60_000)]))
  const set: Record<string, [act: (context: GrpcContext) => void, code: 'INTERNAL' | 'ABORTED', message: RegExp]> = {
    header: [context => context.setHeader({ long }), 'INTERNAL', /long would take 70000 bytes/],
    trailer: [context => context.setTrailer({ long }), 'INTERNAL', /long would take 70000 bytes/],
    trailers: [context => context.setTrailer(many), 'INTERNAL', /the headers would take 18\d{5} bytes/],
    error: [
      () => {
        throw new GrpcError('ABORTED', 'short', {
          metadata: many,
          details: [{ typeUrl: 'type.test/Long', value: Buffer.alloc(2 * MEGABYTE) }],
        })
      },
      'ABORTED',
      /^short$/,
    ],
    message: [
      () => {
        throw new GrpcError('ABORTED', 'ключ'.repeat(MEGABYTE))
      },
      'ABORTED',
      /^(ключ){2730}кл\ufffd$/,
    ],
  }
  for (const [where, [act, code, message]] of Object.entries(set)) {
    const say = { ...Echo.Say, path: `/test.Large/${where}` }
    listening.server.add(
      { say },
      {
        say: (_: unknown, context: GrpcContext) => {
          act(context)
          return Buffer.alloc(0)
        },
      },
    )
    await assert.rejects(channel.unary(say, Buffer.alloc(0)), error => isGrpcError(error, code) && message.test(error.message), where)
  }
  const tooLarge = channel.unary(Echo.Say, Buffer.alloc(0), { metadata: { long } })
  await assert.rejects(tooLarge, error => isGrpcError(error, 'INTERNAL') && /long would take/.test(error.message))
  assert.deepEqual(await channel.unary(Echo.Say, Buffer.from('on')), Buffer.from('on'))
  assert.equal(listening.server.callsInFlight, 1, 'the other call goes on')
  assert.equal(listening.sockets.size, 1)
})

test('an error of another copy of the library keeps its code', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const copy = (await import(`${new URL('../../src/transport/grpc-error.js', import.meta.url).href}?copy`)) as {
    GrpcError: typeof GrpcError
  }
  assert.notEqual(copy.GrpcError, GrpcError)
  const say = { ...Echo.Say, path: '/test.Copy/Say' }
  listening.server.add(
    { say },
    {
      say() {
        throw new copy.GrpcError('NOT_FOUND', 'of the copy')
      },
    },
  )
  await assert.rejects(channel.unary(say, Buffer.alloc(0)), error => isGrpcError(error, 'NOT_FOUND') && error.message === 'of the copy')
})

test('callbacks of a caller that throw fail its call', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const broken = (): never => {
    throw new Error('mine')
  }
  for (const options of [{ onHeader: broken }, { onTrailer: broken }]) {
    await assert.rejects(
      channel.unary(Echo.Say, Buffer.alloc(0), options),
      error => isGrpcError(error, 'INTERNAL') && error.message === 'mine',
    )
  }
})

async function* endless(bytes: number): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(bytes)
}
