// What is no value and travels all the same: functions, objects and byte streams, as arguments and results, anywhere in a value.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { describe, test } from 'node:test'
import { flow } from 'plugwire/host'
import { brokerOf } from '../../src/broker/broker.ts'
import { byteStream, reader, writer } from '../../src/broker/byte-streams.ts'
import { items } from '../../src/broker/items.ts'
import { callback, remote } from '../../src/broker/objects.ts'
import { bodyOf } from '../../src/broker/references.ts'
import { int, lazy, map, nullable, type Schema, slice, string, struct, uint32 } from '../../src/gob/index.ts'
import { type ClientOf, method, nothing, wireMethods } from '../../src/methods.ts'
import { RpcClient } from '../../src/rpc/client.ts'
import { coded, Peers } from '../fixtures/peers.ts'

const counter = { Add: method(int, int) }
type Counter = ClientOf<typeof counter>

const sum = (start: number) => {
  let total = start
  return { Add: (value: number) => (total += value) }
}

describe('functions', () => {
  test('are called where they came from, in order and at the same time', async () => {
    await using peers = await Peers.make()
    const methods = { Run: method(struct({ Times: int, Progress: callback(int, nothing) }), int) }
    const kind = await peers.serve(methods, {
      async Run({ Times, Progress }) {
        for (let done = 1; done <= Times; done++) await Progress(done)
        Progress[Symbol.dispose]()
        return Times
      },
    })
    const seen: number[] = []
    assert.equal(await kind.Run({ Times: 3, Progress: done => void seen.push(done) }), 3)
    assert.deepEqual(seen, [1, 2, 3])
  })

  test('answer and fail, come back as results, and may be left out where that is said', async () => {
    await using peers = await Peers.make()
    const methods = {
      Twice: method(callback(int, int), callback(int, int)),
      Maybe: method(struct({ Done: nullable(callback(string, nothing)) }), string),
    }
    const kind = await peers.serve(methods, {
      Twice: apply => async value => apply(await apply(value as number)),
      Maybe: ({ Done }) => (Done === null ? 'none' : 'some'),
    })
    const plusTwo = await kind.Twice(value => {
      if (value > 100) throw new Error('too much')
      return value + 1
    })
    assert.equal(await plusTwo(1), 3)
    await assert.rejects(plusTwo(100), { message: 'too much' })
    assert.equal(await kind.Maybe({}), 'none')
    assert.equal(await kind.Maybe({ Done: () => undefined }), 'some')
    await assert.rejects(kind.Twice(3 as never), { code: 'ERR_VALUE_UNSUPPORTED', message: /^kind\.Twice: argument is a number/ })
    await assert.rejects(kind.Maybe({ Done: 1 as never }), { message: /^kind\.Maybe: argument/ })
    const client = new RpcClient(peers.host, await peers.serveStream(wireMethods('Plugin', methods), { Twice: () => 1 }), { label: 'kind' })
    const [numbers] = wireMethods('Plugin', { Twice: method(uint32, uint32) })
    await assert.rejects(client.call(numbers as never, 0, undefined, 'Twice'), { message: /^Plugin\.Twice: argument is no broker id/ })
    // Where one of two is missing, the other is not taken either.
    const streams = peers.host.session.streamCount
    assert.throws(() => bodyOf(slice(callback(int, int))).fromWire?.([77, 0], peers.host), coded('ERR_VALUE_UNSUPPORTED'))
    const flood = Array.from({ length: 100_000 }, (_, index) => index + 1)
    assert.throws(() => bodyOf(slice(callback(int, int))).fromWire?.(flood, peers.host), coded('ERR_CALL_LIMIT'))
    assert.equal(peers.host.session.streamCount, streams)
  })
})

