// The host of the peers over gRPC, in TypeScript: what go/host_grpc.go checks.

import assert from 'node:assert/strict'
import { bindClient, isGrpcError } from '@plugwire/grpc'
import type { Plugin } from 'plugwire/host'
import { severalContract } from './contract.ts'
import { absentContract, Counter, counterFrom, grpcContract, type Integer, type Item, payloadOf } from './grpc-contract.ts'
import { allOf, type Check, eventually, type Host, main, rejection, Skip } from './host-battery.ts'

type PeerPlugin = Plugin<typeof grpcContract>
type GrpcCheck = Check<typeof grpcContract>

const faults = (plugin: PeerPlugin) => plugin.dispense('faults')

/** Waits until no Sleep runs any more and resolves to how many were cancelled so far. */
async function cancelledSleeps(plugin: PeerPlugin): Promise<number> {
  const remote = await faults(plugin)
  let last = { running: 0, cancelled: 0 }
  await eventually(async () => {
    last = await remote.sleepers({})
    return last.running === 0
  })
  return last.cancelled
}

function needsBroker(host: Host<typeof grpcContract>): void {
  if (host.options.tls === 'static') throw new Skip('a host with TLS of its own has no certificate to serve with')
}

async function callBack(plugin: PeerPlugin): Promise<void> {
  const { broker, calls } = await plugin.dispense('broker')
  const brokerId = broker.nextId()
  const [served, total] = await Promise.all([
    broker.serve(brokerId, registrar => registrar.add(Counter, counterFrom(100n))),
    calls.callBack({ brokerId, times: 20 }),
  ])
  assert.deepEqual(total, { sum: 120n, count: 20n })
  await served.close()
}

async function callOpened(plugin: PeerPlugin): Promise<void> {
  const { broker, calls } = await plugin.dispense('broker')
  const { brokerId } = await calls.open({ value: 1000 })
  const channel = await broker.dial(brokerId)
  const counter = await bindClient(Counter, channel)
  let total = { sum: 0n, count: 0n }
  for (let i = 0; i < 20; i++) total = await counter.add({ value: 2 })
  await channel.close()
  assert.deepEqual(total, { sum: 1040n, count: 20n })
}

const brokerMixed: GrpcCheck = async ({ plugin }, host) => {
  needsBroker(host)
  for (let i = 0; i < 20; i++) await (i % 2 === 0 ? callBack : callOpened)(plugin)
  return '20 services, to and fro'
}

