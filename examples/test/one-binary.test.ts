// What a single executable must not do.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { executable, noExecutable } from '../08-one-binary/build.ts'

const missing = await noExecutable()
const skip = missing === undefined ? false : `CI must not skip: ${missing}`

test('a single executable refuses a script instead of starting itself, and again itself', { skip }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'one-binary-test-'))
  try {
    const program = await executable(directory, fileURLToPath(new URL('fixtures/launches-script.js', import.meta.url)))
    const { stdout } = await promisify(execFile)(program, [fileURLToPath(new URL('../01-hello/plugin.js', import.meta.url))])
    assert.match(stdout, /single executable.*plugwire\/program/)
  } finally {
    await rm(directory, { recursive: true })
  }
})
