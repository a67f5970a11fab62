// A plugin and hosts that do what no host should, or what only some do.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { isPluginError } from 'plugwire'
import { socketLink } from 'plugwire/driver'
import { launch, reattach } from 'plugwire/host'
import { AddressLine } from '../../src/broker/address-line.ts'
import { hear, InfoQueue, type Line } from '../../src/broker/line.ts'
import { SharedConnection } from '../../src/broker/shared-connection.ts'
import { empty } from '../../src/plugin-services/control-messages.ts'
import { shutdown, startStream, streamStdio } from '../../src/plugin-services/definitions.ts'
import { healthCheck, healthList, healthWatch } from '../../src/plugin-services/health.ts'
import { bindClient } from '../../src/service/bind.ts'
import { openChannel } from '../../src/transport/channel.ts'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import type { GrpcServer } from '../../src/transport/seam.ts'
import { groundOf, Place } from '../broker/support.ts'
import { Adder, Store, storeContract } from '../fixtures/store-contract.ts'
import { type Host, startByHand } from './support.ts'

/** Begins to talk with the plugin's broker. */
async function brokerOf(t: Parameters<typeof Place.make>[0], { channel }: Host): Promise<Line> {
  const say = new InfoQueue()
  const line = new AddressLine(groundOf(await Place.make(t), 5_000), say)
  void hear(line, channel.bidi(startStream, say))
  t.after(() => line.end())
  return line
}

const adding =
  (more: number) =>
  (server: GrpcServer): void =>
    server.add(Adder, { add: ({ a, b }: { a: number; b: number }) => ({ sum: a + b + more }) })

