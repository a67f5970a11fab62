import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import { duplexLink } from '../../src/mux/duplex-link.ts'
import type { Link } from '../../src/mux/link.ts'
import { socketLink } from '../../src/process/socket-link.ts'
import { LinkText } from '../fixtures/started.ts'

/** Two ends of one connection. */
class Pair {
  readonly near: net.Socket
  readonly far: net.Socket
  readonly #close: () => void

  constructor(near: net.Socket, far: net.Socket, close: () => void) {
    this.near = near
    this.far = far
    this.#close = close
  }

  static async open(): Promise<Pair> {
    const directory = mkdtempSync(join(tmpdir(), 'pair-'))
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(join(directory, 's'))
    const near = net.connect(join(directory, 's'))
    const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[net.Socket], unknown]
    far.on('error', () => {})
    return new Pair(near, far, () => {
      server.close()
      rmSync(directory, { recursive: true, force: true })
    })
  }

  [Symbol.dispose](): void {
    this.near.destroy()
    this.far.destroy()
    this.#close()
  }
}

const kinds: [string, (socket: net.Socket) => Link][] = [
  ['socketLink', socket => socketLink({ socket })],
  ['duplexLink of a socket', socket => duplexLink(socket)],
  ['duplexLink of two streams', socket => duplexLink({ readable: socket.pipe(new PassThrough()), writable: socket })],
]

for (const [name, linkOf] of kinds) {
  describe(name, () => {
    test('reads, however small the memory of the reader is', async () => {
      using pair = await Pair.open()
      const reader = new LinkText(linkOf(pair.near), 3)
      pair.far.write('hello world')
      await reader.until(({ text }) => text === 'hello world')
    })

    test('writes parts in order', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      new LinkText(link)
      link.write([Buffer.from('a'), Buffer.from('b'), Buffer.from('c')])
      link.write([Buffer.from('d')])
      link.close()
      let text = ''
      for await (const chunk of pair.far) text += String(chunk)
      assert.equal(text, 'abcd')
    })

    test('tells when what did not fit has left', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      const reader = new LinkText(link)
      const big = Buffer.alloc(4 * 1024 * 1024, 'x')
      assert.equal(link.write([big]), false)
      let bytes = 0
      pair.far.resume().on('data', chunk => {
        bytes += chunk.length
      })
      await reader.until(({ writes }) => writes === 1)
      link.write([Buffer.from('!')])
      while (bytes < big.length + 1) await new Promise(resolve => setImmediate(resolve))
      assert.equal(bytes, big.length + 1)
    })

    test('hands over to another reader in the middle of what comes', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      let first = ''
      let second: LinkText | undefined
      const memory = Buffer.alloc(4)
      link.open({
        buffer: () => memory,
        received: bytes => {
          first += memory.toString('latin1', 0, bytes)
          if (second === undefined && first.includes('|')) second = new LinkText(link, 2)
        },
        written: () => {},
        closed: () => {},
      })
      for (const byte of 'ab|cdefgh') {
        pair.far.write(byte)
        await new Promise(resolve => setImmediate(resolve))
      }
      while (second === undefined) await new Promise(resolve => setImmediate(resolve))
      await second.until(({ text }) => first + text === 'ab|cdefgh')
      assert.ok(first.length <= 'ab|c'.length)
      // And outside of a read, when the system already has memory of the reader before.
      const third = new LinkText(link, 5)
      pair.far.write('0123456789')
      await third.until(({ text }) => text === '0123456789')
    })

    test('closed by the peer it closes once, without a cause, after what came before', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      const reader = new LinkText(link)
      pair.far.end('last')
      await reader.until(({ closings }) => closings.length > 0)
      assert.equal(reader.text, 'last')
      assert.deepEqual(reader.closings, [undefined])
      assert.equal(link.write([Buffer.from('too late')]), true)
      link.close()
      link.destroy()
      await new Promise(resolve => setImmediate(resolve))
      assert.equal(reader.closings.length, 1)
      const late = new LinkText(link)
      await late.until(({ closings }) => closings.length === 1)
    })

    test('broken by the peer while it writes it closes once and nothing throws', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      const reader = new LinkText(link)
      pair.far.destroy()
      for (let count = 0; count < 5; count++) link.write([Buffer.alloc(300_000), Buffer.from('more')])
      await reader.until(({ closings }) => closings.length > 0)
      link.write([Buffer.from('still')])
      await new Promise(resolve => setImmediate(resolve))
      assert.equal(reader.closings.length, 1)
    })

    test('destroyed it closes once', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      const reader = new LinkText(link)
      link.destroy()
      link.destroy()
      await reader.until(({ closings }) => closings.length > 0)
      assert.deepEqual(reader.closings, [undefined])
    })

    test('closed before it was opened it closes', async () => {
      using pair = await Pair.open()
      const link = linkOf(pair.near)
      link.write([Buffer.from('bye')])
      link.close()
      let text = ''
      for await (const chunk of pair.far) text += String(chunk)
      assert.equal(text, 'bye')
    })
  })
}

describe('a link whose reader hands back', () => {
  test('gives the next reader what it handed back, what came meanwhile, and the end', async () => {
    using pair = await Pair.open()
    const link = socketLink({ socket: pair.near })
    const memory = Buffer.alloc(64)
    let first = ''
    link.open({
      buffer: () => memory,
      received: bytes => {
        first = memory.toString('latin1', 0, bytes)
        link.handBack(memory.subarray(2, bytes))
        memory.fill('?')
      },
      written: () => {},
      closed: () => assert.fail('the end belongs to the next reader'),
    })
    pair.far.write('abcd')
    while (first === '') await new Promise(resolve => setImmediate(resolve))
    pair.far.end('efgh')
    await new Promise(resolve => setImmediate(resolve))
    const second = new LinkText(link, 3)
    assert.equal(second.text, '', 'nothing arrives while the reader is still being made')
    await second.until(({ closings }) => closings.length > 0)
    assert.equal(second.text, 'cdefgh')
    assert.deepEqual(second.closings, [undefined])
  })

  test('what was written before any reader is there leaves, and nothing that comes is lost', async () => {
    using pair = await Pair.open()
    const link = socketLink({ socket: pair.near })
    link.write([Buffer.from('line\n')])
    pair.far.write('answer')
    assert.equal(String(((await once(pair.far.resume(), 'data')) as [Buffer])[0]), 'line\n')
    await new Promise(resolve => setImmediate(resolve))
    const reader = new LinkText(link)
    await reader.until(({ text }) => text === 'answer')
  })
})
