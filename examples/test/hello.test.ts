// How a plugin is tested: its class by itself needs nothing special; this is for what happens between the processes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPluginError } from 'plugwire'
import { testWorld } from 'plugwire/testing'
import { MemoryStore } from '../01-hello/memory-store.ts'
import { kv } from '../01-hello/store.ts'

const value = new Uint8Array([1, 2, 3])

// #region pair
test('a store tells whom it evicts', async () => {
  await using world = await testWorld() // throws at the end when anything is left: calls, streams, timers, processes
  const plugin = world.pair(kv, { store: config => new MemoryStore(config) }) // in this process, over the real codec
  await using store = await plugin.dispense('store', { region: 'test' })

  const evicted: string[] = []
  await store.onEvict(key => evicted.push(key))
  for (const key of ['a', 'b', 'c', 'd']) await store.put(key, value)
  assert.deepEqual(evicted, ['a'])
})
// #endregion

// #region process
test('a host that lost its plugin learns why', async () => {
  await using world = await testWorld()
  const plugin = await world.launch(kv, new URL('../01-hello/plugin.js', import.meta.url), { logger: false }) // a real process
  const store = await plugin.dispense('store', { region: 'test' })

  process.kill(plugin.pid, 'SIGKILL')
  await assert.rejects(store.get('a'), error => isPluginError(error, 'ERR_PLUGIN_EXITED') && error.facts.signal === 'SIGKILL')
})
// #endregion
