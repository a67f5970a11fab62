// Both versions in one contract: 2 speaks net/rpc, 3 speaks gRPC.

import * as plugwire from 'plugwire'
import { cookie } from './cookie.ts'
import { grpcKinds } from './grpc-contract.ts'
import { netrpcKinds } from './netrpc-contract.ts'

export const contract = plugwire.contract({ name: 'peer', cookie, versions: { 2: netrpcKinds, 3: grpcKinds } })
/** What a host offers that takes any peer, and a version that none has. */
export const severalContract = plugwire.contract({ name: 'peer', cookie, versions: { 1: grpcKinds, 2: netrpcKinds, 3: grpcKinds } })
