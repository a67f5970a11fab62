// The session by its frames: what it sends when, what it makes of what comes, and every breach with its code.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import { ACK, data, FIN, goAway, header, ping, RST, SYN, windowUpdate } from '../fixtures/raw-peer.ts'
import { FacingSession, TwoSessions } from '../fixtures/sessions.ts'

const WINDOW = 262_144

describe('opening and ending', () => {
  test('the opener may send at once; the other side acknowledges at once and may answer', async () => {
    await using two = await TwoSessions.make()
    const out = two.client.open()
    out.write(Buffer.from('hello'))
    const into = await two.server.accept()
    assert.equal(into.id, 1)
    assert.equal(String(await into.read()), 'hello')
    into.write(Buffer.from('yes'))
    assert.equal(String(await out.read()), 'yes')
    assert.equal(two.server.open().id, 2)
    assert.equal(two.client.open().id, 3)
  })

  test('streams that are opened together arrive in that order, whichever of them sends first', async () => {
    await using two = await TwoSessions.make()
    const [first, second, third] = [two.client.open(), two.client.open(), two.client.open()]
    first.write(Buffer.from('1'))
    third.write(Buffer.from('3'))
    second.write(Buffer.from('2'))
    for (const expected of [1, 3, 5]) assert.equal((await two.server.accept()).id, expected)
  })

  test('a half-closed stream still carries the other direction; both ends forget it when both have ended', async () => {
    await using two = await TwoSessions.make()
    const out = two.client.open()
    out.write(Buffer.from('all'))
    out.end()
    const into = await two.server.accept()
    assert.equal(String(await into.read()), 'all')
    assert.equal(await into.read(), undefined)
    into.write(Buffer.from('late'))
    assert.equal(String(await out.read()), 'late')
    into.end()
    assert.equal(await out.read(), undefined)
    assert.throws(() => out.write(Buffer.from('x')), { code: 'ERR_STREAM_CLOSED' })
    assert.deepEqual([two.client.streamCount, two.server.streamCount], [0, 0])
  })

  test('a reset kills both directions, at both ends, and no other stream', async () => {
    await using two = await TwoSessions.make()
    const [one, other] = [two.client.open(), two.client.open()]
    one.write(Buffer.from('x'))
    other.write(Buffer.from('y'))
    const [first, second] = [await two.server.accept(), await two.server.accept()]
    await first.read()
    one.reset()
    await assert.rejects(first.read(), { code: 'ERR_STREAM_RESET' })
    assert.throws(() => first.write(Buffer.from('x')), { code: 'ERR_STREAM_RESET' })
    assert.throws(() => one.write(Buffer.from('x')), { code: 'ERR_STREAM_RESET' })
    second.write(Buffer.from('alive'))
    assert.equal(String(await other.read()), 'alive')
  })

  test('an end is sent in a frame of its own: yamux in Go would take it for the end of bytes that come beside it', async () => {
    await using facing = await FacingSession.make({ role: 'client' })
    const stream = facing.session.open()
    stream.write(Buffer.from('all'))
    stream.end()
    await facing.peer.roundTrip()
    const sent = facing.peer.frames.filter(({ id, flags, length }) => id === 1 && (length === 3 || (flags & FIN) !== 0))
    assert.deepEqual(
      sent.map(({ type, flags, length }) => [type, flags & FIN, length]),
      [
        [0, 0, 3],
        [1, FIN, 0],
      ],
    )
  })

  test('flags may ride on any frame: SYN with payload and FIN, payload with RST, data without bytes', async () => {
    await using facing = await FacingSession.make({ role: 'server' })
    facing.peer.send(
      data(1, '6869', SYN | FIN),
      data(3, '', SYN),
      data(3, '21'),
      data(3, '', FIN),
      data(5, '01', SYN),
      data(5, '0203', RST),
    )
    const [one, three, five] = [await facing.session.accept(), await facing.session.accept(), await facing.session.accept()]
    assert.equal(String(await one.read()), 'hi')
    assert.equal(await one.read(), undefined)
    assert.equal(String(await three.read()), '!')
    assert.equal(await three.read(), undefined)
    await assert.rejects(five.read(), { code: 'ERR_STREAM_RESET' })
    await facing.peer.roundTrip()
    assert.deepEqual(
      facing.peer.frames.filter(({ type, flags }) => type === 1 && flags === ACK).map(({ id, type, length }) => [id, type, length]),
      [
        [1, 1, 0],
        [3, 1, 0],
        [5, 1, 0],
      ],
    )
  })

  test('frames for streams that have ended are dropped, with their payload', async () => {
    await using facing = await FacingSession.make()
    const stream = facing.session.open()
    stream.write(Buffer.from('x'))
    await facing.peer.frame(({ id }) => id === 1)
    stream.reset()
    await facing.peer.frame(({ flags }) => (flags & RST) !== 0)
    facing.peer.send(data(1, '00'.repeat(50_000)), windowUpdate(1, 5), data(1, '', FIN), data(1, '', FIN), windowUpdate(1, 0, RST))
    await facing.peer.roundTrip()
  })

  test('streams beyond the backlog and beyond the limit are refused with a reset', async () => {
    await using facing = await FacingSession.make({ role: 'server', acceptBacklog: 2, maxStreams: 3 })
    const syn = (id: number): string => windowUpdate(id, 0, SYN)
    facing.peer.send(syn(1), syn(3), syn(5))
    assert.equal((await facing.peer.frame(({ flags }) => flags === RST)).id, 5)
    assert.equal((await facing.session.accept()).id, 1)
    facing.peer.send(data(5, '0000'), syn(7))
    await facing.peer.frame(({ id, flags }) => id === 7 && flags === ACK)
    await facing.session.accept()
    facing.peer.send(syn(9))
    assert.equal((await facing.peer.frame(({ flags }) => flags === RST)).id, 9)
    assert.throws(() => facing.session.open(), { code: 'ERR_MUX_LIMIT' })
  })

  test('closing sends what is queued; what is open ends with a reason, at both ends', async () => {
    await using two = await TwoSessions.make()
    const out = two.client.open()
    out.write(Buffer.from('last words'))
    two.client.close()
    const into = await two.server.accept()
    assert.equal(String(await into.read()), 'last words')
    await assert.rejects(into.read(), { code: 'ERR_SESSION_CLOSED' })
    await assert.rejects(out.read(), { code: 'ERR_SESSION_CLOSED' })
    assert.equal(await two.clientEnded, undefined)
    assert.equal(await two.serverEnded, undefined)
    assert.throws(() => two.server.open(), { code: 'ERR_SESSION_CLOSED' })
    await assert.rejects(two.server.accept(), { code: 'ERR_SESSION_CLOSED' })
    await assert.rejects(two.server.ping(), { code: 'ERR_SESSION_CLOSED' })
  })
})

