// What follows from a schema alone: the types that programs see, the rules of plans, paths in diagnostics, numbers as programs see them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { numberOf } from '../../05-terraform-provider/provider/cty/number.ts'
import { type CtyRecord, type CtyValue, record, same, Unknown, unknown } from '../../05-terraform-provider/provider/cty/value.ts'
import { pathSteps } from '../../05-terraform-provider/provider/diagnostics.ts'
import { planned, replacements } from '../../05-terraform-provider/provider/plan.ts'
import {
  blocks,
  bool,
  type Config,
  computed,
  defaulted,
  either,
  integer,
  list,
  map,
  nested,
  number,
  optional,
  type Planned,
  required,
  type State,
  schema,
  set,
  shapeOfBlock,
  string,
  tuple,
  typeOfBlock,
} from '../../05-terraform-provider/provider/schema.ts'
import { fromProgram, toProgram } from '../../05-terraform-provider/provider/view.ts'

const server = schema({
  attributes: {
    name: required(string, { replaces: true }),
    note: optional(string),
    size: defaulted(integer, 1n),
    id: computed(string, { stable: true }),
    address: computed(string),
    zone: either(string),
    disk: optional(nested('list', { path: required(string, { replaces: true }), uuid: computed(string) })),
  },
  blocks: {
    rule: blocks('list', { attributes: { port: required(integer), id: computed(string), allow: defaulted(bool, true) } }),
    tag: blocks('set', { attributes: { key: required(string), hash: computed(string) } }),
    timeouts: blocks('single', { attributes: { create: optional(string) } }),
  },
})
const type = typeOfBlock(server)

/** Everything null, but what is given. */
function values(given: Record<string, CtyValue>): CtyRecord {
  const empty = { name: 'a', note: null, size: null, id: null, address: null, zone: null, disk: null, rule: [], tag: [], timeouts: null }
  return record(Object.entries({ ...empty, ...given }))
}

const rule = (port: CtyValue, id: CtyValue = null, allow: CtyValue = null) =>
  record<CtyValue>([
    ['port', port],
    ['id', id],
    ['allow', allow],
  ] as const)

test('types follow from the schema', () => {
  const state: State<typeof server> = {
    name: 'a',
    note: null,
    size: 1n,
    id: 'i',
    address: 'x',
    zone: 'z',
    disk: [{ path: '/', uuid: 'u' }],
    rule: [{ port: 1n, id: 'r', allow: true }],
    tag: [],
    timeouts: null,
  }
  const plan: Planned<typeof server> = { ...state, id: unknown }
  const config: Config<typeof server> = {
    ...state,
    name: unknown,
    size: null,
    id: null,
    address: null,
    disk: unknown,
    rule: unknown,
    tag: [],
  }
  // @ts-expect-error the configuration is known when a plan is carried out
  plan.name = unknown
  // @ts-expect-error what exists has its id
  state.id = null
  // @ts-expect-error whole numbers are bigints
  state.size = 1
  // @ts-expect-error only the provider gives it
  config.id = 'i'
  // @ts-expect-error there is no such attribute
  void state.nam
  // @ts-expect-error a default is of the type of its attribute
  defaulted(integer, 'one')
  // @ts-expect-error so is what a check gets
  required(string, { check: value => (value > 1n ? 'too large' : undefined) })
})

test('a new object has what the configuration says, defaults, and unknowns', () => {
  const config = values({
    note: unknown,
    rule: [rule(80), rule(unknown)],
    tag: [
      record<CtyValue>([
        ['key', 'k'],
        ['hash', null],
      ]),
    ],
    disk: [
      record<CtyValue>([
        ['path', '/'],
        ['uuid', null],
      ]),
    ],
  })
  const plan = planned(server, { config, prior: null, proposed: config })
  assert.equal(plan.name, 'a')
  assert.equal(plan.note, unknown)
  assert.equal(plan.size, 1)
  for (const name of ['id', 'address', 'zone']) assert.equal(plan[name], unknown, name)
  assert.deepEqual(plan.rule, [rule(80, unknown, true), rule(unknown, unknown, true)])
  assert.deepEqual(plan.tag, [
    record<CtyValue>([
      ['key', 'k'],
      ['hash', unknown],
    ]),
  ])
  assert.deepEqual(plan.disk, [
    record<CtyValue>([
      ['path', '/'],
      ['uuid', unknown],
    ]),
  ])
  assert.equal(plan.timeouts, null)
})

test('an update in which nothing changes is the state as it was', () => {
  const prior = values({ size: 1, id: 'i', address: 'x', zone: 'z', rule: [rule(80, 'r', true)] })
  const config = values({ rule: [rule(80)] })
  const proposed = values({ size: null, id: 'i', address: 'x', zone: 'z', rule: [rule(80, 'r', null)] })
  assert.equal(planned(server, { config, prior, proposed }), prior)
})

test('an update makes unknown what may change, and keeps what is stable', () => {
  const prior = values({ size: 5, id: 'i', address: 'x', zone: 'z', rule: [rule(80, 'r', true)] })
  const config = values({ note: 'new', zone: 'here', rule: [rule(81)] })
  const plan = planned(server, { config, prior, proposed: values({ ...prior, note: 'new', zone: 'here', rule: [rule(81, 'r', true)] }) })
  assert.deepEqual(plan, values({ note: 'new', size: 1, id: 'i', address: unknown, zone: 'here', rule: [rule(81, unknown, true)] }))
  assert.deepEqual(replacements(server, prior, plan), [])
})

