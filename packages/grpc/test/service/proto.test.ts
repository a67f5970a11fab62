import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isPluginError } from 'plugwire'
import { bindClient, bindServer } from '../../src/service/bind.ts'
import { proto } from '../../src/service/proto.ts'
import type { GrpcClient, GrpcHandlers } from '../../src/service/types.ts'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import { Store as Generated } from './fixtures/store_pb.ts'
import { world } from './fixtures/world.ts'

interface Entry {
  key: string
  value?: Uint8Array
  sizeBytes?: bigint
  version?: bigint
  kind?: 'KIND_UNSPECIFIED' | 'KIND_PLAIN'
  counters?: Record<string, bigint>
  labels?: { name: string }[]
  path?: string
  label?: { name: string } | null
  origin?: 'path' | 'label'
  note?: string
}

interface Store {
  put(entry: Entry): Promise<{ bytes: bigint }>
  import(entries: AsyncIterable<Entry>): Promise<{ bytes: bigint }>
  list(filter: { prefix: string }): AsyncIterable<Entry>
  sync(entries: AsyncIterable<Entry>): AsyncIterable<Entry>
  getHTTPStatus(): Promise<Record<string, never>>
}

/** Sources are not copied to where tests are built. */
const file = new URL('../../../test/service/fixtures/store.proto', import.meta.url)
const store = proto<Store>(file, 'test.store.v1.Store')

function handlers(seen: Entry[]): GrpcHandlers<typeof store> {
  return {
    put: entry => {
      seen.push(entry)
      return { bytes: BigInt(entry.value?.length ?? 0) }
    },
    import: async entries => {
      let bytes = 0n
      for await (const entry of entries) bytes += BigInt(entry.value?.length ?? 0)
      return { bytes }
    },
    list: ({ prefix }) => seen.filter(({ key }) => key.startsWith(prefix)),
    async *sync(entries) {
      for await (const entry of entries) yield { key: entry.key.toUpperCase() }
    },
    getHTTPStatus: () => ({}),
  }
}

const full: Entry = {
  key: 'a',
  value: Buffer.from([1, 2, 3]),
  sizeBytes: -(2n ** 63n),
  version: 2n ** 64n - 1n,
  kind: 'KIND_PLAIN',
  counters: { x: 2n ** 60n },
  labels: [{ name: 'l' }],
  label: { name: 'o' },
  note: '',
}

test('a .proto file without generated code, all four kinds of calls', async () => {
  await using shared = await world()
  const seen: Entry[] = []
  await bindServer(store, handlers(seen), shared.server)
  const client: GrpcClient<typeof store> = await bindClient(store, shared.channel)
  assert.deepEqual(await client.put(full), { bytes: 3n })
  assert.deepEqual({ ...seen[0] }, { ...full, origin: 'label' })
  assert.deepEqual(await client.import([{ key: '', value: new Uint8Array(5) }]), { bytes: 5n })
  const listed: Entry[] = []
  for await (const entry of client.list({ prefix: 'a' })) listed.push(entry)
  assert.equal(listed.length, 1)
  const synced: string[] = []
  for await (const { key } of client.sync([{ key: 'x' }, { key: 'y' }])) synced.push(key)
  assert.deepEqual(synced, ['X', 'Y'])
  assert.deepEqual({ ...(await client.getHTTPStatus({})) }, {})
})

test('fields that were not set have their default', async () => {
  await using shared = await world()
  const seen: Entry[] = []
  await bindServer(store, handlers(seen), shared.server)
  await (await bindClient(store, shared.channel)).put({ key: '' })
  assert.deepEqual(
    { ...seen[0] },
    { key: '', value: Buffer.alloc(0), sizeBytes: 0n, version: 0n, kind: 'KIND_UNSPECIFIED', counters: {}, labels: [] },
  )
})

test('it speaks with generated code, in both directions', async () => {
  await using shared = await world()
  const seen: Entry[] = []
  await bindServer(store, handlers(seen), shared.server)
  const generated = await bindClient(Generated, shared.channel)
  const { bytes } = await generated.put({
    ...full,
    value: Uint8Array.of(1, 2, 3),
    kind: 1,
    origin: { case: 'path', value: 'p' },
  } as Parameters<typeof generated.put>[0])
  assert.equal(bytes, 3n)
  assert.deepEqual([seen[0]?.path, seen[0]?.origin, seen[0]?.counters], ['p', 'path', full.counters])
  for await (const entry of generated.list({ prefix: '' })) assert.deepEqual(entry.origin, { case: 'path', value: 'p' })
})

