// yamux alone: many streams over one connection of your own, here a socket on loopback. The other side may as well be written in Go.
import { once } from 'node:events'
import net from 'node:net'
import { duplexLink, Session } from 'plugwire/mux'

const server = net.createServer(async socket => {
  const session = new Session(duplexLink(socket), { role: 'server' })
  for (;;) {
    const stream = await session.accept().catch(() => undefined)
    if (stream === undefined) break // the session has ended
    for await (const chunk of stream) stream.write(chunk) // an echo; ends when the other side ends
    stream.end()
  }
})
await once(server.listen(0, '127.0.0.1'), 'listening')

const { port } = server.address() as net.AddressInfo
const session = new Session(duplexLink(net.connect(port, '127.0.0.1')), { role: 'client' })

const first = session.open()
const second = session.open()
second.weight = 4 // its share of the connection, beside the first
first.write(new TextEncoder().encode('one'))
second.write(new TextEncoder().encode('two'))
first.end()
second.end()
for (const stream of [first, second]) {
  for await (const chunk of stream) console.log(`stream ${stream.id}:`, new TextDecoder().decode(chunk))
}
console.log('round trip measured:', (await session.ping()) > 0)
session.close()
server.close()