test('what needs another object is named, wherever it stands', () => {
  const disk = (path: string) =>
    record<CtyValue>([
      ['path', path],
      ['uuid', 'u'],
    ])
  const prior = values({ disk: [disk('/a'), disk('/b')] })
  assert.deepEqual(replacements(server, prior, values({ disk: [disk('/a'), disk('/c')] })), [['disk', 1, 'path']])
  assert.deepEqual(replacements(server, prior, values({ name: 'b', disk: [disk('/a'), disk('/b')] })), [['name']])
  assert.deepEqual(replacements(server, prior, values({ name: unknown, disk: null })), [['name']])
})

test('whatever the configuration says stands in the plan', () => {
  const maybe = <T extends CtyValue>(value: fc.Arbitrary<T>) => fc.oneof(value, fc.constant(null), fc.constant(unknown))
  const given = fc.record({
    name: fc.oneof(fc.string(), fc.constant(unknown)),
    note: maybe(fc.string()),
    size: maybe(fc.integer()),
    zone: maybe(fc.string()),
    rule: fc.oneof(
      fc.array(fc.tuple(maybe(fc.integer()), maybe(fc.boolean())).map(([port, allow]) => rule(port, null, allow))),
      fc.constant(unknown),
    ),
  })
  fc.assert(
    fc.property(given, fc.boolean(), (given, exists) => {
      const config = values(given as Record<string, CtyValue>)
      const prior = exists ? values({ name: 'p', size: 3, id: 'i', address: 'x', zone: 'z' }) : null
      const proposed = values({ ...config, ...(prior && { id: prior.id!, address: prior.address!, zone: config.zone ?? prior.zone! }) })
      const plan = planned(server, { config, prior, proposed })
      for (const name of ['name', 'note']) assert.ok(same(plan[name] ?? null, config[name] ?? null, 'string'))
      if (config.size !== null) assert.equal(plan.size, config.size)
      if (config.zone !== null) assert.equal(plan.zone, config.zone)
      if (Array.isArray(config.rule)) {
        for (const [i, inner] of (config.rule as CtyRecord[]).entries()) {
          const made = (plan.rule as CtyRecord[])[i]!
          assert.equal(made.port, inner.port)
          assert.equal(made.allow, inner.allow ?? true)
        }
      } else assert.ok(plan.rule instanceof Unknown)
    }),
  )
})

test('a path says which steps are attributes and which are keys', () => {
  const deep = typeOfBlock(
    schema({
      attributes: {
        m: optional(map(string)),
        l: optional(list(string)),
        s: optional(set(string)),
        t: optional(tuple(string, map(number))),
      },
      blocks: { b: blocks('list', { attributes: { x: optional(string) } }) },
    }),
  )
  assert.deepEqual(pathSteps(['m', 'key'], deep), [{ attributeName: 'm' }, { elementKeyString: 'key' }])
  assert.deepEqual(pathSteps(['l', 2], deep), [{ attributeName: 'l' }, { elementKeyInt: 2 }])
  assert.deepEqual(pathSteps(['b', 0, 'x'], deep), [{ attributeName: 'b' }, { elementKeyInt: 0 }, { attributeName: 'x' }])
  assert.deepEqual(pathSteps(['t', 1, 'k'], deep), [{ attributeName: 't' }, { elementKeyInt: 1 }, { elementKeyString: 'k' }])
  assert.deepEqual(pathSteps(['s', 0], deep), [{ attributeName: 's' }])
  assert.deepEqual(pathSteps(['nothing', 1], deep), [])
  assert.deepEqual(pathSteps(['constructor'], deep), [])
})

test('what a program leaves alone keeps its digits, and what it changes is what it says', () => {
  const shape = shapeOfBlock(
    schema({ attributes: { n: optional(number), all: optional(list(number)), any: optional(set(number)), i: optional(integer) } }),
  )
  const precise = numberOf('0.1234567890123456789012345')
  const before = record<CtyValue>([
    ['n', precise],
    ['all', [precise, 1]],
    ['any', [precise, 2]],
    ['i', 10n ** 30n],
  ])
  const seen = toProgram(shape, before) as { n: number; all: number[]; any: number[]; i: bigint }
  assert.deepEqual({ ...seen }, { n: 0.12345678901234568, all: [0.12345678901234568, 1], any: [0.12345678901234568, 2], i: 10n ** 30n })
  assert.deepEqual(fromProgram(shape, seen, before), before)
  assert.deepEqual(
    fromProgram(shape, { ...seen, any: [2, 0.12345678901234568], n: 0.5, i: 1n }, before),
    record<CtyValue>([
      ['n', 0.5],
      ['all', [precise, 1]],
      ['any', [2, precise]],
      ['i', 1],
    ]),
  )
  assert.throws(() => toProgram(shape, record<CtyValue>([['i', 0.5]])), { message: 'i: a whole number is required', path: ['i'] })
  assert.throws(() => fromProgram(shape, { i: 'one' }), { message: 'i: the provider made a value that is no integer', path: ['i'] })
  assert.throws(() => fromProgram(shape, { n: Number.NaN }), { path: ['n'] })
})

test('the type of a block holds its attributes and blocks', () => {
  assert.deepEqual((type[1] as unknown as Record<string, unknown>).rule, [
    'list',
    ['object', { port: 'number', id: 'string', allow: 'bool' }],
  ])
  assert.deepEqual((type[1] as unknown as Record<string, unknown>).disk, ['list', ['object', { path: 'string', uuid: 'string' }]])
  assert.deepEqual((type[1] as unknown as Record<string, unknown>).timeouts, ['object', { create: 'string' }])
})
