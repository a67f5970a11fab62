// The test kit must itself be held to its word: it finds what is left, and nothing where nothing is.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { launch } from 'plugwire/host'
import { LeftoverError, type TestWorld, testWorld } from 'plugwire/testing'
import { mortalContract } from '../fixtures/mortal.ts'
import { probeContract, probeFactories } from '../fixtures/probe.ts'
import { mortalPlugin } from '../lifetimes/wires.ts'

const linux = process.platform === 'linux' ? false : 'processes and descriptors are looked up in /proc'
const quiet = { logger: false } as const

/** What a world complains of after this; `undo` puts it in order afterwards. */
async function leftBy(leave: (world: TestWorld) => unknown, undo: () => unknown = () => {}): Promise<readonly string[]> {
  const world = await testWorld({ settleMs: 300 })
  try {
    await leave(world)
    await world[Symbol.asyncDispose]()
    return []
  } catch (cause) {
    assert.ok(cause instanceof LeftoverError, String(cause))
    for (const line of cause.left) assert.ok(cause.message.includes(line))
    return cause.left
  } finally {
    await undo()
  }
}

test('a test that leaves nothing passes, and its directory is gone', async () => {
  let dir = ''
  const left = await leftBy(async world => {
    dir = world.dir
    writeFileSync(join(dir, 'file'), 'x')
    const plugin = await world.launch(mortalContract, mortalPlugin, quiet)
    await (await plugin.dispense('mortal')).echo(1)
    const near = world.pair(probeContract, probeFactories, quiet)
    await (await near.dispense('probe')).echo(1)
    // Neither is closed: the world does it.
  })
  assert.deepEqual(left, [])
  assert.equal(existsSync(dir), false)
})

test('a timer is found', async () => {
  let timer: NodeJS.Timeout | undefined
  const left = await leftBy(
    () => {
      timer = setInterval(() => {}, 1_000)
    },
    () => clearInterval(timer),
  )
  assert.deepEqual(left, ['1 × Timeout that keeps the event loop alive'])
})

test('a listener and its descriptor are found', { skip: linux }, async () => {
  const server = createServer()
  const left = await leftBy(
    () => new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve)),
    () => new Promise(resolve => void server.close(resolve)),
  )
  assert.equal(left.length, 2)
  assert.match(left.join('\n'), /TCPServerWrap/i)
  assert.match(left.join('\n'), /descriptor \d+: socket:/)
})

test('a file that is still open is found', { skip: linux }, async () => {
  let descriptor = 0
  const left = await leftBy(
    () => {
      descriptor = openSync(process.execPath, 'r')
    },
    () => closeSync(descriptor),
  )
  assert.deepEqual(left, [`descriptor ${descriptor}: ${process.execPath}`])
})

test('a child process is found, and ended', { skip: linux }, async () => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  const ended = new Promise(resolve => child.once('exit', (_, signal) => resolve(signal)))
  child.kill('SIGKILL')
  await ended
  let pid = 0
  const left = await leftBy(() => {
    const later = spawn('sleep', ['1000'], { stdio: 'ignore' })
    later.unref()
    pid = later.pid as number
  })
  assert.deepEqual(left, [`process ${pid} sleep 1000`])
})

test('a process that a plugin left behind is found, although nobody is its parent any more', { skip: linux }, async () => {
  const left = await leftBy(async world => {
    const plugin = await world.launch(mortalContract, mortalPlugin, quiet)
    // In a group of its own, and orphaned: only the mark in its environment tells where it comes from.
    await (await plugin.dispense('mortal')).grandchild(true)
    await plugin.kill()
    assert.equal(plugin.state, 'exited')
  })
  assert.ok(left.length === 0 || /process \d+ sleep 1000/.test(left.join('\n')), left.join('\n'))
})

test('a call and a stream that were not finished are found', async () => {
  const left = await leftBy(async world => {
    const plugin = world.pair(probeContract, probeFactories, quiet)
    const probe = await plugin.dispense('probe')
    probe.hang().catch(() => undefined)
    await probe.tick()
  })
  assert.deepEqual(left, ['plugin probe has open 1 calls into it without an answer, 1 streams'])
})

test('a plugin that was launched past the world is found', { skip: linux }, async () => {
  let plugin: AsyncDisposable | undefined
  const left = await leftBy(
    async () => {
      plugin = await launch(mortalContract, mortalPlugin, quiet)
    },
    () => plugin?.[Symbol.asyncDispose](),
  )
  assert.match(left.join('\n'), /process \d+ .*mortal-plugin\.js/)
})
