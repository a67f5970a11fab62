// vscode-jsonrpc over the child's stdin and stdout, as a language server speaks it.

import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node'
import { kill, startNode } from '../harness/children.ts'
import type { Peer } from '../harness/subject.ts'
import { callsOf } from './calls.ts'

export async function open(): Promise<Peer> {
  const child = startNode(new URL('./children/vscode-jsonrpc.js', import.meta.url), ['pipe', 'pipe', 'inherit'])
  if (child.stdout === null || child.stdin === null) throw new Error('no pipes')
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin))
  connection.listen()
  const close = async () => {
    connection.dispose()
    await kill(child)
  }
  return { pid: child.pid, ...callsOf((method, argument) => connection.sendRequest(method, argument), true), close }
}
