// A pair behaves as host and plugin in two processes would, as far as one process can.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contract } from 'plugwire'
import { isPluginError } from 'plugwire/host'
import { pair, testWorld } from 'plugwire/testing'
import type { Link, LinkReader } from '../../src/mux/link.ts'
import { faultyLink } from '../../src/testing/faulty-link.ts'
import { memoryLinks } from '../../src/testing/memory-link.ts'
import { makeProbe, probeContract, probeFactories, twoVersions } from '../fixtures/probe.ts'

const quiet = { logger: false } as const

test('what crosses is a copy, and what cannot cross fails', async () => {
  await using world = await testWorld()
  const plugin = world.pair(probeContract, probeFactories, quiet)
  const probe = await plugin.dispense('probe')
  const given = { list: [1, { deep: true }] }
  const back = await probe.echo(given)
  assert.deepEqual(back, given)
  assert.notEqual(back, given)
  await assert.rejects(probe.echo(Symbol('x')), (cause: unknown) => isPluginError(cause, 'ERR_VALUE_UNSUPPORTED'))
  assert.deepEqual([plugin.wire, plugin.pid, plugin.name], ['memory', process.pid, 'probe'])
})

test('the version is the highest, or the one that is asked for', async () => {
  await using world = await testWorld()
  const factories = { 1: { probe: () => makeProbe() as never }, 2: { probe: () => makeProbe() as never } }
  const newest = world.pair(twoVersions, factories, quiet)
  const older = world.pair(twoVersions, factories, { ...quiet, version: 1 })
  assert.deepEqual([(await newest.describe()).version, (await older.describe()).version], [2, 1])
})

test('factories that do not fit are refused at once', () => {
  assert.throws(
    () => pair(contract<{ a: { b(): void } }>({ name: 'x', version: 1 }), {} as never, quiet),
    (cause: unknown) => isPluginError(cause, 'ERR_CONTRACT') || isPluginError(cause),
  )
})

test('a kill ends it unexpectedly, a close does not', async () => {
  await using world = await testWorld()
  const closed = world.pair(probeContract, probeFactories, quiet)
  await closed.dispense('probe')
  assert.equal(await closed.close(), 'told')
  assert.deepEqual([(await closed.exited).exitCode, (await closed.exited).expected], [0, true])
  const severed = world.pair(probeContract, probeFactories, quiet)
  const probe = await severed.dispense('probe')
  const call = probe.hang()
  severed.sever()
  await assert.rejects(call, (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'))
})

test('cut at every byte of its first words, a host always learns of it', async () => {
  await using world = await testWorld()
  for (let bytes = 1; bytes < 120; bytes++) {
    const plugin = world.pair(probeContract, probeFactories, { ...quiet, faults: { cutAfterReceivedBytes: bytes } })
    await assert.rejects(
      async () => {
        const probe = await plugin.dispense('probe')
        for (;;) await probe.echo('some words')
      },
      (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'),
      `cut at ${bytes}`,
    )
  }
})

/** Collects what arrives. */
class Bytes implements LinkReader {
  readonly #memory = Buffer.alloc(7)
  readonly chunks: Buffer[] = []
  writes = 0
  ended: (cause: Error | undefined) => void = () => {}
  readonly end: Promise<Error | undefined> = new Promise(resolve => {
    this.ended = resolve
  })

  constructor(link: Link) {
    link.open(this)
  }

  buffer(): Uint8Array {
    return this.#memory
  }
  received(bytes: number): void {
    this.chunks.push(Buffer.from(this.#memory.subarray(0, bytes)))
  }
  written(): void {
    this.writes++
  }
  closed(cause?: Error): void {
    this.ended(cause)
  }
}

for (const [name, faults] of [
  ['as it is', undefined],
  ['byte by byte', { pieceBytes: 1 }],
  ['delayed', { delayMs: 1, pieceBytes: 100 }],
] as const) {
  test(`memory links, ${name}: all that was written arrives before the end does, whatever becomes of the writer's memory`, async () => {
    const [near, far] = memoryLinks()
    const link = faults === undefined ? near : faultyLink(near, faults, () => {})
    const here = new Bytes(link)
    const there = new Bytes(far)
    const memory = Buffer.from('hello ')
    link.write([memory, Buffer.from('world')])
    memory.fill(0)
    far.write([Buffer.from('and back')])
    link.close()
    assert.deepEqual([await here.end, await there.end], [undefined, undefined])
    assert.equal(Buffer.concat(there.chunks).toString(), 'hello world')
    assert.equal(Buffer.concat(here.chunks).toString(), 'and back')
  })
}

test('a writer that is ahead of its reader is told to wait, and when to go on', async () => {
  const [near, far] = memoryLinks()
  const here = new Bytes(near)
  const there = new Bytes(far)
  assert.equal(near.write([Buffer.alloc(1)]), true)
  assert.equal(near.write([Buffer.alloc(1024 * 1024)]), false)
  while (here.writes === 0) await new Promise(resolve => setImmediate(resolve))
  near.close()
  far.close()
  await Promise.all([here.end, there.end])
  assert.equal(Buffer.concat(there.chunks).length, 1024 * 1024 + 1)
})
