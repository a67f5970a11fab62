// What a host must not do. Each ends the session, and with it a plugin that has no other host.

import { type Check, demand, endOf, Root, type Subject } from '../check.ts'
import {
  callMessage,
  DISPOSE,
  dataFrame,
  Flag,
  FrameType,
  frameHeader,
  type Hex,
  MAX_MESSAGE_BYTES,
  MessageType,
  message,
  releaseMessage,
  replyMessage,
  u8,
  u16,
  u32,
  windowUpdate,
} from '../frames.ts'
import { CALLS, PeerError, type RawPeer } from '../raw-peer.ts'

async function breaks(subject: Subject, send: (peer: RawPeer) => Promise<void> | void): Promise<string> {
  const launched = await subject.connect()
  const { peer } = launched
  await peer.roundTrip()
  await send(peer)
  try {
    await peer.closed()
  } catch (cause) {
    demand(!(cause instanceof PeerError), () => 'the session goes on')
    throw cause
  }
  // The code is told only if it can be.
  const code = peer.goneAway
  demand(code === undefined || code === 1, () => `go-away ${code}`)
  const end = await endOf(launched, subject.deadlineMs, 'the end of its session')
  return `${code === undefined ? '' : `go-away ${code}, `}the connection is closed, ${end}`
}

const breach = (
  name: string,
  section: string,
  what: string,
  bytes: Hex | ((peer: RawPeer, subject: Subject) => Promise<void> | void),
): Check => ({
  id: `breaches.${name}`,
  section,
  demands: `${what} ends the session`,
  look: subject => breaks(subject, peer => (typeof bytes === 'string' ? peer.send(bytes) : bytes(peer, subject))),
})

const inCalls = (...messages: Hex[]): Hex => dataFrame(CALLS, messages.join(''))
/** A dispense whose arguments are these bytes. */
const withArguments = (args: Hex): Hex => inCalls(message(u8(MessageType.call) + u32(0) + u32(0) + u16(Root.dispense) + u8(0) + args))

export const breachChecks: readonly Check[] = [
  breach('frame-version', 'Breaches', 'a frame of another version', frameHeader(FrameType.ping, Flag.syn, 0, 1, 1)),
  breach('frame-type', 'Breaches', 'a frame of an unknown type', frameHeader(9, 0, 0, 0)),
  breach('credit-overrun', 'Breaches', 'more payload than there is credit for', frameHeader(FrameType.data, 0, CALLS, 0x7fff_ffff)),
  breach('credit-overflow', 'Breaches', 'credit beyond 2³²-1', windowUpdate(CALLS, 0xffff_ffff)),
  breach('stream-twice', 'Breaches', 'SYN for an open stream', windowUpdate(CALLS, 0, Flag.syn)),
  breach('stream-parity', 'Breaches', "a stream with an id that is the plugin's to give", windowUpdate(20, 0, Flag.syn)),
  breach('stream-unknown', 'Breaches', 'a frame for a stream that was never opened', dataFrame(99, '00')),
  breach('end-twice', 'Breaches', 'FIN twice', peer => {
    peer.open(3)
    peer.end(3)
    peer.end(3)
  }),
  breach('message-long', 'Breaches', 'a message that is too long', dataFrame(CALLS, u32(MAX_MESSAGE_BYTES + 1) + u8(MessageType.call))),
  breach('message-type', 'Breaches', 'a message of an unknown type', inCalls(message('77'))),
  breach('message-short', 'Breaches', 'a message that is too short', inCalls(message(u8(MessageType.call) + u32(0)))),
  breach('call-flags', 'Breaches', 'unknown flags in a call', inCalls(callMessage({ call: 0, method: Root.describe, flags: 0x10 }))),
  breach('call-id', 'Breaches', 'a call with an id that is too high', inCalls(callMessage({ call: 65_536, method: Root.describe }))),
  breach('reply-to-none', 'Breaches', 'a reply for a call that was not made', inCalls(replyMessage(77, undefined))),
  breach('release-unknown', 'Breaches', 'a reference given back that was never sent', inCalls(releaseMessage(5_000_000, 1))),
  breach('release-often', 'Breaches', 'a reference given back more often than it was sent', async (peer, subject) => {
    const { reference } = await subject.dispense(peer)
    peer.send(inCalls(releaseMessage(reference, 2)))
  }),
  breach('dispose-often', 'Breaches', 'an object disposed with more references than were sent', async (peer, subject) => {
    const { reference } = await subject.dispense(peer)
    peer.send(inCalls(callMessage({ call: 1_000, target: reference, method: DISPOSE, args: [2] })))
  }),
  breach('value-tag', 'Breaches', 'a value with a reserved first byte', withArguments('a1b0')),
  breach('value-cut', 'Breaches', 'a value that is cut off', withArguments('a2c700000100')),
  breach('value-shape', 'Breaches', 'a shape that is defined out of order', withArguments('a1cb0005a18161c0')),
  breach('value-rest', 'Breaches', 'a message that is longer than its value', withArguments('a0c1')),
]
