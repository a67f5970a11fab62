import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { createIdentity } from '../../src/process/certificate.ts'
import { Directory, dial, Launched, secure, Text } from '../fixtures/launched.ts'

const host = createIdentity()
const withTls = { PLUGIN_CLIENT_CERT: host.certificate }

describe('a plugin that cannot be served', () => {
  test('run by hand it says what it is, on stderr, and exits with 1', async () => {
    await using plugin = new Launched({ cookie: 'wrong' })
    assert.deepEqual(await plugin.exited, { code: 1, signal: null })
    assert.equal(plugin.stdout.soFar, '')
    assert.match(plugin.stderr.soFar, /^This program is a plugin \(echo\)\. .*a host program starts it/)
    assert.match(plugin.stderr.soFar, /plugwire inspect \S+echo-accept\.js/)
  })

  const refusals: [string, { host?: string; env?: Record<string, string> }, RegExp][] = [
    ['another core version', { host: '2,3|fd|3|plugwire|' }, /speaks core protocol 1, its host speaks 2, 3/],
    ['another protocol', { host: '1|fd|3|grpc|' }, /speaks the protocol plugwire, its host asks for grpc/],
    ['a variable that cannot be read', { host: 'nonsense' }, /PLUGWIRE_HOST="nonsense" cannot be read: it has 1 of at least 5 fields/],
    ['a session descriptor that is not open', { host: '1|fd|77|plugwire|' }, /Descriptor 77, which the host promised .* leads to no host/],
    ['a guard that is not open', { host: '1|stdio|-|plugwire|77' }, /Descriptor 77/],
    ['tcp without TLS', { host: '1|tcp|0-0|plugwire|3' }, /the wire tcp needs TLS/],
    [
      'a directory that is not there',
      { host: '1|unix|/nowhere/at/all/|plugwire|3' },
      /cannot be reached by its host: .*\/nowhere\/at\/all\/s/,
    ],
    [
      'a path that is too long',
      { host: `1|unix|/tmp/${'x'.repeat(120)}|plugwire|3` },
      /has 127 bytes, this system allows 10[37]\. Give the host a shorter directory/,
    ],
    [
      'a certificate that is none, on fd',
      { host: '1|fd|3|plugwire|', env: { PLUGIN_CLIENT_CERT: 'x' } },
      /certificate that the peer announced cannot be read/,
    ],
  ]
  for (const [name, start, text] of refusals) {
    test(`${name}: told on stderr, exit code 1`, async () => {
      await using plugin = new Launched(start)
      assert.deepEqual(await plugin.exited, { code: 1, signal: null })
      assert.match(plugin.stderr.soFar, text)
      assert.equal(plugin.stdout.soFar, '')
    })
  }
})

