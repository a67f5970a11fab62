import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Link } from '../../src/mux/link.ts'
import { attachPlugin } from '../../src/process/attach.ts'
import { isAlive } from '../../src/process/process-tree.ts'
import type { StartedPlugin } from '../../src/process/start.ts'
import { LinkText, World } from '../fixtures/started.ts'

const isLinux = process.platform === 'linux' ? {} : { skip: 'processes are found through /proc' }

/** The pid that a plugin told on stderr. */
async function grandchildOf(world: World): Promise<number> {
  for (;;) {
    const told = world.records.map(record => /^grandchild (\d+)$/.exec(record.message)).find(match => match !== null)
    if (told) return Number(told[1])
    await new Promise(resolve => setImmediate(resolve))
  }
}

const speak = (plugin: StartedPlugin, words: string): void => void plugin.link?.write([Buffer.from(words)])

describe('closing', () => {
  test('a plugin that is told and goes', async () => {
    await using world = new World()
    const plugin = await world.odd('echo')
    new LinkText(plugin.link!)
    assert.equal(await plugin.close({ tell: () => plugin.link?.close() }), 'told')
    assert.deepEqual(plugin.status, { exitCode: 0, signal: null })
  })

  test('twice, and after the end, joins the first', async () => {
    await using world = new World()
    const plugin = await world.odd('echo')
    new LinkText(plugin.link!)
    const first = plugin.close({ tell: () => plugin.link?.close() })
    assert.equal(plugin.close(), first)
    assert.equal(await first, 'told')
    assert.equal(await plugin.close(), 'told')
    assert.equal(await plugin.kill(), 'told')
  })

  test('a telling that throws, rejects or hangs is followed by SIGTERM', async () => {
    await using world = new World()
    const tellings = [
      () => {
        throw new Error('no')
      },
      () => Promise.reject(new Error('no')),
      () => new Promise(() => {}),
    ]
    for (const tell of tellings) {
      const plugin = await world.odd('stops on SIGTERM')
      assert.equal(await plugin.close({ tell, graceMs: 20, terminateMs: 20_000 }), 'terminated')
      assert.deepEqual(plugin.status, { exitCode: 7, signal: null })
    }
  })

  test('a plugin that is deaf is killed', async () => {
    await using world = new World()
    const plugin = await world.odd('deaf to everything')
    assert.equal(await plugin.close({ tell: () => {}, graceMs: 20, terminateMs: 300 }), 'killed')
    assert.deepEqual(plugin.status, { exitCode: null, signal: 'SIGKILL' })
  })

  test('a kill while it is being closed ends it at once', async () => {
    await using world = new World()
    const plugin = await world.odd('deaf to everything')
    const closing = plugin.close({ tell: () => {}, graceMs: 1_000_000 })
    await plugin.kill()
    assert.equal(await closing, 'killed')
    assert.equal(plugin.status?.signal, 'SIGKILL')
  })

  test('a plugin that is stopped is killed', isLinux, async () => {
    await using world = new World()
    const plugin = await world.odd('echo')
    process.kill(plugin.pid, 'SIGSTOP')
    assert.equal(await plugin.close({ tell: () => plugin.link?.close(), graceMs: 20, terminateMs: 20 }), 'killed')
  })

  for (const group of ['', 'detached']) {
    test(`grandchildren go too${group && ', also those of a group of their own'}`, isLinux, async () => {
      await using world = new World()
      const plugin = await world.odd('echo, with a grandchild', group)
      const grandchild = await grandchildOf(world)
      assert.ok(isAlive(grandchild))
      await plugin.kill()
      world.assertNothingLeft()
    })
  }

  test('grandchildren of a plugin in the group of its host go too', isLinux, async () => {
    await using world = new World()
    const plugin = await world.odd('echo, with a grandchild', '', { stdin: 'inherit' })
    await grandchildOf(world)
    new LinkText(plugin.link!)
    assert.equal(await plugin.close({ tell: () => plugin.link?.close() }), 'told')
    world.assertNothingLeft()
  })
})

describe('the end of a plugin', () => {
  test('that dies behind its line is told with its last words', async () => {
    await using world = new World()
    const plugin = await world.odd('dies after the line').catch((cause: unknown) => cause as Error)
    if (plugin instanceof Error) return assert.match(plugin.message, /goodbye/) // Quicker than its line was read.
    const words = await plugin.ended()
    assert.deepEqual(words, { exitCode: 5, signal: null, stdoutTail: '', stderrTail: 'goodbye\n' })
    assert.equal(await plugin.close(), 'gone')
  })

  test('that dies when spoken to closes the link, then tells why', async () => {
    await using world = new World()
    const plugin = await world.odd('dies when spoken to')
    const reader = new LinkText(plugin.link!)
    plugin.hold()
    speak(plugin, 'boo')
    await reader.until(({ closings }) => closings.length > 0)
    assert.equal((await plugin.ended()).stderrTail, 'that hurt\n')
    speak(plugin, 'are you there')
    plugin.link?.close()
    plugin.link?.destroy()
    assert.equal(reader.closings.length, 1)
  })

  test('that closes its descriptor and stays closes the link, and it can be ended', async () => {
    await using world = new World()
    const plugin = await world.odd('closes descriptor 3 after the line')
    const reader = new LinkText(plugin.link!)
    plugin.hold()
    await reader.until(({ closings }) => closings.length > 0)
    assert.equal(plugin.status, undefined)
    assert.equal(await plugin.close(), 'terminated')
  })

  test('whose grandchild holds its pipes is noticed', isLinux, async () => {
    await using world = new World()
    const plugin = await world.odd('echo, with a grandchild', 'detached')
    const grandchild = await grandchildOf(world)
    const ended = plugin.ended()
    process.kill(plugin.pid, 'SIGKILL')
    assert.equal((await ended).signal, 'SIGKILL')
    // It left the group, and nobody asked for its end before: a daemon on purpose.
    assert.ok(isAlive(grandchild))
    process.kill(grandchild, 'SIGKILL')
    while (isAlive(grandchild)) await new Promise(resolve => setImmediate(resolve))
  })
})

