// @grpc/grpc-js over a unix socket, the usual way to a plugin in another process; no TLS, no message limits.

import { once } from 'node:events'
import { type ClientReadableStream, type ClientUnaryCall, type ClientWritableStream, credentials, type ServiceError } from '@grpc/grpc-js'
import { kill, socketPath, startNode } from '../harness/children.ts'
import { type Build, bytesOf, chunkBytes, type Small } from '../harness/samples.ts'
import type { Peer } from '../harness/subject.ts'
import { EchoClient, unlimited } from './grpc-service.ts'

interface Chunk {
  data: Uint8Array
}

type Done<T> = (error: ServiceError | null, value: T) => void

interface Client {
  Small(value: Small, done: Done<Small>): ClientUnaryCall
  Record(value: Build, done: Done<Build>): ClientUnaryCall
  Bytes(value: Chunk, done: Done<Chunk>): ClientUnaryCall
  Upload(done: Done<{ bytes: number }>): ClientWritableStream<Chunk>
  Download(total: { bytes: number }): ClientReadableStream<Chunk>
  close(): void
}

export async function open(): Promise<Peer> {
  const socket = socketPath()
  const child = startNode(new URL('./children/grpc-js.js', import.meta.url), ['ignore', 'pipe', 'inherit'], [`unix:${socket.path}`])
  if (child.stdout === null) throw new Error('no pipe')
  await once(child.stdout, 'data')
  const client = new EchoClient(`unix:${socket.path}`, credentials.createInsecure(), unlimited) as unknown as Client
  const settle = <T>(start: (done: Done<T>) => unknown) =>
    new Promise<T>((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))))
  return {
    pid: child.pid,
    echo: value => settle<Small>(done => client.Small(value, done)),
    echoRecord: value => settle<Build>(done => client.Record(value, done)),
    echoBytes: async bytes => (await settle<Chunk>(done => client.Bytes({ data: bytes }, done))).data,
    async upload(totalBytes: number): Promise<void> {
      const chunk = { data: bytesOf(chunkBytes) }
      const { bytes } = await settle<{ bytes: number }>(done => {
        const stream = client.Upload(done)
        let left = totalBytes
        const more = () => {
          let room = true
          while (left > 0 && room) {
            room = stream.write(chunk)
            left -= chunkBytes
          }
          if (left > 0) stream.once('drain', more)
          else stream.end()
        }
        more()
      })
      if (bytes !== totalBytes) throw new Error(`${bytes} bytes arrived of ${totalBytes}`)
    },
    async download(totalBytes: number): Promise<void> {
      let counted = 0
      const stream = client.Download({ bytes: totalBytes })
      stream.on('data', ({ data }: Chunk) => {
        counted += data.length
      })
      await once(stream, 'end')
      if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
    },
    async close(): Promise<void> {
      client.close()
      await kill(child)
      socket.remove()
    },
  }
}
