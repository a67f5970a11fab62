// Calls of the plugin's root, and that each is answered once.

import { type Check, demand, NO_KIND, NO_METHOD, Root } from '../check.ts'
import { bytesOf, callMessage, cancelMessage, Flag, MessageType, value } from '../frames.ts'
import type { RawPeer, Reply } from '../raw-peer.ts'

export const shown = ({ failed, ownCode, value: result }: Reply): string => {
  if (!failed) return 'it succeeded'
  if (ownCode !== undefined) return `it failed with ${ownCode}`
  return `it failed with ${result instanceof Error ? `${result.name}: ${result.message}` : JSON.stringify(result)}`
}

/** That a call failed with an error of plugwire's own, with these facts. */
export function demandOwn(reply: Reply, code: string, facts: readonly string[]): string {
  demand(reply.failed && reply.ownCode === code, () => `${shown(reply)}; due is ${code}`)
  const given = (reply.value ?? {}) as Record<string, unknown>
  const missing = facts.filter(fact => given[fact] === undefined)
  demand(missing.length === 0, () => `${code} without ${missing.join(', ')}`)
  return `${code} ${JSON.stringify(given)}`
}

/** That no more replies came than there were calls. */
function demandNoMore(peer: RawPeer): void {
  demand(peer.faults.length === 0, () => peer.faults.join('; '))
}

