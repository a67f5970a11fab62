// What a server may do wrong, and what our client makes of it: an error for the call.

import assert from 'node:assert/strict'
import { createServer as createHttp2Server, type Http2Session, type ServerHttp2Stream, type Settings } from 'node:http2'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import type { ChannelOptions } from '../../src/transport/seam.ts'
import type { StatusName } from '../../src/transport/status.ts'
import { Echo } from './support/echo.ts'
import { ourChannel, ourServer, socketPath } from './support/listening.ts'
import { frame } from './support/raw.ts'

const hello = Buffer.from('hello')
const grpc = { ':status': 200, 'content-type': 'application/grpc' }
const turn = () => new Promise(setImmediate)

/** A server whose every answer is given by hand. */
async function answering(
  answer: (stream: ServerHttp2Stream) => void,
  settings: Settings = {},
): Promise<{ path: string; close(): Promise<void> }> {
  const { path, remove } = await socketPath()
  const server = createHttp2Server({ maxSendHeaderBlockLength: 1024 * 1024, settings })
  const sessions = new Set<Http2Session>()
  server.on('session', session => sessions.add(session))
  server.on('stream', stream => {
    stream.on('error', () => {}) // whatever it is, it was asked for
    stream.resume()
    answer(stream)
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  return {
    path,
    async close() {
      for (const session of sessions) session.destroy()
      server.close()
      await remove()
    },
  }
}

function respond(stream: ServerHttp2Stream, headers: object, body: Buffer, trailers: Record<string, string | string[]> | undefined): void {
  stream.respond({ ...grpc, ...headers }, { waitForTrailers: trailers !== undefined })
  if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(body)
}

async function outcome(path: string, options: ChannelOptions = {}): Promise<StatusName | 'OK'> {
  const channel = ourChannel(path, options)
  try {
    await channel.unary(Echo.Say, hello)
    return 'OK'
  } catch (error) {
    if (!isGrpcError(error)) throw error
    return error.codeName
  } finally {
    assert.equal(channel.callsInFlight, 0)
    channel.destroy()
  }
}

describe('one wrong answer fails its call', () => {
  const ok = { 'grpc-status': '0' }
  const table: [string, (stream: ServerHttp2Stream) => void, StatusName | 'OK', ChannelOptions?][] = [
    ['nothing wrong', stream => respond(stream, {}, frame(hello), ok), 'OK'],
    ['compressed, as declared', stream => respond(stream, { 'grpc-encoding': 'gzip' }, frame(gzipSync(hello), 1), ok), 'OK'],
    ['no message', stream => respond(stream, {}, Buffer.alloc(0), ok), 'UNIMPLEMENTED'],
    ['two messages', stream => respond(stream, {}, Buffer.concat([frame(hello), frame(hello)]), ok), 'UNIMPLEMENTED'],
    ['half a message', stream => respond(stream, {}, frame(hello).subarray(0, 8), ok), 'INTERNAL'],
    ['no status', stream => respond(stream, {}, frame(hello), { own: 'x' }), 'UNKNOWN'],
    ['no trailers', stream => respond(stream, {}, frame(hello), undefined), 'INTERNAL'],
    ['a status that is none', stream => respond(stream, {}, frame(hello), { 'grpc-status': 'fine' }), 'UNKNOWN'],
    ['a compressed message without an encoding', stream => respond(stream, {}, frame(gzipSync(hello), 1), ok), 'INTERNAL'],
    ['an unknown encoding', stream => respond(stream, { 'grpc-encoding': 'br' }, frame(hello, 1), ok), 'UNIMPLEMENTED'],
    ['another content type', stream => respond(stream, { 'content-type': 'text/html' }, Buffer.from('<html>'), ok), 'UNKNOWN'],
    ['HTTP 404', stream => respond(stream, { ':status': 404, 'content-type': 'text/html' }, Buffer.from('<html>'), ok), 'UNIMPLEMENTED'],
    ['HTTP 503, nothing else', stream => stream.respond({ ':status': 503 }, { endStream: true }), 'UNAVAILABLE'],
    ['HTTP 401, nothing else', stream => stream.respond({ ':status': 401 }, { endStream: true }), 'UNAUTHENTICATED'],
    ['a status alone', stream => stream.respond({ ...grpc, 'grpc-status': '7' }, { endStream: true }), 'PERMISSION_DENIED'],
    ['a status alone that is OK', stream => stream.respond({ ...grpc, ...ok }, { endStream: true }), 'UNIMPLEMENTED'],
    [
      'a message beyond the limit',
      stream => respond(stream, {}, frame(Buffer.alloc(1_001)), ok),
      'RESOURCE_EXHAUSTED',
      { maxMessageBytes: 1_000 },
    ],
    [
      'a bomb',
      stream => respond(stream, { 'grpc-encoding': 'gzip' }, frame(gzipSync(Buffer.alloc(10_000_000)), 1), ok),
      'RESOURCE_EXHAUSTED',
      { maxMessageBytes: 100_000 },
    ],
    ['a reset: CANCEL', stream => stream.close(8), 'CANCELLED'],
    ['a reset: ENHANCE_YOUR_CALM', stream => stream.close(11), 'RESOURCE_EXHAUSTED'],
    ['a reset: INTERNAL_ERROR', stream => stream.close(2), 'INTERNAL'],
    [
      'a reset after the headers',
      stream => {
        stream.respond(grpc)
        setImmediate(() => stream.close(2))
      },
      'INTERNAL',
    ],
    ['a connection that breaks', stream => stream.session?.destroy(), 'UNAVAILABLE'],
    ['a GOAWAY with an error', stream => stream.session?.goaway(11), 'UNAVAILABLE'],
  ]
  for (const [name, answer, expected, options] of table) {
    test(name, async () => {
      const { path, close } = await answering(answer)
      try {
        assert.equal(await outcome(path, options), expected)
      } finally {
        await close()
      }
    })
  }
})

test('trailers with bytes in every form are read', async () => {
  const { path, close } = await answering(stream =>
    respond(stream, {}, frame(hello), {
      'grpc-status': '3',
      'grpc-message': '%F0%9F%92%A9 100%',
      'a-bin': ['AP8', 'AP8='],
      'b-bin': 'AQ,Ag==',
    }),
  )
  const channel = ourChannel(path)
  try {
    await assert.rejects(channel.unary(Echo.Say, hello), error => {
      assert.ok(isGrpcError(error, 'INVALID_ARGUMENT'))
      assert.equal(error.message, '\u{1f4a9} 100%')
      assert.deepEqual(error.metadata.getAll('a-bin'), [Buffer.from([0, 255]), Buffer.from([0, 255])])
      assert.deepEqual(error.metadata.getAll('b-bin'), [Buffer.from([1]), Buffer.from([2])])
      return true
    })
  } finally {
    channel.destroy()
    await close()
  }
})

test('whatever bytes a server says, calls end with an error', async () => {
  let bytes: Uint8Array = new Uint8Array()
  const { path, remove } = await socketPath()
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.resume()
    socket.end(bytes)
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
  const frames = fc.record({
    type: fc.integer({ min: 0, max: 12 }),
    flags: fc.integer({ min: 0, max: 255 }),
    id: fc.integer({ min: 0, max: 5 }),
    payload: fc.uint8Array({ maxLength: 60 }),
  })
  const encoded = fc
    .array(frames, { maxLength: 6 })
    .map(all =>
      Buffer.concat([
        settings,
        ...all.map(({ type, flags, id, payload }) =>
          Buffer.concat([Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, id]), payload]),
        ),
      ]),
    )
  try {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 100 }), encoded), async given => {
        bytes = given
        assert.notEqual(await outcome(path, { connectTimeoutMs: 1_000 }), 'OK')
      }),
      { numRuns: 150 },
    )
  } finally {
    server.close()
    await remove()
  }
})

