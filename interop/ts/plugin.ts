// A plugin that offers both versions, net/rpc and gRPC, as `peer plugin` does.

import { serve } from 'plugwire/plugin'
import { contract } from './contract.ts'
import { grpcFactories } from './grpc-service.ts'
import { netrpcFactories } from './netrpc-service.ts'
import { serveOptions } from './plugin-process.ts'

await serve(contract, { ...netrpcFactories, ...grpcFactories }, serveOptions())