describe('the wire fd', () => {
  test('the line is these bytes, the session begins right behind, stdout stays free', async () => {
    await using plugin = new Launched({ host: '1|fd|3|plugwire|', env: { PLUGIN_MIN_PORT: '1' } })
    plugin.three.write('hello')
    await plugin.fromThree.until(/hello/)
    assert.equal(plugin.fromThree.soFar, '1|2|fd|3|plugwire||false|1,2\nv2 hello')
    plugin.three.write('log')
    await plugin.stdout.until(/a line of my own\nand an end/)
    plugin.three.end()
    assert.equal((await plugin.exited).code, 7)
    assert.equal(plugin.stderr.soFar, 'lost\n')
  })

  test('the variables of the launch are gone from the environment of the plugin', async () => {
    await using plugin = new Launched({
      host: '1|fd|3|plugwire|',
      fixture: 'print-environment',
      env: {
        PLUGIN_MIN_PORT: '1',
        PLUGIN_MAX_PORT: '2',
        PLUGIN_UNIX_SOCKET_GROUP: 'g',
        PLUGIN_UNIX_SOCKET_DIR: 'd',
        PLUGIN_MULTIPLEX_GRPC: 'true',
        KEPT: 'yes',
      },
    })
    const names = (await plugin.stdout.until(/^names (.*)$/m))[1]?.split(' ') ?? []
    assert.deepEqual(
      names.filter(name => /^PLUG|COOKIE/.test(name)),
      [],
    )
    assert.ok(names.includes('KEPT'))
  })

  test('without a common version it announces its lowest, and all it serves', async () => {
    await using plugin = new Launched({ host: '1|fd|3|plugwire|', env: { PLUGIN_PROTOCOL_VERSIONS: '7,x,8' } })
    await plugin.fromThree.until(/^1\|1\|fd\|3\|plugwire\|\|false\|1,2\n/)
    await plugin.stderr.until(/PLUGIN_PROTOCOL_VERSIONS: "x" is no version, skipped/)
  })

  test('with TLS', async () => {
    await using plugin = new Launched({ host: '1|fd|3|plugwire|', env: withTls })
    const [line, field = ''] = await plugin.fromThree.until(/^1\|2\|fd\|3\|plugwire\|([A-Za-z0-9+/]+)\|false\|1,2\n/)
    assert.equal(plugin.fromThree.soFar, line)
    plugin.three.removeAllListeners('data')
    const session = secure(plugin.three, host, field)
    session.write('hello')
    await new Text(session).until(/^v2s hello$/)
    session.end()
    assert.equal((await plugin.exited).code, 7)
  })

  test('with TLS, a host without the announced certificate gets nothing', async () => {
    await using plugin = new Launched({ host: '1|fd|3|plugwire|', env: withTls })
    const [, field = ''] = await plugin.fromThree.until(/plugwire\|([^|]+)\|/)
    plugin.three.removeAllListeners('data')
    secure(plugin.three, createIdentity(), field)
    assert.equal((await plugin.exited).code, 1)
    assert.match(plugin.stderr.soFar, /another certificate/)
  })

  test('Ctrl-C is left to the host, SIGTERM is not', async () => {
    await using plugin = new Launched({ host: '1|fd|3|plugwire|' })
    await plugin.fromThree.until(/\n/)
    plugin.child.kill('SIGINT')
    plugin.three.write('hello')
    await plugin.fromThree.until(/v2 hello/)
    plugin.child.kill('SIGTERM')
    assert.deepEqual(await plugin.exited, { code: null, signal: 'SIGTERM' })
  })
})

describe('the wire stdio', () => {
  for (const env of [{}, withTls]) {
    test(`own output ${'PLUGIN_CLIENT_CERT' in env ? 'with TLS ' : ''}does not reach the session`, async () => {
      await using plugin = new Launched({ host: '1|stdio|-|plugwire|', env })
      const { stdin, stdout } = plugin.child
      assert.ok(stdin && stdout)
      const [, , network, address, protocol, field = '', mux, versions] = await plugin.line()
      assert.deepEqual([network, address, protocol, mux, versions], ['stdio', '-', 'plugwire', 'false', '1,2'])
      const end = field === '' ? undefined : secure(pairOf(stdin, stdout), host, field)
      const text = end ? new Text(end) : plugin.stdout
      const greeting = field === '' ? /\nv2 hello$/ : /^v2s hello$/
      ;(end ?? stdin).write('hello')
      await text.until(greeting)
      ;(end ?? stdin).write('log')
      await plugin.stderr.until(/sink: a line of my own/)
      await plugin.stderr.until(/sink: and an end/)
      await text.until(/hellov2s? log$/)
      ;(end ?? stdin).end()
      assert.equal((await plugin.exited).code, 7)
      assert.doesNotMatch(plugin.stdout.soFar, /of my own|and an end/)
    })
  }
})

describe('own output on the wire stdio', () => {
  test('is kept until somebody takes it, up to a limit; stdin reads as ended; stdout can be given back', async () => {
    await using plugin = new Launched({ host: '1|stdio|-|plugwire|', fixture: 'talk-before-sink' })
    assert.equal((await plugin.exited).code, 0)
    assert.equal(plugin.stderr.soFar, `kept ${256 * 1024} then "then\\ncalled back", dropped ${44 * 1024}\nstdin 0\n`)
    assert.equal(plugin.stdout.soFar, '1|1|stdio|-|plugwire||false|1\nrestored\n')
  })
})

