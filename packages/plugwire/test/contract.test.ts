import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { byRef, isByRef } from '../src/by-ref.ts'
import { type Contract, contract, derivedCookie, factoriesByVersion, kind, kindOf, protocolsOf } from '../src/contract.ts'
import { isPluginError } from '../src/errors.ts'
import type { StandardSchema } from '../src/standard-schema.ts'

interface Store {
  get(key: string): Promise<string>
  put(key: string, value: string): Promise<void>
}
interface Admin {
  compact(): void
}

// The checks are for those who have no compiler, so the tests pass what a compiler refuses.
const loose = contract as unknown as (options: unknown) => Contract

function refused(make: () => unknown, reason: RegExp): void {
  assert.throws(make, error => {
    assert.ok(isPluginError(error, 'ERR_CONTRACT'), String(error))
    assert.match(error.facts.reason, reason)
    return true
  })
}

const anything: StandardSchema = { '~standard': { version: 1, vendor: 'test', validate: value => ({ value }) } }
const pair = anything as StandardSchema<unknown, [string, string]>

test('a contract of one version is frozen data, open to any kind name', () => {
  const kv = contract<{ store: Store }>({ name: 'kv', version: 3 })
  assert.equal(kv.name, 'kv')
  assert.deepEqual(
    kv.versions.map(version => [version.version, version.open]),
    [[3, true]],
  )
  assert.ok(Object.isFrozen(kv) && Object.isFrozen(kv.versions) && Object.isFrozen(kv.versions[0]) && Object.isFrozen(kv.cookie))
  assert.deepEqual(kindOf(kv, 3, 'store'), { protocol: 'plugwire' })
  assert.equal(kindOf(kv, 2, 'store'), undefined)
  assert.deepEqual(protocolsOf(kv.versions[0]!), ['plugwire'])
})

test('a contract of several versions knows its kinds, in ascending order of versions', () => {
  const foreign = Object.freeze({ protocol: 'grpc', driver: {} })
  const kv = contract({ name: 'kv', versions: { 10: { store: kind<Store>(), admin: kind<Admin>() }, 2: { store: foreign } } })
  assert.deepEqual(
    kv.versions.map(version => [version.version, version.open]),
    [
      [2, false],
      [10, false],
    ],
  )
  assert.equal(kindOf(kv, 2, 'store'), foreign)
  assert.equal(kindOf(kv, 2, 'admin'), undefined)
  assert.equal(kindOf(kv, 10, 'admin')?.protocol, 'plugwire')
  assert.deepEqual(protocolsOf(kv.versions[0]!), ['grpc'])
})

test('names that every object has are no kinds and no schemas', () => {
  const kv = contract({ name: 'kv', versions: { 1: { store: kind<Store>({ schemas: { put: { args: pair } } }) } } })
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(kindOf(kv, 1, name), undefined)
    assert.equal(kindOf(kv, 1, 'store')!.schemas![name], undefined)
  }
})

test('schemas are kept by kind and method', () => {
  const kv = contract<{ store: Store }>({ name: 'kv', version: 1, schemas: { store: { put: { args: pair, result: anything as never } } } })
  const schemas = kindOf(kv, 1, 'store')!.schemas!
  assert.equal(schemas['put']!.args, pair)
  assert.equal(schemas['put']!.result, anything)
  assert.equal(schemas['get'], undefined)
  assert.ok(Object.isFrozen(schemas) && Object.isFrozen(schemas['put']))
})

test('the cookie comes from the name unless it is given', () => {
  const own = contract<{ store: Store }>({ name: 'kv', version: 1, cookie: { key: 'BASIC_PLUGIN', value: 'hello' } })
  assert.deepEqual(own.cookie, { key: 'BASIC_PLUGIN', value: 'hello' })
  // Fixed for good: a host and a plugin built with different releases must agree on it. FNV-1a of the bytes 6b 00 76 00.
  assert.deepEqual(contract<{ store: Store }>({ name: 'kv', version: 1 }).cookie, { key: 'PLUGWIRE_KV', value: '13167868' })
  assert.equal(derivedCookie('@acme/log sink').key, 'PLUGWIRE__ACME_LOG_SINK')
})

test('a derived cookie always fits an environment and is the same each time', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), name => {
      const { key, value } = derivedCookie(name)
      assert.match(key, /^PLUGWIRE_[A-Z0-9_]+$/)
      assert.match(value, /^[0-9a-f]{8}$/)
      assert.deepEqual(derivedCookie(name), { key, value })
    }),
  )
})

