// Connections of a channel: when they are made, kept, lost, made again and given up.

import assert from 'node:assert/strict'
import { createServer, type Http2Session } from 'node:http2'
import { connect } from 'node:net'
import { test } from 'node:test'
import { openChannel } from '../../src/transport/channel.ts'
import { GrpcError, isGrpcError } from '../../src/transport/grpc-error.ts'
import { Echo } from './support/echo.ts'
import { ourChannel, ourServer, socketPath } from './support/listening.ts'

const hello = Buffer.from('hello')
const turn = () => new Promise(setImmediate)

test('nothing is dialled before the first call, and one connection serves all', async () => {
  await using listening = await ourServer()
  let dials = 0
  const channel = openChannel(async () => {
    dials++
    return connect(listening.path)
  })
  assert.deepEqual([channel.state, dials], ['idle', 0])
  const answers = Promise.all(Array.from({ length: 20 }, () => channel.unary(Echo.Say, hello)))
  assert.equal(channel.state, 'connecting')
  await answers
  assert.deepEqual([channel.state, dials, channel.callsInFlight], ['ready', 1, 0])
  await channel.close()
  assert.equal(channel.state, 'closed')
})

test('connect dials at once, and tells why it failed', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  await channel.connect()
  assert.equal(channel.state, 'ready')

  const refused = ourChannel('/nowhere/at/all')
  await assert.rejects(
    refused.connect(),
    error => isGrpcError(error, 'UNAVAILABLE') && (error.cause as NodeJS.ErrnoException).code === 'ENOENT',
  )
  assert.equal(refused.state, 'backoff')
  const before = performance.now()
  await assert.rejects(refused.unary(Echo.Say, hello), error => isGrpcError(error, 'UNAVAILABLE'))
  assert.ok(performance.now() - before < 500, 'while it backs off, calls fail at once')
})

test('a server that says nothing, or no HTTP/2, is unavailable', async () => {
  const { path, remove } = await socketPath()
  const { createServer: listen } = await import('node:net')
  let answer = ''
  const server = listen(socket => {
    socket.on('error', () => {})
    if (answer === 'end') socket.end()
    else if (answer !== '') socket.write(answer)
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  try {
    for (answer of ['', 'HTTP/1.1 400 Bad Request\r\n\r\n', '1|1|unix|/tmp/x|netrpc|\n', 'end']) {
      const channel = ourChannel(path, { connectTimeoutMs: 100 })
      await assert.rejects(channel.unary(Echo.Say, hello), error => isGrpcError(error, 'UNAVAILABLE'), JSON.stringify(answer))
      channel.destroy()
    }
  } finally {
    server.close()
    await remove()
  }
})

test('a lost connection fails its calls, and the next call dials again', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const lost = channel.unary(Echo.Hang, hello)
  while (listening.seen.contexts.length < 1) await turn()
  for (const socket of listening.sockets) socket.destroy()
  await assert.rejects(lost, error => isGrpcError(error, 'UNAVAILABLE'))
  assert.equal(channel.state, 'idle')
  assert.deepEqual(await channel.unary(Echo.Say, hello), hello)
})

test('told to, it does not dial again', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path, { afterLoss: 'fail' })
  await channel.unary(Echo.Say, hello)
  for (const socket of listening.sockets) socket.destroy()
  while (channel.state === 'ready') await turn()
  await assert.rejects(channel.unary(Echo.Say, hello), error => isGrpcError(error, 'UNAVAILABLE'))
  assert.equal(channel.state, 'closed')
})

test('a server that goes away in order lets calls end, and later calls find another connection', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const answers = channel.bidi(Echo.Chat, conversation())
  let say: (text: string | undefined) => void = () => {}
  async function* conversation() {
    for (;;) {
      const text = await new Promise<string | undefined>(resolve => {
        say = resolve
      })
      if (text === undefined) return
      yield Buffer.from(text)
    }
  }
  await channel.connect()
  await turn()
  say('one')
  assert.equal(String((await answers.next()).value), 'one')
  const { sockets, server } = listening
  assert.equal(sockets.size, 1)
  const closing = server.close(5_000)
  while (channel.state === 'ready') await turn()
  say('two')
  assert.equal(String((await answers.next()).value), 'two')
  say(undefined)
  assert.equal(String((await answers.next()).value), 'bye')
  assert.equal((await answers.next()).done, true)
  await closing
  assert.equal(server.connections, 0)
})

