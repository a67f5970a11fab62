import assert from 'node:assert/strict'
import { once } from 'node:events'
import * as net from 'node:net'
import { test } from 'node:test'
import * as tls from 'node:tls'
import { isPluginError } from '../../src/errors.ts'
import type { Link } from '../../src/mux/link.ts'
import { createIdentity } from '../../src/process/certificate.ts'
import { secureLink } from '../../src/process/tls.ts'

const host = createIdentity()
const plugin = createIdentity('P-521')
const stranger = createIdentity()

/** Both ends of a connection on the loopback. */
async function pair(): Promise<{ client: net.Socket; server: net.Socket } & AsyncDisposable> {
  const listener = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const client = net.connect((listener.address() as net.AddressInfo).port, '127.0.0.1')
  const [[server]] = await Promise.all([once(listener, 'connection'), once(client, 'connect')])
  listener.close()
  return {
    client,
    server,
    async [Symbol.asyncDispose]() {
      client.destroy()
      server.destroy()
    },
  }
}

/** Collects what a link receives. */
class Collector {
  readonly #memory: Uint8Array = new Uint8Array(16 * 1024)
  readonly #chunks: Uint8Array[] = []
  readonly closed: Promise<Error | undefined>
  readonly link: Link
  #bytes = 0
  #wake = (): void => {}
  #written = (): void => {}

  constructor(link: Link) {
    this.link = link
    this.closed = new Promise(resolve => {
      link.open({
        buffer: () => this.#memory,
        received: bytes => {
          this.#chunks.push(this.#memory.slice(0, bytes))
          this.#bytes += bytes
          this.#wake()
        },
        written: () => this.#written(),
        closed: resolve,
      })
    })
  }

