// A provider as Terraform calls it, without Terraform and without gRPC: what goes wrong has to become a diagnostic at the right attribute.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { protocol5 } from '../../05-terraform-provider/provider/adapter/protocol5.ts'
import { ProviderServer } from '../../05-terraform-provider/provider/adapter/provider-server.ts'
import { decodeValue, encodeValue } from '../../05-terraform-provider/provider/cty/codec.ts'
import { type CtyRecord, type CtyValue, record, unknown } from '../../05-terraform-provider/provider/cty/value.ts'
import { ProviderError } from '../../05-terraform-provider/provider/diagnostics.ts'
import type { AnyResource, Provider } from '../../05-terraform-provider/provider/resource.ts'
import {
  type Block,
  computed,
  integer,
  nested,
  optional,
  required,
  schema,
  string,
  typeOfBlock,
} from '../../05-terraform-provider/provider/schema.ts'
import { files } from '../../05-terraform-provider/src/provider.ts'

const thing = schema({
  version: 2,
  attributes: {
    name: required(string),
    secret: optional(nested('single', { word: optional(string, { sensitive: true }) })),
    id: computed(string),
    count: optional(integer),
  },
})

/** A provider with one resource, which does what the test says. */
function providerOf(resource: Partial<AnyResource>): Provider {
  const whole = { schema: thing, create: fail, read: fail, delete: fail, ...resource } as AnyResource
  return { schema: schema({}), configure: () => ({}), resources: { thing: whole }, dataSources: {} }
}

function fail(): never {
  throw new TypeError('does not do that')
}

async function configured(provider: Provider): Promise<ProviderServer> {
  const server = new ProviderServer(provider)
  assert.deepEqual(await server.configureProvider({ config: dynamic(provider.schema, {}) }), { diagnostics: [] })
  return server
}

function dynamic(block: Block, given: Record<string, CtyValue> | null): { msgpack: Uint8Array } {
  return { msgpack: encodeValue(given === null ? null : record(Object.entries(given)), typeOfBlock(block)) }
}

function opened(block: Block, value: { readonly msgpack?: Uint8Array } | null | undefined): CtyRecord | null {
  return decodeValue(value!.msgpack!, typeOfBlock(block)) as CtyRecord | null
}

test('an error that a resource throws names the attribute; any other is shown with its stack', async () => {
  const server = await configured(
    providerOf({
      create: () => {
        throw new ProviderError('No such name', { detail: 'Take another.', path: ['name'] })
      },
    }),
  )
  const apply = await server.applyResourceChange({
    typeName: 'thing',
    priorState: dynamic(thing, null),
    plannedState: dynamic(thing, { name: 'a', id: unknown }),
    config: dynamic(thing, { name: 'a' }),
  })
  assert.deepEqual(apply.diagnostics, [
    { severity: 'ERROR', summary: 'No such name', detail: 'Take another.', attribute: { steps: [{ attributeName: 'name' }] } },
  ])
  assert.equal(opened(thing, apply.newState), null)

  const read = await server.readResource({ typeName: 'thing', currentState: dynamic(thing, { name: 'a', id: 'i' }) })
  assert.equal(read.diagnostics?.length, 1)
  assert.equal(read.diagnostics[0]!.summary, 'The provider failed while reading a thing')
  assert.match(read.diagnostics[0]!.detail!, /TypeError: does not do that\n +at .*provider-server\.test/)
})

test('a failed change leaves the state as it was, and one that reports an error keeps what it made', async () => {
  let outcome = (): unknown => fail()
  const server = await configured(providerOf({ update: () => outcome() as never }))
  const request = {
    typeName: 'thing',
    priorState: dynamic(thing, { name: 'a', id: 'i' }),
    plannedState: dynamic(thing, { name: 'b', id: unknown }),
    plannedPrivate: Buffer.from('{"k":1}'),
  }
  const failed = await server.applyResourceChange(request)
  assert.equal(opened(thing, failed.newState)!.name, 'a')
  assert.deepEqual(failed.private, request.plannedPrivate)

  outcome = () => ({ name: 'b', id: 'j' })
  assert.equal(opened(thing, (await server.applyResourceChange(request)).newState)!.id, 'j')
  outcome = () => ({ name: 'b', id: unknown })
  assert.deepEqual((await server.applyResourceChange(request)).diagnostics?.[0]?.attribute, { steps: [{ attributeName: 'id' }] })
  outcome = () => ({ name: 7, id: 'j' })
  assert.match(
    (await server.applyResourceChange(request)).diagnostics?.[0]?.detail ?? '',
    /^name: the provider made a value that is no string/,
  )
})

