// A host may die at any moment, too: its plugins and everything they started end with it. And a host with nothing to do may simply leave.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { LaunchOptions } from 'plugwire/host'
import { type TestWorld, testWorld } from 'plugwire/testing'
import { isAlive } from '../../src/process/process-tree.ts'
import { until, wires } from './wires.ts'

const hostFile = fileURLToPath(new URL('../fixtures/mortal-host.js', import.meta.url))

interface Host {
  readonly child: ChildProcess
  readonly lines: AsyncIterator<string>
  readonly ended: Promise<[number | null, string | null]>
  readonly plugin: number
  readonly journal: string
  readonly stderr: () => string
}

async function startHost(world: TestWorld, way: string, options: LaunchOptions): Promise<Host> {
  const journal = join(world.dir, `journal-${Math.random().toString(36).slice(2)}`)
  const child = spawn(process.execPath, [hostFile, way, JSON.stringify(options), journal], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const first = await lines.next()
  assert.ok(!first.done, `the host said nothing: ${stderr}`)
  const { plugin, grandchildren } = JSON.parse(first.value) as { plugin: number; grandchildren: number[] }
  for (const pid of [child.pid as number, plugin, ...grandchildren]) world.watch(pid)
  return { child, lines, ended, plugin, journal, stderr: () => stderr }
}

for (const [wire, options] of wires) {
  for (const way of ['waits', 'calls', 'spins']) {
    test(`${wire}: SIGKILL of a host that ${way} ends its plugin and what that started`, async () => {
      await using world = await testWorld({ settleMs: 10_000 })
      const host = await startHost(world, way, options)
      host.child.kill('SIGKILL')
      assert.deepEqual(await host.ended, [null, 'SIGKILL'])
      await until(() => !isAlive(host.plugin))
      // It had the time to put its things in order.
      assert.match(readFileSync(host.journal, 'utf8'), /^disposed\nclosed\n/)
    })
  }

  test(`${wire}: a host that exits without closing takes its plugin with it`, async () => {
    for (const way of ['exits', 'throws']) {
      await using world = await testWorld({ settleMs: 10_000 })
      const host = await startHost(world, way, options)
      assert.deepEqual(await host.ended, [way === 'exits' ? 0 : 1, null])
      await until(() => !isAlive(host.plugin))
    }
  })

  test(`${wire}: an idle host leaves by itself, a host with a call in flight stays`, async () => {
    await using world = await testWorld({ settleMs: 10_000 })
    const idle = await startHost(world, 'leaves', options)
    assert.deepEqual(await idle.ended, [0, null], idle.stderr())
    const calling = await startHost(world, 'in a call', options)
    assert.deepEqual(JSON.parse((await calling.lines.next()).value as string), { answer: 'answered' })
    assert.deepEqual(await calling.ended, [0, null])
    await until(() => !isAlive(idle.plugin) && !isAlive(calling.plugin))
    assert.ok(existsSync(idle.journal))
  })
}