test('an idle host may exit, and its plugin goes with it', isLinux, async () => {
  await using world = new World()
  const host = spawn(process.execPath, [fileURLToPath(new URL('../fixtures/idle-host.js', import.meta.url))], {
    env: { ...process.env, MARK: world.mark },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [code] = (await once(host, 'exit')) as [number]
  assert.equal(code, 0)
  while (world.processes().length > 0) await new Promise(resolve => setTimeout(resolve, 5))
})

describe('a detached plugin', () => {
  test('is attached to, detached from, attached to again, and ended', isLinux, async () => {
    await using world = new World()
    const started = await world.odd('unix echo', 'detached', { wire: 'unix', tls: false, detached: true })
    const { record } = started
    assert.ok(record)
    assert.equal(record.pid, started.pid)
    started.link?.destroy()
    for (const last of [false, true]) {
      const plugin = await attachPlugin(JSON.parse(JSON.stringify(record)))
      plugin.hold()
      const reader = new LinkText(plugin.link as Link)
      plugin.link?.write([Buffer.from('hi')])
      await reader.until(({ text }) => text === 'hi')
      if (last) assert.equal(await plugin.close(), 'terminated')
      else plugin.detach()
    }
    assert.equal((await started.ended()).signal, 'SIGTERM')
    assert.deepEqual(readdirSync(world.directory), [])
    await assert.rejects(attachPlugin(record), { code: 'ERR_REATTACH' })
  })

  test('of the library is attached to under TLS by the certificates of the record, and by no others', isLinux, async () => {
    await using world = new World()
    const echo = fileURLToPath(new URL('../fixtures/echo-accept.js', import.meta.url))
    const started = await world.start({
      plugin: echo,
      cookie: { key: 'ECHO_COOKIE', value: 'yes' },
      versions: [1, 2],
      wire: 'unix',
      detached: true,
    })
    const { record } = started
    assert.ok(record?.tls)
    started.link?.destroy()
    const { createIdentity } = await import('../../src/process/certificate.ts')
    const stranger = createIdentity()
    await assert.rejects(attachPlugin({ ...record, tls: { ...record.tls, pluginCertificate: stranger.certificate } }), {
      code: 'ERR_REATTACH',
    })
    const plugin = await attachPlugin(record)
    plugin.hold()
    const reader = new LinkText(plugin.link as Link)
    plugin.link?.write([Buffer.from('hi')])
    await reader.until(({ text }) => text === 'v2s hi')
    const closing = plugin.close({ graceMs: 0 })
    assert.equal(await closing, 'terminated')
    await started.ended()
    assert.deepEqual(readdirSync(world.directory), [])
  })

  test('that is gone, or whose pid is another process now, is not attached to', async () => {
    await using _world = new World()
    const record = {
      name: 'ghost',
      pid: process.pid,
      startedAt: 'long ago',
      address: '/nowhere',
      protocol: 'plugwire',
      version: 1,
      versions: [1],
    }
    await assert.rejects(attachPlugin(record), { code: 'ERR_REATTACH', message: /is another one now/ })
    await assert.rejects(attachPlugin({ ...record, pid: 2 ** 30 }), { code: 'ERR_REATTACH', message: /has ended/ })
    await assert.rejects(attachPlugin({ ...record, pid: 0 }), { code: 'ERR_REATTACH' })
    await assert.rejects(attachPlugin({ ...record, startedAt: '' }), { code: 'ERR_REATTACH', message: /ENOENT/ })
    await assert.rejects(attachPlugin(record, { signal: AbortSignal.abort() }), { code: 'ERR_LAUNCH_ABORTED' })
  })
})

test("directories for sockets move to a shorter place when the system's is too long", async () => {
  const { makeSocketDirectory } = await import('../../src/process/socket-directory.ts')
  const previous = process.env['TMPDIR']
  process.env['TMPDIR'] = join(tmpdir(), 'x'.repeat(120))
  try {
    const directory = makeSocketDirectory()
    assert.ok(existsSync(directory.path) && directory.path.length < 80)
    directory.remove()
    directory.remove()
    assert.ok(!existsSync(directory.path))
  } finally {
    if (previous === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = previous
    rmSync(join(tmpdir(), 'x'.repeat(120)), { recursive: true, force: true })
  }
})
