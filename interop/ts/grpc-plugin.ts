// A plugin that offers version 3 alone, which is gRPC.

import { serve } from 'plugwire/plugin'
import { grpcContract } from './grpc-contract.ts'
import { grpcFactories } from './grpc-service.ts'
import { serveOptions } from './plugin-process.ts'

await serve(grpcContract, grpcFactories, serveOptions())
