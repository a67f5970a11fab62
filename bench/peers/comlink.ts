// comlink over a worker thread, for reference: the same process.

import { Worker } from 'node:worker_threads'
import { wrap } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import type { Peer } from '../harness/subject.ts'
import { callsOf } from './calls.ts'

interface Echo {
  echo(value: unknown): unknown
}

export async function open(): Promise<Peer> {
  const worker = new Worker(new URL('./children/comlink.js', import.meta.url))
  const remote = wrap<Echo>(nodeEndpoint(worker))
  return { ...callsOf((_method, argument) => remote.echo(argument), false), close: async () => void (await worker.terminate()) }
}
