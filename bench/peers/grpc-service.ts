// The service of echo.proto, loaded at run time by both sides of the gRPC row.

import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

interface Loaded {
  plugwire: { bench: { Echo: ServiceClientConstructor } }
}

// tsc does not copy the .proto, so it is read from the source folder: build/peers/../../peers.
const file = fileURLToPath(new URL('../../peers/echo.proto', import.meta.url))

export const EchoClient: ServiceClientConstructor = (loadPackageDefinition(loadSync(file, { keepCase: true })) as unknown as Loaded)
  .plugwire.bench.Echo

export const unlimited = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }
