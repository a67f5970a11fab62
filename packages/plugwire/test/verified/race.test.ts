// Somebody who may rename files in the plugin's directory swaps the program while the host checks and starts it. What runs must be what was checked.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPluginError } from '../../src/errors.ts'
import { startPlugin } from '../../src/process/start.ts'
import { verifyProgram } from '../../src/process/verified/verify.ts'

const TRIES = 1_000
const skip = process.platform === 'linux' ? false : 'files without a name are a thing of Linux'
const swapper = fileURLToPath(new URL('../fixtures/swaps-files.js', import.meta.url))

let directory: string
let target: string
let digest: { algorithm: string; digest: Uint8Array }
let attacker: ReturnType<typeof spawn>

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'race-'))
  target = join(directory, 'plugin')
  // Both introduce themselves with a version that the host has not, which so tells in its error which of them ran.
  const files = [7, 66].map(version => {
    const file = join(directory, `version-${version}`)
    writeFileSync(file, `#!/bin/sh\necho '1|${version}|tcp|127.0.0.1:1|plugwire|'\n`)
    chmodSync(file, 0o755)
    return file
  })
  digest = {
    algorithm: 'sha256',
    digest: createHash('sha256')
      .update(readFileSync(files[0] as string))
      .digest(),
  }
  attacker = spawn(process.execPath, [swapper, target, ...files], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(attacker.stdout as NodeJS.ReadableStream, 'data')
})

after(async () => {
  attacker.kill('SIGKILL')
  await once(attacker, 'close')
  rmSync(directory, { recursive: true })
})

interface Tally {
  good: number
  evil: number
  refused: number
}

/** What ran, or that nothing did. */
async function outcome(start: () => Promise<unknown>): Promise<keyof Tally> {
  try {
    await start()
  } catch (cause) {
    if (isPluginError(cause, 'ERR_CHECKSUM')) return 'refused'
    if (isPluginError(cause, 'ERR_VERSION_MISMATCH')) return cause.facts.pluginVersions[0] === 7 ? 'good' : 'evil'
    throw cause
  }
  throw new Error('a plugin without a common version was started')
}

const launching = { name: 'raced', cookie: { key: 'RACED', value: 'yes' }, versions: [1], protocols: ['plugwire', 'grpc'] }

async function attack(start: () => Promise<unknown>): Promise<Tally> {
  const tally: Tally = { good: 0, evil: 0, refused: 0 }
  for (let tries = 0; tries < TRIES; tries++) tally[await outcome(start)]++
  return tally
}

test('of a thousand attacked starts none runs what was not verified', { skip }, async t => {
  const tally = await attack(async () => {
    const program = await verifyProgram(target, digest)
    try {
      await startPlugin({ ...launching, plugin: program })
    } finally {
      program.close()
    }
  })
  t.diagnostic(`verified: ${JSON.stringify(tally)}`)
  assert.equal(tally.evil, 0)
  assert.ok(tally.good > 0, 'the right program was never started')
  assert.ok(tally.refused > 0, 'the attack was never noticed, so there was none')
})

test('the checksum option of a launch is not fooled either', { skip }, async t => {
  const tally = await attack(() => startPlugin({ ...launching, plugin: target, checksum: digest }))
  t.diagnostic(`checksum: ${JSON.stringify(tally)}`)
  assert.equal(tally.evil, 0)
  assert.ok(tally.good > 0 && tally.refused > 0)
})

test('the control: a check of the path and a start by the path run the wrong program', { skip }, async t => {
  const tally: Tally = { good: 0, evil: 0, refused: 0 }
  for (let tries = 0; tries < 5 * TRIES && tally.evil === 0; tries++) {
    const right = createHash('sha256').update(readFileSync(target)).digest().equals(digest.digest)
    tally[right ? await outcome(() => startPlugin({ ...launching, plugin: target })) : 'refused']++
  }
  t.diagnostic(`by path: ${JSON.stringify(tally)}`)
  assert.ok(tally.evil > 0, 'nobody attacked')
})
