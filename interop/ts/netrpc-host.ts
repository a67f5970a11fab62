// The host of the peers over net/rpc, in TypeScript: what go/host_netrpc.go checks.

import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { brokerOf } from '@plugwire/netrpc'
import { isRemoteError, type Plugin } from 'plugwire/host'
import { severalContract } from './contract.ts'
import { allOf, type Check, main, rejection } from './host-battery.ts'
import { absentContract, Counter, counterMethods, netrpcContract, type Report, wrongContract } from './netrpc-contract.ts'
import { pieces, Sum } from './pattern.ts'

type PeerPlugin = Plugin<typeof netrpcContract>
type NetrpcCheck = Check<typeof netrpcContract>

const extras = (): Report['Extra'] =>
  new Map<string, { type: string; value: unknown }>([
    ['int', { type: 'int', value: -7 }],
    ['string', { type: 'string', value: 'ß' }],
    ['bytes', { type: '[]uint8', value: Uint8Array.of(1, 2, 3) }],
    ['bool', { type: 'bool', value: true }],
    ['float', { type: 'float64', value: 2.5 }],
    ['row', { type: 'interop.Row', value: { Name: 'n', Score: 1.5, Tags: ['t'], Ok: true } }],
  ]) as Report['Extra']

const emptyReport: Report = {
  Title: '',
  Made: { seconds: -62_135_596_800n, nanoseconds: 0, offsetSeconds: undefined },
  Rows: [],
  Totals: new Map(),
  Matrix: [],
  Checksum: new Uint8Array(4),
  Huge: null,
  Ratio: { re: 0, im: 0 },
  Parent: null,
  Extra: new Map(),
}

const mebibytes = (bytes: number, began: number): string =>
  `${bytes >> 20} MiB, ${Math.round(bytes / (1 << 20) / ((performance.now() - began) / 1000))} MiB/s`

async function callBack(plugin: PeerPlugin): Promise<void> {
  const broker = await plugin.dispense('broker')
  for (let i = 0; i < 10; i++) assert.equal(await broker.CallBack({ Id: new Counter(100n), Times: 20 }), 120n)
  await broker[Symbol.asyncDispose]()
}