describe('pings and go-away', () => {
  test('a ping is answered with its own value, and ours measure', async () => {
    await using facing = await FacingSession.make()
    facing.peer.send(ping(0xfedcba98, SYN))
    assert.equal((await facing.peer.frame(({ type, flags }) => type === 2 && flags === ACK)).length, 0xfedcba98)
    const measured = facing.session.ping()
    const asked = await facing.peer.frame(({ type, flags }) => type === 2 && flags === SYN)
    facing.peer.send(ping(12_345, ACK), ping(asked.length, ACK))
    assert.ok((await measured) >= 0)
  })

  test('a peer that answers no ping is given up', async () => {
    await using facing = await FacingSession.make({ keepAliveMs: 5, pingTimeoutMs: 20 })
    assert.equal((await facing.ended)?.code, 'ERR_MUX_KEEPALIVE')
    assert.equal(await facing.peer.goneAway(), 2)
  })

  test('after go-away 0 open streams go on, new ones are refused on both sides', async () => {
    await using two = await TwoSessions.make()
    const out = two.client.open()
    out.write(Buffer.from('x'))
    const into = await two.server.accept()
    two.server.goAway()
    await two.server.ping()
    assert.throws(() => two.client.open(), { code: 'ERR_MUX_GO_AWAY' })
    into.write(Buffer.from('still here'))
    assert.equal(String(await out.read()), 'still here')

    await using facing = await FacingSession.make({ role: 'server' })
    facing.session.goAway()
    facing.peer.send(windowUpdate(1, 0, SYN))
    await facing.peer.frame(({ flags }) => flags === RST)
  })

  for (const [code, reason] of [
    [1, /breach/],
    [2, /internal/],
    [99, /unknown/],
  ] as const) {
    test(`go-away ${code} ends the session and says so`, async () => {
      await using facing = await FacingSession.make()
      const stream = facing.session.open()
      facing.peer.send(goAway(code))
      const cause = await facing.ended
      assert.equal(cause?.code, 'ERR_MUX_GO_AWAY')
      assert.match(cause?.message ?? '', reason)
      await assert.rejects(stream.read(), { code: 'ERR_MUX_GO_AWAY' })
    })
  }
})

