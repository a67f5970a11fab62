// The services of go-plugin beside the application's own, put onto a server. What they do is in the files beside this one.

import type { GrpcContext, GrpcServer } from '../transport/seam.ts'
import { type ConnInfo, type Empty, empty, type StdioData } from './control-messages.ts'
import { shutdown, startStream, streamStdio } from './definitions.ts'

/** What becomes of what a host says. */
export interface PluginServices {
  /** Resolves when the host may be answered. */
  shutdown(): Promise<void>
  stdio(signal: AbortSignal): AsyncIterable<StdioData>
  broker(infos: AsyncIterable<ConnInfo>, context: GrpcContext): AsyncIterable<ConnInfo>
}

export function addPluginServices(server: GrpcServer, services: PluginServices): void {
  server.add(
    { StartStream: startStream },
    { StartStream: (infos: AsyncIterable<ConnInfo>, context: GrpcContext) => services.broker(infos, context) },
  )
  server.add(
    { Shutdown: shutdown },
    {
      Shutdown: async (): Promise<Empty> => {
        await services.shutdown()
        return empty
      },
    },
  )
  server.add({ StreamStdio: streamStdio }, { StreamStdio: (_request: Empty, { signal }: GrpcContext) => services.stdio(signal) })
}
