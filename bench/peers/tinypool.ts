// tinypool with one child process that takes as many tasks at a time as are given.

import { fileURLToPath } from 'node:url'
import { Tinypool } from 'tinypool'
import type { Peer } from '../harness/subject.ts'
import { callsOf } from './calls.ts'

export async function open(): Promise<Peer> {
  const pool = new Tinypool({
    filename: fileURLToPath(new URL('./children/tinypool.js', import.meta.url)),
    runtime: 'child_process',
    serialization: 'advanced',
    isolateWorkers: false,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 1_024,
  })
  // Declared as a worker thread, whatever the runtime is.
  const worker = pool.threads[0] as unknown as { process?: { pid?: number } } | undefined
  return {
    pid: worker?.process?.pid,
    ...callsOf((_method, argument) => pool.run(argument, { name: 'echo' }), false),
    close: () => pool.destroy(),
  }
}
