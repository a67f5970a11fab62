// node:child_process IPC as it comes: `fork`, `send`, 'message', and a map of open calls. Variant: the serialization.

import { fork, type SerializationType } from 'node:child_process'
import { kill } from '../harness/children.ts'
import type { Peer } from '../harness/subject.ts'
import { Calls } from './calls.ts'

export async function open(variant: string): Promise<Peer> {
  const child = fork(new URL('./children/ipc.js', import.meta.url), [], { serialization: variant as SerializationType })
  const calls = new Calls(message => child.send(message))
  child.on('message', calls.answered)
  return { pid: child.pid, ...calls.asPeer({ base64: variant === 'json' }), close: () => kill(child) }
}
