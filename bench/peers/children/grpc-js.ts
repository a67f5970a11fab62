import {
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { bytesOf, chunkBytes } from '../../harness/samples.ts'
import { EchoClient, unlimited } from '../grpc-service.ts'

interface Chunk {
  data: Uint8Array
}

interface Count {
  bytes: number
}

const echo = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => done(null, call.request)

function upload(call: ServerReadableStream<Chunk, Count>, done: sendUnaryData<Count>): void {
  let bytes = 0
  call.on('data', ({ data }: Chunk) => {
    bytes += data.length
  })
  call.on('end', () => done(null, { bytes }))
}

function download(call: ServerWritableStream<Count, Chunk>): void {
  const chunk = { data: bytesOf(chunkBytes) }
  let left = call.request.bytes
  const more = () => {
    let room = true
    while (left > 0 && room) {
      room = call.write(chunk)
      left -= chunkBytes
    }
    if (left > 0) call.once('drain', more)
    else call.end()
  }
  more()
}

const server = new Server(unlimited)
server.addService(EchoClient.service, { Small: echo, Record: echo, Bytes: echo, Upload: upload, Download: download })
server.bindAsync(process.argv[2] as string, ServerCredentials.createInsecure(), error => {
  if (error) throw error
  process.stdout.write('listening\n')
})
