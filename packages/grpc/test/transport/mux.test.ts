// gRPC over streams of a multiplexer, as go-plugin does it with its multiplexed broker: each connection is a yamux stream, TLS inside of it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { duplexLink, Session } from 'plugwire/mux'
import { openChannel } from '../../src/transport/channel.ts'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import type { ChannelOptions, GrpcServer, ServerOptions } from '../../src/transport/seam.ts'
import { createGrpcServer } from '../../src/transport/server.ts'
import { streamDuplex } from '../../src/transport/stream-duplex.ts'
import { Echo, echoHandlers, type Seen } from './support/echo.ts'
import { identities } from './support/identities.ts'
import { socketPath } from './support/listening.ts'

const us = identities()
const turn = () => new Promise(setImmediate)

interface World extends AsyncDisposable {
  readonly host: Session
  readonly plugin: Session
  readonly server: GrpcServer
  readonly seen: Seen
}

/** A host and a plugin that share one socket; the plugin serves gRPC on every stream the host opens. */
async function world(options: ServerOptions): Promise<World> {
  const { connect, createServer } = await import('node:net')
  const { path, remove } = await socketPath()
  const seen: Seen = { cancelled: 0, returned: 0, contexts: [] }
  const server = createGrpcServer(options)
  server.add(Echo, echoHandlers(seen))
  let accept = (_session: Session): void => {}
  const accepted = new Promise<Session>(resolve => {
    accept = resolve
  })
  const listener = createServer(socket => {
    accept(new Session(duplexLink(socket), { role: 'server', onStream: stream => server.inject(streamDuplex(stream)) }))
  })
  await new Promise<void>(resolve => listener.listen(path, resolve))
  const host = new Session(duplexLink(connect(path)), { role: 'client' })
  const plugin = await accepted
  return {
    host,
    plugin,
    server,
    seen,
    async [Symbol.asyncDispose]() {
      server.destroy()
      host.close()
      listener.close()
      await remove()
    },
  }
}

for (const [name, server, client] of [
  ['plain', {}, {}],
  ['TLS inside each stream', { tls: us.server }, { tls: us.client }],
] as [string, ServerOptions, ChannelOptions][]) {
  describe(name, () => {
    test('calls of all kinds, 50 of 10 kB at once, and 64 MB', async () => {
      await using shared = await world(server)
      const channel = openChannel(async () => streamDuplex(shared.host.open()), client)
      const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => channel.unary(Echo.Say, Buffer.alloc(10_000, index))))
      assert.ok(answers.every((answer, index) => answer.equals(Buffer.alloc(10_000, index))))
      assert.equal(String(await channel.clientStream(Echo.Sum, Array(500).fill(Buffer.alloc(1_000)))), '500000')
      let bytes = 0
      for await (const message of channel.serverStream(Echo.Repeat, Buffer.from('2000 4096'))) bytes += message.length
      assert.equal(bytes, 2_000 * 4_096)
      const turns: string[] = []
      for await (const message of channel.bidi(Echo.Chat, [Buffer.from('a'), Buffer.from('b')])) turns.push(String(message))
      assert.deepEqual(turns, ['a', 'b', 'bye'])
      const large = Buffer.alloc(64 * 1024 * 1024, 5)
      assert.ok((await channel.unary(Echo.Say, large)).equals(large))
      await assert.rejects(channel.unary(Echo.Fail, Buffer.alloc(0)), error => isGrpcError(error, 'NOT_FOUND'))
      await channel.close()
    })

    test('an answer before the requests have ended completes the call', async () => {
      await using shared = await world(server)
      const channel = openChannel(async () => streamDuplex(shared.host.open()), client)
      const endless = async function* () {
        for (;;) {
          yield Buffer.from('first')
          await turn()
        }
      }
      for (let index = 0; index < 20; index++) assert.equal(String(await channel.clientStream(Echo.Impatient, endless())), 'first')
      assert.equal(channel.callsInFlight, 0)
      await channel.close()
    })

    test('cancellation arrives, and the connection outlives it', async () => {
      await using shared = await world(server)
      const channel = openChannel(async () => streamDuplex(shared.host.open()), client)
      const controller = new AbortController()
      const hanging = assert.rejects(channel.unary(Echo.Hang, Buffer.alloc(0), { signal: controller.signal }), error =>
        isGrpcError(error, 'CANCELLED'),
      )
      while (shared.seen.contexts.length < 1) await turn()
      controller.abort()
      await hanging
      while (shared.seen.cancelled < 1) await turn()
      assert.equal(String(await channel.unary(Echo.Say, Buffer.from('still here'))), 'still here')
      await channel.close()
    })

    test('several connections share the socket; the end of one leaves the others', async () => {
      await using shared = await world(server)
      const channels = [0, 1, 2].map(() => openChannel(async () => streamDuplex(shared.host.open()), client))
      await Promise.all(channels.map(channel => channel.connect()))
      const [first, second, third] = channels
      await first?.close()
      second?.destroy()
      assert.equal(String(await third?.unary(Echo.Say, Buffer.from('third'))), 'third')
      while (shared.server.connections > 1) await turn()
      await third?.close()
    })

    test('the end of the session ends calls', async () => {
      await using shared = await world(server)
      const channel = openChannel(async () => streamDuplex(shared.host.open()), client)
      const hanging = assert.rejects(channel.unary(Echo.Hang, Buffer.alloc(0)), error => isGrpcError(error, 'UNAVAILABLE'))
      while (shared.seen.contexts.length < 1) await turn()
      shared.plugin.close()
      await hanging
      while (shared.seen.cancelled < 1) await turn()
      assert.equal(shared.server.callsInFlight, 0)
    })
  })
}