describe('the wire unix', () => {
  for (const env of [{}, withTls]) {
    const tls = 'PLUGIN_CLIENT_CERT' in env
    test(`${tls ? 'with TLS: ' : ''}one host may come, after that nobody; a look without a word is no host`, async () => {
      using directory = new Directory()
      await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire|3`, env })
      const [, version, network = '', address = '', protocol, field = ''] = await plugin.line()
      assert.deepEqual([version, network, address, protocol, field !== ''], ['2', 'unix', `${directory.path}/s`, 'plugwire', tls])
      for (let looks = 0; looks < 3; looks++) {
        const look = dial(network, address)
        await once(look, 'connect')
        look.end().resume()
        await once(look, 'close')
      }
      const socket = dial(network, address)
      const session = tls ? secure(socket, host, field) : socket
      session.write('hello')
      await new Text(session).until(tls ? /^v2s hello$/ : /^v2 hello$/)
      assert.ok(!existsSync(address))
      await assert.rejects(once(dial(network, address), 'connect'), { code: 'ENOENT' })
      // Stdout is free after the line.
      session.write('log')
      await plugin.stdout.until(/a line of my own/)
      session.end()
      assert.equal((await plugin.exited).code, 7)
      assert.equal(plugin.stderr.soFar, 'lost\n')
      assert.deepEqual(readdirSync(directory.path), [])
    })
  }

  test('strangers do not use up the place of the host', async () => {
    using directory = new Directory()
    await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire|3`, env: withTls })
    const [, , network = '', address = '', , field = ''] = await plugin.line()
    const other = secure(dial(network, address), createIdentity(), field)
    await plugin.stderr.until(/refused a connection: .*the host of echo.* another certificate/)
    const none = secure(dial(network, address), undefined, field)
    await plugin.stderr.until(/refused a connection: .* no certificate/)
    const garbage = dial(network, address)
    garbage.write('GET / HTTP/1.1\r\n\r\n')
    await plugin.stderr.until(/refused a connection: .* does not speak TLS/)
    const session = secure(dial(network, address), host, field)
    session.write('hello')
    await new Text(session).until(/^v2s hello$/)
    for (const socket of [other, none, garbage, session]) socket.destroy()
    assert.equal((await plugin.exited).code, 7)
  })

  test('only so many may knock at one time', async () => {
    using directory = new Directory()
    await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire|3`, env: withTls })
    const [, , network = '', address = '', , field = ''] = await plugin.line()
    const silent = Array.from({ length: 16 }, () => dial(network, address))
    await Promise.all(silent.map(socket => once(socket, 'connect')))
    const turnedAway = dial(network, address).resume()
    await once(turnedAway, 'close')
    for (const socket of silent) socket.destroy()
    // The places become free again; until then a host is turned away as well.
    for (;;) {
      const session = secure(dial(network, address), host, field)
      session.write('hello')
      const heard = await new Text(session).until(/hello/).catch(() => undefined)
      session.destroy()
      if (heard) break
    }
    assert.equal((await plugin.exited).code, 7)
  })

  test('with a listener but no host yet, the end of the guard ends it and the file goes', async () => {
    using directory = new Directory()
    await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire|3` })
    await plugin.line()
    plugin.three.end()
    assert.equal((await plugin.exited).code, 7)
    assert.deepEqual(readdirSync(directory.path), [])
  })

  for (const ending of ['SIGTERM', 'SIGHUP'] as const) {
    test(`${ending} ends it as ever, and the file goes`, async () => {
      using directory = new Directory()
      await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire|3` })
      await plugin.line()
      plugin.child.kill(ending)
      assert.deepEqual(await plugin.exited, { code: null, signal: ending })
      assert.deepEqual(readdirSync(directory.path), [])
    })
  }

  test('an exception that nobody catches ends it, and the file goes', async () => {
    using directory = new Directory()
    await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire|3`, env: { THROW_ON: 'SIGUSR2' } })
    await plugin.line()
    plugin.child.kill('SIGUSR2')
    assert.equal((await plugin.exited).code, 1)
    assert.match(plugin.stderr.soFar, /thrown on purpose/)
    assert.deepEqual(readdirSync(directory.path), [])
  })
})

