// The examples of docs/testing.md, as they stand there.

// #region pair
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pair, testWorld } from 'plugwire/testing'
import { shelves, WoodenShelf } from '../fixtures/shelf.ts'

test('a shelf gives its books back in order', async () => {
  await using plugin = pair(shelves, { shelf: () => new WoodenShelf() })
  const shelf = await plugin.dispense('shelf')
  await shelf.put('Momo')
  await shelf.put('Emil')

  const titles: string[] = []
  for await (const title of shelf.titles()) titles.push(title)
  assert.deepEqual(titles, ['Momo', 'Emil'])
  await assert.rejects(shelf.put(''), { name: 'RangeError', message: 'a book needs a title' })
})
// #endregion

// #region world
test('a shelf that dies tells its host, and leaves nothing', async () => {
  await using world = await testWorld()
  const plugin = await world.launch(shelves, new URL('../fixtures/shelf-plugin.js', import.meta.url), { faults: { killAtCall: 3 } })
  const shelf = await plugin.dispense('shelf')
  await shelf.put('Momo')
  await assert.rejects(async () => shelf.put('Emil'), { code: 'ERR_PLUGIN_EXITED' })
})
// #endregion
