// Calls between two sides: numbers, order, concurrency, errors, and what happens to those that nobody waits for any more.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isRemoteError } from 'plugwire/host'
import { callContext, withOptions } from 'plugwire/plugin'
import { bytes, int, map, slice, string, struct } from '../../src/gob/index.ts'
import { method, nothing, wireMethods } from '../../src/methods.ts'
import { RpcClient } from '../../src/rpc/client.ts'
import { coded, Peers } from '../fixtures/peers.ts'

const entry = struct({ Key: string, Value: bytes })
const methods = {
  Echo: method(entry, entry),
  Add: method(struct({ A: int, B: int }), int),
  Count: method(nothing, int),
  Note: method(string, nothing),
  Fail: method(string, int),
  Slow: method(int, int),
  Never: method(nothing, int),
  All: method(slice(string), map(string, int)),
  Same: method(int, int, { name: 'Other' }),
}

class Kind {
  notes: string[] = []
  aborted: Promise<unknown> | undefined
  release: (() => void) | undefined
  Echo = (value: { Key: string; Value: Uint8Array }) => value
  Add = ({ A, B }: { A: number; B: number }) => A + B
  Count = () => this.notes.length
  Note = (text: string) => void this.notes.push(text)
  Fail = (text: string): number => {
    throw new Error(text)
  }
  Slow = (ms: number) => new Promise<number>(resolve => setTimeout(resolve, ms, ms))
  Never = () => {
    const signal = callContext()?.signal as AbortSignal
    this.aborted = new Promise(resolve => signal.addEventListener('abort', resolve))
    return new Promise<number>(resolve => {
      this.release = () => resolve(1)
    })
  }
  All = (keys: string[]) => new Map(keys.map((key, index) => [key, index]))
  Same = (value: number) => value
}

describe('calls', () => {
  test('carry values both ways, and nothing', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    const echoed = await kind.Echo({ Key: 'k', Value: new Uint8Array([1, 2]) })
    assert.deepEqual({ ...echoed, Value: [...echoed.Value] }, { Key: 'k', Value: [1, 2] })
    assert.equal(await kind.Add({ A: 40, B: 2 }), 42)
    assert.equal(await kind.Count(), 0)
    assert.equal(await kind.Note('x'), undefined)
    assert.equal(await kind.Count(), 1)
    assert.deepEqual(await kind.All(['a', 'b']), new Map(Object.entries({ a: 0, b: 1 })))
    assert.equal(await kind.Same(7), 7)
  })

  test('are answered as they are done, not as they came', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    const order: number[] = []
    await Promise.all([60, 1, 30].map(ms => kind.Slow(ms).then(done => order.push(done))))
    assert.deepEqual(order, [1, 30, 60])
  })

  test('many at once keep their answers apart', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    const sums = await Promise.all(Array.from({ length: 1_000 }, (_, index) => kind.Add({ A: index, B: index })))
    assert.deepEqual(
      sums,
      sums.map((_, index) => index * 2),
    )
    assert.deepEqual([peers.host.callsInFlight, peers.plugin.callsServed], [0, 0])
  })

  test('larger than any window arrive whole', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    const Value = Buffer.alloc(3_000_001, 'large ')
    const [echoed, sum] = await Promise.all([kind.Echo({ Key: 'large', Value }), kind.Add({ A: 1, B: 1 })])
    assert.ok(Value.equals(echoed.Value))
    assert.equal(sum, 2)
  })
})