export const callChecks: readonly Check[] = [
  {
    id: 'calls.describe',
    section: 'Roots',
    demands: 'describe returns what it is',
    look: async subject => {
      const { peer, line } = await subject.connect()
      const reply = await peer.call({ method: Root.describe })
      demand(!reply.failed, () => shown(reply))
      const is = reply.value as Record<string, unknown>
      demand(typeof is === 'object' && is !== null, () => `it returned ${JSON.stringify(is)}`)
      const types: readonly (readonly [string, (member: unknown) => boolean])[] = [
        ['name', member => typeof member === 'string'],
        ['version', member => member === Number(line.split('|')[1])],
        ['versions', member => Array.isArray(member) && member.join(',') === line.split('|')[7]],
        ['kinds', member => Array.isArray(member) && member.every(kind => typeof kind === 'string')],
        ['pid', member => Number.isInteger(member)],
        ['runtime', member => typeof member === 'string'],
        ['plugwire', member => typeof member === 'string'],
        ['wire', member => member === subject.wire],
        ['secure', member => member === false],
      ]
      for (const [name, fits] of types) demand(fits(is[name]), () => `${name} is ${JSON.stringify(is[name])}`)
      return `${is['name']} ${is['version']}, ${is['runtime']}, kinds ${(is['kinds'] as string[]).join(', ')}`
    },
  },
  {
    id: 'calls.unknown-kind',
    section: 'Roots',
    demands: 'dispense of an unknown kind fails with ERR_KIND_NOT_FOUND',
    look: async subject => {
      const { peer } = await subject.connect()
      const reply = await peer.call({ method: Root.dispense, args: [NO_KIND, undefined] })
      return demandOwn(reply, 'ERR_KIND_NOT_FOUND', ['kind', 'kinds'])
    },
  },
  {
    id: 'calls.unknown-method',
    section: 'Reply',
    demands: 'a call of an unknown method of the root fails with ERR_METHOD_NOT_FOUND',
    look: async subject => {
      const { peer } = await subject.connect()
      return demandOwn(await peer.call({ method: NO_METHOD }), 'ERR_METHOD_NOT_FOUND', ['method', 'kind', 'methods'])
    },
  },
  {
    id: 'calls.unknown-reference',
    section: 'Reply',
    demands: 'a call of a reference that it never sent fails with ERR_REFERENCE_RELEASED',
    look: async subject => {
      const { peer } = await subject.connect()
      return demandOwn(await peer.call({ target: 4_000_000, method: 0 }), 'ERR_REFERENCE_RELEASED', ['what'])
    },
  },
  {
    id: 'calls.one-way',
    section: 'Call',
    demands: 'a call that is one way gets no reply',
    look: async subject => {
      const { peer } = await subject.connect()
      await peer.sendMessages(
        callMessage({ call: 9, method: Root.describe, oneWay: true }),
        callMessage({ call: 9, method: NO_METHOD, oneWay: true }),
      )
      await peer.call({ method: Root.describe })
      await peer.roundTrip()
      demandNoMore(peer)
      return 'none came'
    },
  },
  {
    id: 'calls.fields',
    section: 'Call',
    demands: 'it reads calls with timeout and metadata',
    look: async subject => {
      const { peer } = await subject.connect()
      for (const more of [{ timeoutMs: 60_000 }, { metadata: ['k', 'v'] }, { timeoutMs: 60_000, metadata: ['traceparent', '00-1-2-00'] }]) {
        demandOwn(await peer.call({ method: Root.dispense, args: [NO_KIND, undefined], ...more }), 'ERR_KIND_NOT_FOUND', ['kind'])
      }
      return 'with either, and with both'
    },
  },
  {
    id: 'calls.missing-arguments',
    section: 'Call',
    demands: 'arguments that are missing at the end are undefined',
    look: async subject => {
      const { peer } = await subject.connect()
      return demandOwn(await peer.call({ method: Root.dispense, args: [NO_KIND] }), 'ERR_KIND_NOT_FOUND', ['kind'])
    },
  },
  {
    id: 'calls.arguments-on-stream',
    section: 'Values on streams of their own',
    demands: 'arguments may come on a stream, before or after the call, and it ends its direction when it has them',
    look: async subject => {
      const { peer } = await subject.connect()
      const bytes = bytesOf(value([NO_KIND, 'x'.repeat(300_000)]))
      for (const [stream, callFirst] of [
        [3, true],
        [5, false],
      ] as const) {
        const call = peer.nextCall()
        const message = callMessage({ call, method: Root.dispense, onStream: { stream, length: bytes.length } })
        if (callFirst) await peer.sendMessages(message)
        peer.open(stream)
        if (!callFirst) {
          // Not all of it: nobody has to grant credit before the stream is named.
          await peer.write(stream, bytes.subarray(0, 100_000))
          await peer.sendMessages(message)
          await peer.write(stream, bytes.subarray(100_000), true)
        } else await peer.write(stream, bytes, true)
        demandOwn(await peer.reply(call), 'ERR_KIND_NOT_FOUND', ['kind'])
        await peer.frame(frame => frame.stream === stream && (frame.flags & Flag.fin) !== 0, `its end of stream ${stream}`)
      }
      return '300 kB, in both orders'
    },
  },
  {
    id: 'calls.replies',
    section: 'Reply',
    demands: 'each call gets exactly one reply, also when many are sent at once and when ids are used again',
    look: async subject => {
      const { peer } = await subject.connect()
      const calls = Array.from({ length: 100 }, (_, call) => call)
      for (let round = 0; round < 3; round++) {
        await peer.sendMessages(...calls.map(call => callMessage({ call, method: call % 2 === 0 ? Root.describe : NO_METHOD })))
        for (const call of calls) await peer.reply(call)
      }
      await peer.roundTrip()
      demandNoMore(peer)
      const count = peer.messages.filter(({ type }) => type === MessageType.reply).length
      demand(count === 300, () => `${count} replies to 300 calls`)
      return '300 replies to 300 calls'
    },
  },
  {
    id: 'calls.cancel',
    section: 'Cancel',
    demands: 'a cancelled call is answered all the same, and a cancel for an answered call is ignored',
    look: async subject => {
      const { peer } = await subject.connect()
      await peer.sendMessages(callMessage({ call: 5, method: Root.describe }), cancelMessage(5, 'cancelled'))
      await peer.reply(5)
      await peer.sendMessages(cancelMessage(5, 'timeout'), cancelMessage(6, { any: 'thing' }))
      await peer.sendMessages(callMessage({ call: 5, method: Root.describe }))
      const again = await peer.reply(5)
      demand(!again.failed, () => `a later call with the same id: ${shown(again)}`)
      await peer.roundTrip()
      demandNoMore(peer)
      return 'one reply to each'
    },
  },
]
