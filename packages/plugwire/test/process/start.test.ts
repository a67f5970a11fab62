import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPluginError } from '../../src/errors.ts'
import { MAX_HANDSHAKE_LINE_BYTES, MAX_PREAMBLE_BYTES } from '../../src/limits.ts'
import type { StartedPlugin } from '../../src/process/start.ts'
import { LinkText, World } from '../fixtures/started.ts'

async function echoes(plugin: StartedPlugin, expected = 'ping'): Promise<LinkText> {
  assert.ok(plugin.link)
  plugin.hold()
  const reader = new LinkText(plugin.link)
  plugin.link.write([Buffer.from('pi'), Buffer.from('ng')])
  await reader.until(({ text }) => text.length >= expected.length)
  assert.equal(reader.text, expected)
  return reader
}

describe('a plugin that keeps the rules', () => {
  test('introduces itself on descriptor 3 and has a link there', async () => {
    await using world = new World()
    const plugin = await world.odd('echo', '1|2|fd|3|plugwire||false|1,2', { versions: [3, 2] })
    assert.equal(plugin.version, 2)
    assert.deepEqual(plugin.handshake.versions, [1, 2])
    assert.equal(plugin.wire, 'fd')
    assert.equal(plugin.status, undefined)
    const reader = await echoes(plugin)
    assert.equal(await plugin.close({ tell: () => plugin.link?.close() }), 'told')
    await reader.until(({ closings }) => closings.length > 0)
    assert.deepEqual(reader.closings, [undefined])
    assert.deepEqual(plugin.status, { exitCode: 0, signal: null })
  })

  test('session bytes that come with the line are the first of the link', async () => {
    await using world = new World()
    await echoes(await world.odd('echo with session bytes in the same write'), 'alreadyping')
  })

  test('a line that comes byte by byte is one line', async () => {
    await using world = new World()
    const plugin = await world.odd('line byte by byte')
    const reader = new LinkText(plugin.link!)
    plugin.hold()
    await reader.until(({ text }) => text === 'ab')
  })

  test('on the wire unix it listens in a private directory, which is gone once it is connected', async () => {
    await using world = new World()
    const plugin = await world.odd('unix echo', '', { wire: 'unix', tls: false })
    assert.equal(plugin.wire, 'unix')
    assert.deepEqual(readdirSync(world.directory), [])
    await echoes(plugin)
  })

  test('on the wire stdio the session is on stdin and stdout', async () => {
    await using world = new World()
    const plugin = await world.odd('stdio echo', '', { wire: 'stdio' })
    await echoes(plugin)
    assert.equal(await plugin.close({ tell: () => plugin.link?.close() }), 'told')
  })

  test('a plugin of another protocol says so on stdout and is connected to by its driver', async () => {
    await using world = new World()
    const plugin = await world.odd('junk before the line on stdout', '1|1|tcp|127.0.0.1:1|grpc|', { protocols: ['plugwire', 'grpc'] })
    assert.equal(plugin.handshake.protocol, 'grpc')
    assert.equal(plugin.link, undefined)
    await assert.rejects(plugin.connect(), /could not connect to odd at 127.0.0.1:1: ECONNREFUSED/)
    while (world.records.length < 3) await new Promise(resolve => setImmediate(resolve))
    // What came before and behind the line is ordinary output.
    assert.deepEqual(
      world.records.map(record => record.message),
      ['loading', 'ready soon', 'after'],
    )
  })
})

