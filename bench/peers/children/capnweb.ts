import { Socket } from 'node:net'
import { RpcSession, RpcTarget } from 'capnweb'
import { bytesOf, chunkBytes } from '../../harness/samples.ts'
import { lineTransport } from '../lines.ts'

export class EchoTarget extends RpcTarget {
  echo(value: unknown): unknown {
    return value
  }

  async swallow(stream: ReadableStream<Uint8Array>): Promise<number> {
    let counted = 0
    for await (const chunk of stream) counted += chunk.length
    return counted
  }

  produce(totalBytes: number): ReadableStream<Uint8Array> {
    const chunk = bytesOf(chunkBytes)
    let left = totalBytes
    return new ReadableStream({
      pull(controller) {
        controller.enqueue(chunk)
        left -= chunkBytes
        if (left <= 0) controller.close()
      },
    })
  }
}

new RpcSession(lineTransport(new Socket({ fd: 3 })), new EchoTarget())
