// The other end of `socket.ts`: sends back what comes, or swallows it, or produces it.

import { Socket } from 'node:net'
import { pour } from './pour.ts'

type Command = { sink: number } | { source: number }

const [, , variant] = process.argv
const memory = Buffer.alloc(262_144)
let toSwallow = 0

function received(bytes: Uint8Array): void {
  if (toSwallow === 0) {
    // The static buffer is overwritten by the next read, perhaps before the kernel took the answer.
    socket.write(variant === 'onread' ? Buffer.from(bytes) : bytes)
    return
  }
  toSwallow -= bytes.length
  if (toSwallow === 0) process.send?.('swallowed')
}

const onread = {
  buffer: memory,
  callback: (bytes: number) => {
    received(memory.subarray(0, bytes))
    return true
  },
}
const socket = variant === 'onread' ? new Socket({ fd: 3, onread } as object).resume() : new Socket({ fd: 3 }).on('data', received)
socket.on('end', () => process.exit()).on('error', () => process.exit())

process.on('message', (command: Command) => {
  if ('sink' in command) toSwallow = command.sink
  else pour(socket, command.source, variant === 'onread' ? 8 : 1)
  process.send?.('ready')
})
