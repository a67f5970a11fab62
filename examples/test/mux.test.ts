// The program on docs/mux.md runs and says what it should.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

test('the mux alone, over a socket', async () => {
  const program = fileURLToPath(new URL('../mux/tcp.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program])
  assert.equal(stdout, 'stream 1: one\nstream 3: two\nround trip measured: true\n')
})
