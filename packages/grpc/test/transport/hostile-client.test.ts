// What a client may do wrong, and what our server makes of it: an answer for the call, and no harm to others.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { Echo } from './support/echo.ts'
import { type Listening, ourChannel, ourServer } from './support/listening.ts'
import { frame, type RawAnswer, rawCall, rawSession } from './support/raw.ts'

const say = { ':path': Echo.Say.path }
const hello = Buffer.from('hello')
const turn = () => new Promise(setImmediate)

/** Where Node knows `streamResetBurst` nothing is filtered. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const countsResets = major > 22 || (major === 22 && minor >= 12)

const status = ({ headers, trailers }: RawAnswer): string | undefined =>
  (trailers['grpc-status'] ?? headers['grpc-status']) as string | undefined

async function stillServes({ path, server }: Listening & { server: { callsInFlight: number } }): Promise<void> {
  await using channel = ourChannel(path)
  assert.deepEqual(await channel.unary(Echo.Say, hello), hello)
  while (server.callsInFlight > 0) await turn()
}

describe('one wrong request is answered', () => {
  const table: [string, Record<string, string | undefined>, Buffer | undefined, { http?: number; status?: string }][] = [
    ['GET', { ':method': 'GET', 'content-type': undefined }, undefined, { http: 405 }],
    ['another content type', { 'content-type': 'application/json' }, Buffer.from('{}'), { http: 415 }],
    ['no content type', { 'content-type': undefined }, frame(hello), { http: 415 }],
    ['a subtype of ours', { 'content-type': 'application/grpc+proto' }, frame(hello), { http: 200, status: '0' }],
    ['an unknown method', { ':path': '/test.Echo/__proto__' }, frame(hello), { status: '12' }],
    ['a path that is none', { ':path': '/' }, frame(hello), { status: '12' }],
    ['an unknown encoding', { 'grpc-encoding': 'snappy' }, frame(hello, 1), { status: '12' }],
    ['a compressed message without an encoding', {}, frame(gzipSync(hello), 1), { status: '13' }],
    ['a compressed message that is none', { 'grpc-encoding': 'gzip' }, frame(hello, 1), { status: '13' }],
    ['a flag without a meaning', {}, frame(hello, 7), { status: '13' }],
    ['no message', {}, undefined, { status: '12' }],
    ['two messages', {}, Buffer.concat([frame(hello), frame(hello)]), { status: '12' }],
    ['half a message', {}, frame(hello).subarray(0, 7), { status: '13' }],
    ['half a prefix', {}, frame(hello).subarray(0, 3), { status: '13' }],
    ['a timeout that is none', { 'grpc-timeout': 'soon' }, frame(hello), { status: '13' }],
    ['a timeout of nothing', { ':path': Echo.Hang.path, 'grpc-timeout': '0n' }, frame(hello), { status: '4' }],
    ['gzip', { 'grpc-encoding': 'gzip' }, frame(gzipSync(hello), 1), { status: '0' }],
    ['deflate', { 'grpc-encoding': 'deflate' }, frame(deflateSync(hello), 1), { status: '0' }],
    ['a declared encoding that is not used', { 'grpc-encoding': 'gzip' }, frame(hello), { status: '0' }],
    ['another authority', { ':authority': 'unused' }, frame(hello), { status: '0' }],
  ]
  for (const [name, headers, body, expected] of table) {
    test(name, async () => {
      await using listening = await ourServer()
      const session = rawSession(listening.path)
      const answer = await rawCall(session, { ...say, ...headers }, body)
      assert.equal(answer.headers[':status'], expected.http ?? 200)
      assert.equal(status(answer), expected.status)
      if (expected.status === '0') assert.deepEqual(answer.data, frame(hello))
      session.destroy()
      await stillServes(listening)
    })
  }
})

test('an unknown encoding is told which are known', async () => {
  await using listening = await ourServer()
  const session = rawSession(listening.path)
  const { headers } = await rawCall(session, { ...say, 'grpc-encoding': 'br' }, frame(hello, 1))
  assert.equal(headers['grpc-accept-encoding'], 'identity,gzip,deflate')
  session.destroy()
})

test('a message beyond the limit is refused before it is taken, compressed or not', async () => {
  await using listening = await ourServer({ maxMessageBytes: 100_000 })
  const session = rawSession(listening.path)
  const claims = Buffer.concat([Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(1_000)])
  assert.equal(status(await rawCall(session, say, claims)), '8')
  assert.equal(status(await rawCall(session, { ':path': Echo.Sum.path }, claims)), '8')
  const bomb = gzipSync(Buffer.alloc(50_000_000))
  assert.ok(bomb.length < 100_000)
  assert.equal(status(await rawCall(session, { ...say, 'grpc-encoding': 'gzip' }, frame(bomb, 1))), '8')
  assert.equal(status(await rawCall(session, say, frame(Buffer.alloc(100_000)))), '0')
  session.destroy()
  await stillServes(listening)
})

test('claims of 4 GiB on a thousand streams cost nothing', async () => {
  await using listening = await ourServer()
  const session = rawSession(listening.path)
  await rawCall(session, say, frame(hello))
  const before = process.memoryUsage().arrayBuffers
  const claims = Array.from({ length: 1_000 }, () => {
    const stream = session.request({ ':method': 'POST', ':path': Echo.Say.path, 'content-type': 'application/grpc' })
    stream.on('error', () => {})
    stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]))
    return stream
  })
  while (listening.server.callsInFlight < 1_000) await turn()
  assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024)
  for (const stream of claims) stream.destroy()
  while (listening.server.callsInFlight > 0) await turn()
  session.destroy()
})

test('thousands of resets leave the connection alone', async () => {
  await using listening = await ourServer()
  const session = rawSession(listening.path)
  session.on('close', () => assert.equal(done, true, 'the server ended the connection'))
  let done = false
  for (let round = 0; round < 30; round++) {
    const streams = Array.from({ length: 100 }, () => {
      const stream = session.request({ ':method': 'POST', ':path': Echo.HangAll.path, 'content-type': 'application/grpc' })
      stream.on('error', () => {})
      return stream
    })
    await turn()
    for (const stream of streams) stream.close(8)
    await turn()
  }
  assert.equal(status(await rawCall(session, say, frame(hello))), '0')
  done = true
  session.destroy()
  await stillServes(listening)
})

test('resets of what was never opened take no room without end', { skip: countsResets && 'Node counts them itself' }, async () => {
  await using listening = await ourServer()
  const socket = connect(listening.path)
  socket.on('error', () => {}).resume()
  const gone = new Promise(resolve => socket.once('close', resolve))
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1')
  const resets = (count: number, id: (index: number) => number): Buffer => {
    const bytes = Buffer.alloc(13 * count)
    for (let index = 0; index < count; index++) {
      bytes.writeUIntBE(4, index * 13, 3)
      bytes[index * 13 + 3] = 3
      bytes.writeUInt32BE(id(index), index * 13 + 5)
    }
    return bytes
  }
  // GET / on stream 1, which is refused; and as many resets of it as pass.
  socket.write(Buffer.from('000003010500000001828684', 'hex'))
  socket.write(resets(500, () => 1))
  for (let round = 0; round < 10 && !socket.destroyed; round++) {
    await new Promise(resolve =>
      socket.write(
        resets(10_000, index => 3 + 2 * (round * 10_000 + index)),
        resolve,
      ),
    )
  }
  await gone
  await stillServes(listening)
})

test('bytes that are no HTTP/2 end their own connection only', async () => {
  await using listening = await ourServer()
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1')
  const send = (bytes: Uint8Array): Promise<void> =>
    new Promise(resolve => {
      const socket = connect(listening.path)
      socket.on('error', () => {}).on('close', () => resolve())
      socket.on('data', () => {})
      socket.end(bytes)
    })
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, prefaced) => {
      await send(prefaced ? Buffer.concat([preface, bytes]) : bytes)
    }),
    { numRuns: 150 },
  )
  while (listening.server.connections > 0) await turn()
  await stillServes(listening)
})

test('a connection that opens and closes, or says nothing, is no error', async () => {
  await using listening = await ourServer()
  for (let index = 0; index < 20; index++) {
    const socket = connect(listening.path)
    await new Promise(resolve => socket.once('connect', resolve))
    socket.destroy()
  }
  const silent = connect(listening.path)
  await new Promise(resolve => silent.once('connect', resolve))
  await stillServes(listening)
  assert.deepEqual(listening.errors, [])
  silent.destroy()
})

test('pings are answered', async () => {
  await using listening = await ourServer()
  const session = rawSession(listening.path)
  await new Promise(resolve => session.once('remoteSettings', resolve))
  const payload = Buffer.from('8 bytes!')
  const echoed = await new Promise((resolve, reject) => {
    session.ping(payload, (error, _ms, echo) => (error ? reject(error) : resolve(echo)))
  })
  assert.deepEqual(echoed, payload)
  session.destroy()
})

test('headers beyond the limit refuse the call, not the connection', async () => {
  await using listening = await ourServer()
  const session = rawSession(listening.path)
  const fits = await rawCall(session, { ...say, 'x-long': 'a'.repeat(60_000) }, frame(hello))
  assert.equal(status(fits), '0')
  session.destroy()
  await stillServes(listening)
})

test('a client that dies in the middle of everything leaves nothing behind', async () => {
  await using listening = await ourServer()
  const channel = ourChannel(listening.path)
  const calls = [
    channel.unary(Echo.Hang, hello),
    ...Array.from({ length: 20 }, () => channel.serverStream(Echo.Repeat, Buffer.from('100000 10000')).next()),
    channel.bidi(Echo.HangAll, []).next(),
  ]
  await channel.connect()
  while (listening.server.callsInFlight < calls.length) await turn()
  channel.destroy()
  await Promise.allSettled(calls)
  while (listening.server.callsInFlight > 0 || listening.server.connections > 0) await turn()
  while (listening.seen.cancelled < 2 || listening.seen.returned < 20) await turn()
})