test('a bad contract is refused with the place that is wrong', () => {
  const one = { 1: { store: kind<Store>() } }
  refused(() => loose(undefined), /object with name and version/)
  refused(() => loose({ version: 1 }), /name is empty/)
  refused(() => loose({ name: ' ', version: 1 }), /name is empty/)
  for (const name of ['a|b', 'a\nb', 'a=b', 'a\0b']) refused(() => loose({ name, version: 1 }), /^contract: name ".*" contains/)
  for (const version of [0, -1, 1.5, Number.NaN, 2 ** 53, '1', undefined])
    refused(() => loose({ name: 'kv', version }), /^contract: version is .* whole number from 1/)
  refused(() => loose({ name: 'kv', version: 1, versions: one }), /either version or versions/)
  refused(() => loose({ name: 'kv', versions: {} }), /versions is empty/)
  refused(() => loose({ name: 'kv', versions: null }), /versions is an object/)
  const foreign = { protocol: 'grpc', driver: {} }
  assert.equal(loose({ name: 'kv', versions: { 0: { kv: foreign } } }).versions[0]?.version, 0)
  for (const key of ['0', '01', '-1', '1.5', 'one', '9007199254740992']) {
    refused(() => loose({ name: 'kv', versions: { [key]: one[1] } }), /^contract: versions: ".*" is .* whole number/)
  }
  refused(() => loose({ name: 'kv', versions: { 4: {} } }), /versions\[4\] has no kinds/)
  refused(() => loose({ name: 'kv', versions: { 4: undefined } }), /versions\[4\] is an object/)
  refused(() => loose({ name: 'kv', versions: { 4: { store: {} } } }), /versions\[4\]\.store is no kind/)
  refused(
    () => loose({ name: 'kv', versions: { 4: { a: kind(), b: { protocol: 'grpc' } } } }),
    /versions\[4\] has kinds of plugwire and grpc; give each protocol a version of its own/,
  )
  refused(() => loose({ name: 'kv', versions: { 4: { 'a|b': kind() } } }), /versions\[4\] "a\|b" contains/)
  for (const cookie of [
    null,
    {},
    { key: '', value: 'x' },
    { key: 'A=B', value: 'x' },
    { key: 'A', value: '' },
    { key: 'A', value: 'x\0' },
  ]) {
    refused(() => loose({ name: 'kv', version: 1, cookie: cookie ?? 0 }), /^contract: cookie/)
  }
  refused(
    () => loose({ name: 'kv', version: 1, schemas: { store: { put: { args: {} } } } }),
    /schemas\.store: the schema for put\.args does not implement/,
  )
  refused(() => loose({ name: 'kv', version: 1, schemas: { store: { put: 1 } } }), /schemas\.store: the schemas of put/)
  refused(() => kind<Store>({ schemas: { put: { result: 1 as never } } }), /a kind: the schema for put\.result/)
})

test('factories are found by version and kind', () => {
  const make = (): never => assert.fail('no factory is called')
  const one = contract<{ store: Store }>({ name: 'kv', version: 7 })
  assert.deepEqual(
    [...factoriesByVersion(one, { store: make })].map(([version, kinds]) => [version, [...kinds.keys()]]),
    [[7, ['store']]],
  )
  const two = contract({ name: 'kv', versions: { 1: { store: kind<Store>() }, 2: { store: kind<Store>(), admin: kind<Admin>() } } })
  const found = factoriesByVersion(two, { 1: { store: make }, 2: { store: make, admin: make } })
  assert.equal(found.get(2)?.get('admin'), make)
  assert.equal(found.get(1)?.get('admin'), undefined)

  refused(() => factoriesByVersion(one, {}), /empty/)
  refused(() => factoriesByVersion(one, { store: 1 }), /store is no function/)
  refused(() => factoriesByVersion(two, { 1: { store: make } }), /no factories for version 2/)
  refused(() => factoriesByVersion(two, { 1: { store: make }, 2: { store: make } }), /version 2 have none for kind "admin"/)
  refused(() => factoriesByVersion(two, { 1: { store: make, admin: make }, 2: { store: make, admin: make } }), /version 1 name "admin"/)
  refused(() => factoriesByVersion(two, { 1: { store: make }, 2: { store: make, admin: make }, 3: { store: make } }), /version 3, which/)
})

test('byRef marks this object alone and leaves it as it is', () => {
  const plain = { next: () => 1 }
  assert.equal(isByRef(plain), false)
  assert.equal(byRef(plain), plain)
  assert.equal(isByRef(plain), true)
  assert.equal(isByRef(Object.create(plain)), false)
  assert.equal(isByRef({ ...plain }), false)
  assert.deepEqual(Reflect.ownKeys(plain), ['next'])
  assert.equal(isByRef(byRef(Object.freeze({ next: () => 1 }))), true)
  assert.throws(() => byRef(1 as never), TypeError)
  assert.throws(() => byRef(null as never), TypeError)
})

test('a mark made by another copy of the library counts', async () => {
  const copy: typeof import('../src/by-ref.ts') = await import(`${new URL('../src/by-ref.js', import.meta.url).href}?copy`)
  const theirs = copy.byRef({})
  assert.notEqual(copy.byRef, byRef)
  assert.equal(isByRef(theirs), true)
  assert.equal(copy.isByRef(byRef({})), true)
})