  async read(bytes: number): Promise<Buffer> {
    while (this.#bytes < bytes) await new Promise<void>(resolve => (this.#wake = resolve))
    return Buffer.concat(this.#chunks)
  }

  async write(...parts: Uint8Array[]): Promise<void> {
    const written = new Promise<void>(resolve => (this.#written = resolve))
    if (!this.link.write(parts)) await written
  }
}

const failsWith = (reason: RegExp) => (error: unknown) => {
  assert.ok(isPluginError(error, 'ERR_TLS'), String(error))
  assert.match(error.facts.reason, reason)
  return true
}

test('both sides know each other: bytes go both ways, the end is in order', async () => {
  await using ends = await pair()
  const [one, other] = await Promise.all([secureLink(ends.client, 'client', host, plugin), secureLink(ends.server, 'server', plugin, host)])
  const [atHost, atPlugin] = [new Collector(one), new Collector(other)]
  const large = Buffer.alloc(1_000_003, 'plugwire')
  await atHost.write(Buffer.from('a'), Buffer.from('bc'), large)
  await atHost.write(Buffer.from('!'))
  assert.deepEqual(await atPlugin.read(large.length + 4), Buffer.concat([Buffer.from('abc'), large, Buffer.from('!')]))
  await atPlugin.write(Buffer.from('back'))
  assert.equal((await atHost.read(4)).toString(), 'back')
  one.close()
  one.close()
  assert.equal(await atPlugin.closed, undefined)
  assert.equal(await atHost.closed, undefined)
})

test('what comes before the link is opened waits for its reader', async () => {
  await using ends = await pair()
  const [one, other] = await Promise.all([secureLink(ends.client, 'client', host, plugin), secureLink(ends.server, 'server', plugin, host)])
  const atHost = new Collector(one)
  await atHost.write(Buffer.from('early'))
  one.close()
  await once(ends.client, 'close')
  const atPlugin = new Collector(other)
  assert.equal((await atPlugin.read(5)).toString(), 'early')
  assert.equal(await atPlugin.closed, undefined)
})

test('TLS 1.3 is spoken, 1.2 is the least', async () => {
  for (const [maxVersion, expected] of [
    ['TLSv1.3', 'TLSv1.3'],
    ['TLSv1.2', 'TLSv1.2'],
  ] as const) {
    await using ends = await pair()
    const server = secureLink(ends.server, 'server', plugin, host)
    const client = tls.connect({
      socket: ends.client,
      key: host.key,
      cert: host.certificate,
      ca: plugin.certificate,
      servername: 'localhost',
      maxVersion,
    })
    await once(client, 'secureConnect')
    assert.equal(client.getProtocol(), expected)
    ;(await server).destroy()
  }
  await using ends = await pair()
  const server = secureLink(ends.server, 'server', plugin, host)
  const client = tls.connect({
    socket: ends.client,
    ca: plugin.certificate,
    servername: 'localhost',
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  })
  client.on('error', () => {})
  await assert.rejects(server, failsWith(/does not speak TLS 1\.2/))
})

test('a client with another certificate is refused, and learns why', async () => {
  await using ends = await pair()
  const client = secureLink(ends.client, 'client', stranger, plugin)
  await assert.rejects(secureLink(ends.server, 'server', plugin, host), failsWith(/another certificate/))
  const cause = await new Collector(await client).closed
  assert.ok(cause === undefined || isPluginError(cause, 'ERR_TLS') || (cause as NodeJS.ErrnoException).code === 'ECONNRESET', String(cause))
})

test('a certificate that the pinned one has signed is still another one', async () => {
  // The chain holds: only the comparison byte by byte tells them apart.
  const { issueAgain } = await import('../fixtures/issue-again.ts')
  const twin = issueAgain(host)
  await using ends = await pair()
  const client = secureLink(ends.client, 'client', twin, plugin)
  await assert.rejects(secureLink(ends.server, 'server', plugin, host), failsWith(/another certificate/))
  await client.catch(() => {})
})

test('a client without a certificate is refused', async () => {
  await using ends = await pair()
  const server = secureLink(ends.server, 'server', plugin, host)
  const client = tls.connect({ socket: ends.client, ca: plugin.certificate, servername: 'localhost' })
  client.on('error', () => {})
  await assert.rejects(server, failsWith(/showed no certificate/))
})

test('a server with another certificate is refused', async () => {
  await using ends = await pair()
  const server = secureLink(ends.server, 'server', stranger, host)
  server.catch(() => {})
  await assert.rejects(secureLink(ends.client, 'client', host, plugin, { plugin: 'kv' }), failsWith(/another certificate/))
  await assert.rejects(server, failsWith(/./))
})

test('a peer that does not speak TLS is told apart, in both roles', async () => {
  for (const role of ['client', 'server'] as const) {
    await using ends = await pair()
    const [mine, theirs] = role === 'client' ? [ends.client, ends.server] : [ends.server, ends.client]
    theirs.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\nand something more, so that there is enough of it')
    await assert.rejects(secureLink(mine, role, host, plugin), failsWith(/does not speak TLS$/))
    assert.ok(mine.destroyed)
  }
})

test('a connection that closes during the handshake', async () => {
  for (const role of ['client', 'server'] as const) {
    await using ends = await pair()
    const [mine, theirs] = role === 'client' ? [ends.client, ends.server] : [ends.server, ends.client]
    theirs.on('error', () => {}).end()
    theirs.resume()
    await assert.rejects(secureLink(mine, role, host, plugin), failsWith(/closed during the handshake/))
    await assert.rejects(secureLink(mine, role, host, plugin), failsWith(/closed during the handshake/))
  }
})

test('a peer that says nothing is given up, at the time or at the wish of the caller', async () => {
  for (const role of ['client', 'server'] as const) {
    await using ends = await pair()
    const mine = role === 'client' ? ends.client : ends.server
    await assert.rejects(secureLink(mine, role, host, plugin, { timeoutMs: 20 }), failsWith(/no handshake within 20 ms/))
    assert.ok(mine.destroyed)
    await using others = await pair()
    const abort = new AbortController()
    const waiting = secureLink(others.client, role, host, plugin, { signal: abort.signal })
    abort.abort(new Error('enough'))
    await assert.rejects(waiting, failsWith(/aborted/))
  }
})

test('a certificate that cannot be read is refused before anything is sent', async () => {
  await using ends = await pair()
  await assert.rejects(secureLink(ends.client, 'client', host, { certificate: 'none' }), failsWith(/cannot be read/))
  assert.equal(ends.client.bytesWritten, 0)
})
