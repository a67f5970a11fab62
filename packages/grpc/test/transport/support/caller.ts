// One way to make calls with either client, so that the same tests run with ours and with that of grpc-js.

import * as grpcJs from '@grpc/grpc-js'
import { GrpcError } from '../../../src/transport/grpc-error.ts'
import { Metadata } from '../../../src/transport/metadata.ts'
import type { Channel, TlsIdentity } from '../../../src/transport/seam.ts'
import type { bytesMethod } from './echo.ts'

type Method = ReturnType<typeof bytesMethod<boolean, boolean>>

export interface CallerOptions {
  readonly metadata?: [string, string | Buffer][]
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface Answer {
  readonly messages: Buffer[]
  readonly header: [string, string | Uint8Array][]
  readonly trailer: [string, string | Uint8Array][]
  /** Undefined when all went well. */
  readonly error: { code: number; message: string; details: Uint8Array | undefined } | undefined
}

/** Makes a call, reads all that comes, and tells. Never rejects. */
export type Caller = (
  method: Method,
  requests: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options?: CallerOptions,
) => Promise<Answer>

export function ourCaller(channel: Channel): Caller {
  return async (method, requests, { metadata, timeoutMs, signal } = {}) => {
    const messages: Buffer[] = []
    let header = new Metadata()
    let trailer = new Metadata()
    const options = {
      ...(metadata && { metadata }),
      ...(timeoutMs && { timeoutMs }),
      ...(signal && { signal }),
      onHeader: (metadata: Metadata) => {
        header = metadata
      },
      onTrailer: (metadata: Metadata) => {
        trailer = metadata
      },
    }
    let error: Answer['error']
    try {
      if (method.responseStream) {
        const answers = method.requestStream
          ? channel.bidi(method, requests, options)
          : channel.serverStream(method, await one(requests), options)
        for await (const message of answers) messages.push(message)
      } else if (method.requestStream) messages.push(await channel.clientStream(method, requests, options))
      else messages.push(await channel.unary(method, await one(requests), options))
    } catch (cause) {
      if (!(cause instanceof GrpcError)) throw cause
      error = { code: cause.code, message: cause.message, details: cause.detailsBytes }
    }
    return { messages, header: [...header], trailer: [...trailer], error }
  }
}

export function grpcJsCaller(path: string, tls?: TlsIdentity): Caller & { close(): void } {
  const credentials = tls
    ? grpcJs.credentials.createSsl(Buffer.from(tls.ca as string), Buffer.from(tls.key), Buffer.from(tls.cert))
    : grpcJs.credentials.createInsecure()
  const client = new grpcJs.Client(`unix:${path}`, credentials, {
    'grpc.max_receive_message_length': -1,
    'grpc.default_authority': 'localhost',
  })
  const caller: Caller = (method, requests, { metadata = [], timeoutMs, signal } = {}) =>
    new Promise(resolve => {
      const sent = new grpcJs.Metadata()
      for (const [name, value] of metadata) sent.add(name, value)
      const options: grpcJs.CallOptions = timeoutMs ? { deadline: Date.now() + timeoutMs } : {}
      const messages: Buffer[] = []
      let header: Answer['header'] = []
      const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, sent, options)
      signal?.addEventListener('abort', () => call.cancel())
      call.on('metadata', metadata => {
        header = pairs(metadata)
      })
      call.on('data', message => messages.push(message))
      call.on('error', () => {})
      call.on('status', ({ code, details, metadata }) => {
        const [bytes] = metadata.get('grpc-status-details-bin')
        const error = code === 0 ? undefined : { code, message: details, details: bytes as Buffer | undefined }
        resolve({ messages, header, trailer: pairs(metadata).filter(([name]) => !name.startsWith('grpc-')), error })
      })
      void send(call, requests)
    })
  return Object.assign(caller, { close: () => client.close() })
}

async function send(
  call: grpcJs.ClientDuplexStream<Uint8Array, Buffer>,
  requests: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  let over = false
  let wake = (): void => {}
  call
    .on('drain', () => wake())
    .on('status', () => {
      over = true
      wake()
    })
  for await (const request of requests) {
    if (over) return
    if (call.write(request)) continue
    await new Promise<void>(resolve => {
      wake = resolve
    })
  }
  call.end()
}

async function one(requests: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array> {
  for await (const request of requests) return request
  throw new Error('a request is needed')
}

function pairs(metadata: grpcJs.Metadata): [string, string | Uint8Array][] {
  return Object.keys(metadata.getMap()).flatMap(name =>
    metadata.get(name).map((value): [string, string | Uint8Array] => [name, typeof value === 'string' ? value : new Uint8Array(value)]),
  )
}
