// How fast a process can be there at all: an empty program from start to end, and one that says a byte on descriptor 3.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { descriptor3, ended, kill, startNode } from '../harness/children.ts'
import type { Started } from '../harness/subject.ts'

export async function open(variant: string): Promise<Started> {
  if (variant === 'empty') {
    await ended(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }))
    return { close: () => {} }
  }
  const child = startNode(new URL('./hello.cjs', import.meta.url), ['ignore', 'inherit', 'inherit', 'pipe'])
  const socket = descriptor3(child)
  await once(socket, 'data')
  // Killing the child may reset the socket.
  socket.on('error', () => {})
  return { pid: child.pid, close: () => kill(child) }
}