describe('a start that fails, each leaving nothing', () => {
  const lines: [name: string, line: string, reason: RegExp][] = [
    ['three fields', '1|1|unix', /3 of at least 4 fields/],
    ['a version that is no number', '1|one|unix|/tmp/x|plugwire|', /"one" is no number/],
    ['an unknown network', '1|1|pigeon|/tmp/x|plugwire|', /"pigeon" is none of/],
    ['an address without a port', '1|1|tcp|localhost|plugwire|', /"localhost" is no host:port/],
    ['descriptor 3 promised on stdout', '1|1|fd|3|plugwire|', /only descriptor 3 can carry a session/],
    ['stdio not asked for', '1|1|stdio|-|plugwire|', /did not give it a stdin/],
    ['a certificate that is no base64', `1|1|tcp|127.0.0.1:9|plugwire|${'?'.repeat(60)}|`, /not base64/],
  ]
  for (const [name, line, reason] of lines) {
    test(`a broken line: ${name}`, async () => {
      await using world = new World()
      const { facts } = await world.fails('ERR_HANDSHAKE_LINE', world.odd('line on stdout', line))
      assert.equal(facts.line, line)
      assert.match(facts.reason, reason)
    })
  }

  test('a broken line that comes byte by byte, behind other words', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_LINE', world.odd('stdout byte by byte', '1|1|'))
    assert.equal(facts.line, '1|1|')
    assert.match(facts.stdoutTail, /^some words\n/)
  })

  test('junk on descriptor 3', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_LINE', world.odd('junk on descriptor 3'))
    assert.equal(facts.line, 'hello there')
  })

  test('a line without an end, on descriptor 3 and on stdout', async () => {
    await using world = new World()
    for (const way of ['endless line on descriptor 3', 'endless handshake on stdout']) {
      const { facts } = await world.fails('ERR_HANDSHAKE_LINE', world.odd(way))
      assert.match(facts.reason, new RegExp(`longer than ${MAX_HANDSHAKE_LINE_BYTES} bytes`))
      assert.ok(facts.line.length <= 200)
    }
  })

  test('a flood of stdout that is no handshake', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_LINE', world.odd('flood of stdout'))
    assert.match(facts.reason, new RegExp(`more than ${MAX_PREAMBLE_BYTES} bytes`))
  })

  test('another core protocol', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_CORE_VERSION', world.odd('echo', '7|1|fd|3|plugwire||false|1'))
    assert.equal(facts.pluginCore, '7')
    assert.equal(facts.hostCore, '1')
  })

  test('no common version: both sides are named', async () => {
    await using world = new World()
    const older = await world.fails('ERR_VERSION_MISMATCH', world.odd('echo', '1|1|fd|3|plugwire||false|1,2', { versions: [3, 4] }))
    assert.deepEqual(older.facts.pluginVersions, [1, 2])
    assert.deepEqual(older.facts.hostVersions, [3, 4])
    assert.match(older.facts.remedy, /Update the plugin/)
    const newer = await world.fails('ERR_VERSION_MISMATCH', world.odd('echo', '1|5|fd|3|plugwire||false|5,6', { versions: [3, 4] }))
    assert.match(newer.facts.remedy, /Update the host/)
  })

  test('a protocol that the contract does not have', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_PROTOCOL_UNSUPPORTED', world.odd('line on stdout', '1|1|tcp|127.0.0.1:9'))
    assert.equal(facts.protocol, 'netrpc')
    assert.deepEqual(facts.supported, ['plugwire'])
  })

  test('an exit with code 0 and without a word', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_EXIT', world.odd('exit at once'))
    assert.deepEqual({ ...facts, remedy: '' }, { plugin: 'odd', remedy: '', exitCode: 0, signal: null, stdoutTail: '', stderrTail: '' })
    assert.match(facts.remedy, /serve\(\)/)
  })

  test('an exit with its last words', async () => {
    await using world = new World()
    const { facts, message } = await world.fails('ERR_HANDSHAKE_EXIT', world.odd('exit with words'))
    assert.equal(facts.exitCode, 3)
    assert.equal(facts.stdoutTail, 'to whom it may concern\n')
    assert.equal(facts.stderrTail, 'no license found\n')
    assert.match(message, /exit code 3.*\n.*\n {2}\| no license found/)
  })

  test('a signal', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_EXIT', world.odd('kill itself'))
    assert.equal(facts.signal, 'SIGKILL')
    assert.equal(facts.exitCode, null)
  })

  test('an exit while a grandchild holds stdout and stderr: noticed, and the grandchild ends too', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_EXIT', world.odd('exit while a grandchild holds the pipes'))
    assert.equal(facts.exitCode, 4)
    assert.match(facts.stderrTail, /grandchild \d+/)
  })

  test('silence', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_HANDSHAKE_TIMEOUT', world.odd('some words, then nothing', '', { startTimeoutMs: 1_500 }))
    assert.equal(facts.timeoutMs, 1_500)
    assert.equal(facts.exitCode, null)
    assert.equal(facts.signal, null)
    assert.equal(facts.stderrTail, 'still thinking\n')
  })

  test('an address where nobody listens', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_CONNECT', world.odd('unix without a listener', '', { wire: 'unix', tls: false }))
    assert.equal(facts.reason, 'ENOENT')
  })

  test('a socket outside of the directory that was made for it', async () => {
    await using world = new World()
    const { facts } = await world.fails(
      'ERR_CONNECT',
      world.odd('line on stdout', '1|1|unix|/run/other|plugwire|', { wire: 'unix', tls: false }),
    )
    assert.match(facts.reason, /does not lie in/)
  })

  test('an address beyond the loopback', async () => {
    await using world = new World()
    const { facts } = await world.fails('ERR_CONNECT', world.odd('line on stdout', '1|1|tcp|192.0.2.1:80|plugwire|', { tls: false }))
    assert.match(facts.reason, /not on this machine/)
  })

  test('a socket path that is too long', async () => {
    await using world = new World()
    const path = `/tmp/${'x'.repeat(150)}`
    const { facts } = await world.fails(
      'ERR_SOCKET_PATH_TOO_LONG',
      world.odd('line on stdout', `1|1|unix|${path}|plugwire|`, { tls: false }),
    )
    assert.equal(facts.bytes, 155)
  })

  test('no certificate where one was asked for, and one where none was', async () => {
    await using world = new World()
    const missing = await world.fails('ERR_TLS', world.odd('unix echo', '', { wire: 'unix' }))
    assert.match(missing.facts.reason, /sent no certificate/)
    const unasked = await world.fails(
      'ERR_TLS',
      world.odd('unix that takes connections and never speaks', 'A'.repeat(60), { wire: 'unix', tls: false }),
    )
    assert.match(unasked.facts.reason, /did not ask for/)
  })

  test('a certificate that is none', async () => {
    await using world = new World()
    await world.fails('ERR_TLS', world.odd('unix that takes connections and never speaks', 'A'.repeat(60), { wire: 'unix' }))
  })

  test('an exit while it is connected to', async () => {
    await using world = new World()
    const { createIdentity, certificateField } = await import('../../src/process/certificate.ts')
    const start = world.odd('exits while it is connected to', certificateField(createIdentity().der), { wire: 'unix' })
    const cause: unknown = await start.catch((reason: unknown) => reason)
    // Which is noticed first, the end of the connection or that of the process, is chance.
    assert.ok(isPluginError(cause, 'ERR_PLUGIN_EXITED') || isPluginError(cause, 'ERR_TLS'))
    assert.equal(cause.facts.stderrTail, '')
    world.assertNothingLeft()
  })

  test('files of the plugin in the directory of its socket', async () => {
    await using world = new World()
    await world.fails('ERR_HANDSHAKE_EXIT', world.odd('leaves a file in its directory', '', { wire: 'unix', tls: false }))
  })

  test('no descriptors to spare', { skip: process.platform === 'linux' ? false : 'descriptors are counted in /proc' }, () => {
    const host = fileURLToPath(new URL('../fixtures/few-descriptors.js', import.meta.url))
    const said = execFileSync('bash', ['-c', 'ulimit -n 40; exec "$0" "$1"', process.execPath, host], { encoding: 'utf8' })
    const endings = JSON.parse(said) as string[]
    assert.deepEqual([endings[0], endings[1], endings.at(-1)], ['started', 'EMFILE', 'started'])
    for (const ending of endings) assert.match(ending, /^(started|E[MN]FILE|EAGAIN)$/)
  })

  test('options that cannot be', async () => {
    await using world = new World()
    await world.fails('ERR_CONTRACT', world.odd('echo', '', { versions: [] }))
    await world.fails('ERR_CONTRACT', world.odd('echo', '', { detached: true }))
    await world.fails('ERR_CONTRACT', world.odd('echo', '', { wire: 'stdio', stdin: 'inherit' }))
    await world.fails('ERR_CONTRACT', world.odd('echo', '', { busyPoll: { microseconds: 0 } }))
    await world.fails('ERR_PORT_RANGE', world.odd('echo', '', { ports: { minPort: 9, maxPort: 8 } }))
  })
})

