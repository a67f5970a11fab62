// However the bytes of a connection are cut, the same comes out, and the work grows with the bytes and not with the cuts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Session } from '../../src/mux/session.ts'
import { Connection } from '../../src/rpc/connection.ts'
import { methodTable } from '../../src/rpc/method-table.ts'
import { MemoryLink } from '../fixtures/memory-link.ts'
import { bytesOf, call, data, FIN, message, ping, RST, SYN, text, u32, windowUpdate } from '../fixtures/raw-peer.ts'

const recorded = bytesOf(
  [
    ...[windowUpdate(1, 1_000, SYN), data(1, '0102030405'), ping(7, SYN), data(3, 'aabb', SYN | FIN), data(1, '')],
    ...[
      windowUpdate(1, 5),
      data(1, '06', FIN),
      windowUpdate(5, 0, SYN),
      data(5, 'cc', RST),
      data(5, 'dddd'),
      data(7, 'ee'.repeat(40), SYN),
    ],
  ].join(''),
)

/** What a session makes of bytes: the events of its streams, in order, and what it writes. */
function observed(feed: (link: MemoryLink) => void): unknown {
  const link = new MemoryLink()
  const bytes = new Map<number, string>()
  const ends: string[] = []
  const session = new Session(link, {
    role: 'server',
    keepAliveMs: 0,
    onStream(stream) {
      bytes.set(stream.id, '')
      stream.consume({
        chunk: (chunk, start, end) => void bytes.set(stream.id, bytes.get(stream.id) + chunk.toString('hex', start, end)),
        end: () => void ends.push(`${stream.id} ended`),
        fail: cause => void ends.push(`${stream.id} ${cause.code}`),
      })
    },
    onEnded: cause => void ends.push(`session ${cause?.code}`),
  })
  feed(link)
  assert.equal(session.ended, false)
  return { bytes: [...bytes], ends, written: Buffer.concat(link.written).toString('hex') }
}

test('a recorded session gives the same, cut at every byte into two and into pieces of every size', () => {
  const whole = observed(link => link.receive(recorded))
  for (let cut = 1; cut < recorded.length; cut++) {
    const inTwo = observed(link => {
      link.receive(recorded.subarray(0, cut))
      link.receive(recorded.subarray(cut))
    })
    assert.deepEqual(inTwo, whole, `cut at ${cut}`)
    assert.deepEqual(
      observed(link => link.receive(recorded, cut)),
      whole,
      `pieces of ${cut}`,
    )
  }
})

/** Calls in many frames, messages over frame borders, and arguments on a stream. */
function callsObserved(cuts: (link: MemoryLink) => void): unknown {
  const link = new MemoryLink()
  const seen: unknown[] = []
  const root = { take: (...args: unknown[]) => void seen.push(args) }
  let ended: unknown
  const connection = new Connection(link, {
    role: 'plugin',
    peerName: 'the test',
    root,
    rootMethods: methodTable(root),
    stayAlive: true,
    onEnded: cause => {
      ended = cause
      return cause as never
    },
  })
  cuts(link)
  assert.equal(ended, undefined)
  connection.destroy(undefined as never)
  return seen
}

test('calls give the same, however frames and reads cut their messages', () => {
  const large = `c6${u32(9_000)}${'61'.repeat(9_000)}`
  const stream =
    call(0, 0, 0, `a2${text('one')}05`) + call(1, 0, 0, `a1${large}`) + call(2, 0, 0, `${u32(3)}${u32(5)}`, 4) + message(`09${u32(9)}`)
  const frames: string[] = [windowUpdate(1, 0x3c0000, SYN)]
  for (let position = 0, size = 1; position < stream.length; position += 2 * size, size = (size * 7) % 1_013) {
    frames.push(data(1, stream.slice(position, position + 2 * size)))
  }
  const bytes = bytesOf(frames.join('') + data(3, 'a1', SYN) + data(3, `83${Buffer.from('two').toString('hex')}`, FIN))
  const whole = callsObserved(link => link.receive(bytes))
  assert.deepEqual(whole, [['one', 5], ['a'.repeat(9_000)], ['two']])
  for (const size of [1, 2, 3, 5, 11, 12, 13, 4_095, 4_096, 4_097]) {
    assert.deepEqual(
      callsObserved(link => link.receive(bytes, size)),
      whole,
      `pieces of ${size}`,
    )
  }
  for (let cut = 1; cut < bytes.length; cut += 7) {
    const inTwo = callsObserved(link => {
      link.receive(bytes.subarray(0, cut))
      link.receive(bytes.subarray(cut))
    })
    assert.deepEqual(inTwo, whole, `cut at ${cut}`)
  }
})

test('work is linear in the bytes when they are dripped one at a time', () => {
  const time = (bytes: number): number => {
    const payload = Buffer.alloc(bytes, 1)
    const head = bytesOf(`${windowUpdate(1, 0x3c0000, SYN)}00000000${u32(1)}${u32(bytes + 4)}${u32(bytes)}`)
    payload[0] = 8 // a message of output, which is read as one piece
    const link = new MemoryLink()
    const root = {}
    const connection = new Connection(link, {
      role: 'plugin',
      peerName: 'the test',
      root,
      rootMethods: methodTable(root),
      stayAlive: true,
      onEnded: cause => cause as never,
    })
    link.receive(head)
    const before = process.cpuUsage().user
    link.receive(payload, 1)
    const spent = process.cpuUsage().user - before
    connection.destroy(undefined as never)
    return spent
  }
  time(100_000)
  const [few, many] = [Math.min(time(50_000), time(50_000)), Math.min(time(800_000), time(800_000))]
  const exponent = Math.log(many / Math.max(few, 1)) / Math.log(16)
  assert.ok(exponent < 1.6, `16 times the bytes took ${(many / few).toFixed(1)} times as long`)
})
