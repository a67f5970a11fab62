// A brokered stream in the hands of the application: as a Node stream, which may be used before its other side has come.

import type { Duplex } from 'node:stream'
import type { Stream } from 'plugwire/mux'
import type { Carrier } from '../rpc/body.ts'

/** Bytes that wait in the Node stream itself, in each direction, beside the window of the stream beneath. */
export const HIGH_WATER_BYTES: number = 65_536

/**
 * A Node stream over a stream that `accept` or `dial` of a broker is to give.
 *
 * Its two directions end by themselves: `end()` tells the peer that no more comes, and what the peer sends may still be read. Destroying
 * it before both have ended resets the stream. A chunk that was written must not change until it has left.
 *
 * @param until What the event loop stays alive for.
 */
export function brokeredDuplex(carrier: Carrier, coming: Promise<Stream>, until: 'end' | 'finish' | 'close' = 'close'): Duplex {
  const { Duplex } = process.getBuiltinModule('node:stream')
  let stream: Stream | undefined
  let wanted = false
  const duplex: Duplex = new Duplex({
    allowHalfOpen: true,
    highWaterMark: HIGH_WATER_BYTES,
    construct(callback) {
      coming.then(arrived => {
        stream = arrived
        arrived.consume({
          chunk(bytes, start, end) {
            // A copy that its receiver may keep. Not pooled: a small piece must not keep a large buffer alive.
            const copy = Buffer.allocUnsafeSlow(end - start)
            bytes.copy(copy, 0, start, end)
            if (!duplex.push(copy)) arrived.pause()
          },
          end: () => void duplex.push(null),
          fail: cause => void duplex.destroy(cause),
        })
        if (wanted) arrived.resume()
        callback()
      }, callback)
    },
    read() {
      wanted = true
      stream?.resume()
    },
    write(chunk: Uint8Array, _encoding, callback) {
      const arrived = stream as Stream
      try {
        if (arrived.write(chunk)) callback()
        else arrived.onceWritable(() => callback(arrived.failure ?? null))
      } catch (cause) {
        callback(cause as Error)
      }
    },
    final(callback) {
      stream?.end()
      callback()
    },
    destroy(cause, callback) {
      // Where both directions have ended there is nothing left to give up.
      if (!duplex.readableEnded || !duplex.writableFinished) stream?.reset()
      callback(cause)
    },
  })
  // The peer decides when its stream fails, which may be before the application listens: that must not end the process.
  duplex.on('error', () => undefined)
  carrier.hold()
  let held = true
  const letGo = (): void => {
    if (held) carrier.letGo()
    held = false
  }
  duplex.once(until, letGo).once('close', letGo)
  return duplex
}
