// The program of docs/grpc.md, as it stands there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isGrpcError } from '@plugwire/grpc'
import { launch } from 'plugwire/host'
import { kv } from './contract.ts'

test('the program of the page', async () => {
  const seen: unknown[] = []
  const print = (...what: unknown[]): void => void seen.push(...what)
  // #region host
  await using plugin = await launch(kv, new URL('./plugin.js', import.meta.url))
  const store = await plugin.dispense('store')
  await store.put({ key: 'a', value: '1' }, { onTrailer: trailer => print(trailer.get('kv-size')) })
  for await (const { key, value } of store.watch({ prefix: 'a' })) print(key, value)
  try {
    await store.get({ key: 'b' }, { timeoutMs: 1_000 })
  } catch (error) {
    if (!isGrpcError(error, 'NOT_FOUND')) throw error
    print(error.message)
  }
  const loader = await plugin.dispense('loader')
  print(await loader.load(['x', 'y'], count => print(`${count} of 2`)))
  // #endregion
  assert.deepEqual(seen, ['1', 'a', '1', 'no b', '1 of 2', '2 of 2', 2])
})
