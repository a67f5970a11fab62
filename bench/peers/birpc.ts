// birpc over child_process IPC with structured clone; its per-call timer is off, which is its fastest setting.

import { fork } from 'node:child_process'
import { createBirpc } from 'birpc'
import { kill } from '../harness/children.ts'
import type { Peer } from '../harness/subject.ts'
import { callsOf } from './calls.ts'

interface Echo {
  echo(value: unknown): unknown
}

export async function open(): Promise<Peer> {
  const child = fork(new URL('./children/birpc.js', import.meta.url), [], { serialization: 'advanced' })
  const remote = createBirpc<Echo>(
    {},
    { post: message => void child.send(message), on: listener => void child.on('message', listener), timeout: -1 },
  )
  return { pid: child.pid, ...callsOf((_method, argument) => remote.echo(argument) as Promise<unknown>, false), close: () => kill(child) }
}
