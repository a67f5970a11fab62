// Frames, credit and streams, whatever they carry.

import { isDeepStrictEqual } from 'node:util'
import { type Check, demand, NO_KIND, Root, type Subject, Unseen } from '../check.ts'
import { bytesOf, CALL_STREAM_CREDIT, callMessage, dataFrame, Flag, FrameType, goAway, ping } from '../frames.ts'
import { CALLS, type RawFrame } from '../raw-peer.ts'

const isAnswer =
  (flag: number, stream: number) =>
  ({ type, flags, stream: on }: RawFrame): boolean =>
    type <= FrameType.window && on === stream && (flags & flag) !== 0

/** What a plugin answers to a fixed list of calls, without what differs from start to start. */
async function transcript(subject: Subject, byByte: boolean): Promise<unknown[]> {
  const { peer } = await subject.connect({ byByte })
  const described = await peer.call({ method: Root.describe })
  const { pid: _pid, ...description } = described.value as Record<string, unknown>
  const refused = await peer.call({ method: Root.dispense, args: [NO_KIND, undefined], metadata: ['key', 'value'], timeoutMs: 10_000 })
  const seen: unknown[] = [description, refused]
  try {
    const { reference, ...instance } = await subject.dispense(peer)
    seen.push(instance, (await peer.call({ target: reference, method: 0xffff, args: [1] })).failed)
  } catch (cause) {
    if (!(cause instanceof Unseen)) throw cause
  }
  return seen
}

export const sessionChecks: readonly Check[] = [
  {
    id: 'session.accept',
    section: 'Session',
    demands: 'it accepts the call stream at once, with one ACK',
    look: async subject => {
      const { peer } = await subject.connect()
      await peer.frame(isAnswer(Flag.ack, CALLS), 'ACK for stream 1')
      await peer.roundTrip()
      await peer.call({ method: Root.describe })
      const count = peer.frames.filter(isAnswer(Flag.ack, CALLS)).length
      demand(count === 1, () => `${count} ACKs`)
      return 'one ACK'
    },
  },
  {
    id: 'session.credit-granted',
    section: 'Call stream',
    demands: `it grants ${CALL_STREAM_CREDIT.toLocaleString('en')} bytes more credit on the call stream at once`,
    look: async subject => {
      const { peer } = await subject.connect()
      await peer.roundTrip()
      await peer.roundTrip()
      const grants = peer.frames.filter(({ type, stream }) => type === FrameType.window && stream === CALLS)
      const credit = grants.reduce((sum, { length }) => sum + length, 0)
      demand(credit === CALL_STREAM_CREDIT, () => `${credit.toLocaleString('en')} bytes`)
      return `${credit.toLocaleString('en')} bytes`
    },
  },
  {
    id: 'session.ping',
    section: 'Session',
    demands: 'it answers each ping with its value',
    look: async subject => {
      const { peer } = await subject.connect()
      const values = [0, 1, 0x7fffffff, 0xffffffff]
      peer.send(...values.map(value => ping(value, Flag.syn)))
      for (const value of values)
        await peer.frame(
          ({ type, flags, length, stream }) => type === FrameType.ping && flags === Flag.ack && length === value && stream === 0,
          `the answer to ping ${value}`,
        )
      return `${values.length} answers`
    },
  },
  {
    id: 'session.credit-returned',
    section: 'Session',
    demands: 'it grants new credit for what it has read',
    look: async subject => {
      const { peer } = await subject.connect()
      // More than twice the credit that there is at first. Metadata of that size has no meaning, and is read all the same.
      const metadata = ['padding', 'x'.repeat(500_000)]
      for (let sent = 0; sent < 18; sent++) await peer.call({ method: Root.describe, metadata })
      return '9 MB of calls were taken'
    },
  },
  {
    id: 'session.streams',
    section: 'Session',
    demands: 'it answers the opening of another stream at once, with ACK or RST',
    look: async subject => {
      const { peer } = await subject.connect()
      peer.open(3)
      const { flags } = await peer.frame(isAnswer(Flag.ack | Flag.rst, 3), 'ACK or RST for stream 3')
      await peer.call({ method: Root.describe })
      return (flags & Flag.rst) !== 0 ? 'RST' : 'ACK'
    },
  },
  {
    id: 'session.stream-over',
    section: 'Session',
    demands: 'it drops frames for a stream that is over',
    look: async subject => {
      const { peer } = await subject.connect()
      peer.open(3)
      await peer.roundTrip()
      peer.send(dataFrame(3, '', Flag.rst), dataFrame(3, '00'), dataFrame(3, '00', Flag.rst))
      await peer.roundTrip()
      await peer.call({ method: Root.describe })
      return 'it answers afterwards'
    },
  },
  {
    id: 'session.go-away',
    section: 'Session',
    demands: 'after go-away 0 it goes on with the streams that are there',
    look: async subject => {
      const { peer } = await subject.connect()
      peer.send(goAway(0))
      await peer.roundTrip()
      await peer.call({ method: Root.describe })
      return 'it answers afterwards'
    },
  },
  {
    id: 'session.cut',
    section: 'Call stream',
    demands: 'messages may lie in data frames in any way',
    look: async subject => {
      const { peer } = await subject.connect()
      const calls = Array.from({ length: 6 }, () => {
        const call = peer.nextCall()
        peer.expectReply(call)
        return { call, bytes: callMessage({ call, method: Root.describe }) }
      })
      const all = bytesOf(calls.map(({ bytes }) => bytes).join(''))
      // Three in one frame, the rest in frames of seven bytes, with an empty one between them.
      const size = all.length / 6
      peer.send(dataFrame(CALLS, all.subarray(0, 3 * size).toString('hex')))
      for (let at = 3 * size; at < all.length; at += 7)
        peer.send(dataFrame(CALLS, all.subarray(at, at + 7).toString('hex')), dataFrame(CALLS, ''))
      for (const { call } of calls) demand(!(await peer.reply(call)).failed, () => `call ${call} failed`)
      return 'six calls in many cuts were answered'
    },
  },
  {
    id: 'session.by-byte',
    section: 'Session',
    demands: 'it does the same when each byte comes by itself',
    look: async subject => {
      const [atOnce, byByte] = [await transcript(subject, false), await transcript(subject, true)]
      demand(isDeepStrictEqual(atOnce, byByte), () => `at once ${JSON.stringify(atOnce)}, byte by byte ${JSON.stringify(byByte)}`)
      return `the same ${atOnce.length} answers`
    },
  },
]