const checks: { readonly [name: string]: NetrpcCheck } = {
  ping: async ({ plugin }) => {
    await plugin.ping()
    return undefined
  },
  kv: async ({ plugin }) => {
    const kv = await plugin.dispense('kv')
    const entry = { Key: 'ключ', Value: Uint8Array.of(0, 1, 254, 255), Tags: new Map(Object.entries({ a: '1', b: '' })) }
    assert.equal((await kv.Put(entry)).Revision, 1n)
    assert.equal((await kv.Put(entry)).Revision, 2n)
    await kv.Put({ Key: 'ключи' })
    await kv.Put({ Key: 'x' })
    const got = await kv.Get('ключ')
    assert.deepEqual({ ...got, Value: Uint8Array.from(got.Value) }, { ...entry, Revision: 2n })
    assert.deepEqual([...(await kv.All('ключ')).keys()].sort(), ['ключ', 'ключи'])
    assert.deepEqual([await kv.Delete('ключ'), await kv.Delete('ключ')], [true, false])
    await kv[Symbol.asyncDispose]()
    return undefined
  },
  errors: async ({ plugin }, host) => {
    const kv = await plugin.dispense('kv')
    const missing = await rejection(kv.Get('nø'))
    assert.ok(isRemoteError(missing) && missing.message === 'no such key: nø', String(missing))
    host.needsOwn()
    const wrong = (await host.launchAs(wrongContract)).plugin as unknown as Plugin<typeof wrongContract>
    const other = await wrong.dispense('kv')
    const absent = await rejection(other.Absent('x'))
    const argument = await rejection(other.Get({ Key: 'x' }))
    await wrong.close()
    assert.equal((absent as Error).message, "rpc: can't find method Plugin.Absent")
    await kv.Put({ Key: 'after all that' })
    return `argument of another type: ${(argument as Error).message}`
  },
  interfaces: async ({ plugin }) => {
    const kv = await plugin.dispense('kv')
    for (let i = 0; i < 2; i++) assert.deepEqual(await kv.Any(extras()), extras())
    return 'a map of six types, twice'
  },
  structs: async ({ plugin }) => {
    const faults = await plugin.dispense('faults')
    const report: Report = {
      Title: 'quarter',
      Made: { seconds: 1_770_091_506n, nanoseconds: 789, offsetSeconds: undefined },
      Rows: Array.from({ length: 5000 }, (_, i) => ({ Name: 'r'.repeat(i % 40), Score: i / 3, Tags: ['x', ''], Ok: i % 2 === 0 })),
      Totals: new Map(Object.entries({ a: -0.5, b: 1e300 })),
      Matrix: [[1, -2], [], [1 << 30]],
      Checksum: Uint8Array.of(1, 0, 0, 255),
      Huge: -123456789012345678901234567890n,
      Ratio: { re: 1, im: 2 },
      Parent: { ...emptyReport, Title: 'year', Parent: { ...emptyReport, Title: 'decade' } },
      Extra: extras(),
    }
    const got = await faults.Reverse(report)
    assert.deepEqual(got.Rows, report.Rows.toReversed())
    assert.equal(got.Parent?.Title, 'reversed')
    assert.deepEqual(got.Parent?.Parent, report.Parent)
    assert.deepEqual({ ...got, Rows: [], Parent: null }, { ...report, Rows: [], Parent: null })
    return '5000 rows, time, big integer, complex, array, matrix, recursion, interfaces'
  },
  instances: async ({ plugin }) => {
    await allOf(100, async i => {
      const counter = await plugin.dispense('counter')
      let sum = 0n
      for (let turn = 0; turn < 10; turn++) sum = await counter.Add(i)
      assert.equal(sum, BigInt(10 * i))
      await counter[Symbol.asyncDispose]()
    })
    return '100, each with a state of its own'
  },
  'unknown-kind': async (_session, host) => {
    host.needsOwn()
    const wrong = (await host.launchAs(wrongContract)).plugin as unknown as Plugin<typeof wrongContract>
    const failure = await rejection(wrong.dispense('absent'))
    await wrong.close()
    return (failure as Error).message
  },
  sequential: async ({ plugin }) => {
    const faults = await plugin.dispense('faults')
    const began = performance.now()
    for (let i = 0; i < 500; i++) await faults.Big(Uint8Array.of(1))
    return `500 calls, ${Math.round((performance.now() - began) * 2)} µs each`
  },
  concurrent: async ({ plugin }) => {
    const faults = await plugin.dispense('faults')
    await allOf(500, async i => {
      const sent = Buffer.alloc(10_000, i)
      assert.ok(sent.equals(await faults.Big(sent)))
    })
    return '500 calls of 10 KB'
  },
  'out-of-order': async ({ plugin }) => {
    const faults = await plugin.dispense('faults')
    let over = false
    const slow = faults.Sleep(500).then(() => {
      over = true
    })
    await faults.Sleep(0)
    assert.equal(over, false, 'the slow call was answered first')
    await slow
    return 'a quick call overtakes a slow one'
  },
  big: async ({ plugin }) => {
    const faults = await plugin.dispense('faults')
    const sent = Buffer.alloc(64 << 20, 'plugwire')
    const began = performance.now()
    const got = await faults.Big(sent)
    const tookMs = Math.round(performance.now() - began)
    assert.ok(sent.equals(got))
    return `64 MiB there and back in ${tookMs} ms`
  },
  'broker-to-host': async ({ plugin }) => {
    await callBack(plugin)
    return '10 interfaces of the host called from the plugin'
  },
  'broker-to-plugin': async ({ plugin }) => {
    const broker = await plugin.dispense('broker')
    for (let i = 0; i < 10; i++) {
      const counter = await broker.Open(1000n)
      let sum = 0n
      for (let turn = 0; turn < 20; turn++) sum = await counter.Add(2n)
      assert.equal(sum, 1040n)
      await counter[Symbol.asyncDispose]()
    }
    return '10 interfaces of the plugin called from the host'
  },
  'broker-stream': async ({ plugin }, { options }) => {
    const broker = await plugin.dispense('broker')
    const sum = new Sum()
    const target = new PassThrough().on('data', chunk => sum.add(chunk))
    const began = performance.now()
    const poured = await broker.Pour({ Id: target, Bytes: options.pour })
    if (!target.readableEnded) await new Promise(resolve => target.once('end', resolve))
    assert.deepEqual({ Bytes: sum.bytes, Crc: sum.crc }, poured)
    assert.equal(sum.bytes, BigInt(options.pour))
    return `from the plugin ${mebibytes(options.pour, began)}`
  },
  'broker-reader': async ({ plugin }, { options }) => {
    const broker = await plugin.dispense('broker')
    const sum = new Sum()
    const began = performance.now()
    const drained = await broker.Drain(Readable.from(pieces(options.pour, sum), { objectMode: false }))
    assert.deepEqual(drained, { Bytes: sum.bytes, Crc: sum.crc })
    assert.equal(sum.bytes, BigInt(options.pour))
    return `to the plugin ${mebibytes(options.pour, began)}`
  },
  'broker-unknown': async (_session, host) => {
    host.needsOwn()
    const wrong = (await host.launchAs(wrongContract)).plugin as unknown as Plugin<typeof wrongContract>
    const broker = await wrong.dispense('broker')
    const began = performance.now()
    const failure = await rejection(broker.CallBack({ Id: 4_000_000_000, Times: 1 }))
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    const byHand = brokerOf(broker)
    const id = byHand.nextId()
    const [sum] = await Promise.all([broker.CallBack({ Id: id, Times: 20 }), byHand.acceptAndServe(id, counterMethods, new Counter(100n))])
    assert.equal(sum, 120n, 'the broker is lost after it')
    await wrong.close()
    return `failed after ${seconds} s: ${(failure as Error).message}`
  },
}

await main({
  contract: netrpcContract,
  absentContract,
  severalContract,
  checks,
  useBroker: async ({ plugin }) => {
    await callBack(plugin)
    return undefined
  },
  faultsOf: async plugin => {
    const faults = await plugin.dispense('faults')
    return {
      print: ({ stdout = '', stderr = '', raw = '' }) => faults.Print({ Stdout: stdout, Stderr: stderr, Raw: raw }),
      log: (level, message, fields) => faults.Log({ Level: level, Message: message, Fields: new Map(Object.entries(fields)) }),
      panic: text => faults.Panic(text),
      exit: code => faults.Exit(code),
      about: async () => {
        const { Language, Pid, Version, PluginEnvironment } = await faults.About({})
        return { language: Language, pid: Pid, version: Version, pluginEnvironment: PluginEnvironment }
      },
    }
  },
})
