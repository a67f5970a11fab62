// The service of echo.proto as a kind, read at run time as the row of plain grpc-js reads it.

import { fileURLToPath } from 'node:url'
import { grpc, proto } from '@plugwire/grpc'
import { contract } from 'plugwire'
import type { Build, Small } from '../harness/samples.ts'

interface Chunk {
  data: Uint8Array
}
interface Count {
  bytes: number
}

interface Echo {
  small(value: Small): Promise<Small>
  record(value: Build): Promise<Build>
  bytes(chunk: Chunk): Promise<Chunk>
  upload(chunks: AsyncIterable<Chunk>): Promise<Count>
  download(count: Count): AsyncIterable<Chunk>
}

// tsc does not copy the .proto, so it is read from the source folder: build/grpc/../../peers.
const file = process.env['BENCH_ECHO_PROTO'] ?? fileURLToPath(new URL('../../peers/echo.proto', import.meta.url))

export const grpcEcho = contract({
  name: 'bench-grpc',
  cookie: { key: 'BENCH_GRPC', value: 'yes' },
  versions: { 1: { echo: grpc(proto<Echo>(file, 'plugwire.bench.Echo')) } },
})
