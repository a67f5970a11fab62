// A plugin of another protocol in front of a host that only knows go-plugin: what the environment says, what comes on stdout and stderr.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createIdentity } from '../../src/process/certificate.ts'
import { Directory, dial, Launched, Text } from '../fixtures/launched.ts'

const skip = process.platform === 'win32' ? 'Windows has no socket files' : false
const foreign = (env: Record<string, string> = {}): Launched => new Launched({ fixture: 'foreign-plugin', env })

class Host {
  readonly socket: Socket
  readonly heard: Text

  constructor(plugin: Launched, address: string, network = 'unix') {
    this.socket = dial(network, address)
    this.heard = new Text(this.socket)
    void plugin.exited.then(() => this.socket.destroy())
  }

  say(line: string): this {
    this.socket.write(`${line}\n`)
    return this
  }
}

async function hostOf(plugin: Launched): Promise<Host> {
  const [, , network, address = ''] = await plugin.line()
  return new Host(plugin, address, network)
}

const records = (stderr: string): { '@message': unknown; '@level': string; '@timestamp': string }[] =>
  stderr
    .split('\n')
    .filter(line => line.startsWith('{"@'))
    .map(line => JSON.parse(line))

describe('the environment of a launch by go-plugin', { skip }, () => {
  test('without the cookie: a text on stderr, nothing on stdout, exit code 1', async () => {
    await using plugin = new Launched({ fixture: 'foreign-plugin', cookie: 'other' })
    assert.deepEqual(await plugin.exited, { code: 1, signal: null })
    assert.equal(plugin.stdout.soFar, '')
    assert.match(plugin.stderr.soFar, /^This program is a plugin \(lines\)/)
  })

  const negotiated: [list: string | undefined, version: string, protocol: string, noted: RegExp][] = [
    ['1,2,9', '2', 'grpc', /^$/],
    ['9,1', '1', 'netrpc', /^$/],
    ['7', '1', 'netrpc', /^$/],
    ['', '1', 'netrpc', /^$/],
    ['one,,-2, 2,1e3', '2', 'grpc', /PLUGIN_PROTOCOL_VERSIONS: "one,-2,1e3" is no version, skipped/],
  ]
  for (const [list, version, protocol, noted] of negotiated) {
    test(`versions ${JSON.stringify(list)}: version ${version}, ${protocol}, in six fields`, async () => {
      await using plugin = foreign({ PLUGIN_PROTOCOL_VERSIONS: list ?? '' })
      const [core, ...fields] = await plugin.line()
      assert.deepEqual([core, fields[0], fields[1], fields[3], fields[4], fields.length], ['1', version, 'unix', protocol, '', 5])
      assert.match(plugin.stderr.soFar.trim(), noted)
    })
  }

  for (const [text, field] of [
    ['true', 'true'],
    ['T', 'true'],
    ['1', 'true'],
    ['false', 'false'],
    ['maybe', 'false'],
  ] as const) {
    test(`PLUGIN_MULTIPLEX_GRPC=${text}: a seventh field, and ${field}`, async () => {
      await using plugin = foreign({ PLUGIN_MULTIPLEX_GRPC: text })
      const fields = await plugin.line()
      assert.deepEqual([fields.length, fields[6]], [7, field])
    })
  }

  test('PLUGIN_CLIENT_CERT: a certificate in base64 without padding', async () => {
    await using plugin = foreign({ PLUGIN_CLIENT_CERT: createIdentity().certificate })
    const fields = await plugin.line()
    assert.match(fields[5] as string, /^[A-Za-z0-9+/]{51,}$/)
  })

  test('what concerned the launch is gone from the environment', async () => {
    await using plugin = foreign({ PLUGIN_CLIENT_CERT: '', PLUGIN_MULTIPLEX_GRPC: 'true', PLUGIN_MIN_PORT: '1', PLUGIN_MAX_PORT: '2' })
    const host = (await hostOf(plugin)).say('environment')
    const names = JSON.parse((await host.heard.until(/.*(?=\n)/))[0]) as string[]
    assert.deepEqual(
      names.filter(name => name.startsWith('PLUG') || name === 'ECHO_COOKIE'),
      [],
    )
  })

  test('a directory and a group, by number and by name', async () => {
    const gid = process.getgid?.() ?? 0
    const entries = readFileSync('/etc/group', 'utf8').split('\n')
    const name = entries.find(entry => entry.split(':')[2] === String(gid))?.split(':')[0]
    for (const group of [String(gid), name]) {
      if (group === undefined) continue
      using directory = new Directory()
      await using plugin = foreign({ PLUGIN_UNIX_SOCKET_DIR: directory.path, PLUGIN_UNIX_SOCKET_GROUP: group })
      const [, , , address = ''] = await plugin.line()
      assert.equal(dirname(address), directory.path)
      const status = statSync(address)
      assert.deepEqual([status.mode & 0o777, status.gid], [0o660, gid])
      plugin.child.kill('SIGTERM')
      await plugin.exited
      assert.deepEqual(readdirSync(directory.path), [])
    }
  })

  test('that cannot be served: a text on stderr, no line, exit code 1', async () => {
    using directory = new Directory()
    const long = join(directory.path, 'x'.repeat(120))
    mkdirSync(long)
    for (const [env, text] of [
      [{ PLUGIN_UNIX_SOCKET_GROUP: 'no-such-group' }, /no-such-group/],
      [{ PLUGIN_UNIX_SOCKET_DIR: join(directory.path, 'missing') }, /ENOENT|EACCES/],
      [{ PLUGIN_UNIX_SOCKET_DIR: long }, /socket path .* shorter directory/],
      [{ TMPDIR: long }, /socket path .* Set TMPDIR to a shorter directory/],
    ] as const) {
      await using plugin = foreign(env)
      assert.deepEqual(await plugin.exited, { code: 1, signal: null })
      assert.equal(plugin.stdout.soFar, '')
      assert.match(plugin.stderr.soFar, /cannot be reached by its host/)
      assert.match(plugin.stderr.soFar, text)
      assert.deepEqual(readdirSync(long), [])
    }
  })
})

