// Random work on both ends of a session at once, against the simplest model: what is read is what was written.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Stream } from '../../src/mux/stream.ts'
import { TwoSessions } from '../fixtures/sessions.ts'

/** One direction of one stream. */
interface Way {
  sent: number
  ended: boolean
}

/** Bytes that tell their place. */
const pattern = (from: number, length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => (from + index) * 31))

class End {
  readonly stream: Stream
  readonly out: Way = { sent: 0, ended: false }
  reset = false
  received = 0
  /** How reading ended. */
  readonly over: Promise<string>

  constructor(stream: Stream) {
    this.stream = stream
    this.over = this.#read()
  }

  async #read(): Promise<string> {
    try {
      for (;;) {
        const chunk = await this.stream.read()
        if (chunk === undefined) return 'end'
        assert.ok(pattern(this.received, chunk.length).equals(chunk), `other bytes at ${this.received}`)
        this.received += chunk.length
      }
    } catch (cause) {
      if ((cause as { code?: string }).code === 'ERR_STREAM_RESET') return 'reset'
      throw cause
    }
  }
}

const operation = fc.record({
  side: fc.integer({ min: 0, max: 1 }),
  what: fc.oneof(
    { weight: 2, arbitrary: fc.constant('open' as const) },
    { weight: 8, arbitrary: fc.constant('write' as const) },
    { weight: 2, arbitrary: fc.constant('end' as const) },
    { weight: 1, arbitrary: fc.constant('reset' as const) },
    { weight: 1, arbitrary: fc.constant('weigh' as const) },
    { weight: 2, arbitrary: fc.constant('wait' as const) },
  ),
  pick: fc.nat(),
  bytes: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 400_000 })),
})

test('what is read is what was written, whatever is opened, ended and reset meanwhile', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async operations => {
      const ends: [Map<number, End>, Map<number, End>] = [new Map(), new Map()]
      const take = (side: 0 | 1) => (stream: Stream) => void ends[side].set(stream.id, new End(stream))
      await using two = await TwoSessions.make({ onStream: take(0) }, { onStream: take(1) })
      const sessions = [two.client, two.server] as const
      for (const { side, what, pick, bytes } of operations) {
        const mine = [...(ends[side as 0 | 1] as Map<number, End>).values()]
        const end = mine[pick % Math.max(mine.length, 1)]
        if (what === 'open') take(side as 0 | 1)((sessions[side as 0 | 1] as typeof two.client).open())
        else if (what === 'wait') await two.client.ping()
        else if (end === undefined || end.stream.failure !== undefined) continue
        else if (what === 'weigh') end.stream.weight = 1 + (pick % 5)
        else if (what === 'reset') {
          end.reset = true
          end.stream.reset()
        } else if (!end.out.ended) {
          if (what === 'write') {
            end.stream.write(pattern(end.out.sent, bytes))
            end.out.sent += bytes
          } else {
            end.out.ended = true
            end.stream.end()
          }
        }
      }
      // Everybody ends; then everything that can arrive has arrived.
      await two.client.ping()
      await two.server.ping()
      for (const side of ends) for (const { stream, out } of side.values()) if (!out.ended && stream.failure === undefined) stream.end()
      const [one, other] = ends
      assert.deepEqual([...one.keys()].sort(), [...other.keys()].sort())
      for (const [id, near] of one) {
        const far = other.get(id) as End
        for (const [reader, writer] of [
          [near, far],
          [far, near],
        ] as const) {
          const how = await reader.over
          assert.ok(reader.received <= writer.out.sent)
          if (how === 'end') assert.equal(reader.received, writer.out.sent, `stream ${id}`)
          else assert.ok(near.reset || far.reset, `stream ${id} was reset by nobody`)
        }
      }
      await two.client.ping()
      assert.deepEqual([two.client.streamCount, two.server.streamCount], [0, 0])
    }),
    { numRuns: 40 },
  )
})
