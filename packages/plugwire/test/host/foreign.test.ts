// A host and a plugin of another protocol: starts that end early, ends, hosts that have nothing to do, and coming back.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import * as net from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { contract, kind } from '../../src/contract.ts'
import { isPluginError } from '../../src/errors.ts'
import { type LaunchOptions, launch } from '../../src/host/launch.ts'
import type { Plugin } from '../../src/host/plugin.ts'
import { reattach, reattachConfig } from '../../src/host/reattach.ts'
import { isAlive } from '../../src/process/process-tree.ts'
import { linesContract, linesKind } from '../fixtures/foreign-kind.ts'
import { Launched } from '../fixtures/launched.ts'
import { World } from '../fixtures/started.ts'

const skip = process.platform === 'win32' ? 'Windows has no socket files' : false
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url))
const options = (world: World, more: LaunchOptions = {}): LaunchOptions => ({
  tls: false,
  logger: false,
  ...more,
  env: { NODE_EXTRA_CA_CERTS: undefined, MARK: world.mark, ...more.env },
})
const open = (world: World, more?: LaunchOptions): Promise<Plugin<never>> =>
  launch(linesContract, { command: fixture('foreign-plugin') }, options(world, more)) as never
const odd = (world: World, way: string, more?: LaunchOptions): Promise<Plugin<never>> =>
  launch(linesContract, { command: fixture('odd-plugin'), args: ['foreign and silent', way] }, options(world, more)) as never
const linesOf = async (plugin: object): Promise<{ ask(line: string): Promise<string> }> =>
  (plugin as Plugin<typeof linesContract>).dispense('lines') as never

describe('a plugin of another protocol', { skip }, () => {
  test('has its socket in a directory that goes with it; closing twice is closing once', async () => {
    await using world = new World()
    const plugin = await open(world)
    assert.equal(await (await linesOf(plugin)).ask('hello'), 'hello')
    assert.equal(readdirSync(world.directory).length, 1)
    const endings = await Promise.all([plugin.close(), plugin.close()])
    assert.deepEqual(endings, ['told', 'told'])
    assert.equal(await plugin.kill(), 'told')
    world.assertNothingLeft()
  })

  test('is killed with calls in flight, and leaves nothing', async () => {
    await using world = new World()
    const plugin = await open(world)
    const call = (await linesOf(plugin)).ask('slow')
    call.catch(() => {})
    assert.equal(await plugin.kill(), 'killed')
    await assert.rejects(call, { code: 'ERR_PLUGIN_CLOSED' })
    world.assertNothingLeft()
  })

  for (const [what, way, more, code] of [
    ['is aborted while its driver waits', '', { signal: true }, 'ERR_LAUNCH_ABORTED'],
    ['takes too long for its driver', '', { startTimeoutMs: 1_500 }, 'ERR_CONNECT'],
    ['exits while its driver waits', 'exits', {}, 'ERR_PLUGIN_EXITED'],
  ] as const) {
    test(`that ${what} leaves nothing`, async () => {
      await using world = new World()
      const controller = new AbortController()
      const { signal, ...others } = more as { signal?: boolean; startTimeoutMs?: number }
      const start = odd(world, way, {
        name: 'greets',
        ...others,
        ...(signal && { signal: controller.signal, logger: ({ message }) => void (message === 'connected' && controller.abort('why')) }),
      })
      await assert.rejects(start, { code })
      world.assertNothingLeft()
      assert.deepEqual(readdirSync(world.directory), [])
    })
  }

  for (const way of ['idle', 'in a call', 'SIGINT', 'SIGKILL']) {
    test(`does not hold its host, and leaves nothing behind it (${way})`, async () => {
      await using world = new World()
      const env = { ...process.env, MARK: world.mark, NODE_EXTRA_CA_CERTS: '' }
      const host = spawn(process.execPath, [fixture('foreign-host'), way], { stdio: ['ignore', 'pipe', 'inherit'], env })
      let said = ''
      host.stdout.on('data', chunk => (said += chunk))
      const [code, signal] = await once(host, 'close')
      assert.deepEqual([code, signal], way.startsWith('SIG') ? [null, way] : [0, null])
      const facts = said
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
      assert.equal(facts[0].answer, 'hello')
      if (way === 'in a call') assert.equal(facts[1].answer, 'at last')
      while (isAlive(facts[0].plugin)) await new Promise(resolve => setTimeout(resolve, 20))
      assert.deepEqual(readdirSync(world.directory), [], 'files are left')
    })
  }

  test('that speaks plugwire after all is not spoken to in clear when it was to encrypt', async () => {
    const mixed = contract({ name: 'lines', versions: { 1: { lines: linesKind('netrpc') }, 2: { own: kind<object>() } } })
    await using world = new World()
    for (const wire of ['unix', 'tcp'] as const)
      await assert.rejects(launch(mixed, fixture('foreign-plugin'), options(world, { wire, tlsOptions: {} })), { code: 'ERR_CONTRACT' })
  })
})

