import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const src = fileURLToPath(new URL('../../src', import.meta.url))
const importing = (module: RegExp): string[] =>
  readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && module.test(readFileSync(join(src, file), 'utf8')))
    .map(file => file.split(sep).join('/'))
    .sort()

// So a check of trust can be read for what it decides, and not for what it might do meanwhile.
test('files are touched by the modules that say so, and processes and networks by none', () => {
  const saying = importing(/This module touches the\s+(?:\/\/ )?file system/)
  assert.deepEqual(saying, ['files/claim.ts', 'files/durable-file.ts', 'lock/lock-file.ts', 'trusted/trust-file.ts'])
  for (const file of importing(/'node:fs(?:\/promises)?'|\/durable-file\.ts'|\/claim\.ts'/)) assert.ok(saying.includes(file), file)
  assert.deepEqual(importing(/'node:(?:child_process|net|tls|http|https|http2|dgram|dns|worker_threads|cluster|vm)'|\bfetch\(/), [])
})
