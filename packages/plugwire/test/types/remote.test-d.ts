// What the types of a contract must accept and must make of it. Nothing here runs: the compiler is the test.

import type { Readable, Writable } from 'node:stream'
import type { ByRef } from '../../src/by-ref.ts'
import type {
  ConfigOf,
  ContractVersions,
  Dispenser,
  Factories,
  InterfaceOf,
  Kind,
  KindNames,
  RemoteOf,
  TwoSided,
} from '../../src/contract.ts'
import { contract, kind } from '../../src/contract.ts'
import type { Implementation, Remote, RemoteFunction, RemoteValue, ValidInterface } from '../../src/remote.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type Fits<A, B> = [A] extends [B] ? true : false
declare function expect<_Holds extends true>(): void

// ---- interfaces that are accepted

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
type UserId = string & { readonly brand: unique symbol }
interface Tree {
  value: number
  children: readonly Tree[]
  parent?: Tree
}
interface Chain<T> {
  value: T
  next?: Chain<T[]>
}
class Point {
  x = 0
  y = 0
}
interface Cursor {
  next(): Promise<string | undefined>
  rewind(): void
}
interface Handle extends AsyncDisposable {
  read(bytes: number): Uint8Array
}
interface Everything {
  primitives(a: string, b: number, c: boolean, d: bigint, e: null, f: undefined): void
  optional(a: string, b?: number): Promise<void>
  rest(a: string, ...more: number[]): number
  tuple(pair: readonly [name: string, size?: number]): [string, ...number[]]
  builtin(a: Date, b: RegExp, c: Error, d: URL, e: ArrayBuffer, f: DataView, g: Float64Array, h: Buffer): TypeError
  maps(a: Map<string, Date>, b: ReadonlyMap<UserId, Set<bigint>>): ReadonlySet<string>
  json(value: Json): Json
  tree(tree: Tree): Promise<Tree | undefined>
  chain(chain: Chain<string>): void
  branded(id: UserId): UserId
  union(value: { kind: 'a'; a: number } | { kind: 'b'; b: Uint8Array }): 'x' | 'y' | undefined
  instance(point: Point): Point
  anything(a: any, b: unknown): any
  object(a: object, b: {}, c: Record<string, unknown>): object
  callback(each: (item: string, index: number) => number): Promise<void>
  listeners(on: { data?: (chunk: Uint8Array) => void; end: () => void }): void
  returned(): (n: number) => number
  signal(signal?: AbortSignal): void
  rows(rows: AsyncIterable<Tree>): AsyncIterable<Tree>
  generator(): AsyncGenerator<Tree, void, undefined>
  later(): Promise<AsyncIterable<number>>
  web(a: ReadableStream<Uint8Array>, b: WritableStream<Uint8Array>): ReadableStream<string>
  node(a: Readable, b: Writable): NodeJS.ReadableStream
  cursor(): Promise<ByRef<Cursor>>
  handle(path: string): Promise<Handle>
  handles(): Promise<Handle[]>
  give(handle: Handle, cursor: ByRef<Cursor>): void
  generic<T>(value: T): Promise<T>
  genericSync<T extends string>(value: T): T
  overloaded(a: string): Promise<string>
  overloaded(a: number): Promise<number>
  maybe?(a: number): number
  readonly property: (a: string) => Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
expect<Fits<Everything, ValidInterface<Everything>>>()
contract<{ everything: Everything; also: Cursor }>({ name: 'all', version: 1 })
kind<Everything, { region: string }>()

type Alias = { get(key: string): string }
contract<{ alias: Alias }>({ name: 'alias', version: 1 })
contract<{ loose: any; methods: Record<string, (value: Json) => Json> }>({ name: 'any', version: 1 })

class MemoryStore {
  #rows = new Map<string, string>()
  get(key: string): string | undefined {
    return this.#rows.get(key)
  }
}
contract<{ store: MemoryStore }>({ name: 'class', version: 1 })

// ---- what becomes of them

type All = Remote<Everything>
type Expected = {
  rest: (a: string, ...more: number[]) => Promise<number>
  tuple: (pair: readonly [name: string, size?: number]) => Promise<[string, ...number[]]>
  json: (value: Json) => Promise<Json>
  tree: (tree: Tree) => Promise<Tree | undefined>
  branded: (id: UserId) => Promise<UserId>
  union: (value: { kind: 'a'; a: number } | { kind: 'b'; b: Uint8Array }) => Promise<'x' | 'y' | undefined>
  instance: (point: Point) => Promise<Point>
  anything: (a: any, b: unknown) => Promise<any>
  signal: (signal?: AbortSignal) => Promise<void>
  rows: (rows: AsyncIterable<Tree>) => AsyncIterable<Tree>
  generator: () => AsyncIterable<Tree>
  later: () => Promise<AsyncIterable<number>>
  web: (a: ReadableStream<Uint8Array>, b: WritableStream<Uint8Array>) => Promise<ReadableStream<string>>
  node: (a: Readable, b: Writable) => Promise<NodeJS.ReadableStream>
  returned: () => Promise<RemoteFunction<(n: number) => number>>
  cursor: () => Promise<Remote<Cursor>>
  handle: (path: string) => Promise<Remote<Handle>>
  handles: () => Promise<Remote<Handle>[]>
  genericSync: (value: string) => Promise<string>
  property: (a: string) => Promise<void>
}
type Difference = { [Name in keyof Expected]: Equal<All[Name], Expected[Name]> extends true ? never : Name }[keyof Expected]
expect<Equal<Difference, never>>()

// Asynchronous already: the method keeps its own type, with type parameters and overloads.
expect<Equal<All['generic'], Everything['generic']>>()
expect<Equal<All['overloaded'], Everything['overloaded']>>()
expect<Equal<All['maybe'], ((a: number) => Promise<number>) | undefined>>()
expect<Fits<All, AsyncDisposable>>()
expect<Equal<Exclude<keyof All, keyof Everything>, never>>()

// What is no method cannot be read from afar, so it is not there.
expect<Equal<keyof Remote<{ size: number; get(): string; [Symbol.iterator](): string }>, 'get' | typeof Symbol.asyncDispose>>()

// Data stays as it was written; only what changes is spelled out.
expect<Equal<RemoteValue<Tree>, Tree>>()
expect<Equal<RemoteValue<Json>, Json>>()
expect<Equal<RemoteValue<Map<string, Handle>>, Map<string, Remote<Handle>>>>()
expect<Equal<RemoteValue<AsyncDisposable>, AsyncDisposable>>()
expect<Equal<RemoteValue<any>, any>>()
expect<Equal<RemoteValue<unknown>, unknown>>()

declare const all: All
// A callback may answer at once or later, whatever the interface says.
void all.callback(item => item.length)
void all.callback(async item => item.length)
void all.listeners({ end: async () => {} })
// @ts-expect-error a callback of the wrong type is still refused
void all.callback((item: number) => item)
// @ts-expect-error arguments are checked
void all.optional(1)

declare const handle: Remote<Handle>
declare const cursor: Remote<Cursor>
declare const marked: ByRef<Cursor>
void all.give(handle, cursor) // a remote object may be handed back
void all.give({ read: async bytes => new Uint8Array(bytes), [Symbol.dispose]() {} }, marked)
// @ts-expect-error an object that is neither marked nor disposable would be copied
void all.give({ read: (bytes: number) => new Uint8Array(bytes) }, { next: async () => undefined, rewind() {} })

async function use(): Promise<void> {
  await using held = await all.handle('a')
  expect<Equal<typeof held, Remote<Handle>>>()
  for await (const row of all.rows(all.rows(rows()))) expect<Equal<typeof row, Tree>>()
  await using double = await all.returned()
  expect<Equal<number, Awaited<ReturnType<typeof double>>>>()
}
async function* rows(): AsyncGenerator<Tree> {}
void use

// An interface that is asynchronous throughout is taken as it is, so an editor shows its own methods and their documentation.
interface Async {
  get(key: string): Promise<string>
  watch(prefix: string): AsyncIterable<Tree>
}
expect<Equal<Remote<Async>, Async & AsyncDisposable>>()
expect<Equal<Fits<Remote<Everything>, Everything>, false>>()

// ---- types that contain themselves

interface Scope extends AsyncDisposable {
  child(name: string): Scope
  children(): AsyncIterable<Scope>
  adopt(scope: Scope): void
  graph(node: Node): Node
}
interface Node {
  byName: Map<string, Node>
  all: ReadonlySet<Node>
  stream: AsyncIterable<Node>
  self: () => Node
  visit: (node: Node) => void
  pair: [Node, ...Node[]]
}
contract<{ scope: Scope }>({ name: 'scope', version: 1 })
expect<Equal<Remote<Scope>['child'], (name: string) => Promise<Remote<Scope>>>>()
expect<Equal<Remote<Scope>['children'], () => AsyncIterable<Remote<Scope>>>>()
expect<Equal<RemoteValue<Node>['self'], RemoteFunction<() => Node>>>()
expect<Equal<RemoteValue<Node>['pair'], [RemoteValue<Node>, ...RemoteValue<Node>[]]>>()
declare const scope: Remote<Scope>
void scope.adopt(scope)

// ---- what serves them

interface Store {
  get(key: string): Promise<Uint8Array | undefined>
  put(key: string, value: Uint8Array): Promise<void>
  watch(prefix: string): AsyncIterable<string>
  evict(decide: (key: string) => boolean): Promise<number>
  count(): number
  open(): Promise<ByRef<Cursor>>
}

class SyncStore {
  secret = 1
  #rows = new Map<string, Uint8Array>()
  get(key: string): Uint8Array | undefined {
    return this.#rows.get(key)
  }
  put(key: string, value: Uint8Array): void {
    this.#rows.set(key, value)
  }
  async *watch(_prefix: string): AsyncGenerator<string> {}
  async evict(decide: (key: string) => Promise<boolean>): Promise<number> {
    return (await decide('a')) ? 1 : 0
  }
  async count(): Promise<number> {
    return this.#rows.size
  }
  open(): ByRef<Cursor> {
    return marked
  }
}
expect<Fits<SyncStore, Implementation<Store>>>()

class OwnStore implements Store {
  async get(_key: string): Promise<Uint8Array | undefined> {
    return undefined
  }
  async put(): Promise<void> {}
  async *watch(): AsyncGenerator<string> {}
  async evict(decide: (key: string) => boolean): Promise<number> {
    return Number(decide('a'))
  }
  count(): number {
    return 0
  }
  async open(): Promise<ByRef<Cursor>> {
    return marked
  }
}
// A callback that answers at once in the interface still answers later here; treating its promise as the answer is refused.
expect<Equal<Fits<OwnStore, Implementation<Store>>, false>>()
expect<Fits<Omit<OwnStore, 'evict'>, Implementation<Omit<Store, 'evict'>>>>()
expect<Fits<MemoryStore, Implementation<MemoryStore>>>()

// ---- contracts

interface StoreConfig {
  region: string
}
interface Admin {
  compact(): void
}
const one = contract<{ store: Kind<Store, StoreConfig>; admin: Admin }>({ name: 'kv', version: 1 })
const several = contract({
  name: 'kv',
  versions: { 1: { store: kind<Admin>() }, 2: { store: kind<Store, StoreConfig>(), admin: kind<Admin, { deep: boolean } | undefined>() } },
})

expect<Equal<ContractVersions<typeof one>, number>>()
expect<Equal<ContractVersions<typeof several>, 1 | 2>>()
expect<Equal<KindNames<typeof several, 1>, 'store'>>()
expect<Equal<KindNames<typeof several, 2>, 'store' | 'admin'>>()
expect<Equal<InterfaceOf<typeof several, 'store', 1>, Admin>>()
expect<Equal<InterfaceOf<typeof several, 'store', 2>, Store>>()
expect<Equal<InterfaceOf<typeof one, 'store'>, Store>>()
expect<Equal<ConfigOf<typeof one, 'store'>, StoreConfig>>()
expect<Equal<ConfigOf<typeof one, 'admin'>, unknown>>()

declare const plugin: Dispenser<typeof one>
expect<Equal<Awaited<ReturnType<typeof plugin.dispense<'store'>>>, Remote<Store>>>()
void plugin.dispense('store', { region: 'eu' })
void plugin.dispense('admin')
void plugin.dispense('admin', { any: 'thing' })
// @ts-expect-error the configuration has a type and may not be left out
void plugin.dispense('store')
// @ts-expect-error nor be another
void plugin.dispense('store', { region: 1 })
// @ts-expect-error no such kind
void plugin.dispense('stor', { region: 'eu' })

declare const negotiated: Dispenser<typeof several>
if (negotiated.version === 2) {
  void negotiated.dispense('store', { region: 'eu' })
  void negotiated.dispense('admin')
} else {
  expect<Equal<typeof negotiated.version, 1>>()
  void negotiated.dispense('store')
  // @ts-expect-error version 1 has no such kind
  void negotiated.dispense('admin')
}

const untyped = contract({ name: 'kv', version: 1 })
declare const whatever: Dispenser<typeof untyped>
expect<Equal<Awaited<ReturnType<typeof whatever.dispense<'any'>>>, Remote<any>>>()
async function useUntyped(): Promise<void> {
  const anything = await whatever.dispense('any', { thing: true })
  expect<Equal<Promise<any>, ReturnType<NonNullable<(typeof anything)['method']>>>>()
}
void useUntyped

declare function serve<C>(contract: C, factories: Factories<C, { readonly version: number }>): void
serve(one, {
  store: (config, context) => {
    expect<Equal<typeof config, StoreConfig>>()
    expect<Equal<typeof context.version, number>>()
    return new SyncStore()
  },
  admin: async () => ({ async compact() {} }),
})
serve(several, { 1: { store: () => ({ compact() {} }) }, 2: { store: () => new SyncStore(), admin: () => ({ compact() {} }) } })
// @ts-expect-error a kind is missing
serve(one, { store: () => new SyncStore() })
// @ts-expect-error a version is missing
serve(several, { 1: { store: () => ({ compact() {} }) } })
// @ts-expect-error a kind of version 2 is missing
serve(several, { 1: { store: () => ({ compact() {} }) }, 2: { store: () => new SyncStore() } })
// @ts-expect-error a method is missing
serve(one, { store: () => ({ get: () => undefined }), admin: () => ({ compact() {} }) })
// @ts-expect-error the class takes its callback's promise for the answer
serve(one, { store: () => new OwnStore(), admin: () => ({ compact() {} }) })

// ---- schemas

declare const pair: { '~standard': { version: 1; vendor: 'x'; validate: (value: unknown) => { value: [string, Uint8Array] } } }
declare const text: {
  '~standard': { version: 1; vendor: 'x'; validate: (value: unknown) => { value: string } | { issues: [{ message: string }] } }
}
contract<{ store: Store }>({ name: 'kv', version: 1, schemas: { store: { put: { args: pair }, watch: { result: text } } } })
kind<Store>({ schemas: { put: { args: pair } } })
// @ts-expect-error no such method
kind<Store>({ schemas: { pot: { args: pair } } })
// @ts-expect-error a schema for other arguments
kind<Store>({ schemas: { put: { args: text } } })
// @ts-expect-error no such kind
contract<{ store: Store }>({ name: 'kv', version: 1, schemas: { stor: {} } })

interface Calls {
  get(request: { key: string }, options?: { signal?: AbortSignal }): Promise<{ value: string }>
}
interface Handlers {
  get(request: { key: string }, context: { readonly signal: AbortSignal }): Promise<{ value: string }>
}
declare const foreign: Kind<TwoSided<Calls, Handlers>>
const mixed = contract({ name: 'kv', versions: { 2: { kv: foreign }, 3: { store: kind<Store>() } } })
declare const either: Dispenser<typeof mixed>
if (either.version === 2) {
  expect<Equal<Awaited<ReturnType<typeof either.dispense<'kv'>>>, Calls>>()
  // @ts-expect-error version 2 has no such kind
  void either.dispense('store')
}
expect<Equal<ReturnType<Factories<typeof mixed>[2]['kv']>, Handlers | PromiseLike<Handlers>>>()
expect<Equal<RemoteOf<typeof mixed, 'kv', 2>, Calls>>()
