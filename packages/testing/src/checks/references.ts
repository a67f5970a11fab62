// Instances: how they are made, called, given back and disposed.

import { type Check, demand, type Instance, NO_METHOD } from '../check.ts'
import { DISPOSE, releaseMessage } from '../frames.ts'
import type { RawPeer } from '../raw-peer.ts'
import { demandOwn, shown } from './calls.ts'

/** A call that runs nothing of the instance, and tells whether it is there. */
const isThere = async (peer: RawPeer, { reference }: Instance): Promise<boolean> => {
  const reply = await peer.call({ target: reference, method: NO_METHOD })
  demand(
    reply.ownCode === 'ERR_METHOD_NOT_FOUND' || reply.ownCode === 'ERR_REFERENCE_RELEASED',
    () => `a call of an unknown method: ${shown(reply)}`,
  )
  return reply.ownCode === 'ERR_METHOD_NOT_FOUND'
}

export const referenceChecks: readonly Check[] = [
  {
    id: 'references.dispense',
    section: 'References',
    demands: 'each dispense returns a new object, with its name and its methods',
    look: async subject => {
      const { peer } = await subject.connect()
      const first = await subject.dispense(peer)
      const second = await subject.dispense(peer)
      demand(first.reference > 0, () => 'its id is 0, which is the root')
      demand(first.reference !== second.reference, () => `twice the id ${first.reference}`)
      return `${first.kind}: ${first.methods.length === 0 ? 'no methods' : first.methods.join(', ')}`
    },
  },
  {
    id: 'references.unknown-method',
    section: 'Reply',
    demands: 'a call of an unknown method of an object fails with ERR_METHOD_NOT_FOUND',
    look: async subject => {
      const { peer } = await subject.connect()
      const { reference } = await subject.dispense(peer)
      return demandOwn(await peer.call({ target: reference, method: NO_METHOD }), 'ERR_METHOD_NOT_FOUND', ['method', 'kind', 'methods'])
    },
  },
  {
    id: 'references.dispose',
    section: 'References',
    demands: 'a disposed object answers with ERR_REFERENCE_RELEASED, others go on',
    look: async subject => {
      const { peer } = await subject.connect()
      const disposed = await subject.dispense(peer)
      const other = await subject.dispense(peer)
      const reply = await peer.call({ target: disposed.reference, method: DISPOSE, args: [1] })
      demand(!reply.failed, () => `dispose: ${shown(reply)}`)
      demand(!(await isThere(peer, disposed)), () => 'it still answers')
      demand(await isThere(peer, other), () => 'another object is gone, too')
      return 'gone, and the other is there'
    },
  },
  {
    id: 'references.release',
    section: 'References',
    demands: 'an object whose references are all given back is gone, and its id is not used again',
    look: async subject => {
      const { peer } = await subject.connect()
      const given = await subject.dispense(peer)
      demand(await isThere(peer, given), () => 'it is gone before it was given back')
      await peer.sendMessages(releaseMessage(given.reference, 1))
      demand(!(await isThere(peer, given)), () => 'it still answers')
      const next = await subject.dispense(peer)
      demand(next.reference !== given.reference, () => `the id ${given.reference} a second time`)
      return `${given.reference} is gone, the next is ${next.reference}`
    },
  },
]
