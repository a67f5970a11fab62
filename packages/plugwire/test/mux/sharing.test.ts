// Who sends how much: weights and ceilings, changed while data flows, measured in bytes at the other end of a real socketpair.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes, randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Session } from '../../src/mux/session.ts'
import type { Stream } from '../../src/mux/stream.ts'
import { socketLink } from '../../src/process/socket-link.ts'

async function withPeer(what: string, use: (session: Session) => Promise<void>): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../fixtures/mux-peer.js', import.meta.url)), what], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  })
  const session = new Session(socketLink({ socket: child.stdio[3] as unknown as Socket }), { role: 'client', keepAliveMs: 0 })
  try {
    await use(session)
  } finally {
    session.destroy()
    child.kill('SIGKILL')
  }
}

/** A stream that always has something to send, and knows how much of it has left. */
class Source {
  readonly stream: Stream
  readonly #chunk = Buffer.alloc(65_536, 1)
  #written = 0
  stopped = false

  constructor(session: Session) {
    this.stream = session.open()
    // It ends with its session.
    this.#run().catch(() => {})
  }

  get left(): number {
    return this.#written - this.stream.queuedBytes
  }

  async #run(): Promise<void> {
    while (!this.stopped) {
      this.#written += this.#chunk.length
      if (!this.stream.write(this.#chunk)) await this.stream.drained()
    }
  }
}

/** Until a source has sent so many bytes more. */
async function sent(source: Source, bytes: number): Promise<void> {
  const goal = source.left + bytes
  while (source.left < goal) await new Promise(resolve => setTimeout(resolve, 2))
}

function near(actual: number, wanted: number, part: number, what: string): void {
  assert.ok(Math.abs(actual / wanted - 1) <= part, `${what}: ${actual.toFixed(2)}, ${wanted} within ${part * 100} %`)
}

test('streams share by weight, also when it changes while they send', async () => {
  await withPeer('count', async session => {
    const [one, other] = [new Source(session), new Source(session)]
    /** The median of fifteen, since a busy machine may keep either process waiting for a moment. */
    const ratioOver = async (bytes: number): Promise<number> => {
      const ratios: number[] = []
      for (let round = 0; round < 15; round++) {
        await sent(one, 4 << 20)
        const before = [one.left, other.left] as const
        await sent(one, bytes)
        ratios.push((one.left - before[0]) / (other.left - before[1]))
      }
      return ratios.sort((a, b) => a - b)[7] as number
    }
    one.stream.weight = 3
    near(await ratioOver(64 << 20), 3, 0.1, '3:1')
    one.stream.weight = 1
    near(await ratioOver(64 << 20), 1, 0.1, '1:1')
    other.stream.weight = 2
    near(await ratioOver(64 << 20), 0.5, 0.1, '1:2')
    one.stopped = other.stopped = true
  })
})

test('a ceiling holds, may be changed, and leaves the rest to others', async () => {
  await withPeer('count', async session => {
    const [slow, fast] = [new Source(session), new Source(session)]
    for (const ceiling of [4_000_000, 1_000_000]) {
      slow.stream.maxBytesPerSecond = ceiling
      await sent(slow, ceiling / 10)
      const [from, before, fastBefore] = [performance.now(), slow.left, fast.left]
      await sent(slow, ceiling * 0.8)
      const rate = (slow.left - before) / ((performance.now() - from) / 1_000)
      // Above it never, but for one burst; below it only as much as a busy machine is late.
      assert.ok(rate <= ceiling * 1.05, `${rate.toFixed(0)} bytes per second, ${ceiling} are allowed`)
      assert.ok(rate >= ceiling * 0.6, `${rate.toFixed(0)} bytes per second of ${ceiling}`)
      assert.ok(fast.left - fastBefore > (slow.left - before) * 2)
    }
    slow.stream.maxBytesPerSecond = Number.POSITIVE_INFINITY
    await sent(slow, 16 << 20)
    slow.stopped = fast.stopped = true
  })
})

test('a bulk transfer does not starve a stream of small messages', async () => {
  await withPeer('hash', async session => {
    const bulk = new Source(session)
    await sent(bulk, 1 << 20)
    for (let round = 0; round < 100; round++) {
      const before = bulk.left
      const small = session.open()
      small.write(Buffer.from(`round ${round}`))
      small.end()
      assert.match(String(await small.read()), /^[78] /)
      assert.ok(bulk.left - before < 16 << 20, 'the small one waited for more than 16 MiB of the large')
    }
    bulk.stopped = true
  })
})

test('streams of random sizes arrive whole, all at once', async () => {
  await withPeer('hash', async session => {
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const bytes = randomBytes(index === 0 ? 0 : index % 10 === 0 ? randomInt(3_000_000) : randomInt(50_000))
        const stream = session.open()
        if (index % 3 === 0) stream.weight = 1 + (index % 5)
        for (let at = 0; at < bytes.length; ) {
          const next = Math.min(bytes.length, at + randomInt(1, 200_000))
          if (!stream.write(bytes.subarray(at, next))) await stream.drained()
          at = next
        }
        stream.end()
        const answer: Uint8Array[] = []
        for await (const chunk of stream) answer.push(chunk)
        assert.equal(String(Buffer.concat(answer)), `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`)
      }),
    )
    assert.equal(session.streamCount, 0)
  })
})
