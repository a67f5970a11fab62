// A worker thread's own port, for reference: the same process, so nothing is isolated but the heap.

import { Worker } from 'node:worker_threads'
import type { Peer } from '../harness/subject.ts'
import { Calls } from './calls.ts'

export async function open(): Promise<Peer> {
  const worker = new Worker(new URL('./children/message-port.js', import.meta.url))
  const calls = new Calls(message => worker.postMessage(message))
  worker.on('message', calls.answered)
  return { ...calls.asPeer({ base64: false }), close: async () => void (await worker.terminate()) }
}
