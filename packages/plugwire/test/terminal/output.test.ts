// What a plugin writes on stdout and stderr, in every mode and on every wire: it arrives, or it is thrown away, and it never gets in anyone's way.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type PluginRecord, withOptions } from 'plugwire/host'
import { testWorld } from 'plugwire/testing'
import { talkerContract } from '../fixtures/talker.ts'
import { until, wires } from '../lifetimes/wires.ts'

const talkerPlugin = new URL('../fixtures/talker-plugin.js', import.meta.url)
const talkerHost = fileURLToPath(new URL('../fixtures/talker-host.js', import.meta.url))
const numbered = (word: string, lines: number): string[] => Array.from({ length: lines }, (_, n) => `${word} ${n}`)

for (const [wire, options] of wires) {
  test(`${wire}: storms of console.log arrive line by line, in order, while calls go on`, async () => {
    await using world = await testWorld()
    const records: PluginRecord[] = []
    const plugin = await world.launch(talkerContract, talkerPlugin, { ...options, logger: record => void records.push(record) })
    const talker = await plugin.dispense('talker')
    const storms = [talker.storm(3_000), talker.stormErrors(3_000)]
    for (let n = 0; n < 200; n++) assert.equal(await talker.echo(n), n)
    await Promise.all(storms)
    const of = (stream: string): string[] => records.filter(record => record.stream === stream).map(record => record.message)
    await until(() => of('stdout').length === 3_000 && of('stderr').length === 3_000)
    assert.deepEqual(of('stdout'), numbered('line', 3_000))
    assert.deepEqual(of('stderr'), numbered('error', 3_000))
  })

  test(`${wire}: a flood that nobody reads blocks nobody, and memory stays bounded`, async () => {
    for (const mode of ['pipe', 'ignore', 'log'] as const) {
      await using world = await testWorld()
      const plugin = await world.launch(talkerContract, talkerPlugin, { ...options, stdout: mode, stderr: mode, logger: () => {} })
      const talker = await plugin.dispense('talker')
      await talker.flood('stdout', 1024 * 1024)
      const before = process.memoryUsage()
      const total = 48 * 1024 * 1024
      const floods = Promise.all([talker.flood('stdout', total), talker.flood('stderr', total)])
      // A call beside it is answered; a timeout only so that a deadlock is a failure of this line.
      for (let n = 0; n < 20; n++) assert.equal(await withOptions(talker, { timeoutMs: 30_000 }).echo(n), n)
      await floods
      const after = process.memoryUsage()
      const grown = after.rss - before.rss
      assert.ok(grown < 64 * 1024 * 1024, `${mode}: ${grown} bytes`)
      assert.equal(plugin.stdout === undefined, mode !== 'pipe')
    }
  })

  test(`${wire}: piped, every byte arrives once there is a reader, and a slow reader slows the plugin`, async () => {
    await using world = await testWorld()
    const plugin = await world.launch(talkerContract, talkerPlugin, { ...options, stdout: 'pipe', stderr: 'pipe', logger: false })
    const talker = await plugin.dispense('talker')
    const { stdout, stderr } = plugin
    assert.ok(stdout !== undefined && stderr !== undefined)
    const read = async (stream: AsyncIterable<unknown>): Promise<string> => {
      let text = ''
      for await (const chunk of stream) {
        text += String(chunk)
        if (text.length % 3 === 0) await new Promise(resolve => setImmediate(resolve))
      }
      return text
    }
    const texts = Promise.all([read(stdout), read(stderr)])
    // From the first read on nothing is lost.
    await new Promise(resolve => setImmediate(resolve))
    await talker.storm(20_000)
    await talker.stormErrors(20_000)
    assert.equal(await talker.echo('x'), 'x')
    await plugin.close()
    const [out, error] = await texts
    assert.deepEqual(out.trimEnd().split('\n'), numbered('line', 20_000))
    assert.deepEqual(error.trimEnd().split('\n'), numbered('error', 20_000))
  })

  test(`${wire}: inherited, output reaches the host's own outputs`, async () => {
    await using world = await testWorld()
    const journal = join(world.dir, 'journal')
    const inherit = JSON.stringify({ ...options, stdout: 'inherit', stderr: 'inherit' })
    const host = spawn(process.execPath, [talkerHost, 'storm', journal, inherit], { stdio: ['ignore', 'pipe', 'pipe'] })
    world.watch(host.pid as number)
    let out = ''
    let error = ''
    host.stdout.on('data', chunk => {
      out += chunk
    })
    host.stderr.on('data', chunk => {
      error += chunk
    })
    await once(host, 'close')
    const lines = out.trimEnd().split('\n')
    assert.deepEqual(
      lines.filter(line => line.startsWith('line')),
      numbered('line', 2_000),
    )
    if (options.wire !== 'stdio') assert.ok(lines.includes('straight') && lines.includes('from a child'), out.slice(-200))
    assert.deepEqual(error.trimEnd().split('\n').slice(0, 2_000), numbered('error', 2_000))
    assert.deepEqual(readFileSync(journal, 'utf8'), '"done"\n{"closed":"told"}\n')
  })
}