describe('errors', () => {
  test('of a method arrive as its text, and the next call works', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    await assert.rejects(
      kind.Fail('no such key'),
      error =>
        isRemoteError(error) && error.message === 'no such key' && /^Error: no such key\n {4}at .*Fail \[remote\]$/.test(error.stack ?? ''),
    )
    await assert.rejects(kind.Fail(''), error => isRemoteError(error) && error.message !== '')
    assert.equal(await kind.Add({ A: 1, B: 2 }), 3)
  })

  test('an argument that does not fit is refused before anything is sent, also when it is the first', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    await assert.rejects(kind.Add({ A: 'x' as never, B: 2 }), {
      code: 'ERR_GOB_TYPE',
      message: 'kind.Add: argument.A is a string where int is expected',
    })
    await assert.rejects(kind.Echo({ Key: 'k', Value: 3 as never }), {
      facts: { path: 'kind.Echo: argument.Value', expected: '[]byte', found: 'a number' },
    })
    assert.equal(await kind.Add({ A: 1, B: 2 }), 3)
  })

  test('an argument that the method does not expect fails the call alone, with the reason', async () => {
    await using peers = await Peers.make()
    const served = wireMethods('Plugin', methods)
    const stream = await peers.serveStream(served, new Kind())
    const client = new RpcClient(peers.host, stream, { label: 'kind' })
    const wrong = wireMethods('Plugin', { Add: method(string, int), Echo: method(struct({ Key: int }), entry) })
    for (const call of wrong) {
      const value = call.name === 'Add' ? 'text' : { Key: 1 }
      await assert.rejects(
        client.call(call, value, undefined, call.name),
        error => isRemoteError(error) && /^Plugin\.(Add|Echo): argument.* is expected/.test(error.message),
      )
    }
    const [, add] = served as unknown as [unknown, (typeof served)[number]]
    assert.equal(await client.call(add, { A: 2, B: 2 }, undefined, 'Add'), 4)
  })

  test('a result that does not fit fails its call on either side', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, { ...new Kind(), Add: () => 'no number' as never })
    await assert.rejects(kind.Add({ A: 1, B: 2 }), error => isRemoteError(error) && /cannot travel/.test(error.message))
    const wire = wireMethods('Plugin', { Add: method(struct({ A: int, B: int }), int) })
    const stream = await peers.serveStream(wire, { Add: () => 1 })
    const client = new RpcClient(peers.host, stream, { label: 'kind' })
    const [misread] = wireMethods('Plugin', { Add: method(struct({ A: int, B: int }), string) })
    await assert.rejects(client.call(misread as never, { A: 1, B: 1 }, undefined, 'Add'), {
      code: 'ERR_GOB_TYPE',
      message: 'Add: result is int where string is expected',
    })
    assert.equal(await client.call(wire[0] as never, { A: 1, B: 1 }, undefined, 'Add'), 1)
  })

  test('may be anything, also what has no text', async () => {
    await using peers = await Peers.make()
    const nothingMuch: unknown = Object.create(null)
    const kind = await peers.serve(methods, {
      ...new Kind(),
      Fail: () => {
        throw nothingMuch
      },
      Slow: () => Promise.reject(nothingMuch),
      Never: () => Promise.reject(Object.assign(new Error(), { message: nothingMuch })),
      Count: (): never =>
        ({
          then() {
            throw nothingMuch
          },
        }) as never,
    })
    for (const call of [kind.Fail(''), kind.Slow(1), kind.Never(), kind.Count()])
      await assert.rejects(call, error => isRemoteError(error) && error.message === 'an error that cannot be told')
    assert.equal(await kind.Add({ A: 1, B: 2 }), 3)
  })

  test("methods that are not there are refused in Go's words", async () => {
    await using peers = await Peers.make()
    const stream = await peers.serveStream(wireMethods('Plugin', methods), new Kind())
    const client = new RpcClient(peers.host, stream, { label: 'kind' })
    const [base] = wireMethods('Plugin', { X: method(int, int) })
    const texts = new Map([
      ['nodot', 'rpc: service/method request ill-formed: nodot'],
      ['Nobody.Here', "rpc: can't find service Nobody.Here"],
      ['Plugin.Nothing', "rpc: can't find method Plugin.Nothing"],
      ['Plugin.constructor', "rpc: can't find method Plugin.constructor"],
      ['a.b.Plugin.Add', "rpc: can't find service a.b.Plugin.Add"],
      ['.', "rpc: can't find service ."],
    ])
    for (const [serviceMethod, text] of texts) {
      await assert.rejects(client.call({ ...(base as object), serviceMethod } as never, 1, undefined, 'X'), { message: text })
    }
  })
})

describe('calls that nobody waits for', () => {
  test('time out, are cancelled, and their late answers are passed over', async () => {
    await using peers = await Peers.make()
    const served = new Kind()
    const kind = await peers.serve(methods, served)
    await assert.rejects(withOptions(kind, { timeoutMs: 20 }).Never(), coded('ERR_CALL_TIMEOUT'))
    served.release?.()
    const controller = new AbortController()
    const cancelled = withOptions(kind, { signal: controller.signal }).Slow(50)
    controller.abort(new Error('enough'))
    await assert.rejects(cancelled, coded('ERR_CALL_CANCELLED'))
    await assert.rejects(withOptions(kind, { signal: controller.signal }).Slow(1), coded('ERR_CALL_CANCELLED'))
    assert.equal(await kind.Slow(60), 60)
    assert.equal(peers.host.callsInFlight, 0)
  })

  test('reject when their object is disposed, and the method sees its signal', async () => {
    await using peers = await Peers.make()
    const served = new Kind()
    const kind = await peers.serve(methods, served)
    const never = kind.Never()
    await kind.Count()
    await kind[Symbol.asyncDispose]()
    await assert.rejects(never, coded('ERR_REFERENCE_RELEASED'))
    await served.aborted
    await assert.rejects(kind.Count(), coded('ERR_REFERENCE_RELEASED'))
  })

  test('are still answered when what they were made on is lost meanwhile', async () => {
    await using peers = await Peers.make()
    const served = wireMethods('Plugin', methods)
    const stream = await peers.serveStream(served, new Kind())
    const client = new RpcClient(peers.host, stream, { label: 'kind' })
    const slow = client.call(served.find(({ name }) => name === 'Slow') as (typeof served)[number], 20, undefined, 'Slow')
    client.retire()
    assert.equal(await slow, 20)
    await peers.host.session.ping()
    assert.deepEqual([peers.host.session.streamCount, peers.plugin.session.streamCount], [0, 0])
  })

  test('reject with what ended the connection', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(methods, new Kind())
    const never = kind.Never()
    await kind.Count()
    peers.plugin.session.destroy()
    await assert.rejects(never, coded('ERR_SESSION_CLOSED'))
    await assert.rejects(kind.Count(), coded('ERR_SESSION_CLOSED'))
  })
})

test('a name that Go would not serve is refused where it is written', () => {
  assert.throws(
    () => wireMethods('Plugin', { get: method(int, int) }),
    error => coded('ERR_CONTRACT')(error) && /capital; get does not.*\{ name: 'Get' \}/.test(String(error)),
  )
  assert.equal(wireMethods('Plugin', { get: method(int, int, { name: 'Get' }) })[0]?.serviceMethod, 'Plugin.Get')
})