describe('objects', () => {
  test('are passed and handed back, and end when they are disposed', async () => {
    await using peers = await Peers.make()
    const methods = {
      Use: method(remote(counter), int),
      Open: method(int, remote(counter)),
      All: method(map(string, remote(counter)), slice(remote(counter))),
    }
    const kind = await peers.serve(methods, {
      Use: async counter => {
        await using held = counter
        await held.Add(1)
        return await held.Add(1)
      },
      Open: start => sum(start),
      All: counters => [...counters.values()],
    })
    assert.equal(await kind.Use(sum(40)), 42)
    const opened: Counter = await kind.Open(10)
    assert.equal(await opened.Add(5), 15)
    assert.equal(await kind.Use(opened as never), 17)
    const [a, b] = await kind.All(
      new Map([
        ['a', sum(1)],
        ['b', sum(2)],
      ]),
    )
    assert.deepEqual([await a?.Add(1), await b?.Add(1)], [2, 3])
    for (const held of [opened, a, b]) await held?.[Symbol.asyncDispose]()
    await assert.rejects(opened.Add(1), coded('ERR_REFERENCE_RELEASED'))
    await peers.host.session.ping()
  })

  test('stand in types that contain themselves', async () => {
    await using peers = await Peers.make()
    interface Tree {
      Leaf: ((value: number) => Promise<number>) | null
      Kids: Tree[]
    }
    const tree: Schema<Tree, { Leaf?: ((value: number) => number) | null; Kids?: readonly unknown[] }> = struct({
      Leaf: nullable(callback(int, int)),
      Kids: slice(lazy(() => tree)),
    }) as never
    const kind = await peers.serve(
      { Sum: method(tree, int) },
      {
        async Sum(root) {
          const of = async ({ Leaf, Kids }: Tree): Promise<number> =>
            (await Promise.all(Kids.map(of))).reduce((a, b) => a + b, (await Leaf?.(1)) ?? 0)
          return of(root)
        },
      },
    )
    const leaf = (plus: number) => ({ Leaf: (value: number) => value + plus })
    assert.equal(await kind.Sum({ Kids: [leaf(1), { Kids: [leaf(10), leaf(100)] }] }), 114)
  })
})

