// Plugins that are real processes and break every rule: their calls fail with the right code, the host goes on, its memory stays bounded,
// and another plugin of the same host never notices.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { contract } from 'plugwire'
import { launch, type Plugin } from 'plugwire/host'

const kv = contract({ name: 'kv', version: 1 })
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url))
const MIB = 1024 * 1024

type Store = { get(key: unknown): Promise<unknown> } & AsyncDisposable

const hostile = (scenario: string, lines: string[] = []): Promise<Plugin<typeof kv>> =>
  launch(
    kv,
    { command: process.execPath, args: [fixture('hostile-plugin'), scenario] },
    {
      logger: record => {
        if (scenario === 'floods-references') kept.push(record.fields)
        void (lines.length < 10 || record.message.startsWith('done') ? lines.push(record.message) : 0)
      },
    },
  )

/** A host that keeps what came, so that no reference is collected. */
const kept: unknown[] = []
let good: Plugin<typeof kv>
let store: Store
const unhandled: unknown[] = []
const note = (cause: unknown): void => void unhandled.push(cause)

before(async () => {
  process.on('unhandledRejection', note)
  good = await launch(kv, fixture('protocol/store-plugin'))
  store = (await good.dispense('store')) as object as Store
})

after(async () => {
  await good.close()
  process.off('unhandledRejection', note)
})

/** Runs with a hostile plugin; afterwards the host is as it was. */
async function survives(scenario: string, mib: number, use: (plugin: Plugin<typeof kv>, lines: string[]) => Promise<void>): Promise<void> {
  const rss = process.memoryUsage.rss()
  const lines: string[] = []
  const plugin = await hostile(scenario, lines)
  try {
    await use(plugin, lines)
    const growth = (process.memoryUsage.rss() - rss) / MIB
    assert.ok(growth < mib, `the host grew by ${growth.toFixed(0)} MiB, ${mib} are allowed`)
    assert.deepEqual(await store.get('k'), new Uint8Array([0x76]), 'the other plugin still works')
  } finally {
    await plugin.close({ graceMs: 50, terminateMs: 50 })
  }
  assert.equal(plugin.callsInFlight, 0)
  assert.deepEqual(unhandled, [])
}

describe('a breach in answer to a call', () => {
  for (const [scenario, code] of [
    ['unknown-frame', 'ERR_MUX_FRAME'],
    ['unknown-message', 'ERR_CALL_FRAME'],
    ['window-overrun', 'ERR_MUX_WINDOW'],
    ['reply-to-nobody', 'ERR_CALL_FRAME'],
    ['dispenses-nothing', 'ERR_CALL_FRAME'],
    ['resets-the-calls', 'ERR_CALL_FRAME'],
    ['sends-junk', 'ERR_MUX_FRAME'],
    ['ends-while-called', 'ERR_PLUGIN_EXITED'],
  ] as const) {
    test(scenario, async () => {
      await survives(scenario, 60, async plugin => {
        const both = [plugin.dispense('store'), plugin.describe()]
        await assert.rejects(both[0] as Promise<unknown>, { code })
        if (scenario === 'dispenses-nothing') return
        await assert.rejects(both[1] as Promise<unknown>)
        await plugin.exited
        await assert.rejects(plugin.dispense('store'))
      })
    })
  }
})

describe('floods', () => {
  for (const [scenario, code] of [
    ['floods-pings-and-never-reads', 'ERR_MUX_LIMIT'],
    ['floods-references', 'ERR_CALL_LIMIT'],
    ['floods-calls', 'ERR_CALL_FRAME'],
  ] as const) {
    test(`${scenario}: ended with ${code}`, async () => {
      await survives(scenario, 150, async plugin => {
        const causes: unknown[] = []
        await plugin.describe().catch((cause: { code: string }) => causes.push(cause.code))
        // The reason may be known before the call is made; then the call has it, too.
        await plugin.exited
        assert.deepEqual(causes, [code])
      })
    })
  }

  test('200,000 log records are taken, at the pace at which the logger takes them', async () => {
    await survives('floods-logs', 150, async (plugin, lines) => {
      while (!lines.includes('done 200000')) await plugin.ping().catch(() => new Promise(resolve => setTimeout(resolve, 20)))
    })
  })

  for (const scenario of ['floods-streams', 'floods-streams-with-bytes']) {
    test(`${scenario}: refused beyond what may be there`, async () => {
      await survives(scenario, 600, async plugin => {
        await assert.rejects(plugin.describe({ timeoutMs: 1_500 }))
      })
    })
  }

  test('32 MiB of stdout do not stop the plugin, nor fill the host', async () => {
    await survives('floods-stdout', 150, async (_plugin, lines) => {
      while (!lines.includes('done')) await new Promise(resolve => setTimeout(resolve, 5))
    })
  })
})

describe('a plugin that takes nothing', () => {
  test('never reads: calls reject by their deadline, and what waits for it is bounded', async () => {
    await survives('never-reads', 100, async plugin => {
      const argument = 'x'.repeat(100_000)
      const codes = new Map<string, number>()
      for (let round = 0; round < 60; round++) {
        const calls = Array.from({ length: 50 }, () => plugin.describe({ timeoutMs: 2, metadata: { argument } }))
        for (const call of await Promise.allSettled(calls)) {
          const { code } = (call as PromiseRejectedResult).reason as { code: string }
          codes.set(code, (codes.get(code) ?? 0) + 1)
        }
      }
      assert.equal(
        [...codes.values()].reduce((sum, count) => sum + count, 0),
        3_000,
      )
      assert.ok(codes.has('ERR_CALL_LIMIT'))
      for (const code of codes.keys()) assert.ok(['ERR_CALL_TIMEOUT', 'ERR_CALL_LIMIT'].includes(code), code)
    })
  })

  for (const scenario of ['silent', 'stops-in-a-frame']) {
    test(`${scenario}: a deadline ends the wait, close ends the plugin`, async () => {
      await survives(scenario, 60, async plugin => {
        await assert.rejects(plugin.describe({ timeoutMs: 20 }), { code: 'ERR_CALL_TIMEOUT' })
        const waiting = assert.rejects(plugin.describe(), { code: 'ERR_PLUGIN_CLOSED' })
        await plugin.close({ graceMs: 30, terminateMs: 30 })
        await waiting
      })
    })
  }
})
