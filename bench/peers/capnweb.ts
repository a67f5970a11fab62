// capnweb over descriptor 3, one JSON message per line: faster than its WebSocket on the same machine.

import { RpcSession, type RpcStub } from 'capnweb'
import { descriptor3, kill, startNode } from '../harness/children.ts'
import { bytesOf, chunkBytes } from '../harness/samples.ts'
import type { Peer } from '../harness/subject.ts'
import { callsOf } from './calls.ts'
import type { EchoTarget } from './children/capnweb.ts'
import { lineTransport } from './lines.ts'

export async function open(): Promise<Peer> {
  const child = startNode(new URL('./children/capnweb.js', import.meta.url), ['ignore', 'inherit', 'inherit', 'pipe'])
  const remote: RpcStub<EchoTarget> = new RpcSession<EchoTarget>(lineTransport(descriptor3(child))).getRemoteMain()
  return {
    pid: child.pid,
    ...callsOf(async (_method, argument) => await remote.echo(argument as never), false),
    async upload(totalBytes: number): Promise<void> {
      const chunk = bytesOf(chunkBytes)
      let left = totalBytes
      const source = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(chunk)
          left -= chunkBytes
          if (left <= 0) controller.close()
        },
      })
      const counted = await remote.swallow(source)
      if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
    },
    async download(totalBytes: number): Promise<void> {
      let counted = 0
      const stream = (await remote.produce(totalBytes)) as ReadableStream<Uint8Array>
      for await (const chunk of stream) counted += chunk.length
      if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
    },
    close: () => kill(child),
  }
}