describe('a plugin', () => {
  test('survives connections that say nothing, half of something, or nonsense', async t => {
    const plugin = await startByHand(t)
    for (let time = 0; time < 20; time += 1) (await plugin.connect()).destroy()
    ;(await plugin.connect()).end()
    ;(await plugin.connect()).write('PRI * HTT')
    ;(await plugin.connect()).write('GET / HTTP/1.1\r\n\r\n')
    ;(await plugin.connect()).write(Buffer.alloc(100_000, 0xff))
    const { calls } = await plugin.host()
    await calls.put({ key: 'a', value: '1' })
    assert.deepEqual(await calls.get({ key: 'a' }), { value: '1' })
  })

  test('serves several hosts, each with a broker of its own', async t => {
    const plugin = await startByHand(t)
    const sums = await Promise.all(
      [0, 100, 200].map(async more => {
        const host = await plugin.host()
        const line = await brokerOf(t, host)
        await line.serve(1, adding(more))
        return host.calls.sum({ brokerId: 1, numbers: [1] })
      }),
    )
    assert.deepEqual(sums, [{ sum: 1 }, { sum: 101 }, { sum: 201 }])
  })

  test('has a fresh broker for a host that begins again', async t => {
    const plugin = await startByHand(t)
    for (let round = 0; round < 3; round += 1) {
      const host = await plugin.host()
      const line = await brokerOf(t, host)
      await line.serve(1, adding(round))
      assert.deepEqual(await host.calls.sum({ brokerId: 1, numbers: [1, 1] }), { sum: 2 + 2 * round })
      const { brokerId } = await host.calls.counter({})
      const counter = await bindClient(Adder, await line.dial(brokerId))
      assert.deepEqual(await counter.add({ a: 1, b: 1 }), { sum: 2 })
      await host.channel.close()
    }
  })

  test('tells a call by its code that the host serves no such id, or has no broker', async t => {
    const plugin = await startByHand(t)
    const without = await plugin.host()
    assert.deepEqual(await without.calls.dial({ brokerId: 1 }), { error: 'ERR_BROKER_TIMEOUT' })
    const host = await plugin.host()
    await brokerOf(t, host)
    assert.deepEqual(await host.calls.dial({ brokerId: 1 }), { error: 'ERR_BROKER_TIMEOUT' })
  })

  test('does not wait for a host that reads nothing of its output', async t => {
    const plugin = await startByHand(t)
    const host = await plugin.host()
    const text = 'x'.repeat(100_000)
    await host.calls.print({ text, repeat: 100, stderr: false })
    // Asked for, and never read.
    const unread = host.channel.serverStream(streamStdio, empty)
    await unread.next()
    await host.calls.print({ text, repeat: 600, stderr: false })
    await host.calls.print({ text: 'the end', repeat: 1, stderr: false })
    await host.calls.put({ key: 'a', value: '1' })
    let last = ''
    for await (const { data } of unread) {
      last = (last + Buffer.from(data).toString()).slice(-7)
      if (last === 'the end') break
    }
    const fresh = await plugin.host()
    assert.deepEqual(await fresh.calls.get({ key: 'a' }), { value: '1' })
  })

  test('lets what was printed leave before it answers Shutdown, ends in order and removes its socket', async t => {
    const plugin = await startByHand(t)
    const host = await plugin.host()
    let printed = ''
    const reading = (async () => {
      for await (const { data } of host.channel.serverStream(streamStdio, empty)) printed += Buffer.from(data)
    })().catch(() => {})
    await host.calls.print({ text: 'last words', repeat: 1, stderr: false })
    assert.deepEqual(await host.channel.unary(shutdown, empty), {})
    assert.equal(printed, 'last words')
    assert.equal(await plugin.exited, 0)
    await reading
    assert.equal(existsSync(plugin.address), false)
  })

  test('says that it serves', async t => {
    const plugin = await startByHand(t)
    const { channel } = await plugin.host()
    assert.deepEqual(await channel.unary(healthCheck, { service: 'plugin' }), { status: 1 })
    assert.deepEqual(await channel.unary(healthCheck, { service: '' }), { status: 1 })
    await assert.rejects(channel.unary(healthCheck, { service: 'other' }), (error: unknown) => isGrpcError(error, 'NOT_FOUND'))
    assert.deepEqual([...(await channel.unary(healthList, {})).keys()], ['', 'plugin'])
    for await (const { status } of channel.serverStream(healthWatch, { service: 'plugin' })) {
      assert.equal(status, 1)
      break
    }
  })

  test('writes the seventh field for hosts that speak of it, and multiplexes for those that ask', async t => {
    assert.equal((await startByHand(t)).line.split('|').length, 6)
    for (const [value, multiplexed] of [
      ['true', true],
      ['false', false],
    ] as const) {
      const plugin = await startByHand(t, { PLUGIN_MULTIPLEX_GRPC: value })
      assert.equal(plugin.line.split('|')[6], 'true')
      // In a multiplexed connection nobody answers before the host has opened a stream.
      const socket = await plugin.connect()
      if (multiplexed) socket.write(Buffer.from('000200010000000000000001', 'hex'))
      const [bytes] = (await once(socket, 'data')) as [Buffer]
      assert.equal(bytes.subarray(0, 4).toString('hex') === '00020002', multiplexed, bytes.toString('hex'))
    }
  })

  test('takes several multiplexed connections, and main connections that come again', async t => {
    const plugin = await startByHand(t, { PLUGIN_MULTIPLEX_GRPC: 'true' })
    for (let time = 0; time < 2; time += 1) {
      const shared = new SharedConnection(socketLink({ socket: await plugin.connect() }), { role: 'client', onEnded: () => {} })
      for (let again = 0; again < 3; again += 1) {
        const channel = openChannel(async () => shared.open())
        const calls = await bindClient(Store, channel)
        await calls.put({ key: 'a', value: `${time}${again}` })
        assert.deepEqual(await calls.get({ key: 'a' }), { value: `${time}${again}` })
        await channel.close()
      }
      shared.destroy()
    }
  })

  test('outlives a storm of cancelled calls, with its broker', async t => {
    const plugin = await startByHand(t)
    const host = await plugin.host()
    const line = await brokerOf(t, host)
    await line.serve(1, adding(0))
    for (let round = 0; round < 3; round += 1) {
      const abort = new AbortController()
      const hanging = Array.from({ length: 1_000 }, () => host.calls.hang({}, { signal: abort.signal }).catch(() => {}))
      await host.calls.put({ key: 'a', value: '1' })
      abort.abort()
      await Promise.all(hanging)
    }
    const fresh = await host.calls.sum({ brokerId: 1, numbers: [1, 2] })
    assert.deepEqual(fresh, { sum: 3 })
  })

  test('is reattached to, with its broker, its values and its TLS', async () => {
    for (const tls of [false, true]) {
      const options = { logger: false, tls, wire: 'unix', detached: true } as const
      const first = await launch(storeContract, new URL('../fixtures/store-plugin.js', import.meta.url), options)
      const { calls } = await first.dispense('store')
      await calls.put({ key: 'a', value: '1' })
      const record = first.detach()
      await assert.rejects(calls.get({ key: 'a' }), (error: unknown) => isPluginError(error, 'ERR_PLUGIN_CLOSED'))
      await using second = await reattach(storeContract, record, { logger: false })
      const store = await second.dispense('store')
      assert.deepEqual(await store.calls.get({ key: 'a' }), { value: '1' })
      const brokerId = store.broker.nextId()
      const [, sum] = await Promise.all([
        store.broker.serve(brokerId, registrar => registrar.add(Adder, { add: ({ a, b }) => ({ sum: a + b }) })),
        store.calls.sum({ brokerId, numbers: [1, 2, 3] }),
      ])
      assert.deepEqual(sum, { sum: 6 })
    }
  })
})
