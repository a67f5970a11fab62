// Ways to end that are asked for, one after the other and all at once.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isPluginError, launch, type PluginExit } from 'plugwire/host'
import { testWorld } from 'plugwire/testing'
import { mortalContract } from '../fixtures/mortal.ts'
import { mortalPlugin, until, wires } from './wires.ts'

const quiet = { logger: false } as const

for (const [wire, options] of wires) {
  test(`${wire}: closing disposes instances, runs onClose, and says so by an event`, async () => {
    await using world = await testWorld()
    const journal = join(world.dir, 'journal')
    const plugin = await world.launch(mortalContract, { command: mortalPlugin, args: ['', journal] }, { ...quiet, ...options })
    const events: string[] = []
    plugin.on('closing', () => void events.push('closing'))
    plugin.on('exited', (exit: PluginExit) => void events.push(`exited ${exit.exitCode} ${exit.expected}`))
    const mortal = await plugin.dispense('mortal')
    let started = (): void => undefined
    const underWay = new Promise<void>(resolve => {
      started = resolve
    })
    const pending = assert.rejects(mortal.hangAfter(started), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_CLOSED'))
    await underWay
    assert.equal(plugin.state, 'ready')
    // Twice, and killed on top of it: all of them end.
    const endings = await Promise.all([plugin.close(), plugin.close()])
    assert.deepEqual(endings, ['told', 'told'])
    await pending
    assert.deepEqual(events, ['closing', 'exited 0 true'])
    assert.equal(readFileSync(journal, 'utf8'), 'disposed\nclosed\nserved\n')
    assert.equal(await plugin.close(), 'told')
    await assert.rejects(mortal.echo(1), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_CLOSED'))
    await assert.rejects(plugin.dispense('mortal'), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_CLOSED'))
  })

  test(`${wire}: a plugin that ignores everything is ended step by step, and kill cuts that short`, async () => {
    await using world = await testWorld()
    const journal = join(world.dir, 'journal')
    const stubborn = async () => {
      const plugin = await world.launch(mortalContract, { command: mortalPlugin, args: ['', journal] }, { ...quiet, ...options })
      await plugin.dispense('stubborn')
      const mortal = await plugin.dispense('mortal')
      await mortal.ignoreSigterm()
      world.watch(await mortal.grandchild(false))
      return plugin
    }
    const ignores = await stubborn()
    assert.equal(await ignores.close({ graceMs: 300, terminateMs: 300 }), 'killed')
    assert.match(readFileSync(journal, 'utf8'), /ignored SIGTERM/)
    assert.deepEqual([(await ignores.exited).signal, (await ignores.exited).expected], ['SIGKILL', true])

    const impatient = await stubborn()
    const closing = impatient.close({ graceMs: 60_000 })
    await sleep(20)
    assert.equal(await impatient.kill(), 'killed')
    await closing
    assert.equal(impatient.state, 'exited')
  })

  test(`${wire}: the launch is aborted at many moments, and leaves nothing`, async () => {
    await using world = await testWorld()
    await assert.rejects(
      launch(mortalContract, mortalPlugin, { ...quiet, ...options, signal: AbortSignal.abort('early') }),
      (cause: unknown) => isPluginError(cause, 'ERR_LAUNCH_ABORTED'),
    )
    let aborted = 0
    for (const afterMs of [0, 1, 5, 10, 20, 35, 50, 70, 100, 150]) {
      const controller = new AbortController()
      const started = world.launch(mortalContract, mortalPlugin, { ...quiet, ...options, signal: controller.signal }).then(
        plugin => plugin.close(),
        (cause: unknown) => {
          assert.ok(isPluginError(cause, 'ERR_LAUNCH_ABORTED'), String(cause))
          aborted++
        },
      )
      await sleep(afterMs)
      controller.abort()
      await started
    }
    assert.ok(aborted > 0)
    // Aborting afterwards is no matter of a running plugin.
    const controller = new AbortController()
    const plugin = await world.launch(mortalContract, mortalPlugin, { ...quiet, ...options, signal: controller.signal })
    controller.abort()
    assert.equal(await (await plugin.dispense('mortal')).echo(1), 1)
  })
}

test('a plugin that never serves is given up, with all it started', async () => {
  await using world = await testWorld()
  await assert.rejects(
    world.launch(mortalContract, { command: mortalPlugin, args: ['never serves'] }, { ...quiet, startTimeoutMs: 400 }),
    (cause: unknown) => isPluginError(cause, 'ERR_HANDSHAKE_TIMEOUT') && cause.facts.timeoutMs === 400,
  )
})

test('`await using` ends a plugin also when the block throws', async () => {
  await using world = await testWorld()
  let exited: Promise<PluginExit> | undefined
  await assert.rejects(async () => {
    await using plugin = await world.launch(mortalContract, mortalPlugin, quiet)
    exited = plugin.exited
    throw new Error('out of the block')
  }, /out of the block/)
  assert.equal((await exited)?.expected, true)
})

test('a call under way when its plugin closes gets its answer, when it comes in time', async () => {
  await using world = await testWorld()
  const plugin = await world.launch(mortalContract, mortalPlugin, quiet)
  const mortal = await plugin.dispense('mortal')
  const outcome = mortal.later(50).catch((cause: unknown) => cause)
  await plugin.close()
  const settled = await outcome
  assert.ok(settled === 'answered' || isPluginError(settled, 'ERR_PLUGIN_CLOSED'), String(settled))
})

test('two hundred launches leave no descriptors, no children and no memory', async () => {
  await using world = await testWorld()
  const descriptors = (): number => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0)
  const one = async (): Promise<void> => {
    await using plugin = await launch(mortalContract, mortalPlugin, quiet)
    await using mortal = await plugin.dispense('mortal')
    assert.equal(await mortal.echo(1), 1)
  }
  for (let n = 0; n < 40; n += 4) await Promise.all([one(), one(), one(), one()])
  const before = { descriptors: descriptors(), heap: process.memoryUsage().heapUsed, listeners: process.listenerCount('exit') }
  for (let n = 0; n < 160; n += 4) await Promise.all([one(), one(), one(), one()])
  await until(() => descriptors() <= before.descriptors)
  assert.equal(process.listenerCount('exit'), before.listeners)
  // Garbage included: a leak of one session each (256 KiB of read buffer is outside the heap) would be far more.
  assert.ok(process.memoryUsage().heapUsed - before.heap < 40 * 1024 * 1024)
  await until(() => world.left().length === 0)
})
