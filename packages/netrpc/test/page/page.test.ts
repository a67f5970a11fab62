// The program of docs/netrpc.md, as it stands there, with both sides in this process.

import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
// #region contract
import { callback, method, netrpc, nothing, reader, remote } from '@plugwire/netrpc'
import { bytes, int, map, string, struct } from '@plugwire/netrpc/gob'
import { contract } from 'plugwire'

const counter = { Add: method(int, int) } // type Counter interface { Add(int) int }

export const store = contract({
  name: 'store',
  cookie: { key: 'STORE_PLUGIN', value: 'hello' }, // MagicCookieKey and MagicCookieValue
  versions: {
    1: {
      store: netrpc({
        Get: method(string, bytes), // func (s *Store) Get(key string, value *[]byte) error
        Put: method(struct({ Key: string, Value: bytes }), nothing),
        All: method(nothing, map(string, bytes)),
        Load: method(struct({ From: reader(), Progress: callback(int, nothing) }), int),
        Counter: method(string, remote(counter)),
      }),
    },
  },
})
// #endregion
// #region plugin
class Store {
  readonly #values = new Map<string, Uint8Array>()

  Get(key: string): Uint8Array {
    const value = this.#values.get(key)
    if (value === undefined) throw new Error(`no such key: ${key}`) // arrives as a RemoteError with this text
    return value
  }
  Put({ Key, Value }: { Key: string; Value: Uint8Array }): void {
    this.#values.set(Key, Value)
  }
  All(): Map<string, Uint8Array> {
    return this.#values
  }
  async Load({ From, Progress }: { From: Readable; Progress: (lines: number) => Promise<void> }): Promise<number> {
    const lines = (await text(From)).split('\n')
    for (const line of lines) this.#values.set(line, new Uint8Array())
    await Progress(lines.length) // runs in the other process
    return lines.length
  }
  Counter(_name: string): { Add(value: number): number } {
    let sum = 0
    return { Add: value => (sum += value) } // stays here; the other side gets an object with the method
  }
}

// #endregion

import { type AnyContract, isPluginError, type Kind } from 'plugwire'
import { withOptions } from 'plugwire/host'
import type { wireMethods } from '../../src/methods.ts'
import { remoteObject } from '../../src/rpc/remote.ts'
import { Peers } from '../fixtures/peers.ts'

const kindOf = (of: AnyContract, version: number, name: string): Kind =>
  of.versions.find(known => known.version === version)?.kinds[name] as Kind

test('the program of the page does what the page says', async () => {
  await using peers = await Peers.make()
  const { methods } = kindOf(store, 1, 'store').driver as { methods: ReturnType<typeof wireMethods> }
  const dispensed = remoteObject(peers.host, await peers.serveStream(methods, new Store()), 'store', methods) as never
  const plugin = { dispense: async (_kind: 'store') => dispensed as import('plugwire').RemoteOf<typeof store, 'store'> }
  const said: unknown[] = []
  const console = { log: (...what: unknown[]) => void said.push(...what) }
  // #region host
  const remote = await plugin.dispense('store')
  await remote.Put({ Key: 'k', Value: new Uint8Array([1, 2, 3]) })
  await remote.Load({ From: Readable.from(['a\n', 'b']), Progress: lines => console.log(lines) })
  await using visits = await remote.Counter('visits')
  console.log(await visits.Add(1))
  await withOptions(remote, { timeoutMs: 500 }).Get('k')
  // #endregion
  assert.deepEqual(said, [2, 1])
  await assert.rejects(remote.Get('x'), { message: 'no such key: x' })
  assert.ok(!isPluginError(await remote.Get('x').catch((error: unknown) => error)))
  assert.equal((await remote.All()).size, 3)
})