test('private state travels along', async () => {
  const seen: unknown[] = []
  const server = await configured(
    providerOf({
      plan: (_, context) => {
        seen.push(context.private.get('step'))
        context.private.set('step', 'planned')
      },
      update: (_, prior, context) => {
        seen.push(context.private.get('step'))
        context.private.set('step', undefined)
        return prior
      },
    }),
  )
  const state = dynamic(thing, { name: 'a', id: 'i' })
  const plan = await server.planResourceChange({
    typeName: 'thing',
    priorState: state,
    proposedNewState: state,
    config: state,
    priorPrivate: Buffer.from('{"step":"made"}'),
  })
  const apply = await server.applyResourceChange({
    typeName: 'thing',
    priorState: state,
    plannedState: state,
    plannedPrivate: plan.plannedPrivate!,
  })
  assert.deepEqual(seen, ['made', 'planned'])
  assert.equal(apply.private!.length, 0)
})

test('states of other versions', async () => {
  const server = await configured(
    providerOf({ upgrade: (state, version) => ({ name: `${(state as { old: string }).old} ${version}`, id: 'i' }) as never }),
  )
  const upgrade = (json: string, version: number | bigint) =>
    server.upgradeResourceState({ typeName: 'thing', version, rawState: { json: Buffer.from(json) } })
  assert.equal(opened(thing, (await upgrade('{"old":"a"}', 1n)).upgradedState)!.name, 'a 1')
  assert.equal(
    opened(thing, (await upgrade('{"name":"a","count":12345678901234567890,"gone":1}', 2)).upgradedState)!.count,
    12_345_678_901_234_567_890n,
  )
  assert.match((await upgrade('{}', 3)).diagnostics?.[0]?.detail ?? '', /version 3 of the schema; this provider has version 2/)
  assert.match((await upgrade('{', 2)).diagnostics?.[0]?.detail ?? '', /^JSON: /)
})

test('what is not there is said', async () => {
  const server = new ProviderServer(providerOf({}))
  const read = await server.readResource({ typeName: 'thing', currentState: dynamic(thing, { name: 'a' }) })
  assert.equal(read.diagnostics?.[0]?.summary, 'The provider is not configured')
  assert.equal((await server.readResource({ typeName: 'nothing' })).diagnostics?.[0]?.summary, 'This provider has no nothing')
  assert.equal((await server.readDataSource({ typeName: 'constructor' })).diagnostics?.[0]?.summary, 'This provider has no constructor')
  assert.equal((await server.validateResourceConfig({ typeName: 'no' })).diagnostics?.[0]?.summary, 'This provider has no no')
  assert.equal((await server.moveResourceState({ sourceTypeName: 'a', targetTypeName: 'thing' })).diagnostics?.[0]?.severity, 'ERROR')
  await server.configureProvider({})
  assert.equal((await server.importResourceState({ typeName: 'thing', id: 'x' })).diagnostics?.[0]?.summary, 'A thing cannot be imported')
  const bytes = await server.readResource({ typeName: 'thing', currentState: { msgpack: Buffer.from('81a16101', 'hex') } })
  assert.match(bytes.diagnostics?.[0]?.detail ?? '', /^a: there is no such attribute/)
})

test('stopping ends what runs, and nothing that comes after', async () => {
  const started = deferred()
  const server = await configured(
    providerOf({
      read: async (state, { signal }) => {
        if ((state as { name?: string }).name === 'quick') return state
        started.resolve(undefined)
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        return null
      },
    }),
  )
  const slow = server.readResource({ typeName: 'thing', currentState: dynamic(thing, { name: 'slow', id: 'i' }) })
  await started.promise
  await server.stopProvider()
  assert.equal((await slow).diagnostics?.[0]?.summary, 'Terraform was interrupted')
  assert.deepEqual(
    (await server.readResource({ typeName: 'thing', currentState: dynamic(thing, { name: 'quick', id: 'i' }) })).diagnostics,
    [],
  )
  const call = new AbortController()
  const cancelled = server.readResource(
    { typeName: 'thing', currentState: dynamic(thing, { name: 'slow', id: 'i' }) },
    { signal: call.signal },
  )
  call.abort(new Error('no longer'))
  assert.match((await cancelled).diagnostics?.[0]?.detail ?? '', /no longer/)
})

