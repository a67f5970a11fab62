// A plugin that offers version 2 alone, which is net/rpc.

import { serve } from 'plugwire/plugin'
import { netrpcContract } from './netrpc-contract.ts'
import { netrpcFactories } from './netrpc-service.ts'
import { serveOptions } from './plugin-process.ts'

await serve(netrpcContract, netrpcFactories, serveOptions())
