// Smoke program: the gRPC transport with itself, plain and over mutual TLS, with calls of all kinds and a storm of cancellations.

import assert from 'node:assert/strict'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import { Echo } from '../transport/support/echo.ts'
import { identities } from '../transport/support/identities.ts'
import { ourChannel, ourServer } from '../transport/support/listening.ts'

// Where nothing holds the event loop a program ends in the middle of an await, and not every runtime calls that a failure.
process.exitCode = 1

const { client, server } = identities()

/** Bun and Deno make no TLS connection of one that is handed to a server, as brokers do. */
const isNode = !('bun' in process.versions || 'deno' in process.versions)

for (const [listenOptions, dialOptions] of isNode ? [[], [{ tls: server }, { tls: client }]] : [[]]) {
  const listening = await ourServer(listenOptions)
  const channel = ourChannel(listening.path, dialOptions)

  const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => channel.unary(Echo.Say, Buffer.alloc(10_000, index))))
  assert.ok(answers.every((answer, index) => answer.equals(Buffer.alloc(10_000, index))))
  const large = Buffer.alloc(16 * 1024 * 1024, 7)
  assert.ok((await channel.unary(Echo.Say, large)).equals(large))

  assert.equal(String(await channel.clientStream(Echo.Sum, Array(500).fill(Buffer.alloc(1_000)))), '500000')
  const turns: string[] = []
  for await (const message of channel.bidi(Echo.Chat, [Buffer.from('a'), Buffer.from('b')])) turns.push(String(message))
  assert.deepEqual(turns, ['a', 'b', 'bye'])
  let read = 0
  for await (const _ of channel.serverStream(Echo.Repeat, Buffer.from('1000000 1000'))) if (++read === 100) break
  await assert.rejects(channel.unary(Echo.Fail, Buffer.alloc(0)), error => isGrpcError(error, 'NOT_FOUND') && error.details.length === 1)

  for (let round = 0; round < 15; round++) {
    const controller = new AbortController()
    const calls = Array.from({ length: 100 }, () => channel.unary(Echo.Hang, Buffer.alloc(0), { signal: controller.signal }))
    await new Promise(setImmediate)
    controller.abort()
    await Promise.allSettled(calls)
  }
  assert.equal(channel.state, 'ready')

  await channel.close()
  await listening[Symbol.asyncDispose]()
}

process.exitCode = 0
