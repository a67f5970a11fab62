// How a plugin ends, and that it does.

import { type Check, demand, endOf, Root, type Subject } from '../check.ts'
import { dataFrame, Flag, goAway, type Hex, windowUpdate } from '../frames.ts'
import { CALLS } from '../raw-peer.ts'
import { shown } from './calls.ts'

async function endsAfter(subject: Subject, what: string, bytes: Hex): Promise<string> {
  const launched = await subject.connect()
  await launched.peer.roundTrip()
  launched.peer.send(bytes)
  await launched.peer.closed()
  return endOf(launched, subject.deadlineMs, what)
}

export const endingChecks: readonly Check[] = [
  {
    id: 'ending.close',
    section: 'Ending',
    demands: 'told to close it replies, closes the connection and exits with 0',
    look: async subject => {
      const launched = await subject.connect()
      const reply = await launched.peer.call({ method: Root.close })
      demand(!reply.failed && reply.value === undefined, () => shown(reply))
      await launched.peer.closed()
      const end = await endOf(launched, subject.deadlineMs, 'its reply')
      demand(end === 'exit code 0', () => `it ended with ${end}`)
      return end
    },
  },
  {
    id: 'ending.close-with-instances',
    section: 'Ending',
    demands: 'it does the same when instances are held',
    look: async subject => {
      const launched = await subject.connect()
      await subject.dispense(launched.peer)
      await launched.peer.call({ method: Root.close })
      const end = await endOf(launched, subject.deadlineMs, 'its reply')
      demand(end === 'exit code 0', () => `it ended with ${end}`)
      return end
    },
  },
  {
    id: 'ending.orphan',
    section: 'Launch',
    demands: 'it ends when its host is gone',
    look: async subject => {
      const launched = await subject.connect()
      await launched.peer.call({ method: Root.describe })
      launched.abandon()
      return endOf(launched, subject.deadlineMs, 'the end of its host')
    },
  },
  {
    id: 'ending.orphan-early',
    section: 'Launch',
    demands: 'it ends when its host is gone before it has opened the call stream',
    look: async subject => {
      const launched = await subject.launch()
      launched.abandon()
      return endOf(launched, subject.deadlineMs, 'the end of its host')
    },
  },
  {
    id: 'ending.call-stream-end',
    section: 'Call stream',
    demands: 'the session ends with the call stream',
    look: subject => endsAfter(subject, 'the end of the call stream', windowUpdate(CALLS, 0, Flag.fin)),
  },
  {
    id: 'ending.call-stream-reset',
    section: 'Call stream',
    demands: 'the session ends when the call stream is reset',
    look: subject => endsAfter(subject, 'the reset of the call stream', dataFrame(CALLS, '', Flag.rst)),
  },
  {
    id: 'ending.go-away',
    section: 'Session',
    demands: 'go-away 1 or 2 is the end of the session',
    look: async subject => {
      const ends = [await endsAfter(subject, 'go-away 1', goAway(1)), await endsAfter(subject, 'go-away 2', goAway(2))]
      return ends.join('; ')
    },
  },
]
