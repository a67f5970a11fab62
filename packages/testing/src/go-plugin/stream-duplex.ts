// A stream of a session as a stream of Node, for what wants a socket.

import { Duplex } from 'node:stream'
import type { Stream } from 'plugwire/mux'

export function streamDuplex(stream: Stream): Duplex {
  const duplex = new Duplex({
    read: () => stream.resume(),
    write(chunk: Buffer, _encoding, done) {
      try {
        // What was given must stay as it is until it has left.
        if (stream.write(Buffer.from(chunk))) return done()
        stream.drained().then(() => done(), done)
      } catch (cause) {
        done(cause as Error)
      }
    },
    final(done) {
      stream.end()
      done()
    },
    destroy(cause, done) {
      if (stream.failure === undefined) stream.reset()
      done(cause)
    },
  })
  stream.consume({
    chunk: (bytes, start, end) => {
      if (!duplex.push(Buffer.from(bytes.subarray(start, end)))) stream.pause()
    },
    end: () => duplex.push(null),
    fail: cause => duplex.destroy(cause),
  })
  // node:http2 asks its sockets for these.
  return Object.assign(duplex, { setNoDelay: () => duplex, setTimeout: () => duplex, ref: () => duplex, unref: () => duplex })
}