const checks: { readonly [name: string]: GrpcCheck } = {
  ping: async ({ plugin }) => {
    await plugin.ping()
    return undefined
  },
  kv: async ({ plugin }) => {
    const kv = await plugin.dispense('kv')
    const entry = { key: 'ключ', value: Buffer.of(0, 1, 254, 255), tags: { a: '1', b: '' } }
    assert.equal((await kv.put(entry)).revision, 1n)
    assert.equal((await kv.put(entry)).revision, 2n)
    const got = await kv.get({ key: 'ключ' })
    assert.deepEqual({ ...got, value: Buffer.from(got.value ?? []) }, { ...entry, revision: 2n })
    assert.deepEqual(await kv.delete({ key: 'ключ' }), { existed: true })
    assert.deepEqual(await kv.delete({ key: 'ключ' }), { existed: false })
    return undefined
  },
  metadata: async ({ plugin }) => {
    const kv = await plugin.dispense('kv')
    const notes: unknown[] = []
    await kv.put(
      { key: 'noted' },
      {
        metadata: { 'peer-note': 'mind this' },
        onHeader: header => void notes.push(header.get('peer-note')),
        onTrailer: trailer => void notes.push(trailer.get('peer-note-end')),
      },
    )
    assert.deepEqual(notes, ['mind this', 'mind this'])
    return undefined
  },
  errors: async ({ plugin }) => {
    const kv = await plugin.dispense('kv')
    const missing = await rejection(kv.get({ key: 'nø' }))
    assert.ok(isGrpcError(missing, 'NOT_FOUND'), String(missing))
    assert.equal(missing.message, 'no such key: nø')
    assert.equal(String(missing.metadata.get('peer-key-bin')), 'nø')
    const [detail] = missing.details
    assert.equal(detail?.typeUrl, 'type.googleapis.com/plugwire.interop.NotFound')
    assert.deepEqual(Buffer.from(detail.value), Buffer.from('\n\x03nø'))
    const empty = await plugin.dispense('empty')
    assert.ok(isGrpcError(await rejection(empty.get({})), 'UNIMPLEMENTED'))
    return 'code, message, details, trailers, unimplemented'
  },
  streams: async ({ plugin }) => {
    const streams = await plugin.dispense('streams')
    for (const { count, size } of [
      { count: 0, size: 0 },
      { count: 2000, size: 4096 },
      { count: 5, size: 1 << 20 },
    ]) {
      let index = 0
      for await (const item of streams.down({ count, size })) {
        assert.equal(item.index, index)
        assert.ok(Buffer.from(payloadOf(index, size)).equals(item.payload), `payload of item ${index}`)
        index++
      }
      assert.equal(index, count)
    }
    async function* numbers(): AsyncGenerator<Integer> {
      for (let value = 0; value < 10_000; value++) yield { value: value - 1 }
    }
    assert.deepEqual(await streams.sum(numbers()), { sum: BigInt((9_999 * 10_000) / 2 - 10_000), count: 10_000n })
    async function* items(): AsyncGenerator<Item> {
      for (let index = 0; index < 1000; index++) yield { index, payload: payloadOf(index, 100) }
    }
    let echoed = 0
    for await (const item of streams.echo(items())) assert.equal(item.index, echoed++)
    assert.equal(echoed, 1000)
    return 'down 0, 2000 x 4 KB and 5 x 1 MiB, up 10000, both ways 1000'
  },
  'stream-cancel': async ({ plugin }) => {
    const [streams, kv] = await Promise.all([plugin.dispense('streams'), plugin.dispense('kv')])
    for (let i = 0; i < 20; i++) {
      for await (const { index } of streams.down({ count: 1_000_000, size: 1000 })) if (index === 9) break
    }
    await kv.put({ key: 'after cancelled streams' })
    return '20 streams left after 10 of a million items'
  },
  sequential: async ({ plugin }) => {
    const { big } = await faults(plugin)
    const began = performance.now()
    for (let i = 0; i < 500; i++) await big({ data: Buffer.from('x') })
    return `500 calls, ${Math.round((performance.now() - began) * 2)} µs each`
  },
  concurrent: async ({ plugin }) => {
    const { big } = await faults(plugin)
    await allOf(500, async i => {
      const sent = Buffer.alloc(10_000, i)
      assert.ok(sent.equals((await big({ data: sent })).data))
    })
    return '500 calls of 10 KB'
  },
  big: async ({ plugin }) => {
    const { big } = await faults(plugin)
    const sent = Buffer.from(payloadOf(7, 64 << 20))
    const began = performance.now()
    const { data } = await big({ data: sent })
    const tookMs = Math.round(performance.now() - began)
    assert.ok(sent.equals(data))
    return `64 MiB there and back in ${tookMs} ms`
  },
  cancel: async ({ plugin }) => {
    const before = await cancelledSleeps(plugin)
    const remote = await faults(plugin)
    const controller = new AbortController()
    const slept = rejection(remote.sleep({ ms: 60_000 }, { signal: controller.signal }))
    await eventually(async () => (await remote.sleepers({})).running === 1)
    controller.abort()
    assert.ok(isGrpcError(await slept, 'CANCELLED'), String(await slept))
    assert.equal((await cancelledSleeps(plugin)) - before, 1)
    return 'the plugin noticed'
  },
  deadline: async ({ plugin }) => {
    const before = await cancelledSleeps(plugin)
    const late = await rejection((await faults(plugin)).sleep({ ms: 60_000 }, { timeoutMs: 100 }))
    assert.ok(isGrpcError(late, 'DEADLINE_EXCEEDED'), String(late))
    assert.equal((await cancelledSleeps(plugin)) - before, 1)
    return 'the plugin noticed'
  },
  storm: async ({ plugin }) => {
    const calls = 1000
    const remote = await faults(plugin)
    for (let i = 0; i < 3; i++) {
      const controllers = Array.from({ length: calls }, () => new AbortController())
      const slept = controllers.map(({ signal }) => rejection(remote.sleep({ ms: 60_000 }, { signal })))
      await eventually(async () => (await remote.sleepers({})).running === calls)
      for (const controller of controllers) controller.abort()
      await Promise.all(slept)
      await cancelledSleeps(plugin)
    }
    return '3 times 1000 calls cancelled at once'
  },
  'broker-to-host': async ({ plugin }, host) => {
    needsBroker(host)
    await callBack(plugin)
    return 'the plugin called a service of the host'
  },
  'broker-to-plugin': async ({ plugin }, host) => {
    needsBroker(host)
    await callOpened(plugin)
    return 'the host called a second service of the plugin'
  },
  'broker-mixed': brokerMixed,
  'broker-unknown': async ({ plugin }, host) => {
    needsBroker(host)
    const { calls } = await plugin.dispense('broker')
    const began = performance.now()
    const failure = await rejection(calls.callBack({ brokerId: 4_000_000_000, times: 1 }, { timeoutMs: 12_000 }))
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    await callBack(plugin)
    return `failed after ${seconds} s: ${(failure as Error).message}`
  },
}

await main({
  contract: grpcContract,
  absentContract,
  severalContract,
  checks,
  useBroker: brokerMixed,
  faultsOf: async plugin => {
    const remote = await faults(plugin)
    return {
      print: texts => remote.print(texts),
      log: (level, message, fields) => remote.log({ level, message, fields }),
      panic: text => remote.panic({ text }),
      exit: code => remote.exit({ code }),
      about: async () => {
        const about = await remote.about({})
        return { ...about, pid: Number(about.pid) }
      },
    }
  },
})