describe('a detached plugin', () => {
  for (const env of [{}, withTls]) {
    test(`serves one host after the other${'PLUGIN_CLIENT_CERT' in env ? ' with TLS' : ''}, and two at once`, async () => {
      using directory = new Directory()
      await using plugin = new Launched({ host: `1|unix|${directory.path}/|plugwire||detached`, env })
      const [, , network = '', address = '', , field = ''] = await plugin.line()
      const connect = async () => {
        const session = field === '' ? dial(network, address) : secure(dial(network, address), host, field)
        session.write('hello')
        await new Text(session).until(/^v2s? hello$/)
        return session
      }
      const first = await connect()
      first.end()
      await once(first, 'close')
      const [second, third] = [await connect(), await connect()]
      second.destroy()
      third.destroy()
      await connect()
      assert.equal(plugin.stderr.soFar, '')
      plugin.child.kill('SIGTERM')
      assert.deepEqual(await plugin.exited, { code: null, signal: 'SIGTERM' })
      assert.deepEqual(readdirSync(directory.path), [])
    })
  }
})

describe('the wire tcp', () => {
  test('listens on the loopback, within the range, behind TLS', async () => {
    await using plugin = new Launched({ host: '1|tcp|23000-23100|plugwire|3', env: withTls })
    const [, , network = '', address = '', , field = ''] = await plugin.line()
    const [at, port] = address.split(':')
    assert.deepEqual([network, at], ['tcp', '127.0.0.1'])
    assert.ok(Number(port) >= 23_000 && Number(port) <= 23_100)
    const session = secure(dial(network, address), host, field)
    session.write('hello')
    await new Text(session).until(/^v2s hello$/)
    await assert.rejects(once(dial(network, address), 'connect'), { code: 'ECONNREFUSED' })
    session.end()
    assert.equal((await plugin.exited).code, 7)
  })
})

describe('a host that only knows go-plugin', { skip: process.platform === 'win32' }, () => {
  test('gets a socket in a directory of its own, and the directory goes with the plugin', async () => {
    await using plugin = new Launched({})
    const [core, version, network = '', address = '', protocol, field, mux] = await plugin.line()
    assert.deepEqual([core, version, network, protocol, field, mux], ['1', '2', 'unix', 'plugwire', '', 'false'])
    assert.equal(statSync(dirname(address)).mode & 0o777, 0o700)
    // It may come again: nothing tells the plugin that the first connection was all.
    for (let visits = 0; visits < 2; visits++) {
      const session = dial(network, address)
      session.write('hello')
      await new Text(session).until(/^v2 hello$/)
      session.end()
      await once(session, 'close')
    }
    plugin.child.kill('SIGTERM')
    assert.equal((await plugin.exited).signal, 'SIGTERM')
    assert.ok(!existsSync(dirname(address)))
  })

  test('may name the directory and the group', async () => {
    using directory = new Directory()
    const gid = process.getgid?.() ?? 0
    await using plugin = new Launched({
      env: { ...withTls, PLUGIN_UNIX_SOCKET_DIR: directory.path, PLUGIN_UNIX_SOCKET_GROUP: String(gid) },
    })
    const [, , network = '', address = '', , field = ''] = await plugin.line()
    assert.equal(dirname(address), directory.path)
    const status = statSync(address)
    assert.deepEqual([status.mode & 0o777, status.gid], [0o660, gid])
    const session = secure(dial(network, address), host, field)
    session.write('hello')
    await new Text(session).until(/^v2s hello$/)
    plugin.child.kill('SIGTERM')
    await plugin.exited
    assert.deepEqual(readdirSync(directory.path), [])
  })
})

/** stdin and stdout of a child as the one stream that TLS wants. */
function pairOf(to: Writable, from: Readable): Duplex {
  from.removeAllListeners('data')
  return Duplex.from({ writable: to, readable: from })
}