test('protocol 5 knows the same by other names, and nested attributes as objects', async () => {
  const server = new ProviderServer(providerOf({}))
  const six = await server.getProviderSchema()
  const five = await protocol5(server).getSchema({}, {})
  const secret = (answer: typeof six) => answer.resourceSchemas!.thing!.block!.attributes!.find(({ name }) => name === 'secret')!
  assert.equal(secret(six).type, undefined)
  assert.deepEqual(
    secret(six).nestedType?.attributes?.map(({ name, sensitive }) => [name, sensitive]),
    [['word', true]],
  )
  assert.equal(secret(five).nestedType, undefined)
  assert.equal(Buffer.from(secret(five).type!).toString(), '["object",{"word":"string"}]')
  assert.deepEqual(
    (await protocol5(server).prepareProviderConfig({ config: dynamic(schema({}), {}) }, {})).preparedConfig,
    dynamic(schema({}), {}),
  )
})

test('the provider of the example makes, reads, finds and removes files', async () => {
  const root = await mkdtemp(join(tmpdir(), 'plugwire-files-'))
  try {
    const server = new ProviderServer(files)
    await server.configureProvider({ config: dynamic(files.schema, { root }) })
    const { schema: document } = files.resources.files_document as AnyResource
    const section = [
      record<CtyValue>([
        ['heading', 'Ä b!'],
        ['weight', null],
        ['anchor', null],
        ['link', []],
      ]),
    ]
    const config = { path: 'd/x.json', title: 't', limits: record([['n', 2n ** 70n]]), section }
    const plan = await server.planResourceChange({
      typeName: 'files_document',
      priorState: dynamic(document, null),
      proposedNewState: dynamic(document, config),
      config: dynamic(document, config),
    })
    assert.deepEqual(plan.diagnostics, [])
    const made = await server.applyResourceChange({
      typeName: 'files_document',
      priorState: dynamic(document, null),
      plannedState: plan.plannedState!,
      plannedPrivate: plan.plannedPrivate!,
    })
    assert.deepEqual(made.diagnostics, [])
    assert.match(await readFile(join(root, 'd/x.json'), 'utf8'), /"n": 1180591620717411303424\n/)
    const state = opened(document, made.newState)!
    assert.equal((state.section as CtyRecord[])[0]!.anchor, 'ä-b')

    const again = await server.readResource({ typeName: 'files_document', currentState: made.newState!, private: made.private! })
    assert.deepEqual(opened(document, again.newState), state)
    const old = await server.upgradeResourceState({
      typeName: 'files_document',
      version: 0,
      rawState: { json: Buffer.from(JSON.stringify({ path: 'd/x.json', name: 'old', id: 'i', revision: 3, section: [{ heading: 'h' }] })) },
    })
    assert.deepEqual(old.diagnostics, [])
    assert.equal(opened(document, old.upgradedState)!.title, 'old')
    const found = await server.importResourceState({ typeName: 'files_document', id: 'd/x.json' })
    assert.deepEqual(opened(document, found.importedResources![0]!.state)!.limits, record([['n', 2n ** 70n]]))

    const gone = await server.applyResourceChange({
      typeName: 'files_document',
      priorState: made.newState!,
      plannedState: dynamic(document, null),
      plannedPrivate: made.private!,
    })
    assert.deepEqual(gone.diagnostics, [])
    assert.equal(opened(document, (await server.readResource({ typeName: 'files_document', currentState: made.newState! })).newState), null)
  } finally {
    await rm(root, { recursive: true })
  }
})

function deferred(): { promise: Promise<unknown>; resolve: (value: unknown) => void } {
  let resolve!: (value: unknown) => void
  return { promise: new Promise(done => (resolve = done)), resolve }
}