describe('byte streams', () => {
  const megabytes = Buffer.alloc(5_000_003, 'bytes ')

  test('are given as Node streams, web streams or async iterables, and got as either', async () => {
    await using peers = await Peers.make()
    const methods = { Node: method(reader(), int), Web: method(reader('web'), int) }
    const kind = await peers.serve(methods, {
      Node: async source => (await buffer(source)).length,
      Web: async source => {
        let length = 0
        for await (const chunk of source) length += chunk.length
        return length
      },
    })
    async function* pieces() {
      for (let at = 0; at < megabytes.length; at += 1_000_000) yield megabytes.subarray(at, at + 1_000_000)
    }
    for (const read of [kind.Node, kind.Web].map(method => method.bind(kind))) {
      assert.equal(await read(Readable.from([megabytes])), megabytes.length)
      assert.equal(await read(pieces()), megabytes.length)
      assert.equal(await read(new Blob([megabytes]).stream()), megabytes.length)
      assert.equal(await read(Readable.from([])), 0)
    }
    await peers.host.session.ping()
    assert.deepEqual([peers.host.session.streamCount, peers.plugin.session.streamCount], [1, 1])
  })

  test('are written by the side that got them', async () => {
    await using peers = await Peers.make()
    const methods = { Node: method(writer(), nothing), Web: method(writer('web'), nothing) }
    const kind = await peers.serve(methods, {
      Node: async target => void (await pipeline(Readable.from([megabytes]), target)),
      Web: async target => {
        const out = target.getWriter()
        await out.write(megabytes)
        await out.close()
      },
    })
    for (const write of [kind.Node, kind.Web].map(method => method.bind(kind))) {
      const node = new PassThrough()
      const [got] = await Promise.all([buffer(node), write(node)])
      assert.ok(got.equals(megabytes))
      let length = 0
      const web = new WritableStream<Uint8Array>({ write: chunk => void (length += chunk.length) })
      await write(web)
      await until(() => length === megabytes.length)
    }
  })

  test('go both ways at once, and come back as results', async () => {
    await using peers = await Peers.make()
    const methods = { Connect: method(string, byteStream()), Web: method(byteStream('web'), nothing), Log: method(nothing, reader()) }
    const kind = await peers.serve(methods, {
      Connect: greeting => {
        const near = new PassThrough()
        near.write(greeting)
        return near // an echo
      },
      Web: ({ readable, writable }) => void readable.pipeTo(writable),
      Log: () => Readable.from(['one ', 'two']),
    })
    const echo = await kind.Connect('hello ')
    echo.end('world')
    assert.equal(await text(echo), 'hello world')
    assert.equal(await text(await kind.Log()), 'one two')
    const out = new PassThrough()
    const back = new PassThrough()
    await kind.Web({ readable: Readable.toWeb(out) as ReadableStream<Uint8Array>, writable: Writable.toWeb(back) })
    out.end('round')
    assert.equal(await text(back), 'round')
  })

  test('lend their bytes where they lie, and are steered by who sends them', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(
      { Count: method(reader(), int), Make: method(int, reader()) },
      {
        Count: source =>
          new Promise<number>((resolve, reject) => {
            let counted = 0
            flow(source).borrow({ chunk: (_bytes, start, end) => void (counted += end - start), end: () => resolve(counted), fail: reject })
          }),
        Make: bytes => Readable.from([Buffer.alloc(Number(bytes))]),
      },
    )
    assert.equal(await kind.Count(Readable.from([megabytes])), megabytes.length)
    const made = await kind.Make(100_000)
    let read = 0
    for await (const chunk of made) read += (chunk as Buffer).length
    assert.equal(read, 100_000)
    assert.throws(() => flow(made).borrow({ chunk() {}, end() {}, fail() {} }), TypeError)
    const source = new Readable({ read() {} })
    source.push('x')
    const counted = kind.Count(source)
    await until(() => {
      try {
        flow(source).weight = 3
        return true
      } catch {
        return false
      }
    })
    flow(source).maxBytesPerSecond = 1_000_000
    source.push(null)
    assert.equal(await counted, 1)
  })

  test('that fail tell the other side, and those that are not wanted any more end their source', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(
      { Read: method(reader(), string), First: method(reader(), int) },
      {
        Read: source => text(source),
        First: async source => {
          for await (const chunk of source) return (chunk as Buffer).length
          return 0
        },
      },
    )
    const failing = new Readable({ read() {} })
    const reading = kind.Read(failing)
    failing.push('some')
    await peers.host.session.ping()
    failing.destroy(new Error('disk on fire'))
    await assert.rejects(reading, /was reset/)
    let left = false
    async function* endless() {
      try {
        for (;;) yield Buffer.alloc(1_000)
      } finally {
        left = true
      }
    }
    assert.ok((await kind.First(endless())) > 0)
    await until(() => left)
  })

  test('of the web that others have taken, or closed, fail alone', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(
      { Write: method(writer(), string), Read: method(reader(), string) },
      {
        Write: async target => {
          const failed = once(target, 'error')
          target.write('text')
          return (await failed)[0].code
        },
        Read: source => text(source),
      },
    )
    const [taken, unread] = [new WritableStream<Uint8Array>(), new ReadableStream<Uint8Array>()]
    taken.getWriter()
    unread.getReader()
    await assert.rejects(kind.Write(taken), coded('ERR_VALUE_UNSUPPORTED'))
    await assert.rejects(kind.Read(unread), coded('ERR_VALUE_UNSUPPORTED'))
    const takenLater = new WritableStream<Uint8Array>()
    const written = kind.Write(takenLater)
    takenLater.getWriter()
    assert.equal(await written, 'ERR_STREAM_RESET')
    const closed = new WritableStream<Uint8Array>()
    await closed.close()
    assert.equal(await kind.Write(closed), 'ERR_STREAM_RESET')
    assert.equal(await kind.Read(Readable.from(['text'])), 'text')
  })

  test('that are reset with the very bytes that accept them keep nobody waiting', async t => {
    for (const schema of [reader(), writer(), byteStream()]) {
      await using peers = await Peers.make()
      const [held, letGo] = [t.mock.method(peers.host, 'hold'), t.mock.method(peers.host, 'letGo')]
      const got = bodyOf(schema).fromWire?.(7, peers.host) as Readable
      const failed = once(got, 'error')
      const accepted = await peers.plugin.broker.accept(7)
      await new Promise<void>(resolve => peers.plugin.session.onceFlushed(resolve))
      accepted.reset()
      await failed
      await peers.host.session.ping()
      assert.deepEqual([held.mock.callCount(), letGo.mock.callCount()], [1, 1])
    }
  })

  test('that nobody takes end with a reason', async t => {
    await using peers = await Peers.make()
    const kind = await peers.serve({ Take: method(reader(), nothing) }, { Take: () => undefined })
    const wire = await peers.serve({ Take: method(int, nothing) }, { Take: () => undefined })
    await kind.Take(Readable.from(['x']))
    void wire
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const source = new Readable({ read() {} })
    bodyOf(reader()).toWire?.(source, peers.host)
    const closed = once(source, 'error')
    t.mock.timers.tick(5_000)
    const [cause] = await closed
    assert.ok(coded('ERR_BROKER_TIMEOUT')(cause))
    assert.match(String(peers.warnings), /not taken/)
  })
})

