// Both roles in TypeScript, each in a process of its own.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isGrpcError } from '@plugwire/grpc'
import { type LaunchOptions, launch } from 'plugwire/host'
import { Adder, storeContract } from '../fixtures/store-contract.ts'

const pluginFile = new URL('../fixtures/store-plugin.js', import.meta.url)

const ways: readonly { name: string; options: LaunchOptions }[] = [
  { name: 'plain', options: { tls: false } },
  { name: 'AutoMTLS', options: { tls: true } },
  { name: 'plain, multiplexed', options: { tls: false, multiplex: true } },
  { name: 'AutoMTLS, multiplexed', options: { tls: true, multiplex: true } },
]

for (const { name, options } of ways) {
  describe(name, () => {
    test('calls, streams and errors', async () => {
      await using plugin = await launch(storeContract, pluginFile, { logger: false, ...options })
      const { calls } = await plugin.dispense('store')
      await calls.put({ key: 'a', value: '1' })
      await calls.put({ key: 'ab', value: '2' })
      assert.deepEqual(await calls.get({ key: 'a' }), { value: '1' })
      const keys: string[] = []
      for await (const { key } of calls.list({ prefix: 'a' })) keys.push(key)
      assert.deepEqual(keys, ['a', 'ab'])
      await assert.rejects(calls.get({ key: 'b' }), (error: unknown) => isGrpcError(error, 'NOT_FOUND'))
      assert.ok((await plugin.ping()) > 0)
    })

    test('the plugin calls the host through the broker', async () => {
      await using plugin = await launch(storeContract, pluginFile, { logger: false, ...options })
      const { calls, broker } = await plugin.dispense('store')
      const brokerId = broker.nextId()
      const [served, { sum }] = await Promise.all([
        broker.serve(brokerId, registrar => registrar.add(Adder, { add: ({ a, b }) => ({ sum: a + b }) })),
        calls.sum({ brokerId, numbers: [1, 2, 3] }),
      ])
      assert.equal(sum, 6)
      await served.close()
    })
  })
}
