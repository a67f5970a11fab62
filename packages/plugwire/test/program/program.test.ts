// One file that is an application and its plugin.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const fixture = fileURLToPath(new URL('../fixtures/carrying.js', import.meta.url))

test('a program launches itself as its plugin, from its modules and from one bundled file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'carrying-'))
  try {
    const bundle = join(directory, 'program.mjs')
    await build({ entryPoints: [fixture], outfile: bundle, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' })
    for (const file of [fixture, bundle]) {
      const { stdout, stderr, status } = spawnSync(process.execPath, [file], { encoding: 'utf8', cwd: directory })
      assert.equal(status, 0, stderr)
      assert.deepEqual(JSON.parse(stdout), { sum: 42, other: true, argv: ['more'] })
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a plugin that the program has not is named, with those it has', () => {
  const { stderr, status } = spawnSync(process.execPath, [fixture, 'other'], { encoding: 'utf8' })
  assert.equal(status, 1)
  assert.match(stderr, /this program has no plugin \\?"other\\?"; it has: counter/)
})
