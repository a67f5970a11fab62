// JSON messages one per line over a socket: the transport that capnweb needs and leaves to its user.

import type { Duplex } from 'node:stream'
import type { RpcTransport } from 'capnweb'

export function lineTransport(socket: Duplex): RpcTransport {
  const arrived: string[] = []
  const waiting: { resolve: (line: string) => void; reject: (reason: Error) => void }[] = []
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const reader = waiting.shift()
      if (reader) reader.resolve(line)
      else arrived.push(line)
    }
  })
  // A killed peer may reset the socket; 'close' follows and tells those who wait.
  socket.on('error', () => {})
  socket.on('close', () => {
    for (const { reject } of waiting.splice(0)) reject(new Error('closed'))
  })
  return {
    send: message => void socket.write(`${message}\n`),
    receive() {
      const line = arrived.shift()
      if (line !== undefined) return Promise.resolve(line)
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
    },
  }
}
