// Mutual TLS inside of what is injected and dialled: who is let in, and what the other one is told.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import { Echo } from './support/echo.ts'
import { identities } from './support/identities.ts'
import { ourChannel, ourServer } from './support/listening.ts'

const us = identities()
const others = identities()
const hello = Buffer.from('hello')
const turn = () => new Promise(setImmediate)
const unavailable = (error: unknown) => isGrpcError(error, 'UNAVAILABLE')

test('a client with the right certificate gets answers; many at once, and over several connections', async () => {
  await using listening = await ourServer({ tls: us.server })
  for (let index = 0; index < 3; index++) {
    await using channel = ourChannel(listening.path, { tls: us.client })
    const answers = await Promise.all(Array.from({ length: 50 }, () => channel.unary(Echo.Say, hello)))
    assert.ok(answers.every(answer => answer.equals(hello)))
  }
  assert.deepEqual(listening.errors, [])
})

test('a client with another certificate is refused before any call', async () => {
  await using listening = await ourServer({ tls: us.server })
  await using channel = ourChannel(listening.path, { tls: { ...us.client, cert: others.client.cert, key: others.client.key } })
  await assert.rejects(channel.unary(Echo.Say, hello), unavailable)
  assert.equal(listening.seen.contexts.length, 0)
  while (listening.errors.length === 0) await turn()
  assert.match(String(listening.errors[0]), /DEPTH_ZERO_SELF_SIGNED_CERT/)
})

test('a server with another certificate is refused, and its client knows why', async () => {
  await using listening = await ourServer({ tls: others.server })
  await using channel = ourChannel(listening.path, { tls: us.client })
  await assert.rejects(
    channel.unary(Echo.Say, hello),
    error => unavailable(error) && ((error as Error).cause as NodeJS.ErrnoException).code === 'DEPTH_ZERO_SELF_SIGNED_CERT',
  )
})

test('the name in the certificate counts', async () => {
  await using listening = await ourServer({ tls: us.server })
  await using channel = ourChannel(listening.path, { tls: { ...us.client, serverName: 'elsewhere' } })
  await assert.rejects(
    channel.unary(Echo.Say, hello),
    error => unavailable(error) && ((error as Error).cause as NodeJS.ErrnoException).code === 'ERR_TLS_CERT_ALTNAME_INVALID',
  )
})

test('plain to secure and secure to plain fail, and neither side falls', async () => {
  await using secure = await ourServer({ tls: us.server })
  await using plain = await ourServer()
  await using toSecure = ourChannel(secure.path, { connectTimeoutMs: 300 })
  await using toPlain = ourChannel(plain.path, { tls: us.client, connectTimeoutMs: 300 })
  await Promise.all([toSecure, toPlain].map(channel => assert.rejects(channel.unary(Echo.Say, hello), unavailable)))
  await using again = ourChannel(secure.path, { tls: us.client })
  assert.deepEqual(await again.unary(Echo.Say, hello), hello)
})

test('a connection that leaves in the middle of the handshake is forgotten', async () => {
  await using listening = await ourServer({ tls: us.server })
  for (const bytes of ['', '\x16\x03\x01\x00\xff\x01']) {
    const socket = connect(listening.path)
    await new Promise(resolve => socket.once('connect', resolve))
    if (bytes !== '') socket.write(bytes, 'latin1')
    while (listening.server.connections < 1) await turn()
    socket.destroy()
    while (listening.server.connections > 0) await turn()
  }
})
