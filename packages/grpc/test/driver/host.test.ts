// A host and plugins that do what no plugin should.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isGrpcError } from '@plugwire/grpc'
import { isPluginError } from 'plugwire'
import { type LaunchOptions, launch, type Plugin } from 'plugwire/host'
import { storeContract } from '../fixtures/store-contract.ts'

const file = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url))

const odd = (oddity: string, options: LaunchOptions = {}): Promise<Plugin<typeof storeContract>> =>
  launch(storeContract, { command: file('odd-plugin'), args: [oddity] }, { logger: false, tls: false, ...options })

const store = (options: LaunchOptions = {}): Promise<Plugin<typeof storeContract>> =>
  launch(storeContract, file('store-plugin'), { logger: false, ...options })

describe('a host', () => {
  test('gets along with a plugin that has none of the services of go-plugin', async () => {
    await using plugin = await odd('bare')
    const { calls, broker } = await plugin.dispense('store')
    assert.deepEqual(await calls.get({ key: 'a' }), { value: 'a' })
    assert.ok((await plugin.ping()) > 0)
    await assert.rejects(broker.dial(1), (error: unknown) => isPluginError(error, 'ERR_BROKER_REFUSED'))
    assert.deepEqual(await calls.get({ key: 'b' }), { value: 'b' })
  })

  test('sees in the stack of a failed call who awaits it', async () => {
    await using plugin = await store()
    const { calls } = await plugin.dispense('store')
    async function theCaller(): Promise<void> {
      await calls.get({ key: 'a' }, { timeoutMs: -1 })
    }
    await assert.rejects(theCaller(), (error: unknown) => isGrpcError(error, 'DEADLINE_EXCEEDED') && /theCaller/.test(error.stack ?? ''))
  })

  test('looks at what health says', async () => {
    await using plugin = await odd('not-serving')
    await plugin.dispense('store')
    await assert.rejects(plugin.ping(), (error: unknown) => isPluginError(error, 'ERR_NOT_SERVING') && error.facts.status === 2)
    await using strange = await odd('odd-health')
    await assert.rejects(strange.ping(), (error: unknown) => isPluginError(error, 'ERR_NOT_SERVING') && error.facts.status === 77)
  })

  test('ends a plugin that neither answers Shutdown nor ends', async t => {
    const directory = await mkdtemp(join(tmpdir(), 'deaf-'))
    t.after(() => rm(directory, { recursive: true }))
    const plugin = await odd('deaf', { env: { TMPDIR: directory } })
    await plugin.dispense('store')
    await plugin.close()
    assert.notEqual((await plugin.exited).signal, null)
  })

  test('reads a flood of output without end, and goes on with calls', async () => {
    let bytes = 0
    await using plugin = await odd('flood', { stdout: 'pipe', stderr: 'pipe' })
    plugin.stdout?.on('data', (chunk: Buffer) => (bytes += chunk.length))
    plugin.stderr?.on('data', (chunk: Buffer) => (bytes += chunk.length))
    const { calls } = await plugin.dispense('store')
    while (bytes < 5_000_000) await calls.get({ key: 'a' })
  })

  test('makes a plugin wait whose output the application reads slowly, and calls go on', async () => {
    await using plugin = await odd('flood', { stdout: 'pipe', stderr: 'pipe' })
    const { calls } = await plugin.dispense('store')
    // Begins to read, and takes nothing.
    plugin.stdout?.read(0)
    plugin.stderr?.read(0)
    // How much it has sent stays the same in the end, while calls are answered.
    let sent = ''
    for (let same = 0, call = 0; same < 100; call += 1) {
      assert.ok(call < 5_000, 'it goes on sending')
      const { value } = await calls.get({ key: 'sent' })
      same = value === sent ? same + 1 : 0
      sent = value
    }
  })

  test('goes on when stdio or the broker sends what is no message', async () => {
    for (const oddity of ['bad-stdio', 'bad-broker']) {
      await using plugin = await odd(oddity)
      const { calls, broker } = await plugin.dispense('store')
      await assert.rejects(broker.dial(1, { timeoutMs: 50 }))
      assert.deepEqual(await calls.get({ key: 'a' }), { value: 'a' })
    }
  })

  test('tells of a plugin that dies in the middle of a dial', async () => {
    await using plugin = await odd('dies-in-dial')
    const { broker, calls } = await plugin.dispense('store')
    await assert.rejects(broker.dial(1))
    await assert.rejects(
      calls.get({ key: 'a' }),
      (error: unknown) => isPluginError(error, 'ERR_PLUGIN_EXITED') && error.facts.exitCode === 9,
    )
  })

  test('reaches a plugin again that has hung up', async () => {
    await using plugin = await odd('hangs-up')
    const { calls } = await plugin.dispense('store')
    await calls.put({ key: 'a', value: '1' })
    const hanging = assert.rejects(calls.hang({}), (error: unknown) => isGrpcError(error, 'UNAVAILABLE'))
    await calls.print({ text: '', repeat: 0, stderr: false })
    await hanging
    assert.deepEqual(await calls.get({ key: 'a' }), { value: '1' })
    assert.equal(plugin.state, 'ready')
  })

  for (const options of [{ tls: false }, { tls: true }, { tls: false, multiplex: true }, { tls: true, multiplex: true }]) {
    test(`rejects calls with the last words of a plugin that died (${JSON.stringify(options)})`, async () => {
      await using plugin = await store(options)
      const { calls } = await plugin.dispense('store')
      const died = (error: unknown): boolean => isPluginError(error, 'ERR_PLUGIN_EXITED') && error.facts.exitCode === 7
      const hanging = Promise.all([1, 2, 3].map(() => assert.rejects(calls.hang({}), died)))
      await assert.rejects(calls.exit({ code: 7 }), died)
      await hanging
      await assert.rejects(calls.get({ key: 'a' }), (error: unknown) => isPluginError(error))
      await assert.rejects(plugin.dispense('store'), (error: unknown) => isPluginError(error))
    })
  }

  test('gets one instance of a kind, however often it dispenses it, and takes no configuration', async () => {
    await using plugin = await store()
    assert.equal(await plugin.dispense('store'), await plugin.dispense('store'))
    await assert.rejects(plugin.dispense('store', 'config' as never), (error: unknown) => isPluginError(error, 'ERR_CONTRACT'))
  })

  test('shows what is wrong with the services of a plugin', async () => {
    const plugin = await launch(storeContract, file('wrong-service-plugin'), { logger: false })
    const gone = (error: unknown): boolean => isPluginError(error, 'ERR_PLUGIN_EXITED') && /is served already/.test(error.facts.stderrTail)
    await assert.rejects(async () => (await plugin.dispense('store')).calls.get({ key: 'a' }), gone)
    await plugin.close()
  })

  for (const options of [{ tls: false }, { tls: true, multiplex: true }]) {
    test(`ends by itself when it waits for nothing (${JSON.stringify(options)})`, async () => {
      const host = spawn(process.execPath, [file('idle-host'), JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      host.stdout.on('data', chunk => {
        said += chunk
      })
      const code = await new Promise(resolve => host.once('close', resolve))
      assert.equal(said, '{"value":"1"}\n')
      assert.equal(code, 0)
    })
  }
})
