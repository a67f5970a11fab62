import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import * as net from 'node:net'
import { basename, dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { isPluginError } from '../../src/errors.ts'
import { listen } from '../../src/process/listen.ts'
import { Directory } from '../fixtures/launched.ts'

const nobody = (socket: net.Socket): void => void socket.destroy()
const failsWith = (code: string, text: RegExp) => (error: Error) => {
  assert.equal((error as NodeJS.ErrnoException).code, code)
  assert.match(error.message, text)
  return true
}

/** Takes the first run of free ports that is long enough, so that the test says which are in use and which are not. */
async function freePorts(count: number): Promise<number> {
  for (let first = 24_000; ; first += count) {
    const servers = await Promise.all(Array.from({ length: count }, (_, index) => hold(first + index).catch(() => undefined)))
    for (const server of servers) server?.close()
    await Promise.all(servers.map(server => server && once(server, 'close')))
    if (servers.every(server => server !== undefined)) return first
  }
}

async function hold(port: number): Promise<net.Server> {
  const server = net.createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}

describe('a tcp listener', () => {
  test('takes the first free port of the range, on the loopback only', async () => {
    const first = await freePorts(3)
    const taken = await hold(first)
    const listener = await listen({ network: 'tcp', ports: `${first}-${first + 2}` }, nobody)
    assert.equal(listener.address, `127.0.0.1:${first + 1}`)
    const second = await listen({ network: 'tcp', ports: `${first}-${first + 2}` }, nobody)
    assert.equal(second.address, `127.0.0.1:${first + 2}`)
    await assert.rejects(listen({ network: 'tcp', ports: `${first}-${first + 2}` }, nobody), failsWith('ERR_PORT_RANGE', /each is in use/))
    listener.close()
    listener.close()
    second.close()
    taken.close()
    const again = await listen({ network: 'tcp', ports: `${first + 1}-${first + 1}` }, nobody)
    again.close()
  })

  test('lets the system choose with 0-0', async () => {
    const listener = await listen({ network: 'tcp', ports: '0-0' }, nobody)
    assert.match(listener.address, /^127\.0\.0\.1:[1-9]\d*$/)
    listener.close()
  })

  for (const ports of ['2-1', '1-65536', 'x-y', '', '5']) {
    test(`refuses the range ${JSON.stringify(ports)}`, async () => {
      await assert.rejects(listen({ network: 'tcp', ports }, nobody), failsWith('ERR_PORT_RANGE', /is no range/))
    })
  }
})

describe('a unix listener', { skip: process.platform === 'win32' }, () => {
  test('hands over paused connections and leaves nothing behind', async () => {
    using directory = new Directory()
    let accept = (_: net.Socket): void => {}
    const accepted = new Promise<net.Socket>(resolve => {
      accept = resolve
    })
    const listener = await listen({ network: 'unix', directory: directory.path, socketName: 's' }, accept)
    const client = net.connect(listener.address)
    client.write('early')
    const socket = await accepted
    await once(client, 'connect')
    assert.ok(socket.isPaused())
    listener.close()
    assert.deepEqual(readdirSync(directory.path), [])
    // What was connected stays connected.
    socket.resume()
    assert.equal(String((await once(socket, 'data'))[0]), 'early')
    client.destroy()
    socket.destroy()
  })

  test('makes a directory that only this user may enter, when none is given', async () => {
    const listener = await listen({ network: 'unix', directory: '' }, nobody)
    const directory = dirname(listener.address)
    assert.equal(statSync(directory).mode & 0o777, 0o700)
    assert.match(basename(listener.address), /^plugin[0-9a-z]+$/)
    listener.close()
    assert.ok(!existsSync(directory))
  })

  test('lets a group in: 0660 for the file, a way through for the directory', async () => {
    const gid = process.getgid?.() as number
    const listener = await listen({ network: 'unix', directory: '', group: String(gid) }, nobody)
    assert.equal(statSync(listener.address).mode & 0o777, 0o660)
    assert.equal(statSync(dirname(listener.address)).mode & 0o777, 0o710)
    listener.close()
  })

  test('knows groups by name', { skip: !existsSync('/etc/group') }, async () => {
    using directory = new Directory()
    await assert.rejects(
      listen({ network: 'unix', directory: directory.path, group: 'no such group' }, nobody),
      /no such group.*name its number/,
    )
    assert.deepEqual(readdirSync(directory.path), [])
    if (process.getuid?.() !== 0) return
    const listener = await listen({ network: 'unix', directory: directory.path, group: 'root' }, nobody)
    assert.equal(statSync(listener.address).gid, 0)
    listener.close()
  })

  test('refuses a path that the system would cut, and takes the longest that it would not', async () => {
    using directory = new Directory()
    const most = process.platform === 'linux' ? 107 : 103
    const long = join(directory.path, 'x'.repeat(most - directory.path.length - 3))
    mkdirSync(long)
    const listener = await listen({ network: 'unix', directory: long, socketName: 's' }, nobody)
    assert.equal(listener.address.length, most)
    const client = net.connect(listener.address)
    await once(client, 'connect')
    client.destroy()
    listener.close()
    await assert.rejects(listen({ network: 'unix', directory: long, socketName: 'ss' }, nobody), (error: unknown) => {
      assert.ok(isPluginError(error, 'ERR_SOCKET_PATH_TOO_LONG'))
      assert.deepEqual([error.facts.bytes, error.facts.maxBytes], [most + 1, most])
      return true
    })
  })

  test('does not take away what somebody else has put there', async () => {
    using directory = new Directory()
    writeFileSync(join(directory.path, 's'), 'mine')
    await assert.rejects(listen({ network: 'unix', directory: directory.path, socketName: 's' }, nobody), { code: 'EADDRINUSE' })
    assert.ok(existsSync(join(directory.path, 's')))
  })

  test('listens for signals and the exit only while something could stay behind', async () => {
    const counts = () => ['exit', 'SIGTERM', 'SIGHUP'].map(event => process.listenerCount(event))
    const before = counts()
    const [one, other] = [
      await listen({ network: 'unix', directory: '' }, nobody),
      await listen({ network: 'unix', directory: '' }, nobody),
    ]
    assert.deepEqual(
      counts(),
      before.map(count => count + 1),
    )
    one.close()
    other.close()
    assert.deepEqual(counts(), before)
  })
})