describe('items', () => {
  const reading = struct({ Sensor: string, Celsius: int })

  test('go one after the other, both ways, as slowly as they are read', async () => {
    await using peers = await Peers.make()
    let made = 0
    const kind = await peers.serve(
      { Means: method(items(reading), items(reading)), Count: method(nothing, items(int)) },
      {
        Means: async function* (readings: AsyncIterable<{ Sensor: string; Celsius: number }>) {
          let [sum, count] = [0, 0]
          for await (const { Sensor, Celsius } of readings) {
            sum += Celsius
            yield { Sensor, Celsius: sum / ++count }
          }
        } as never,
        Count: async function* () {
          try {
            for (;;) yield ++made
          } finally {
            made = -made
          }
        } as never,
      },
    )
    const means: number[] = []
    for await (const { Celsius } of await kind.Means([20, 22, 27].map(Celsius => ({ Sensor: 'roof', Celsius })))) means.push(Celsius)
    assert.deepEqual(means, [20, 21, 23])
    for await (const number of await kind.Count()) if (number === 10) break
    await until(() => made < 0)
    // A window of 256 KiB and what the source was ahead.
    assert.ok(made > -400_000)
    await peers.host.session.ping()
    assert.deepEqual([peers.host.session.streamCount, peers.plugin.session.streamCount], [1, 1])
  })

  test('that cannot go on say so', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve(
      { Fail: method(nothing, items(int)), Wrong: method(nothing, items(int)), Give: method(items(int), int) },
      {
        Fail: () =>
          (async function* () {
            yield 1
            throw new Error('out of numbers')
          })(),
        Wrong: () => [1, 'two' as never],
        Give: async numbers => {
          let sum = 0
          for await (const number of numbers) sum += number
          return sum
        },
      },
    )
    // What was made before may be lost with it.
    const all = async (iterable: AsyncIterable<number>) => {
      for await (const number of iterable) assert.equal(number, 1)
    }
    await assert.rejects(all(await kind.Fail()), coded('ERR_STREAM_RESET'))
    await assert.rejects(all(await kind.Wrong()), coded('ERR_STREAM_RESET'))
    await assert.rejects(kind.Give(3 as never), coded('ERR_VALUE_UNSUPPORTED'))
    assert.equal(await kind.Give([1, 2]), 3)
    await assert.rejects(kind.Give([1, 'two' as never]), /was reset/)
    // A source that cannot even be left.
    const stubborn = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: false as const, value: 'no number' as never }),
        return: (): never => {
          throw new Error('I stay')
        },
      }),
    }
    await assert.rejects(kind.Give(stubborn), /was reset/)
    assert.equal(await kind.Give([1, 2]), 3)
  })
})

describe('the broker by hand', () => {
  test('does what programs in Go do with it', async () => {
    await using peers = await Peers.make()
    const kind = await peers.serve({ Id: method(int, int) }, { Id: id => id })
    const here = brokerOf(kind)
    const { rememberCarrier } = await import('../../src/rpc/remote.ts')
    const instance = {}
    rememberCarrier(instance, peers.plugin)
    const there = brokerOf(instance)
    assert.throws(() => brokerOf({}), TypeError)

    const id = here.nextId()
    const [near, far] = await Promise.all([here.accept(id), there.dial(await kind.Id(id))])
    near.end('bytes')
    far.end()
    assert.equal(await text(far), 'bytes')

    const object = there.nextId()
    const [, held] = await Promise.all([there.acceptAndServe(object, counter, sum(1)), here.dialObject(object, counter)])
    assert.equal(await held.Add(1), 2)
    held[Symbol.dispose]()
  })
})

async function until(true_: () => boolean): Promise<void> {
  while (!true_()) await new Promise(resolve => setImmediate(resolve))
}