test('thousands of calls that are cancelled leave the connection alone', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path, { afterLoss: 'fail' })
  await channel.connect()
  for (let round = 0; round < 30; round++) {
    const controller = new AbortController()
    const calls = Array.from({ length: 100 }, () => channel.unary(Echo.Hang, hello, { signal: controller.signal }))
    await turn()
    controller.abort()
    await Promise.allSettled(calls)
  }
  assert.deepEqual(await channel.unary(Echo.Say, hello), hello)
  assert.equal(channel.state, 'ready')
  while (listening.server.callsInFlight > 0) await turn()
})

test('a header that HTTP/2 cannot read ends the connection, and no call waits for ever; one that is only slow is waited for', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const answers: ServerHttp2Stream[] = []
  const server = await answering(stream => answers.push(stream))
  await using channel = ourChannel(server.path)
  const calls = [channel.unary(Echo.Say, hello), channel.unary(Echo.Say, hello), channel.unary(Echo.Say, hello)]
  const pulse = async () => {
    t.mock.timers.tick(5_000)
    for (let turns = 0; turns < 20; turns++) await turn()
  }
  while (answers.length < 3) await turn()
  for (let round = 0; round < 5; round++) await pulse()
  respond(answers[0] as ServerHttp2Stream, {}, frame(hello), { 'grpc-status': '0' })
  assert.deepEqual(await calls[0], hello)
  respond(answers[1] as ServerHttp2Stream, {}, frame(hello), { 'grpc-status': '2', 'grpc-message': 'a'.repeat(200_000) })
  const ends = Promise.all(
    calls.slice(1).map(call => assert.rejects(call, error => isGrpcError(error, 'UNAVAILABLE') && /cannot read/.test(error.message))),
  )
  let ended = false
  void ends.then(() => {
    ended = true
  })
  while (!ended) await pulse()
  await ends
  assert.equal(channel.state, 'idle')
  await server.close()
})

test('calls beyond what a server takes at one time wait for their turn, however long it is quiet', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const answers: ServerHttp2Stream[] = []
  const server = await answering(stream => answers.push(stream), { maxConcurrentStreams: 2 })
  await using channel = ourChannel(server.path)
  const calls = [channel.unary(Echo.Say, hello), channel.unary(Echo.Say, hello), channel.unary(Echo.Say, hello)]
  while (answers.length < 2) await turn()
  for (let round = 0; round < 5; round++) {
    t.mock.timers.tick(5_000)
    for (let turns = 0; turns < 20; turns++) await turn()
  }
  for (let index = 0; index < calls.length; index++) {
    while (answers.length <= index) await turn()
    respond(answers[index] as ServerHttp2Stream, {}, frame(hello), { 'grpc-status': '0' })
    assert.deepEqual(await calls[index], hello)
  }
  await server.close()
})