test('a call that the server refused to look at is made once more', async () => {
  const { path, remove } = await socketPath()
  let refusals = 0
  const server = createServer()
  const sessions = new Set<Http2Session>()
  server.on('session', session => sessions.add(session))
  server.on('stream', stream => {
    stream.on('error', () => {}) // its own reset
    if (refusals-- > 0) return stream.close(7)
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.from([0, 0, 0, 0, 1, 7]))
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  const channel = ourChannel(path)
  try {
    refusals = 1
    assert.deepEqual(await channel.unary(Echo.Say, hello), Buffer.from([7]))
    refusals = 2
    await assert.rejects(channel.unary(Echo.Say, hello), error => isGrpcError(error, 'UNAVAILABLE'))
    refusals = 1
    await assert.rejects(channel.clientStream(Echo.Sum, [hello]), error => isGrpcError(error, 'UNAVAILABLE'))
  } finally {
    channel.destroy()
    for (const session of sessions) session.destroy()
    server.close()
    await remove()
  }
})

test('closing lets calls end for a while, and cancels what is left', async () => {
  await using listening = await ourServer()
  const channel = ourChannel(listening.path)
  await channel.connect()
  const down = channel.serverStream(Echo.Repeat, Buffer.from('100 10'))
  const read = (async () => {
    let count = 0
    for await (const _ of down) count++
    return count
  })()
  await channel.close(5_000)
  assert.equal(await read, 100)
  await assert.rejects(channel.unary(Echo.Say, hello), error => isGrpcError(error, 'CANCELLED'))

  const other = ourChannel(listening.path)
  const hanging = other.unary(Echo.Hang, hello)
  const rejected = assert.rejects(hanging, error => isGrpcError(error, 'CANCELLED'))
  await other.connect()
  await other.close(10)
  await rejected
})

test('destroying fails calls with its cause, also those that wait for the connection', async () => {
  await using listening = await ourServer()
  const cause = new Error('the plugin exited')
  const carries = (error: unknown) => isGrpcError(error, 'UNAVAILABLE') && error.cause === cause && error.message === cause.message
  const ready = ourChannel(listening.path)
  const hanging = assert.rejects(ready.unary(Echo.Hang, hello), carries)
  await ready.connect()
  ready.destroy(cause)
  await hanging
  await assert.rejects(ready.unary(Echo.Say, hello), carries)

  const waiting = openChannel(() => new Promise(() => {}))
  const call = assert.rejects(waiting.unary(Echo.Say, hello), carries)
  waiting.destroy(cause)
  await call
})

test('the event loop is held while calls are in flight', async () => {
  await using listening = await ourServer()
  const held: string[] = []
  let refs = 0
  const options = { hold: () => held.push('hold'), release: () => held.push('release') }
  const channel = openChannel(async () => {
    const socket = connect(listening.path)
    const { ref, unref } = socket
    socket.ref = () => {
      refs++
      return ref.call(socket)
    }
    socket.unref = () => {
      refs--
      return unref.call(socket)
    }
    return socket
  }, options)
  await Promise.all([channel.unary(Echo.Say, hello), channel.unary(Echo.Say, hello)])
  assert.deepEqual(held, ['hold', 'release'])
  assert.equal(refs, -1)
  const background = new AbortController()
  const idle = channel.unary(Echo.Hang, hello, { background: true, signal: background.signal })
  assert.deepEqual([held.length, channel.callsInFlight], [2, 0])
  await channel.unary(Echo.Say, hello)
  assert.deepEqual([held, refs], [['hold', 'release', 'hold', 'release'], -1])
  background.abort()
  await assert.rejects(idle, error => isGrpcError(error, 'CANCELLED'))
  await channel.close()
})

test('what the caller gives may be wrong, and tells so', async () => {
  await using listening = await ourServer()
  await using channel = ourChannel(listening.path)
  const broken = {
    ...Echo.Say,
    requestSerialize: (): Buffer => {
      throw new Error('no such field')
    },
  }
  await assert.rejects(channel.unary(broken, hello), error => isGrpcError(error, 'INTERNAL') && /no such field/.test(error.message))
  const unreadable = {
    ...Echo.Say,
    responseDeserialize: (): Buffer => {
      throw new Error('no such wire type')
    },
  }
  await assert.rejects(channel.unary(unreadable, hello), error => isGrpcError(error, 'INTERNAL') && /no such wire type/.test(error.message))
  await assert.rejects(
    channel.clientStream(
      Echo.Sum,
      (async function* () {
        yield hello
        throw new Error('source is dry')
      })(),
    ),
    error => isGrpcError(error, 'CANCELLED') && /source is dry/.test(error.message),
  )
  const thrown = new GrpcError('DATA_LOSS', 'mine')
  await assert.rejects(
    channel.clientStream(
      Echo.Sum,
      // biome-ignore lint/correctness/useYield: it fails before
      (function* () {
        throw thrown
      })(),
    ),
    error => error === thrown,
  )
  await assert.rejects(channel.unary(Echo.Say, hello, { metadata: { 'bad name': 'x' } }), { code: 13 })
  await assert.rejects(channel.unary(Echo.Say, hello, { signal: AbortSignal.abort() }), error => isGrpcError(error, 'CANCELLED'))
  await assert.rejects(channel.unary(Echo.Say, hello, { deadline: new Date(0) }), error => isGrpcError(error, 'DEADLINE_EXCEEDED'))
  assert.equal(channel.callsInFlight, 0)
})
