import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { bindClient, bindServer } from '../../src/service/bind.ts'
import type { GrpcClient, GrpcHandlers } from '../../src/service/types.ts'
import { GrpcError, isGrpcError } from '../../src/transport/grpc-error.ts'
import type { GrpcContext } from '../../src/transport/seam.ts'
import { type Entry, EntrySchema, type Filter, Kind, type Put, Store } from './fixtures/store_pb.ts'
import { world } from './fixtures/world.ts'

/** A plain class is an implementation; what it need not answer it leaves to `Partial`. */
class MemoryStore implements Partial<GrpcHandlers<typeof Store>> {
  readonly #entries: Entry[] = []

  async put(entry: Entry, context: GrpcContext): Promise<{ bytes: bigint }> {
    if (entry.key === '') throw new GrpcError('INVALID_ARGUMENT', 'no key')
    context.setTrailer({ 'x-count': `${this.#entries.push(entry)}` })
    return { bytes: BigInt(entry.value.length) }
  }

  async import(entries: AsyncIterable<Entry>): Promise<{ bytes: bigint }> {
    let bytes = 0n
    for await (const entry of entries) {
      this.#entries.push(entry)
      bytes += BigInt(entry.value.length)
    }
    return { bytes }
  }

  *list({ prefix }: Filter): Generator<Entry> {
    for (const entry of this.#entries) if (entry.key.startsWith(prefix)) yield entry
  }

  async *sync(entries: AsyncIterable<Entry>): AsyncGenerator<{ key: string; sizeBytes: bigint }> {
    for await (const { key, value } of entries) yield { key, sizeBytes: BigInt(value.length) }
  }
}

const full = {
  key: 'a',
  value: Uint8Array.of(1, 2, 3),
  sizeBytes: -(2n ** 63n),
  version: 2n ** 64n - 1n,
  kind: Kind.PLAIN,
  counters: { x: 2n ** 60n },
  labels: [{ name: 'l' }],
  origin: { case: 'label' as const, value: { name: 'o' } },
  note: '',
}

test('a generated service, all four kinds of calls', async () => {
  await using shared = await world()
  await bindServer(Store, new MemoryStore(), shared.server)
  const store: GrpcClient<typeof Store> = await bindClient(Store, shared.channel)

  let count: unknown
  const put: Put = await store.put(full, { onTrailer: metadata => (count = metadata.get('x-count')) })
  assert.deepEqual([put.bytes, put.$typeName, count], [3n, 'test.store.v1.Put', '1'])

  const more = [{ key: 'b', value: new Uint8Array(10) }, create(EntrySchema, { key: 'c' })]
  assert.equal((await store.import(more)).bytes, 10n)

  const listed: Entry[] = []
  for await (const entry of store.list({ prefix: '' })) listed.push(entry)
  assert.deepEqual(listed[0], create(EntrySchema, full))
  assert.deepEqual(
    listed.map(({ key }) => key),
    ['a', 'b', 'c'],
  )

  const synced: [string, bigint][] = []
  for await (const { key, sizeBytes } of store.sync(more)) synced.push([key, sizeBytes])
  assert.deepEqual(synced, [
    ['b', 10n],
    ['c', 0n],
  ])
  await assert.rejects(store.put({}), error => isGrpcError(error, 'INVALID_ARGUMENT') && error.message === 'no key')
  await assert.rejects(store.getHTTPStatus({}), error => isGrpcError(error, 'UNIMPLEMENTED'))
})

test('a service can be fetched when it is needed', async () => {
  await using shared = await world()
  let fetched = 0
  const source = async () => {
    fetched++
    return (await import('./fixtures/store_pb.ts')).Store
  }
  assert.equal(fetched, 0)
  await bindServer(source, new MemoryStore(), shared.server)
  const store = await bindClient(source, shared.channel)
  assert.equal((await store.put({ key: 'k', value: Uint8Array.of(1) })).bytes, 1n)
  assert.deepEqual([fetched, shared.server.services], [2, ['test.store.v1.Store']])
})

test('wrong values fail where they are given', async () => {
  await using shared = await world()
  const wrong = { put: async () => ({ bytes: 'many' as unknown as bigint }) }
  await bindServer(Store, wrong, shared.server)
  const store = await bindClient(Store, shared.channel)
  await assert.rejects(
    store.put({ version: 'many' as unknown as bigint }),
    error => isGrpcError(error, 'INTERNAL') && /request of .*Put/.test(error.message),
  )
  await assert.rejects(store.put({ key: 'k' }), error => isGrpcError(error, 'INTERNAL') && /answer of .*Put/.test(error.message))
  await assert.rejects(bindServer(Store, wrong, shared.server), TypeError)
  await using other = await world()
  await assert.rejects(bindServer(Store, { list: 'none' } as never, other.server), TypeError)
})

/** For the compiler alone. */
export function typesAreHeld(store: GrpcClient<typeof Store>): void {
  // @ts-expect-error a key is text
  void store.put({ key: 1 })
  // @ts-expect-error there is no such field
  void store.put({ keys: 'a' })
  // @ts-expect-error there is no such method
  void store.putAll
  // @ts-expect-error what is streamed is no promise
  void store.list({ prefix: '' }).then
  // @ts-expect-error a stream is asked for
  void store.import({ key: 'a' })
  // @ts-expect-error the origin has no such case
  void store.put({ origin: { case: 'none', value: '' } })
  // @ts-expect-error bytes are a bigint
  const handlers: Partial<GrpcHandlers<typeof Store>> = { put: () => ({ bytes: 1 }) }
  void handlers
}