describe('the outputs of a plugin of another protocol', { skip }, () => {
  test('what no host has fetched of stderr is told at the end, all of it', async () => {
    await using plugin = foreign()
    ;(await hostOf(plugin)).say('print and exit')
    assert.deepEqual(await plugin.exited, { code: 5, signal: null })
    assert.equal(plugin.stderr.soFar.length, 200_001)
  })

  test('also through a pipe that is full', () => {
    const plugin = fileURLToPath(new URL('../fixtures/foreign-plugin.js', import.meta.url))
    const env = { ...process.env, ECHO_COOKIE: 'yes', PLUGIN_PROTOCOL_VERSIONS: '1', FOREIGN_DOES: 'prints much and exits' }
    const said = execFileSync('sh', ['-c', '"$0" "$1" 2>&1 >/dev/null | (sleep 0.3; wc -c)', process.execPath, plugin], { env })
    assert.equal(Number(said), 200_001)
  })

  test('also when the plugin ends in the turn in which it serves', async () => {
    await using plugin = foreign({ FOREIGN_DOES: 'exits at once' })
    assert.deepEqual(await plugin.exited, { code: 4, signal: null })
    assert.equal(plugin.stderr.soFar, 'no license\n')
    await using thrower = foreign({ FOREIGN_DOES: 'throws at once' })
    assert.deepEqual(await thrower.exited, { code: 1, signal: null })
    assert.match(thrower.stderr.soFar, /about to throw/)
    assert.match(thrower.stderr.soFar, /^panic: Error: thrown at once$/m)
  })

  test('what a factory throws before there is a host is told with its stack', async () => {
    await using plugin = foreign({ FOREIGN_DOES: 'cannot be made' })
    assert.equal((await plugin.exited).code, 1)
    assert.equal(plugin.stdout.soFar, '')
    const [record] = records(plugin.stderr.soFar) as { '@level': string; error?: string }[]
    assert.equal(record?.['@level'], 'error')
    assert.match(String(record?.error), /^TypeError: no such thing\n +at make /)
  })

  for (const [way, header] of [
    ['throw', /^panic: Error: thrown on purpose$/m],
    ['reject', /^panic: TypeError: rejected on purpose$/m],
    ['throw strange', /^panic: /m],
  ] as const) {
    test(`an exception that nobody catches (${way}) has the header by which hosts know it, in front of its stack`, async () => {
      await using plugin = foreign()
      const host = (await hostOf(plugin)).say('sink')
      host.say(way)
      const { code } = await plugin.exited
      assert.ok(code !== 0)
      const header_ = header.exec(plugin.stderr.soFar)
      assert.ok(header_, plugin.stderr.soFar)
      if (way !== 'throw strange') assert.ok(plugin.stderr.soFar.lastIndexOf('on purpose') > header_.index + 40, plugin.stderr.soFar)
    })
  }

  test('an exception that the plugin recovers from is no panic, and stderr goes on', async () => {
    await using plugin = foreign()
    const host = (await hostOf(plugin)).say('sink').say('recover')
    await host.heard.until(/2:"recovered\\n"/)
    assert.equal(plugin.stderr.soFar, '')
  })

  test('log records have a message that is text, whatever was passed, and a time with six digits', async () => {
    await using plugin = foreign()
    const host = (await hostOf(plugin)).say('log strange').say('done')
    await host.heard.until(/done/)
    host.say('end')
    await plugin.exited
    const all = records(plugin.stderr.soFar)
    assert.ok(all.length >= 6)
    for (const record of all) {
      assert.equal(typeof record['@message'], 'string')
      assert.match(record['@timestamp'], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    }
    assert.equal(all[0]?.['@message'], '5')
    assert.match(String(all[2]?.['@message']), /^Error: an error/)
  })

  test('instances are disposed before onClose runs', async () => {
    await using plugin = foreign()
    ;(await hostOf(plugin)).say('end')
    assert.equal((await plugin.exited).code, 0)
    assert.deepEqual(
      records(plugin.stderr.soFar).map(record => record['@message']),
      ['disposed', 'closing'],
    )
  })

  test('a host that is killed leaves no exception behind, and no socket', async () => {
    using directory = new Directory()
    await using plugin = foreign({ PLUGIN_UNIX_SOCKET_DIR: directory.path })
    const host = await hostOf(plugin)
    plugin.child.stderr?.destroy()
    plugin.child.stdout?.destroy()
    // It writes to a pipe that nobody reads any more, and still answers.
    host.say('log strange').say('done')
    await host.heard.until(/done/)
    host.say('end')
    assert.equal((await plugin.exited).code, 0)
    assert.deepEqual(readdirSync(directory.path), [])
  })
})

describe('a plugin that a person started for a debugger', { skip }, () => {
  const debugged = (options: object = {}, env: Record<string, string> = {}): Launched =>
    new Launched({ fixture: 'foreign-plugin', cookie: '', env: { FOREIGN_DEBUG: JSON.stringify(options), ...env } })

  test('needs no cookie, says where it is, serves hosts one after the other, and ends with SIGINT without a trace', async () => {
    using directory = new Directory()
    await using plugin = debugged({}, { TMPDIR: directory.path })
    const [line] = await plugin.stdout.until(/.*(?=\n)/)
    const config = JSON.parse(line)
    assert.deepEqual(config, {
      Protocol: 'grpc',
      ProtocolVersion: 2,
      Pid: plugin.child.pid,
      Test: true,
      Addr: { Network: 'unix', String: config.Addr.String },
    })
    for (let visit = 0; visit < 3; visit++) {
      const host = new Host(plugin, config.Addr.String).say('hello')
      await host.heard.until(/hello/)
      host.socket.end()
      await once(host.socket, 'close')
    }
    plugin.child.kill('SIGINT')
    assert.deepEqual(await plugin.exited, { code: 0, signal: null })
    assert.ok(!existsSync(config.Addr.String))
    assert.deepEqual(readdirSync(directory.path), [])
    assert.deepEqual(
      records(plugin.stderr.soFar).map(record => record['@message']),
      ['disposed', 'closing'],
    )
  })

  test('may be asked for a version; one that is not there is refused', async () => {
    await using plugin = debugged({ version: 1 })
    assert.match((await plugin.stdout.until(/.*(?=\n)/))[0], /"netrpc","ProtocolVersion":1,/)
    await using none = debugged({ version: 3 })
    assert.equal((await none.exited).code, 9)
    assert.match(none.stderr.soFar, /serve: ERR_CONTRACT .*version 3/)
  })
})

test('a process that listens is ended by Ctrl-C as ever, and its socket goes', { skip }, () => {
  using directory = new Directory()
  const listen = new URL('../../src/process/listen.js', import.meta.url).href
  const script = `
    const { listen } = await import(${JSON.stringify(listen)})
    await listen({ network: 'unix', directory: '' }, () => {})
    process.kill(process.pid, 'SIGINT')
    setInterval(() => {}, 1000)`
  const env = { ...process.env, TMPDIR: directory.path, NODE_EXTRA_CA_CERTS: '' }
  assert.throws(
    () => execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, stdio: 'pipe' }),
    (cause: unknown) => (cause as { signal: string }).signal === 'SIGINT',
  )
  assert.deepEqual(readdirSync(directory.path), [])
})

test('a process that listens and wants to end by itself may, when it is told to', { skip }, () => {
  const listen = new URL('../../src/process/listen.js', import.meta.url).href
  const script = `
    const { listen } = await import(${JSON.stringify(listen)})
    process.once('SIGTERM', () => setTimeout(() => process.exit(3), 20))
    await listen({ network: 'unix', directory: '' }, () => {})
    process.kill(process.pid, 'SIGTERM')
    setInterval(() => {}, 1000)`
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', script])
  assert.deepEqual([ended.status, ended.signal], [3, null])
})
