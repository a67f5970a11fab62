// An error of the other side looks like the original, also when it is passed on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RemoteError } from '../../src/rpc/remote-error.ts'

test('the enumerable properties of a remote error are those of the original', () => {
  const error = new RemoteError({
    name: 'OutOfStock',
    message: 'none left',
    stack: undefined,
    data: { code: 'E_STOCK', item: 'eggs', data: 1, toString: 2 },
  })
  assert.deepEqual(Object.entries(error), [
    ['code', 'E_STOCK'],
    ['item', 'eggs'],
  ])
  assert.deepEqual(error.data, { item: 'eggs', data: 1, toString: 2 })
  assert.deepEqual(Object.keys(new RemoteError({ name: 'Error', message: '', stack: undefined, data: {} })), [])
})
