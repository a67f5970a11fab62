// What a generator learns of the call it belongs to, and that it can stop waiting when nobody listens any more.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launch, withOptions } from 'plugwire/host'
import { waiting } from '../fixtures/waits-for-ever.ts'

test('leaving a loop aborts the signal of a generator that waits, and runs its finally', async () => {
  await using plugin = await launch(waiting, new URL('../fixtures/waits-for-ever.js', import.meta.url))
  await using waiter = await plugin.dispense('waiter')
  const seen: string[] = []
  for await (const user of withOptions(waiter, { metadata: { user: 'ada' } }).wait()) {
    seen.push(user)
    break
  }
  assert.deepEqual(seen, ['ada'])
  assert.equal(await waiter.whyStopped(), 'ERR_CALL_CANCELLED')
})
