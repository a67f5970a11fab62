// Ends that are easily forgotten: of what never served, of what is still ending, of what was launched for something else.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { contract } from 'plugwire'
import { isPluginError, launch } from 'plugwire/host'
import { testWorld } from 'plugwire/testing'
import { slow } from '../fixtures/slow-finally.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url))

/** A process that has ended stays in the table until its new parent has looked. */
function runs(pid: number): boolean {
  const file = `/proc/${pid}/stat`
  return existsSync(file) && !/\) [ZX]/.test(readFileSync(file, 'utf8'))
}

test('a plugin that never served ends with a host that exits', { skip: process.platform !== 'linux' && 'reads /proc' }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [fixture('exits-while-launching')])
  const pid = Number(/^pid (\d+)/.exec(stdout)?.[1])
  assert.ok(pid > 0, stdout)
  while (runs(pid)) await new Promise(resolve => setTimeout(resolve, 10))
})

test('the finally of an iterable that was left runs to its end before its plugin ends, and is heard', async () => {
  await using world = await testWorld()
  const messages: string[] = []
  const plugin = await world.launch(
    slow,
    { command: process.execPath, args: [fixture('slow-finally'), 'serve'] },
    { logger: record => void messages.push(record.message) },
  )
  const instance = await plugin.dispense('slow')
  for await (const number of instance.watch()) {
    if (number === 1) break
  }
  assert.equal(await plugin.close(), 'told')
  assert.deepEqual(messages, ['the finally is through'])
})

test('a plugin that was launched with another contract says so', async () => {
  const other = contract<{ any: { method(): Promise<void> } }>({ name: 'other', version: 1 })
  await assert.rejects(launch(other, { command: process.execPath, args: [fixture('slow-finally'), 'serve'] }, { logger: false }), cause => {
    assert.ok(isPluginError(cause, 'ERR_HANDSHAKE_EXIT'))
    assert.match(cause.message, /a plugin of the contract slow, but its host launched it for another one/)
    return true
  })
})
