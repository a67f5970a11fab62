// The contract of the interop peers between two processes in TypeScript, and with a plugin in Go where PLUGWIRE_GO_PEER names the program; interop/
// builds it, and runs the whole matrix.

import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { brokerOf } from '@plugwire/netrpc'
import { isPluginError } from 'plugwire'
import { isRemoteError, type LaunchOptions, launch, type Plugin, withOptions } from 'plugwire/host'
import { crc32 } from '../fixtures/crc.ts'
import { counter, peer, type Report } from '../fixtures/peer-contract.ts'

const go = process.env['PLUGWIRE_GO_PEER']
const plugins = [
  { name: 'TypeScript', command: { command: fileURLToPath(new URL('../fixtures/peer-plugin.js', import.meta.url)) } },
  ...(go ? [{ name: 'Go', command: { command: go, args: ['plugin-netrpc'] } }] : []),
]
const ways: readonly { readonly name: string; readonly options: LaunchOptions }[] = [
  { name: 'plain', options: { tls: false } },
  { name: 'AutoMTLS', options: { tls: true } },
]

/** Byte i is i % 251. */
const patterned = (length: number): Buffer => {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = at % 251
  return bytes
}

interface Output {
  stdout: string
  stderr: string
}

const checks: readonly { readonly name: string; run(plugin: Plugin<typeof peer>, output: Output): Promise<void> }[] = [
  {
    name: 'a map behind methods, errors, and 100 instances with a state of their own',
    async run(plugin) {
      await using kv = await plugin.dispense('kv')
      const put = { Key: 'ключ', Value: new Uint8Array([0, 255]), Tags: new Map([['a', '1']]) }
      assert.equal((await kv.Put(put)).Revision, 1n)
      assert.equal((await kv.Put(put)).Revision, 2n)
      const got = await kv.Get('ключ')
      assert.deepEqual({ ...got, Value: [...got.Value] }, { ...put, Value: [0, 255], Revision: 2n })
      assert.deepEqual([...(await kv.All('кл')).keys()], ['ключ'])
      await assert.rejects(kv.Get('nø'), error => isRemoteError(error) && error.message === 'no such key: nø')
      assert.deepEqual([await kv.Delete('ключ'), await kv.Delete('ключ')], [true, false])
      const values = new Map<string, { type: string; value: unknown }>([
        ['int', { type: 'int', value: -7 }],
        ['row', { type: 'interop.Row', value: { Name: 'n', Score: 1.5, Tags: ['t'], Ok: true } }],
      ])
      assert.deepEqual(await kv.Any(values as never), values)
      const sums = await Promise.all(
        Array.from({ length: 100 }, async (_, start) => {
          await using counter = await plugin.dispense('counter')
          await counter.Add(start)
          return await counter.Add(1n)
        }),
      )
      assert.deepEqual(
        sums,
        sums.map((_, start) => BigInt(start) + 1n),
      )
    },
  },
  {
    name: 'large and nested values, and answers that overtake each other',
    async run(plugin) {
      await using faults = await plugin.dispense('faults')
      const bytes = patterned(16 * 1024 * 1024)
      const slow = faults.Sleep(200)
      assert.ok(bytes.equals(await faults.Big(bytes)))
      const empty = { Rows: [], Totals: new Map(), Matrix: [], Checksum: new Uint8Array(4), Ratio: { re: 0, im: 0 }, Extra: new Map() }
      const Made = { seconds: 1_770_000_000n, nanoseconds: 789, offsetSeconds: undefined }
      const report: Report = {
        ...empty,
        Title: 'quarter',
        Made,
        Rows: Array.from({ length: 500 }, (_, index) => ({
          Name: 'r'.repeat(index % 40),
          Score: index / 3,
          Tags: ['x'],
          Ok: index % 2 === 0,
        })),
        Totals: new Map([['a', -0.5]]),
        Matrix: [[1, -2], [], [3]],
        Checksum: new Uint8Array([1, 0, 0, 255]),
        Huge: -123456789012345678901234567890n,
        Ratio: { re: 1, im: 2 },
        Parent: { ...empty, Title: 'year', Made, Huge: null, Parent: null },
      }
      const reversed = await faults.Reverse(report)
      assert.deepEqual(reversed.Rows, report.Rows.toReversed())
      assert.equal(reversed.Parent?.Title, 'reversed')
      assert.deepEqual(reversed.Parent?.Parent, report.Parent)
      assert.deepEqual({ ...reversed, Rows: [], Parent: null }, { ...report, Rows: [], Parent: null })
      await slow
      await assert.rejects(withOptions(faults, { timeoutMs: 50 }).Sleep(150), error => isPluginError(error, 'ERR_CALL_TIMEOUT'))
    },
  },
  {
    name: 'objects in both directions',
    async run(plugin) {
      await using broker = await plugin.dispense('broker')
      let sum = 100n
      const mine = {
        Add: (value: bigint) => {
          sum += value
          return sum
        },
      }
      for (let round = 0; round < 5; round++) assert.equal(await broker.CallBack({ Id: mine, Times: 4 }), 104n + BigInt(round) * 4n)
      await using theirs = await broker.Open(1_000)
      assert.equal(await theirs.Add(2), 1_002n)
    },
  },
  {
    name: 'byte streams in both directions',
    async run(plugin) {
      await using broker = await plugin.dispense('broker')
      const bytes = patterned(8_000_003)
      const Crc = crc32(bytes, 0)
      assert.deepEqual(await broker.Drain(Readable.from([bytes])), { Bytes: 8_000_003n, Crc })
      const pipe = new PassThrough()
      const received = (async () => {
        let crc = 0
        for await (const chunk of pipe) crc = crc32(chunk, crc)
        return crc
      })()
      assert.deepEqual(await broker.Pour({ Id: pipe, Bytes: 8_000_003 }), { Bytes: 8_000_003n, Crc })
      assert.equal(await received, Crc)
    },
  },
  {
    name: 'output, a ping, and what it says of itself',
    async run(plugin, output) {
      await using faults = await plugin.dispense('faults')
      await faults.Print({ Stdout: 'to stdout: å\n', Stderr: 'to stderr: ö\n', Raw: '' })
      while (!output.stdout.includes('to stdout: å\n') || !output.stderr.includes('to stderr: ö\n')) {
        await new Promise(resolve => setImmediate(resolve))
      }
      assert.ok((await plugin.ping()) > 0)
      const about = await faults.About({})
      assert.deepEqual([about.Pid, about.Version], [plugin.pid, 2])
      assert.deepEqual((await plugin.describe()).kinds, Object.keys(peer.versions[0]?.kinds ?? {}))
    },
  },
]