test('the text itself will do', async () => {
  await using shared = await world()
  const text = readFileSync(file, 'utf8').replace('import "shared.proto";', 'message Label { string name = 1; }')
  const service = proto<Store>(text, 'test.store.v1.Store')
  await bindServer(service, handlers([]), shared.server)
  assert.deepEqual(await (await bindClient(service, shared.channel)).put({ key: 'k', value: new Uint8Array(2) }), { bytes: 2n })
})

test('without an interface anything goes, to the compiler', async () => {
  await using shared = await world()
  const service = proto(file, 'test.store.v1.Store')
  await bindServer(service, { put: () => ({ bytes: 1 }) }, shared.server)
  const client = await bindClient(service, shared.channel)
  assert.deepEqual(await client['put']?.({ key: 'k' }), { bytes: 1n })
  await assert.rejects(client['list']?.({}).next() as Promise<unknown>, error => isGrpcError(error, 'UNIMPLEMENTED'))
})

test('what cannot be read is told of when it is bound', async () => {
  await using shared = await world()
  await assert.rejects(bindClient(proto('/nowhere.proto', 'a.B'), shared.channel), /nowhere.proto/)
  await assert.rejects(
    bindClient(proto(file, 'test.store.v1.Shop'), shared.channel),
    error =>
      isPluginError(error, 'ERR_CONTRACT') &&
      /store.proto has no service test.store.v1.Shop; it has: test.store.v1.Store$/.test(error.message),
  )
  await assert.rejects(bindClient(proto('syntax = "proto3"; service {', 'S'), shared.channel))
})

test('a field that is named as in the file is not left out without a word', async () => {
  await using shared = await world()
  const text = `syntax = "proto3"; service S { rpc Put(A) returns (A); }
    message A { int64 size_bytes = 1; repeated A some_parts = 2; map<string, A> named = 3; A inner = 4; }`
  const service = proto(text, 'S')
  await bindServer(service, { put: (request: object) => request }, shared.server)
  const { put } = (await bindClient(service, shared.channel)) as { put(request: object): Promise<{ sizeBytes: bigint }> }
  assert.equal((await put({ sizeBytes: 1n })).sizeBytes, 1n)
  const wrong = { size_bytes: 1n }
  for (const request of [wrong, { someParts: [{}, wrong] }, { named: { a: wrong } }, { inner: { inner: wrong } }]) {
    await assert.rejects(
      put(request),
      error => isGrpcError(error, 'INTERNAL') && /A has no size_bytes; here it is written sizeBytes/.test(error.message),
    )
  }
  assert.equal((await put(await put({ sizeBytes: 2n, inner: { sizeBytes: 3n } }))).sizeBytes, 2n)
})

test('values that do not fit their fields are refused where they are given, by their path', async () => {
  await using shared = await world()
  const text = `syntax = "proto3"; service S { rpc Put(A) returns (A); } enum Mood { GLAD = 0; SAD = 1; }
    message A { int64 count = 1; repeated string words = 2; map<string, A> named = 3; bytes data = 4; Mood mood = 5; bool on = 6; double d = 7;
      oneof either { string left = 8; int32 right = 9; } }`
  const service = proto(text, 'S')
  await bindServer(service, { put: (request: object) => request }, shared.server)
  const { put } = (await bindClient(service, shared.channel)) as { put(request: object): Promise<object> }
  const wrong: readonly (readonly [request: object, told: RegExp])[] = [
    [{ count: 'many' }, /count of A is a bigint or a whole number, not "many"/],
    [{ words: 'one' }, /words of A is an array, not "one"/],
    [{ words: ['a', 5] }, /words\[1\] of A is a string, not number 5/],
    [{ named: { x: { data: 'text' } } }, /named\["x"\]\.data of A is a Uint8Array, not "text"/],
    [{ mood: 'ANGRY' }, /mood of A is one of GLAD, SAD, not "ANGRY"/],
    [{ on: 1 }, /on of A is a boolean/],
    [{ d: '1' }, /d of A is a number/],
    [{ right: 1.5 }, /right of A is a whole number/],
    [{ colour: 1 }, /A has no colour; it has count, words, named, data, mood, on, d, left, right/],
  ]
  for (const [request, told] of wrong) {
    await assert.rejects(put(request), error => isGrpcError(error, 'INTERNAL') && told.test(error.message), String(told))
  }
  const right = {
    count: 7,
    words: ['a'],
    named: { x: { data: new Uint8Array(1) } },
    mood: 'SAD',
    on: true,
    d: 0.5,
    right: -1,
    left: undefined,
  }
  // What comes back has the name of its oneof, and may be sent as it is.
  await put(await put(right))
})
