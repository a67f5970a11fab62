// A detached plugin outlives its host and serves the next one.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPluginError, launch, loadRecord, reattach } from 'plugwire/host'
import { testWorld } from 'plugwire/testing'
import { isAlive } from '../../src/process/process-tree.ts'
import { mortalContract } from '../fixtures/mortal.ts'
import { mortalPlugin, until } from './wires.ts'

const hostFile = fileURLToPath(new URL('../fixtures/mortal-host.js', import.meta.url))
const quiet = { logger: false } as const

for (const [name, tls] of [
  ['in clear', false],
  ['with TLS', true],
] as const) {
  test(`${name}: a plugin survives its host, and the next host ends it`, async () => {
    await using world = await testWorld({ settleMs: 10_000 })
    const journal = join(world.dir, 'journal')
    const record = join(world.dir, 'record.json')
    const host = spawn(process.execPath, [hostFile, 'detaches', JSON.stringify({ wire: 'unix', detached: true, tls }), journal, record], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(host, 'exit')
    const lines = createInterface(host.stdout)[Symbol.asyncIterator]()
    const { plugin: pid, grandchildren } = JSON.parse((await lines.next()).value as string) as { plugin: number; grandchildren: number[] }
    for (const watched of [host.pid as number, pid, ...grandchildren]) world.watch(watched)
    assert.deepEqual(JSON.parse((await lines.next()).value as string), { saved: true })
    assert.deepEqual(await ended, [0, null])
    assert.ok(isAlive(pid))
    assert.equal(statSync(record).mode & 0o777, 0o600)

    const found = await loadRecord(record)
    const plugin = await reattach(mortalContract, found, quiet)
    assert.deepEqual([plugin.pid, plugin.secure, plugin.wire], [pid, tls, 'unix'])
    const mortal = await plugin.dispense('mortal')
    assert.equal(await mortal.pid(), pid)
    // What the first host held was disposed when it left.
    await until(async () => (await mortal.disposed()) === 1)

    // Left once more, and found once more.
    const again = plugin.detach()
    await assert.rejects(mortal.pid(), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_CLOSED'))
    const third = await reattach(mortalContract, again, quiet)
    assert.equal(await (await third.dispense('mortal')).disposed(), 2)
    assert.equal(await third.close(), 'told')
    assert.ok(!isAlive(pid))
    assert.match(readFileSync(journal, 'utf8'), /closed\nserved\n$/)
    await assert.rejects(reattach(mortalContract, again, quiet), (cause: unknown) => isPluginError(cause, 'ERR_REATTACH'))
    for (const grandchild of grandchildren) if (isAlive(grandchild)) process.kill(grandchild, 'SIGKILL')
  })
}

test('a record that others can read, or of another key, opens nothing', async () => {
  await using world = await testWorld()
  const plugin = await launch(mortalContract, mortalPlugin, { ...quiet, wire: 'unix', detached: true })
  world.watch(plugin.pid)
  const other = await launch(mortalContract, mortalPlugin, { ...quiet, wire: 'unix', detached: true })
  world.watch(other.pid)
  const record = plugin.detach()
  const otherRecord = other.detach()
  assert.ok(record.tls !== undefined && otherRecord.tls !== undefined)
  await assert.rejects(
    reattach(
      mortalContract,
      { ...record, tls: { ...record.tls, key: otherRecord.tls.key, certificate: otherRecord.tls.certificate } },
      quiet,
    ),
    (cause: unknown) => isPluginError(cause, 'ERR_REATTACH'),
  )
  await assert.rejects(
    reattach(mortalContract, { ...record, tls: { ...record.tls, pluginCertificate: otherRecord.tls.pluginCertificate } }, quiet),
    (cause: unknown) => isPluginError(cause, 'ERR_TLS') || isPluginError(cause, 'ERR_REATTACH'),
  )
  const { saveRecord } = await import('plugwire/host')
  const file = join(world.dir, 'record.json')
  await saveRecord(record, file)
  chmodSync(file, 0o640)
  await assert.rejects(loadRecord(file), (cause: unknown) => isPluginError(cause, 'ERR_REATTACH'))
  for (const each of [record, otherRecord]) {
    const attached = await reattach(mortalContract, each, quiet)
    assert.equal(await attached.close(), 'told')
  }
})

test('a plugin that is not detached cannot be left running', async () => {
  await using world = await testWorld()
  const plugin = await world.launch(mortalContract, mortalPlugin, quiet)
  assert.throws(
    () => plugin.detach(),
    (cause: unknown) => isPluginError(cause, 'ERR_REATTACH'),
  )
  assert.equal(plugin.state, 'ready')
})