describe('an abort', () => {
  test('before the start', async () => {
    await using world = new World()
    const { cause } = await world.fails('ERR_LAUNCH_ABORTED', world.odd('echo', '', { signal: AbortSignal.abort('why not') }))
    assert.equal(cause, 'why not')
  })

  test('in the turn of the start', async () => {
    await using world = new World()
    const controller = new AbortController()
    const start = world.odd('echo', '', { signal: controller.signal })
    controller.abort()
    await world.fails('ERR_LAUNCH_ABORTED', start)
  })

  test('before the certificate is made', async () => {
    await using world = new World()
    const controller = new AbortController()
    const start = world.odd('unix echo', '', { wire: 'unix', signal: controller.signal })
    controller.abort()
    await world.fails('ERR_LAUNCH_ABORTED', start)
  })

  test('while it waits for the line', async () => {
    await using world = new World()
    const controller = new AbortController()
    const logger = (): void => controller.abort()
    await world.fails('ERR_LAUNCH_ABORTED', world.odd('some words, then nothing', '', { signal: controller.signal, logger }))
  })

  test('during TLS', async () => {
    await using world = new World()
    const { createIdentity, certificateField } = await import('../../src/process/certificate.ts')
    const controller = new AbortController()
    const certificate = certificateField(createIdentity().der)
    const start = world.odd('unix that takes connections and never speaks', certificate, { wire: 'unix', signal: controller.signal })
    // The listener's directory is there, and the line was written, long before this ends it.
    setTimeout(() => controller.abort(), 1_000)
    await world.fails('ERR_LAUNCH_ABORTED', start)
  })

  test('after the start has no effect', async () => {
    await using world = new World()
    const controller = new AbortController()
    const plugin = await world.odd('echo', '', { signal: controller.signal })
    controller.abort()
    await echoes(plugin)
  })
})
