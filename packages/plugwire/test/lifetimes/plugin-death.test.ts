// A plugin may die at any moment. Whoever waits for it learns why, at once, and nothing of it is left.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPluginError, type PluginExit } from 'plugwire/host'
import { testWorld } from 'plugwire/testing'
import { mortalContract } from '../fixtures/mortal.ts'
import { mortalPlugin, until, wires } from './wires.ts'

const quiet = { logger: false } as const

const saidLastWords = (cause: unknown): boolean => {
  assert.ok(isPluginError(cause, 'ERR_PLUGIN_EXITED'), String(cause))
  assert.match(cause.facts.stderrTail, /these are my last words/)
  assert.match(cause.message, /these are my last words/)
  return true
}

for (const [wire, options] of wires) {
  test(`${wire}: calls in flight end with exit code, signal and last words`, async () => {
    for (const [how, exitCode, signal] of [
      ['exit', 9, null],
      ['exit 0', 0, null],
      ['SIGKILL', null, 'SIGKILL'],
      ['SIGSEGV', null, 'SIGSEGV'],
      ['uncaught', 1, null],
      ['unhandled', 1, null],
    ] as const) {
      await using world = await testWorld()
      const plugin = await world.launch(mortalContract, mortalPlugin, { ...quiet, ...options })
      const mortal = await plugin.dispense('mortal')
      const events: PluginExit[] = []
      plugin.on('exited', exit => void events.push(exit))
      const others = [mortal.hang(), mortal.hang()]
      const outcomes = Promise.allSettled(others)
      await assert.rejects(mortal.die(how), (cause: unknown) => {
        saidLastWords(cause)
        assert.ok(isPluginError(cause, 'ERR_PLUGIN_EXITED'))
        assert.deepEqual([how, cause.facts.exitCode, cause.facts.signal], [how, exitCode, signal])
        return true
      })
      for (const outcome of await outcomes) assert.ok(outcome.status === 'rejected' && isPluginError(outcome.reason, 'ERR_PLUGIN_EXITED'))
      const exit = await plugin.exited
      assert.deepEqual([exit.exitCode, exit.signal, exit.expected, plugin.state], [exitCode, signal, false, 'exited'])
      assert.equal(events.length, 1)
      await assert.rejects(mortal.echo(1), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'))
      await assert.rejects(plugin.dispense('mortal'), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'))
      await assert.rejects(plugin.ping(), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'))
      assert.equal(await plugin.close(), 'gone')
      assert.equal(plugin.callsInFlight, 0)
    }
  })

  test(`${wire}: death in streams, in a callback and in a factory`, async () => {
    await using world = await testWorld()
    const start = async () => {
      const plugin = await world.launch(mortalContract, mortalPlugin, { ...quiet, ...options })
      return { plugin, mortal: await plugin.dispense('mortal') }
    }
    {
      const { mortal } = await start()
      const seen: number[] = []
      await assert.rejects(async () => {
        for await (const n of mortal.dieSending(5)) seen.push(n)
      }, saidLastWords)
      // What was on its way may be lost; what came, came in order.
      assert.deepEqual(seen, [0, 1, 2, 3, 4].slice(0, seen.length))
    }
    {
      const { mortal } = await start()
      const stream = await mortal.dieSendingBytes()
      await assert.rejects(async () => {
        for await (const _ of stream as unknown as AsyncIterable<unknown>);
      }, saidLastWords)
    }
    {
      const { mortal } = await start()
      let finished = false
      async function* items(): AsyncGenerator<number> {
        try {
          for (let n = 0; ; n++) yield n
        } finally {
          finished = true
        }
      }
      await assert.rejects(mortal.dieReceiving(items(), 100), saidLastWords)
      await until(() => finished)
    }
    {
      const { mortal } = await start()
      let called = false
      await assert.rejects(
        mortal.dieCalling(() => {
          called = true
          return new Promise(() => {})
        }),
        saidLastWords,
      )
      assert.ok(typeof called === 'boolean')
    }
    {
      const { plugin } = await start()
      await assert.rejects(plugin.dispense('stillborn'), saidLastWords)
    }
  })

  test(`${wire}: death before it serves`, async () => {
    await using world = await testWorld()
    await assert.rejects(
      world.launch(mortalContract, { command: mortalPlugin, args: ['before serve'] }, { ...quiet, ...options }),
      (cause: unknown) => {
        assert.ok(isPluginError(cause, 'ERR_HANDSHAKE_EXIT'), String(cause))
        assert.equal(cause.facts.exitCode, 7)
        assert.match(cause.facts.stderrTail, /cannot find my license/)
        return true
      },
    )
    await until(() => world.left().length === 0)
  })

  test(`${wire}: killed at any byte and at any call, the host is told`, async () => {
    await using world = await testWorld()
    const faults = [
      { killAtCall: 1 },
      { killAtCall: 3 },
      ...[0, 1, 11, 12, 40, 90, 200].map(bytes => ({ killAfterReceivedBytes: bytes })),
      ...[1, 30, 150].map(bytes => ({ killAfterSentBytes: bytes })),
      { cutAfterReceivedBytes: 100 },
      { cutAfterSentBytes: 100 },
    ]
    await Promise.all(
      faults.map(async fault => {
        const plugin = await world.launch(mortalContract, mortalPlugin, { ...quiet, ...options, faults: fault })
        await assert.rejects(
          async () => {
            const mortal = await plugin.dispense('mortal')
            for (;;) await mortal.echo('x'.repeat(50))
          },
          (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'),
          JSON.stringify(fault),
        )
        assert.equal((await plugin.exited).expected, false)
      }),
    )
  })

  test(`${wire}: a grandchild ends with the plugin, however that ends`, async () => {
    for (const how of ['close', 'kill', 'exit', 'SIGKILL'] as const) {
      await using world = await testWorld()
      const plugin = await world.launch(mortalContract, mortalPlugin, { ...quiet, ...options })
      const mortal = await plugin.dispense('mortal')
      world.watch(await mortal.grandchild(false))
      if (how === 'close' || how === 'kill') await plugin[how]()
      else await assert.rejects(mortal.die(how), saidLastWords)
    }
  })
}

test('memory: a pair that is severed or killed rejects its calls', async () => {
  await using world = await testWorld()
  const factories = {
    mortal: () => ({ hang: () => new Promise<never>(() => {}), echo: (value: unknown) => value }),
    stubborn: () => ({}),
    stillborn: () => ({}),
  } as never
  const severed = world.pair(mortalContract, factories, quiet)
  const mortal = await severed.dispense('mortal')
  const call = mortal.hang()
  severed.sever()
  await assert.rejects(call, (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_EXITED'))
  const killed = world.pair(mortalContract, factories, { ...quiet, faults: { killAtCall: 2 } })
  const second = await killed.dispense('mortal')
  await assert.rejects(second.echo(1), (cause: unknown) => isPluginError(cause))
})