function signalReaches(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('coming back to a plugin of another protocol', { skip }, () => {
  const detached = { wire: 'unix', detached: true } as const

  test('works as often as one likes, and closing ends it', async () => {
    await using world = new World()
    const first = await open(world, { ...detached, multiplex: true })
    const record = first.detach()
    assert.equal(record.multiplex, true)
    const second = await reattach(linesContract, record, { logger: false })
    assert.equal(await (await linesOf(second)).ask('hello'), 'hello')
    second.detach()
    const third = await reattach(linesContract, JSON.parse(JSON.stringify(record)), { logger: false })
    assert.equal(third.pid, first.pid)
    assert.equal(await third.close(), 'told')
    assert.ok(!isAlive(first.pid))
    world.assertNothingLeft()
    await assert.rejects(reattach(linesContract, record), { code: 'ERR_REATTACH' })
  })

  test('over TCP, too; what the plugin calls its address is not removed unless it is a socket', async () => {
    await using world = new World()
    const precious = join(world.directory, 'precious')
    writeFileSync(precious, 'keep')
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`
    const said = (line: string): Promise<Plugin<never>> =>
      launch(linesContract, { command: fixture('odd-plugin'), args: ['line and stay', line] }, options(world, detached)) as never
    // Its driver connects at once, to something.
    const plugin = await said(`1|1|tcp|${address}|netrpc|`)
    const record = plugin.detach()
    assert.deepEqual([record.network, record.address], ['tcp', address])
    const again = await reattach(linesContract, record, { logger: false })
    await again.kill()
    server.close()

    await assert.rejects(said(`1|1|unix|${precious}|netrpc|`), { code: 'ERR_CONNECT' })
    assert.ok(existsSync(precious))
    const attached = { ...record, network: 'unix', address: precious, pid: process.pid, startedAt: '' } as const
    await assert.rejects(reattach(linesContract, attached), { code: 'ERR_REATTACH' })
    assert.ok(existsSync(precious))
    const { rmSync } = await import('node:fs')
    rmSync(precious)
  })

  test('that does not answer, or hangs up, leaves it running', async () => {
    await using world = new World()
    const silent = await odd(world, 'detached', detached)
    const record = { ...silent.detach(), name: 'greets' }
    await assert.rejects(reattach(linesContract, record, { timeoutMs: 300 }), { code: 'ERR_REATTACH' })
    await assert.rejects(reattach(linesContract, record, { signal: AbortSignal.timeout(300) }), { code: 'ERR_LAUNCH_ABORTED' })
    assert.ok(isAlive(record.pid))
    await (await reattach(linesContract, { ...record, name: 'calm' })).kill()

    const rude = await odd(world, 'detached, hangs up', detached)
    const rudeRecord = { ...rude.detach(), name: 'greets' }
    await assert.rejects(reattach(linesContract, rudeRecord), { code: 'ERR_REATTACH' })
    assert.ok(isAlive(rudeRecord.pid))
    process.kill(rudeRecord.pid, 'SIGKILL')
    // Until it was reaped: a zombie may have threads that still hold its socket.
    while (signalReaches(rudeRecord.pid)) await new Promise(resolve => setTimeout(resolve, 10))
    // Its socket is there, and nobody behind it.
    await assert.rejects(
      reattach(linesContract, rudeRecord),
      (cause: unknown) => isPluginError(cause, 'ERR_REATTACH') && /has ended/.test(cause.message),
    )
    await assert.rejects(reattach(linesContract, { ...rudeRecord, pid: process.pid }), /another one now/)
    await assert.rejects(reattach(linesContract, { ...rudeRecord, pid: process.pid, startedAt: '' }), /ECONNREFUSED/)
    for (const left of readdirSync(world.directory)) (await import('node:fs')).rmSync(join(world.directory, left), { recursive: true })
  })

  test('is bounded also where what answers its address speaks nothing', async () => {
    await using world = new World()
    const address = join(world.directory, 'silent')
    const server = net.createServer(() => {}).listen(address)
    await once(server, 'listening')
    const record = { name: 'own', pid: process.pid, startedAt: '', address, protocol: 'plugwire', version: 1, versions: [1] }
    const own = contract({ name: 'own', versions: { 1: { own: kind<object>() } } })
    await assert.rejects(reattach(own, record, { timeoutMs: 200 }), { code: 'ERR_REATTACH' })
    await assert.rejects(reattach(own, record, { signal: AbortSignal.timeout(200) }), { code: 'ERR_LAUNCH_ABORTED' })
    server.close()
  })

  test('by a configuration: of one that a person started, which closing leaves running', async () => {
    await using plugin = new Launched({ fixture: 'foreign-plugin', cookie: '', env: { FOREIGN_DEBUG: '{}' } })
    const [text] = await plugin.stdout.until(/.*(?=\n)/)
    const config = reattachConfig(JSON.stringify({ 'registry.example/acme/lines': JSON.parse(text) }), 'acme/lines')
    for (let visit = 0; visit < 2; visit++) {
      await using attached = await reattach(linesContract, config, { logger: false })
      assert.deepEqual([attached.version, attached.pid], [2, plugin.child.pid])
      assert.equal(await (await linesOf(attached)).ask('hello'), 'hello')
      if (visit > 0) assert.equal(await attached.kill(), 'gone')
    }
    // Terraform's rule: without a version the highest is meant.
    const attached = await reattach(linesContract, { ...config, ProtocolVersion: 0 }, { logger: false })
    await attached.close()
    await assert.rejects(reattach(linesContract, { ...config, Protocol: 'netrpc' }), { code: 'ERR_PROTOCOL_UNSUPPORTED' })
    await assert.rejects(reattach(linesContract, { ...config, ProtocolVersion: 9 }), { code: 'ERR_VERSION_MISMATCH' })
    await assert.rejects(reattach(linesContract, { ...config, Pid: -1 }), { code: 'ERR_REATTACH' })
    assert.ok(isAlive(config.Pid))
    plugin.child.kill('SIGINT')
    assert.deepEqual(await plugin.exited, { code: 0, signal: null })
    await assert.rejects(reattach(linesContract, config), { code: 'ERR_REATTACH' })
  })

  test('by a configuration that is none, or names several', () => {
    const one = { Protocol: 'grpc', ProtocolVersion: 5, Pid: 1, Test: true, Addr: { Network: 'unix', String: '/x' } }
    assert.deepEqual(reattachConfig(JSON.stringify(one)), one)
    assert.deepEqual(reattachConfig(JSON.stringify({ a: one })), one)
    assert.deepEqual(reattachConfig(JSON.stringify({ 'x/a': one, 'y/b': { ...one, Pid: 2 } }), 'b').Pid, 2)
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{}',
      '{"a":1}',
      JSON.stringify({ ...one, Pid: '1' }),
      JSON.stringify({ ...one, Addr: null }),
    ])
      assert.throws(() => reattachConfig(text), { code: 'ERR_REATTACH' }, text)
    for (const name of [undefined, 'c', 'a'])
      assert.throws(() => reattachConfig(JSON.stringify({ 'x/a': one, 'y/a': one }), name), { code: 'ERR_REATTACH' })
  })
})