for (const { name, command } of plugins) {
  for (const way of ways) {
    test(`a plugin in ${name}, ${way.name}`, async t => {
      const plugin = await launch(peer, command, { logger: false, stdout: 'pipe', stderr: 'pipe', ...way.options })
      const output = { stdout: '', stderr: '' }
      plugin.stdout?.on('data', chunk => {
        output.stdout += chunk
      })
      plugin.stderr?.on('data', chunk => {
        output.stderr += chunk
      })
      for (const check of checks) await t.test(check.name, () => check.run(plugin, output))
      // Five seconds, which are Go's to wait; ours are tested without waiting.
      if (name === 'Go' && way.name === 'plain') {
        await t.test('an id that the plugin does not accept is refused, and the broker goes on', async () => {
          await using broker = await plugin.dispense('broker')
          await assert.rejects(brokerOf(broker).dialObject(4_000_000_000, counter), error => isPluginError(error, 'ERR_BROKER_REFUSED'))
          await using opened = await broker.Open(1)
          assert.equal(await opened.Add(1), 2n)
        })
      }
      await t.test('the end, with its exit code', async () => {
        assert.equal(await plugin.close(), 'told')
        assert.deepEqual(
          { ...(await plugin.exited), stderrTail: '', stdoutTail: '' },
          { exitCode: 0, signal: null, stdoutTail: '', stderrTail: '', expected: true },
        )
      })
      await t.test('a plugin that ends by itself fails its calls with its last words', async () => {
        await using own = await launch(peer, command, { logger: false, ...way.options })
        await using faults = await own.dispense('faults')
        await assert.rejects(faults.Exit(7), error => isPluginError(error, 'ERR_PLUGIN_EXITED') && error.facts.exitCode === 7)
      })
    })
  }
}