describe('every breach ends the session with its code and a go-away', () => {
  const full = `${data(2, '00'.repeat(WINDOW), SYN)}`
  const breaches: [string, string, ErrorCode][] = [
    ['a version that is not 0', '010000000000000100000000', 'ERR_MUX_FRAME'],
    ['the highest version', 'ff0000000000000100000000', 'ERR_MUX_FRAME'],
    ['an unknown type', header(4, 0, 1, 0), 'ERR_MUX_FRAME'],
    ['a stream that is opened twice', windowUpdate(2, 0, SYN) + windowUpdate(2, 0, SYN), 'ERR_MUX_STREAM'],
    ['our own parity', windowUpdate(3, 0, SYN), 'ERR_MUX_STREAM'],
    ['a stream 0 that is opened', windowUpdate(0, 0, SYN), 'ERR_MUX_STREAM'],
    ['data for stream 0', data(0, '00'), 'ERR_MUX_STREAM'],
    ['data for a stream of ours that was never opened', data(5, '00'), 'ERR_MUX_STREAM'],
    ['data for a stream of its own that was never opened', data(8, '00'), 'ERR_MUX_STREAM'],
    ['credit for a stream that was never opened', windowUpdate(8, 1), 'ERR_MUX_STREAM'],
    ['a frame longer than the window', header(0, SYN, 2, WINDOW + 1), 'ERR_MUX_WINDOW'],
    ['the longest length', header(0, SYN, 2, 0xffff_ffff), 'ERR_MUX_WINDOW'],
    ['one byte more than the window', full + data(2, '00'), 'ERR_MUX_WINDOW'],
    ['ending twice', windowUpdate(2, 0, SYN | FIN) + data(2, '', FIN), 'ERR_MUX_STREAM'],
    ['credit beyond what a window can hold', windowUpdate(1, 0xffff_ffff), 'ERR_MUX_STREAM'],
  ]
  for (const [name, hex, code] of breaches) {
    test(name, async () => {
      await using facing = await FacingSession.make()
      const stream = facing.session.open()
      facing.peer.send(hex)
      assert.equal((await facing.ended)?.code, code)
      await assert.rejects(stream.read(), { code })
      assert.equal(await facing.peer.goneAway(), 1)
      assert.equal(facing.session.streamCount, 0)
    })
  }

  test('the place is told: the offset in what the peer has sent', async () => {
    await using facing = await FacingSession.make()
    facing.peer.send(data(2, '0102', SYN), ping(1, SYN), header(7, 0, 0, 0))
    assert.deepEqual({ ...(await facing.ended)?.facts }, { reason: 'frame of unknown type 7', offset: 14 + 12 + 1 })
  })
})

