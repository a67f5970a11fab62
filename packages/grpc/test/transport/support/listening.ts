// Servers of the tests, each on a Unix socket of its own: ours, and that of grpc-js, which our client is measured against.

import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as grpcJs from '@grpc/grpc-js'
import { openChannel } from '../../../src/transport/channel.ts'
import type { Channel, ChannelOptions, GrpcServer, ServerOptions, TlsIdentity } from '../../../src/transport/seam.ts'
import { createGrpcServer } from '../../../src/transport/server.ts'
import { encodeStatusDetails } from '../../../src/transport/status-details.ts'
import { Echo, echoHandlers, failure, type Seen } from './echo.ts'

export interface Listening extends AsyncDisposable {
  readonly path: string
  /** Only ours tells. */
  readonly seen: Seen
  readonly errors: Error[]
  readonly server?: GrpcServer
  readonly sockets: Set<Socket>
}

export async function socketPath(): Promise<{ path: string; remove(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'plugwire-grpc-'))
  return { path: join(directory, 's'), remove: () => rm(directory, { recursive: true, force: true }) }
}

export async function ourServer(options: ServerOptions = {}): Promise<Listening & { readonly server: GrpcServer }> {
  const { path, remove } = await socketPath()
  const seen: Seen = { cancelled: 0, returned: 0, contexts: [] }
  const errors: Error[] = []
  const server = createGrpcServer({ onConnectionError: error => errors.push(error), ...options })
  server.add(Echo, echoHandlers(seen))
  const sockets = new Set<Socket>()
  const listener = createServer(socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    server.inject(socket)
  })
  await new Promise<void>(resolve => listener.listen(path, resolve))
  return {
    path,
    seen,
    errors,
    sockets,
    server,
    async [Symbol.asyncDispose]() {
      listener.close()
      server.destroy()
      await remove()
    },
  }
}

export async function grpcJsServer(tls?: TlsIdentity): Promise<Listening> {
  const { path, remove } = await socketPath()
  const server = new grpcJs.Server({ 'grpc.max_receive_message_length': -1 })
  server.addService(Echo as grpcJs.ServiceDefinition, grpcJsHandlers)
  const credentials = tls
    ? grpcJs.ServerCredentials.createSsl(
        Buffer.from(tls.ca as string),
        [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }],
        true,
      )
    : grpcJs.ServerCredentials.createInsecure()
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, credentials, error => (error ? reject(error) : resolve()))
  })
  return {
    path,
    seen: { cancelled: 0, returned: 0, contexts: [] },
    errors: [],
    sockets: new Set(),
    async [Symbol.asyncDispose]() {
      server.forceShutdown()
      await remove()
    },
  }
}

type UnaryCall = grpcJs.ServerUnaryCall<Buffer, Buffer>
type DuplexCall = grpcJs.ServerDuplexStream<Buffer, Buffer>

const grpcJsHandlers: grpcJs.UntypedServiceImplementation = {
  Say(call: UnaryCall, answer: grpcJs.sendUnaryData<Buffer>) {
    const own = new grpcJs.Metadata()
    for (const name of Object.keys(call.metadata.getMap())) {
      if (name.startsWith('x-')) for (const value of call.metadata.get(name)) own.add(name, value)
    }
    call.sendMetadata(own)
    answer(null, call.request, own.clone())
  },
  Sum(call: grpcJs.ServerReadableStream<Buffer, Buffer>, answer: grpcJs.sendUnaryData<Buffer>) {
    let bytes = 0
    call.on('data', (request: Buffer) => {
      bytes += request.length
    })
    call.on('end', () => answer(null, Buffer.from(String(bytes))))
  },
  Repeat(call: grpcJs.ServerWritableStream<Buffer, Buffer>) {
    const [count, size] = String(call.request).split(' ').map(Number) as [number, number]
    let index = 0
    const go = (): void => {
      while (index < count && !call.cancelled) if (!call.write(Buffer.alloc(size, index++))) return void call.once('drain', go)
      call.end()
    }
    go()
  },
  Chat(call: DuplexCall) {
    call.on('data', (request: Buffer) => call.write(request))
    call.on('end', () => {
      call.write(Buffer.from('bye'))
      call.end()
    })
  },
  Fail(_call: UnaryCall, answer: grpcJs.sendUnaryData<Buffer>) {
    const metadata = new grpcJs.Metadata()
    metadata.set('x-more', 'trailer')
    metadata.set('x-why-bin', Buffer.from([0, 255]))
    metadata.set('grpc-status-details-bin', encodeStatusDetails(failure.code, failure.message, failure.details))
    answer({ code: failure.code, details: failure.message, metadata })
  },
  FailLate(call: grpcJs.ServerWritableStream<Buffer, Buffer>) {
    call.write(Buffer.from('one'))
    call.write(Buffer.from('two'))
    call.emit('error', { code: 10, details: 'late' })
  },
  Impatient(call: grpcJs.ServerReadableStream<Buffer, Buffer>, answer: grpcJs.sendUnaryData<Buffer>) {
    call.once('data', (request: Buffer) => answer(null, request))
  },
  Hang() {},
  HangAll(call: DuplexCall) {
    call.resume()
  },
}

export function ourChannel(path: string, options: ChannelOptions = {}): Channel & AsyncDisposable {
  const channel = openChannel(async () => connect(path), options)
  return Object.assign(channel, {
    async [Symbol.asyncDispose]() {
      await channel.close()
    },
  })
}
