// The floor under every row: bytes echoed over the same socketpair on descriptor 3, with nothing on top.
// Variant 'onread' reads into one static buffer; 'data' is the naive way that everybody writes first.

import { once } from 'node:events'
import { type OnReadOpts, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { descriptor3, kill, startNode } from '../harness/children.ts'
import { Laps } from '../harness/clock.ts'
import { bytesOf, type Payload, rawBytes } from '../harness/samples.ts'
import type { Figures, Limit } from '../harness/subject.ts'
import { pour } from './pour.ts'

const readBufferBytes = 262_144

export async function open(variant: string): Promise<Limit> {
  // Commands travel beside the bytes, on an IPC channel that is silent while something is measured.
  // In a process group and session of its own, as a plugin is: the kernel's scheduler accounts for sessions, and a switch between two of them costs
  // about a microsecond more than within one.
  const child = startNode(new URL('./socket-child.js', import.meta.url), ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'], [variant], true)
  let received: (bytes: number) => void = () => {}
  const pair = descriptor3(child)
  const socket = variant === 'onread' ? readInto(pair, bytes => received(bytes)) : (pair as Socket)
  // Killing the child may reset the socket.
  socket.on('error', () => {})
  if (variant === 'data') socket.on('data', (chunk: Uint8Array) => received(chunk.length))

  const command = async (message: object) => {
    child.send(message)
    await once(child, 'message')
  }
  const pingPong = (bytes: number, milliseconds: number) =>
    new Promise<Laps>(resolve => {
      const message = bytesOf(bytes)
      const laps = new Laps(milliseconds)
      let missing = bytes
      received = count => {
        missing -= count
        if (missing > 0) return
        missing = bytes
        if (laps.lap()) socket.write(message)
        else resolve(laps)
      }
      laps.start()
      socket.write(message)
    })

  const limit: Limit = {
    pid: child.pid,
    async latency(payload: Payload, milliseconds: number): Promise<Figures> {
      return (await pingPong(rawBytes[payload], milliseconds)).figures()
    },
    async inFlight(payload: Payload, together: number, milliseconds: number): Promise<Figures> {
      const before = process.cpuUsage()
      const started = performance.now()
      const laps = await pingPong(rawBytes[payload] * together, milliseconds)
      const messages = laps.count * together
      const used = process.cpuUsage(before)
      return { rate: messages / ((performance.now() - started) / 1_000), hostCpu: (used.user + used.system) / messages }
    },
    async upload(totalBytes: number): Promise<void> {
      await command({ sink: totalBytes })
      const drained = once(child, 'message')
      pour(socket, totalBytes, variant === 'onread' ? 8 : 1)
      await drained
    },
    async download(totalBytes: number): Promise<void> {
      const all = new Promise<void>(resolve => {
        let missing = totalBytes
        received = bytes => {
          missing -= bytes
          if (missing <= 0) resolve()
        }
      })
      child.send({ source: totalBytes })
      await Promise.all([all, once(child, 'message')])
    },
    async close(): Promise<void> {
      socket.destroy()
      await kill(child)
    },
  }
  // The first round trip: whoever measures the start measures up to here.
  await pingPong(rawBytes.small, 0)
  return limit
}

/** `child.stdio[3]` was made without `onread`, so its handle is wrapped once more (an undocumented but old option). */
function readInto(pair: Duplex, received: (bytes: number) => void): Socket {
  const { _handle: handle } = pair as unknown as { _handle: object }
  const onread: OnReadOpts = {
    buffer: bytesOf(readBufferBytes),
    callback: bytes => {
      received(bytes)
      return true
    },
  }
  return new Socket({ handle, onread } as object).resume()
}