describe('credit', () => {
  test('comes back when the application reads, not when bytes arrive, and exactly so', async () => {
    await using facing = await FacingSession.make({ role: 'server' })
    facing.peer.send(data(1, '00'.repeat(WINDOW), SYN))
    const stream = await facing.session.accept()
    await facing.peer.roundTrip()
    const credit = (): number => facing.peer.frames.filter(({ type }) => type === 1).reduce((sum, { length }) => sum + length, 0)
    assert.equal(credit(), 0)
    let read = 0
    while (read < WINDOW) read += (await stream.read())?.length ?? 0
    await facing.peer.roundTrip()
    assert.ok(credit() >= WINDOW - 65_536 && credit() <= WINDOW, String(credit()))
    // Just what was granted fits, and not a byte more.
    facing.peer.send(data(1, '00'.repeat(credit())))
    await facing.peer.roundTrip()
    facing.peer.send(data(1, '00'))
    assert.deepEqual({ ...(await facing.ended)?.facts }, { streamId: 1, allowedBytes: 0, receivedBytes: 1 })
  })

  test('we send what we are granted, to the byte, and go on with the next grant', async () => {
    await using facing = await FacingSession.make()
    const stream = facing.session.open()
    stream.write(Buffer.alloc(WINDOW + 10))
    await facing.peer.until(() => facing.peer.received(1).length === WINDOW)
    await facing.peer.roundTrip()
    assert.equal(facing.peer.received(1).length, WINDOW)
    facing.peer.send(windowUpdate(1, 7))
    await facing.peer.roundTrip()
    assert.equal(facing.peer.received(1).length, WINDOW + 7)
    facing.peer.send(windowUpdate(1, 100))
    await facing.peer.roundTrip()
    stream.end()
    await facing.peer.frame(({ flags }) => flags === FIN)
    assert.equal(facing.peer.received(1).length, WINDOW + 10)
  })

  test('a slow reader slows its sender: never more than the window waits', async () => {
    await using two = await TwoSessions.make()
    const out = two.client.open()
    let written = 0
    const writing = (async () => {
      for (; written < 200; written++) if (!out.write(Buffer.alloc(65_536))) await out.drained()
      out.end()
    })()
    const into = await two.server.accept()
    await two.client.ping()
    await two.client.ping()
    assert.ok(written <= 32, `${written} chunks were taken while nobody read`)
    let read = 0
    for await (const chunk of into) read += chunk.length
    await writing
    assert.equal(read, 200 * 65_536)
  })

  test('a larger window is announced when the stream opens', async () => {
    await using facing = await FacingSession.make({ role: 'server', windowBytes: 1_000_000 })
    facing.peer.send(windowUpdate(1, 0, SYN))
    assert.equal((await facing.peer.frame(({ flags }) => flags === ACK)).length, 1_000_000 - WINDOW)
  })
})

describe('a peer that asks much and reads nothing', () => {
  for (const [what, frame] of [
    ['pings', ping(1, SYN)],
    ['streams that are refused', ''],
    ['streams that are opened and reset', ''],
  ] as const) {
    test(`${what}: what waits for it is bounded`, async () => {
      await using facing = await FacingSession.make({ role: 'server', acceptBacklog: 8, paused: true })
      let id = 1
      const flood = (): Buffer => {
        const frames: string[] = []
        for (let index = 0; index < 20_000; index++) {
          if (frame !== '') frames.push(frame)
          else {
            frames.push(windowUpdate(id, 0, SYN))
            if (what.endsWith('reset')) frames.push(windowUpdate(id, 0, RST))
            id += 2
          }
        }
        return Buffer.from(frames.join(''), 'hex')
      }
      let over = false
      void facing.ended.then(() => {
        over = true
      })
      for (let round = 0; round < 60 && !over; round++) await Promise.race([facing.peer.sendBytes(flood()), facing.ended])
      assert.equal((await facing.ended)?.code, 'ERR_MUX_LIMIT')
    })
  }
})
