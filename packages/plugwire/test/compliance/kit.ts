// One kit of cases for every way in which host and plugin can be connected. What a wire carries must not depend on the wire.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import type { Remote } from 'plugwire'
import { byRef, isPluginError, isRemoteError, type Plugin, type PluginRecord, withOptions } from 'plugwire/host'
import { type Severable, type TestWorld, testWorld } from 'plugwire/testing'
import { type Counter, type Probe, pattern, type probeContract, sha } from '../fixtures/probe.ts'

export type ProbePlugin = Plugin<typeof probeContract> & Severable

export interface Setup {
  /** Bytes of what counts as large; less where each byte crosses by itself. Default 5 MiB. */
  readonly largeBytes?: number
  /** Calls at one time. Default 1,000. */
  readonly manyCalls?: number
}

/** Waits until a question is answered with yes; the test's own timeout ends it otherwise. */
export async function until(holds: () => unknown): Promise<void> {
  while (!(await holds())) await sleep(2)
}

const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

async function bytesOf(source: AsyncIterable<unknown>): Promise<Buffer> {
  return Buffer.concat((await collect(source)) as Uint8Array[])
}

/** Declares the cases for one way to be connected. */
export function compliance(
  name: string,
  open: (world: TestWorld, logger: (record: PluginRecord) => void) => Promise<ProbePlugin> | ProbePlugin,
  setup: Setup = {},
): void {
  const large = setup.largeBytes ?? 5 * 1024 * 1024
  const many = setup.manyCalls ?? 1_000
  const records: PluginRecord[] = []
  let world: TestWorld
  let plugin: ProbePlugin
  let probe: Remote<Probe>

  const it = (title: string, body: () => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      await body()
      // Each case ends clean by itself, so that the one that does not is the one that fails.
      const looked = performance.now()
      for (;;) {
        const open = world.left().filter(line => line.startsWith('plugin'))
        if (open.length === 0) break
        if (performance.now() - looked > 5_000) assert.fail(open.join('\n'))
        await sleep(2)
      }
    })
  }

  describe(name, () => {
    before(async () => {
      world = await testWorld()
      plugin = await open(world, record => void records.push(record))
      probe = await plugin.dispense('probe')
    })
    after(() => world[Symbol.asyncDispose]())

    it('values of every kind come back as they went', async () => {
      const holey = [1, undefined, 3]
      delete holey[1]
      const values: unknown[] = [
        null,
        undefined,
        true,
        false,
        0,
        -0,
        1,
        127,
        128,
        -1,
        2 ** 31,
        2 ** 53,
        -(2 ** 53),
        0.1,
        Number.MIN_VALUE,
        Number.MAX_VALUE,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        Number.NEGATIVE_INFINITY,
        '',
        'ascii',
        'naïve',
        '日本語 🎉',
        '\ud800 alone',
        'x'.repeat(100_000),
        0n,
        -1n,
        2n ** 200n,
        new Date(0),
        new Date(Number.NaN),
        /a+b/giu,
        new URL('https://example.com/a?b#c'),
        [],
        [[], [[]]],
        holey,
        {},
        { a: 1, b: { c: [1, 2, { d: null }] } },
        { __proto__: null, 'a key with spaces': 1, '': 2 },
        JSON.parse('{"__proto__": 1, "constructor": 2, "then": 3}'),
        new Map<unknown, unknown>([
          ['a', 1],
          [{ k: 1 }, new Map()],
        ]),
        new Set([1, 'a', new Set()]),
        new Uint8Array([1, 2, 3]),
        new Int16Array([-1, 2]),
        new Float64Array([0.5, Number.NaN]),
        new BigInt64Array([-5n]),
        new DataView(new Uint8Array([9, 8]).buffer),
        new Uint8Array([7]).buffer,
      ]
      for (const value of values) {
        const back = await probe.echo(value)
        const expected = value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null ? { ...value } : value
        if (Object.is(String(back), 'Invalid Date')) assert.ok(value instanceof Date && Number.isNaN(value.getTime()))
        else assert.deepEqual(back, expected)
      }
      assert.equal(inspect(await probe.echoLater(values), { depth: 9 }), inspect(await probe.echo(values), { depth: 9 }))
      const error = (await probe.echo(Object.assign(new TypeError('as a value'), { code: 'E_X', extra: [1] }))) as Error & { code: string }
      assert.ok(error instanceof Error)
      assert.deepEqual([error.name, error.message, error.code], ['TypeError', 'as a value', 'E_X'])
      assert.equal(await probe.args(), 0)
      assert.equal(await probe.args(...Array.from({ length: 100 }, (_, n) => n)), 100)
    })

    it('values that cannot travel are refused where they are, with the path', async () => {
      const cyclic: Record<string, unknown> = { a: {} }
      cyclic['a'] = { back: cyclic }
      for (const [value, code] of [
        [{ list: [Symbol('x')] }, 'ERR_VALUE_UNSUPPORTED'],
        [new WeakMap(), 'ERR_VALUE_UNSUPPORTED'],
        [Promise.resolve(1), 'ERR_VALUE_UNSUPPORTED'],
        [cyclic, 'ERR_VALUE_CYCLE'],
      ] as const) {
        await assert.rejects(probe.echo(value), (cause: unknown) => isPluginError(cause, code))
      }
      await assert.rejects(
        probe.unsendable(),
        (cause: unknown) => isPluginError(cause, 'ERR_VALUE_UNSUPPORTED') && cause.facts.path.includes('list[1].key'),
      )
      assert.equal(await probe.echo('still there'), 'still there')
    })

    it('errors keep name, message, code, cause and what they carry', async () => {
      await assert.rejects(probe.fail('error'), (cause: unknown) => {
        assert.ok(isRemoteError(cause))
        assert.equal(cause.message, 'plain')
        assert.equal((cause.cause as Error).name, 'RangeError')
        assert.match(cause.remoteStack ?? '', /probe/)
        return true
      })
      await assert.rejects(probe.fail('custom'), { name: 'Stopped', message: 'stopped at 7', code: 'E_STOPPED' })
      await assert.rejects(probe.fail('aggregate'), (cause: unknown) => isRemoteError(cause) && cause.errors?.length === 2)
      await assert.rejects(probe.fail('later'), { name: 'SyntaxError', message: 'late' })
      assert.equal(await (probe.fail('string') as unknown as Promise<never>).catch((cause: unknown) => cause), 'just words')
      assert.equal(await (probe.fail('undefined') as unknown as Promise<never>).catch((cause: unknown) => cause), undefined)
      await assert.rejects(
        probe.fail('symbol'),
        (cause: unknown) => cause instanceof Error && cause.message.includes('with things that cannot travel'),
      )
      await assert.rejects((probe as unknown as { nothing(): Promise<void> }).nothing(), (cause: unknown) =>
        isPluginError(cause, 'ERR_METHOD_NOT_FOUND'),
      )
      await assert.rejects((plugin as { dispense(kind: string): Promise<unknown> }).dispense('none'), (cause: unknown) =>
        isPluginError(cause, 'ERR_KIND_NOT_FOUND'),
      )
    })

    it('callbacks run here, and errors they throw arrive there', async () => {
      assert.equal(await probe.callBack(n => n * 2, 21), 42)
      assert.equal(await probe.callBack(async n => `${n}!`, 1), '1!')
      await assert.rejects(
        probe.callBack(() => {
          throw new RangeError('not here')
        }, 1),
        { name: 'RangeError', message: 'not here' },
      )
      const same = (n: number): number => n
      assert.deepEqual(await probe.callBackTwice(same, same), [1, 2, true])
    })

    it('callbacks call back, to depth', async () => {
      const down = (n: number): unknown => (n === 0 ? 'bottom' : probe.pingPong(down, n))
      assert.equal(await probe.pingPong(down, 50), 'bottom')
    })

    it('functions and objects are lent and given back', async () => {
      const add = await probe.makeAdder(40)
      assert.equal(await add(2), 42)
      await add[Symbol.asyncDispose]()
      await assert.rejects(add(1), (cause: unknown) => isPluginError(cause, 'ERR_REFERENCE_RELEASED'))

      const before = await probe.disposed()
      {
        await using counter = await probe.counter(10)
        assert.equal(await counter.add(5), 15)
        // Lent on, it arrives as what it was.
        assert.equal(await probe.useCounter(counter as unknown as Counter, 1), 16)
        assert.equal(await counter.add(0), 16)
      }
      assert.equal(await probe.disposed(), before + 1)

      let total = 0
      const mine = byRef({
        add: (n: number) => {
          total += n
          return total
        },
        async [Symbol.asyncDispose]() {},
      })
      assert.equal(await probe.useCounter(mine as unknown as Counter, 3), 3)
      assert.equal(await probe.useCounter(mine as unknown as Counter, 4), 7)
      assert.equal(total, 7)
    })

    it('async iterables come out, whole, left early, and broken', async () => {
      assert.deepEqual(
        await collect(probe.count(500)),
        Array.from({ length: 500 }, (_, n) => n),
      )
      assert.deepEqual(await collect(probe.count(0)), [])
      const finished = await probe.finished()
      for await (const n of probe.tick()) if (n === 20) break
      await until(async () => (await probe.finished()) === finished + 1)
      const seen: number[] = []
      await assert.rejects(
        async () => {
          for await (const n of probe.count(100, 30)) seen.push(n)
        },
        { name: 'Stopped', code: 'E_STOPPED' },
      )
      assert.equal(seen.length, 30)
      const [data, double, map, bytes] = await collect(await probe.mixed())
      assert.deepEqual(data, { a: 1, deep: [new Date(5), null, undefined] })
      assert.equal(await (double as (n: number) => Promise<number>)(4), 8)
      assert.deepEqual(map, new Map([['k', new Set([1n])]]))
      assert.equal(Buffer.from(bytes as Uint8Array).toString(), 'bytes')
    })

    it('an iterable that nobody reads waits', async () => {
      const iterator = (await probe.tick())[Symbol.asyncIterator]()
      await iterator.next()
      await plugin.ping()
      const ahead = await probe.produced()
      assert.ok(ahead <= 200, `${ahead} items ahead`)
      await iterator.return?.()
      await until(async () => (await probe.produced()) <= ahead + 100)
    })

    it('async iterables go in, whole, left early, and broken', async () => {
      let finished = 0
      async function* numbers(to: number, failAt?: number): AsyncGenerator<number> {
        try {
          for (let n = 0; n < to; n++) {
            if (n === failAt) throw new RangeError('mine')
            yield n
          }
        } finally {
          finished++
        }
      }
      assert.equal(await probe.sum(numbers(300)), 44_850)
      assert.equal(finished, 1)
      assert.equal(await probe.sum(numbers(1_000_000), 10), 45)
      await until(() => finished === 2)
      await assert.rejects(probe.sum(numbers(100, 50)), { name: 'RangeError', message: 'mine' })
      assert.equal(finished, 3)
    })

    it('web and Node streams come out', async () => {
      const expected = pattern(large)
      assert.ok((await bytesOf((await probe.webBytes(large)) as unknown as AsyncIterable<unknown>)).equals(expected))
      assert.ok((await bytesOf(await probe.nodeBytes(large))).equals(expected))
      assert.equal((await bytesOf(await probe.nodeBytes(0))).length, 0)
      assert.equal((await bytesOf((await probe.webBytes(0)) as unknown as AsyncIterable<unknown>)).length, 0)
    })

    it('web and Node streams that are left early end their source', async () => {
      const finished = await probe.finished()
      for await (const chunk of (await probe.webBytes(1e9)) as unknown as AsyncIterable<Uint8Array>) {
        assert.ok(chunk.length > 0)
        break
      }
      await until(async () => (await probe.finished()) === finished + 1)
      const readable = await probe.nodeBytes(1e9)
      await once(readable, 'data')
      readable.destroy()
      await until(async () => (await probe.finished()) === finished + 2)
    })

    it('web and Node streams that break say why', async () => {
      await assert.rejects(bytesOf((await probe.webBytes(large, 80_000)) as unknown as AsyncIterable<unknown>), {
        name: 'Stopped',
        code: 'E_STOPPED',
      })
      await assert.rejects(bytesOf(await probe.nodeBytes(large, 80_000)), { name: 'Stopped', code: 'E_STOPPED' })
    })

    it('web and Node streams go in', async () => {
      const expected = { total: large, sha: sha(pattern(large)) }
      const chunks = function* (): Generator<Buffer> {
        for (let offset = 0; offset < large; offset += 70_000) yield pattern(Math.min(70_000, large - offset), offset)
      }
      assert.deepEqual(await probe.digest(Readable.from(chunks(), { objectMode: false })), expected)
      assert.deepEqual(
        await probe.digest(Readable.toWeb(Readable.from(chunks(), { objectMode: false })) as ReadableStream<Uint8Array>),
        expected,
      )
      // The reader there leaves early: the source here is ended.
      const endless = Readable.from(
        (function* () {
          for (;;) yield Buffer.alloc(1_000)
        })(),
        { objectMode: false },
      )
      const { total } = await probe.digest(endless, 5_000)
      assert.ok(total >= 5_000)
      if (!endless.destroyed) await once(endless, 'close').catch(() => undefined)
    })

    it('sinks of the other side take bytes', async () => {
      const expected = { total: large, sha: sha(pattern(large)) }
      const writer = (await probe.webSink()).getWriter()
      for (let offset = 0; offset < large; offset += 70_000) await writer.write(pattern(Math.min(70_000, large - offset), offset))
      await writer.close()
      assert.deepEqual(await probe.sunk(), expected)
      const sink = await probe.nodeSink()
      for (let offset = 0; offset < large; offset += 70_000) {
        if (!sink.write(pattern(Math.min(70_000, large - offset), offset))) await once(sink, 'drain')
      }
      sink.end()
      await once(sink, 'finish')
      assert.deepEqual(await probe.sunk(), expected)
    })

    it('sinks of ours are filled', async () => {
      const parts: Uint8Array[] = []
      const node = new Writable({
        write(chunk: Uint8Array, _, done) {
          parts.push(chunk)
          done()
        },
      })
      await probe.fillNode(node, large)
      assert.ok(Buffer.concat(parts.splice(0)).equals(pattern(large)))
      const web = new WritableStream<Uint8Array>({ write: chunk => void parts.push(chunk.slice()) })
      await probe.fillWeb(web, large)
      assert.ok(Buffer.concat(parts).equals(pattern(large)))
    })

    it('large values travel whole while small ones pass them', async () => {
      const value = {
        bytes: new Uint8Array(pattern(large)),
        text: 'ü'.repeat(large / 8),
        list: Array.from({ length: 1_000 }, (_, n) => ({ n })),
      }
      const done: string[] = []
      const heavy = probe.echo(value).then(back => {
        done.push('heavy')
        return back as typeof value
      })
      const light = probe.echo(1).then(() => void done.push('light'))
      const [back] = await Promise.all([heavy, light])
      assert.ok(Buffer.from(back.bytes).equals(Buffer.from(value.bytes)))
      assert.equal(back.text, value.text)
      assert.deepEqual(back.list, value.list)
      assert.deepEqual(done, ['light', 'heavy'])
    })

    it('a signal among the arguments aborts over there', async () => {
      const controller = new AbortController()
      const waiting = probe.untilAborted(controller.signal)
      assert.equal(await probe.isAborted(controller.signal), false)
      controller.abort('enough')
      assert.equal(await waiting, 'enough')
      assert.equal(await probe.isAborted(controller.signal), true)
      assert.match(await probe.untilAborted(AbortSignal.abort()), /AbortError/)
    })

    it('a call is cancelled by its signal and by its deadline, and the method knows', async () => {
      const cancelled = await probe.cancelled()
      const controller = new AbortController()
      const call = withOptions(probe, { signal: controller.signal }).hang()
      await until(async () => (await probe.hanging()) === 1)
      controller.abort(new Error('my reason'))
      await assert.rejects(
        call,
        (cause: unknown) => isPluginError(cause, 'ERR_CALL_CANCELLED') && (cause.cause as Error).message === 'my reason',
      )
      await until(async () => (await probe.cancelled()) === cancelled + 1)
      await assert.rejects(
        withOptions(probe, { timeoutMs: 30 }).hang(),
        (cause: unknown) => isPluginError(cause, 'ERR_CALL_TIMEOUT') && cause.facts.timeoutMs === 30,
      )
      await until(async () => (await probe.cancelled()) === cancelled + 2)
      await assert.rejects(withOptions(probe, { signal: AbortSignal.abort() }).hang(), (cause: unknown) =>
        isPluginError(cause, 'ERR_CALL_CANCELLED'),
      )
    })

    it('deadline and metadata travel beside the arguments', async () => {
      const metadata = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', other: 'ü' }
      const context = await withOptions(probe, { timeoutMs: 60_000, metadata }).context()
      assert.ok((context.deadlineMs as number) > 0 && (context.deadlineMs as number) <= 60_000)
      assert.deepEqual({ ...context.metadata }, metadata)
      assert.deepEqual((await probe.context()).metadata, {})
      const [ofItems] = await collect(withOptions(probe, { metadata }).contextOfItems())
      assert.deepEqual({ ...ofItems }, metadata)
    })

    it('a thousand calls at one time are answered, each with its own', async () => {
      const answers = await Promise.all(Array.from({ length: many }, (_, n) => (n % 2 === 0 ? probe.echo(n) : probe.echoLater({ n }))))
      for (const [n, answer] of answers.entries()) assert.deepEqual(answer, n % 2 === 0 ? n : { n })
    })

    it('storms of cancellation leave nothing', async () => {
      const cancelled = await probe.cancelled()
      const controllers = Array.from({ length: 300 }, () => new AbortController())
      const calls = controllers.map(({ signal }) => withOptions(probe, { signal }).hang())
      const outcomes = Promise.allSettled(calls)
      // Some before the call has left, some after it has arrived.
      for (const controller of controllers.slice(0, 100)) controller.abort()
      await until(async () => (await probe.hanging()) >= 200)
      for (const controller of controllers.slice(100)) controller.abort()
      assert.ok((await outcomes).every(({ status }) => status === 'rejected'))
      await until(async () => (await probe.cancelled()) === cancelled + 300)
      assert.equal(await probe.hanging(), 0)
      assert.equal(plugin.callsInFlight, 0)
    })

    it('many streams flow at one time, both ways', async () => {
      const results = await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          if (n % 4 === 0) return (await collect(probe.count(100))).length === 100
          if (n % 4 === 1) return (await bytesOf(await probe.nodeBytes(50_000 + n))).equals(pattern(50_000 + n))
          if (n % 4 === 2)
            return (await probe.digest(Readable.from([pattern(60_000 + n)], { objectMode: false }))).sha === sha(pattern(60_000 + n))
          return (
            (await probe.sum(
              (async function* () {
                for (let k = 0; k < 100; k++) yield k
              })(),
            )) === 4_950
          )
        }),
      )
      assert.ok(results.every(Boolean))
    })

    it('a sink that takes nothing slows its source, and memory stays bounded', async () => {
      let taken = 0
      let go = (): void => undefined
      const gate = new Promise<void>(resolve => {
        go = resolve
      })
      const slow = new Writable({
        highWaterMark: 1,
        write(chunk: Uint8Array, _, done) {
          taken += chunk.length
          if (taken > 1) void gate.then(() => done())
          else done()
        },
      })
      const total = Math.min(large, 2 * 1024 * 1024)
      const filling = probe.fillNode(slow, total)
      await until(() => taken > 0)
      for (let n = 0; n < 5; n++) await plugin.ping()
      assert.ok(slow.writableLength <= 512 * 1024, `${slow.writableLength} bytes wait`)
      go()
      await filling
      assert.equal(taken, total)
    })

    it('records of its logger and lines of its stdout reach the host', async () => {
      await probe.say('hello', { n: 1, big: 10n })
      await until(() => records.some(record => record.message === 'hello'))
      const record = records.find(({ message }) => message === 'hello')
      assert.deepEqual([record?.level, record?.fields, record?.plugin], ['info', { n: 1, big: 10n }, plugin.name])
      // What cannot travel is no reason for the plugin's code to fail.
      await probe.sayOdd()
      await until(() => records.some(({ message }) => message === 'odd'))
      assert.deepEqual(records.find(({ message }) => message === 'odd')?.fields, {
        symbol: 'Symbol(x)',
        weak: 'WeakMap { <items unknown> }',
        text: 'as it is',
        n: '1',
      })
    })

    it('says of itself what it is', async () => {
      const description = await plugin.describe()
      assert.deepEqual(
        {
          name: description.name,
          version: description.version,
          kinds: description.kinds,
          wire: description.wire,
          secure: description.secure,
        },
        { name: 'probe', version: 1, kinds: ['probe'], wire: plugin.wire, secure: plugin.secure },
      )
      assert.ok((await plugin.ping()) >= 0)
    })

    it('instances are disposed, once, and refuse calls from then on', async () => {
      const second = await plugin.dispense('probe')
      assert.equal(await second.echo(1), 1)
      await (second as unknown as AsyncDisposable)[Symbol.asyncDispose]()
      await (second as unknown as AsyncDisposable)[Symbol.asyncDispose]()
      await assert.rejects(second.echo(1), (cause: unknown) => isPluginError(cause, 'ERR_REFERENCE_RELEASED'))
      assert.equal(await probe.echo(1), 1)
    })

    test(`${name}: at its end it closes in order`, async () => {
      const pending = probe.hang()
      pending.catch(() => undefined)
      await until(async () => (await probe.hanging()) === 1)
      assert.equal(await plugin.close(), 'told')
      await assert.rejects(pending, (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_CLOSED'))
      await assert.rejects(probe.echo(1), (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_CLOSED'))
      assert.deepEqual([plugin.state, (await plugin.exited).expected, (await plugin.exited).exitCode], ['exited', true, 0])
    })
  })
}
