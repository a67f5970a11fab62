// A service of plain bytes, with a method for each way that a call can go. Every server of the tests serves it.

import { setTimeout as delay } from 'node:timers/promises'
import type { AnyMethod, MethodDefinition } from '../../../src/transport/definition.ts'
import { GrpcError } from '../../../src/transport/grpc-error.ts'
import type { GrpcContext } from '../../../src/transport/seam.ts'

export type BytesMethod = MethodDefinition<Uint8Array, Buffer>

const write = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const read = (bytes: Buffer): Buffer => bytes

export function bytesMethod<Up extends boolean, Down extends boolean>(name: string, requestStream: Up, responseStream: Down) {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: write,
    requestDeserialize: read,
    responseSerialize: write,
    responseDeserialize: read,
  } satisfies AnyMethod
}

export const Echo = {
  /** Answers with the request; its metadata comes back as headers and as trailers. */
  Say: bytesMethod('Say', false, false),
  /** Answers with the number of bytes of all requests. */
  Sum: bytesMethod('Sum', true, false),
  /** `<count> <size>`: so many messages of that size. */
  Repeat: bytesMethod('Repeat', false, true),
  /** Every request comes back; after the last one `bye` does. */
  Chat: bytesMethod('Chat', true, true),
  /** Fails as `failure` below says. */
  Fail: bytesMethod('Fail', false, false),
  /** Sends two messages and fails then. */
  FailLate: bytesMethod('FailLate', false, true),
  /** Answers after the first request, without looking at the others. */
  Impatient: bytesMethod('Impatient', true, false),
  /** Never answers. */
  Hang: bytesMethod('Hang', false, false),
  /** Never answers, and streams on both sides. */
  HangAll: bytesMethod('HangAll', true, true),
}

export const failure = {
  code: 5,
  message: 'not found: 100 % of "ключ"\nhere',
  details: [{ typeUrl: 'type.test/Detail', value: Uint8Array.of(1, 2, 3) }],
} as const

/** What handlers of our server have seen. */
export interface Seen {
  cancelled: number
  returned: number
  contexts: GrpcContext[]
}

export function echoHandlers(seen: Seen) {
  const untilAborted = (context: GrpcContext): Promise<never> =>
    new Promise((_, reject) => {
      seen.contexts.push(context)
      context.signal.addEventListener('abort', () => {
        seen.cancelled++
        reject(context.signal.reason)
      })
    })
  return {
    say(request: Buffer, context: GrpcContext): Buffer {
      seen.contexts.push(context)
      const own = [...context.metadata].filter(([name]) => name.startsWith('x-'))
      if (own.length > 0) {
        context.setHeader(own)
        context.setTrailer(own)
      }
      return request
    },
    async sum(requests: AsyncIterable<Buffer>): Promise<Buffer> {
      let bytes = 0
      for await (const request of requests) bytes += request.length
      return Buffer.from(String(bytes))
    },
    async *repeat(request: Buffer): AsyncGenerator<Buffer> {
      const [count, size] = String(request).split(' ').map(Number) as [number, number]
      try {
        for (let index = 0; index < count; index++) yield Buffer.alloc(size, index)
      } finally {
        seen.returned++
      }
    },
    async *chat(requests: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const request of requests) yield request
      yield Buffer.from('bye')
    },
    fail(_request: Buffer, context: GrpcContext): never {
      context.setTrailer({ 'x-more': 'trailer' })
      throw new GrpcError(failure.code, failure.message, { details: failure.details, metadata: { 'x-why-bin': Uint8Array.of(0, 255) } })
    },
    async *failLate(): AsyncGenerator<Buffer> {
      yield Buffer.from('one')
      await delay(1)
      yield Buffer.from('two')
      throw new GrpcError('ABORTED', 'late')
    },
    async impatient(requests: AsyncIterable<Buffer>): Promise<Buffer> {
      for await (const request of requests) return request
      return Buffer.alloc(0)
    },
    hang: (_request: Buffer, context: GrpcContext): Promise<never> => untilAborted(context),
    async *hangAll(_requests: AsyncIterable<Buffer>, context: GrpcContext): AsyncGenerator<Buffer> {
      yield await untilAborted(context)
    },
  }
}
