// A host that breaks the rules ends one plugin, in order; and one that is only very slow ends nothing.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { derivedCookie } from '../../src/contract.ts'
import { session } from '../fixtures/protocol/page.ts'
import { call, data, header, RawPeer, RST, reply, SYN, text, windowUpdate } from '../fixtures/raw-peer.ts'

class Started implements AsyncDisposable {
  readonly #child = spawn(process.execPath, [fileURLToPath(new URL('../fixtures/protocol/store-plugin.js', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...environment(), PLUGIN_PROTOCOL_VERSIONS: '1', PLUGWIRE_HOST: '1|fd|3|plugwire|' },
  })
  readonly exited: Promise<unknown[]> = once(this.#child, 'exit')
  readonly peer: RawPeer = new RawPeer(this.#child.stdio[3] as Duplex, { skipLine: true })
  stderr = ''

  constructor() {
    ;(this.#child.stdio[2] as NodeJS.ReadableStream).on('data', chunk => {
      this.stderr += String(chunk)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }
}

function environment(): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _, ...inherited } = process.env
  const { key, value } = derivedCookie('kv')
  return { ...inherited, [key]: value }
}

const opened = windowUpdate(1, 0x3c0000, SYN)

describe('a breach by the host: a go-away, and the plugin ends without a crash', () => {
  for (const [name, hex] of [
    ['an unknown frame', header(9, 0, 0, 0)],
    ['a window overrun', opened + header(0, 0, 1, 0xffffff)],
    ['an unknown message', opened + data(1, '0000000177')],
    ['a message too long', opened + data(1, 'ffffffff')],
    ['a reply to nobody', opened + data(1, reply(3, 'c1'))],
    ['a malformed value', opened + data(1, call(0, 0, 0, 'b0'))],
    ['a reset of the calls', opened + windowUpdate(1, 0, RST)],
    ['a call id too high', opened + data(1, call(99_999, 0, 0, 'a0'))],
  ] as const) {
    test(name, async () => {
      await using plugin = new Started()
      plugin.peer.send(hex)
      assert.equal(await plugin.peer.goneAway(), name.startsWith('a reset') ? undefined : 1)
      await plugin.exited
      assert.doesNotMatch(plugin.stderr, /node:internal|Uncaught|Unhandled/)
    })
  }
})

test('what cannot be called is answered, by number, and the plugin goes on', async () => {
  await using plugin = new Started()
  const { peer } = plugin
  peer.send(opened, data(1, call(0, 0, 0, `a1${text('store')}`)))
  assert.match(await peer.replyTo(0), /^00d802/)
  for (const [id, target, method] of [
    [1, 1, 1],
    [2, 1, 0xfffe],
    [3, 0, 3],
    [4, 0, 0xffff],
    [5, 77, 0],
  ] as const) {
    peer.send(data(1, call(id, target, method, 'a0')))
    assert.match(await peer.replyTo(id), /^03a2/)
  }
  peer.send(data(1, call(6, 0, 0, `a1${text('__proto__')}`)))
  assert.match(Buffer.from(await peer.replyTo(6), 'hex').toString('latin1'), /ERR_KIND_NOT_FOUND/)
  peer.send(data(1, call(7, 1, 0, `a1${text('k')}`)))
  assert.equal(await peer.replyTo(7), '00c80000000176')
})

test('a host that drips one byte at a time is served all the same', async () => {
  await using plugin = new Started()
  const { peer } = plugin
  let wanted = 0
  for (const { from, bytes } of session()) {
    if (from === 'H') for (const byte of bytes) await peer.sendBytes(Uint8Array.of(byte))
    else {
      wanted += bytes.length
      const goal = wanted + '1|1|fd|3|plugwire||false|1\n'.length
      while (peer.receivedBytes < goal) await once(peer.socket, 'data')
    }
  }
  assert.deepEqual(await plugin.exited, [0, null])
})
