// Services as grpc-js takes them, whatever generator wrote them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bindClient, bindServer } from '../../src/service/bind.ts'
import type { GrpcClient, GrpcHandlers } from '../../src/service/types.ts'
import { isGrpcError } from '../../src/transport/grpc-error.ts'
import { grpcJsCaller } from '../transport/support/caller.ts'
import { world } from './fixtures/world.ts'

interface Question {
  text: string
}
interface Reply {
  words: number
}

const json = {
  requestSerialize: (question: Question): Buffer => Buffer.from(JSON.stringify(question)),
  requestDeserialize: (bytes: Buffer): Question => JSON.parse(String(bytes)),
  responseSerialize: (reply: Reply): Buffer => Buffer.from(JSON.stringify(reply)),
  responseDeserialize: (bytes: Buffer): Reply => JSON.parse(String(bytes)),
}

/** In the form of ts-proto: names in lowerCamelCase, streams as literals. */
const Oracle = {
  ask: { path: '/test.Oracle/Ask', requestStream: false, responseStream: false, ...json },
  askMany: { path: '/test.Oracle/AskMany', requestStream: true, responseStream: true, ...json },
  collect: { path: '/test.Oracle/Collect', requestStream: true, responseStream: false, ...json },
  tell: { path: '/test.Oracle/Tell', requestStream: false, responseStream: true, ...json },
} as const

/** In the form of proto-loader: names as in the .proto. */
const Loaded = {
  Ask: { ...Oracle.ask, path: '/test.Loaded/Ask' },
  ToString: { ...Oracle.ask, path: '/test.Loaded/ToString' },
  Then: { ...Oracle.ask, path: '/test.Loaded/Then' },
} as const

const words = ({ text }: Question): Reply => ({ words: text.split(' ').length })

class Delphi implements GrpcHandlers<typeof Oracle> {
  readonly #factor = 2

  ask(question: Question): Reply {
    return { words: words(question).words * this.#factor }
  }

  async *askMany(questions: AsyncIterable<Question>): AsyncGenerator<Reply> {
    for await (const question of questions) yield this.ask(question)
  }

  async collect(questions: AsyncIterable<Question>): Promise<Reply> {
    let sum = 0
    for await (const question of questions) sum += words(question).words
    return { words: sum }
  }

  tell(question: Question): Reply[] {
    return question.text.split(' ').map(() => words(question))
  }
}

test('a definition of ts-proto, served by a class', async () => {
  await using shared = await world()
  await bindServer(Oracle, new Delphi(), shared.server)
  const oracle: GrpcClient<typeof Oracle> = await bindClient(Oracle, shared.channel)
  const answer: Reply = await oracle.ask({ text: 'who am I' })
  assert.deepEqual(answer, { words: 6 })
  const answers: Reply[] = []
  for await (const reply of oracle.askMany([{ text: 'a b' }, { text: 'c' }])) answers.push(reply)
  for await (const reply of oracle.tell({ text: 'a b' })) answers.push(reply)
  assert.deepEqual(answers, [{ words: 4 }, { words: 2 }, { words: 2 }, { words: 2 }])
  assert.deepEqual(await oracle.collect([{ text: 'a b' }, { text: 'c' }]), { words: 3 })
  const { messages } = await grpcJsCaller(shared.path)(
    {
      ...Oracle.ask,
      requestSerialize: bytes => Buffer.from(bytes),
      requestDeserialize: bytes => bytes,
      responseSerialize: bytes => Buffer.from(bytes),
      responseDeserialize: bytes => bytes,
    },
    [Buffer.from('{"text":"x"}')],
  )
  assert.equal(String(messages), '{"words":2}')
})

test('names of proto-loader begin in lower case in programs, and those that every object has get a sign', async () => {
  await using shared = await world()
  await bindServer(Loaded, { ask: words, toString$: words, then$: words }, shared.server)
  const loaded = await bindClient(Loaded, shared.channel)
  for (const method of ['ask', 'toString$', 'then$'] as const) assert.deepEqual(await loaded[method]({ text: 'a b c' }), { words: 3 })
})

test('handlers may have the names of the definition, and inherited names are none', async () => {
  await using shared = await world()
  await bindServer(Loaded, { Ask: words } as never, shared.server)
  const loaded = await bindClient(Loaded, shared.channel)
  assert.deepEqual(await loaded.ask({ text: 'a' }), { words: 1 })
  await assert.rejects(loaded.toString$({ text: 'a' }), error => isGrpcError(error, 'UNIMPLEMENTED'))
})

test('what handlers throw is what callers get', async () => {
  await using shared = await world()
  const thrown: unknown[] = [new Error('broken'), 'text', undefined, Object.assign(new TypeError('typed'), { code: 'E_X' })]
  await bindServer(
    Oracle,
    {
      ask: () => {
        throw thrown.shift()
      },
      tell: () => 'no iterable of replies' as never,
      askMany: () => undefined as never,
    },
    shared.server,
  )
  const oracle = await bindClient(Oracle, shared.channel)
  for (const message of ['broken', 'text', 'undefined', 'typed']) {
    await assert.rejects(oracle.ask({ text: '' }), error => isGrpcError(error, 'UNKNOWN') && error.message === message)
  }
  for (const answer of [oracle.tell({ text: '' }), oracle.askMany([])])
    await assert.rejects(answer.next(), error => isGrpcError(error, 'INTERNAL'))
})

test('what is no service is told of', async () => {
  await using shared = await world()
  for (const none of [{ ask: {} }, { ask: { path: 5 } }, null, 'pkg.Service'] as never[])
    await assert.rejects(bindClient(none, shared.channel), TypeError)
})

/** For the compiler alone. */
export function typesAreHeld(oracle: GrpcClient<typeof Oracle>): void {
  // @ts-expect-error a question has a text
  void oracle.ask({})
  // @ts-expect-error one question is no stream
  void oracle.collect({ text: '' })
  // @ts-expect-error a reply has words
  const handlers: Partial<GrpcHandlers<typeof Oracle>> = { ask: () => ({}) }
  void handlers
}
