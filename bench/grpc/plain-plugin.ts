// The same plugin on plain grpc-js, with go-plugin's handshake line written by hand and nothing else of go-plugin.

import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

interface Loaded {
  plugwire: { bench: { Echo: ServiceClientConstructor } }
}

const { Echo } = (loadPackageDefinition(loadSync(process.env['BENCH_ECHO_PROTO'] as string, { keepCase: true })) as unknown as Loaded)
  .plugwire.bench
const echo = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => done(null, call.request)
const path = join(tmpdir(), `plugin${randomBytes(4).toString('hex')}`)
const server = new Server({ 'grpc.max_receive_message_length': -1 })
server.addService(Echo.service, { Small: echo, Record: echo, Bytes: echo })
server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), error => {
  if (error) throw error
  process.stdout.write(`1|1|unix|${path}|grpc|\n`)
})
