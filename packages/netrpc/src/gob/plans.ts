// Plans for reading: one for each pair of a type on the wire and a shape of ours, worked out once and kept with the type. It must not know what
// plans do. A peer may define types as it likes, in long chains and wide fans, so nothing here recurses or is ever done twice.

import type { ByteReader } from './byte-reader.ts'
import { Fault } from './fault.ts'
import { endlessSchema, plainOf } from './go-types.ts'
import type { Shape } from './schema.ts'
import type { WireType } from './wire-types.ts'

export interface ReadPlan {
  read(reader: ByteReader): unknown
  /** Of a struct: stands alone without a zero byte before it. */
  readonly isStruct: boolean
  /** A struct with fields of which the schema knows none, although it has some: Go refuses that where it stands alone. */
  readonly strange: boolean
}

export type Read = (reader: ByteReader) => unknown

/** Why a pair does not fit: itself, or through a pair it is made of. */
type Refusal = { readonly fault: Fault } | { readonly through: OpenPlan; readonly segment: string }

export interface OpenPlan extends ReadPlan {
  read: Read
  strange: boolean
  refusal: Refusal | undefined
  /** While it is in the making: whom it is a part of, and where in it. */
  holders: [OpenPlan, string][] | undefined
}

/** Says how one pair is read. Its parts may not be ready yet: they are asked for when values come. @throws Fault when it does not fit. */
export type Make = (planning: Planning, plan: OpenPlan, shape: Shape, type: WireType, id: number) => Read

/** The plan of a pair and of all that it is made of. If a part does not fit, neither does the whole, as in Go, whatever the value is. */
export function planOf(reader: ByteReader, shape: Shape, id: number, make: Make): ReadPlan {
  const known = reader.type(id).plans.get(shape)
  if (known !== undefined) return known
  // Finds types that were never defined.
  reader.closed(id)
  return new Planning(reader).run(shape, id, make)
}

/** Far more than types on a stream and shapes in a schema can make. */
const MOST_PLANS = 200_000

interface Task {
  readonly plan: OpenPlan
  readonly shape: Shape
  readonly type: WireType
  readonly id: number
}

export class Planning {
  readonly reader: ByteReader
  readonly #tasks: Task[] = []

  constructor(reader: ByteReader) {
    this.reader = reader
  }

  run(shape: Shape, id: number, make: Make): ReadPlan {
    const root = this.#plan(shape, id)
    const refused: OpenPlan[] = []
    try {
      // Grows on the way.
      for (const { plan, shape: of, type, id: at } of this.#tasks) {
        try {
          plan.read = make(this, plan, of, type, at)
        } catch (error) {
          if (!(error instanceof Fault) || error.fatal) throw error
          plan.refusal = { fault: error }
        }
        if (plan.refusal !== undefined) refused.push(plan)
      }
    } catch (error) {
      // Half a plan must not be found again.
      for (const { type } of this.#tasks) for (const [of, plan] of type.plans) if (plan.holders !== undefined) type.plans.delete(of)
      throw error
    }
    for (const plan of refused) {
      plan.read = () => {
        throw faultOf(plan)
      }
      for (const [holder, segment] of plan.holders ?? []) {
        if (holder.refusal !== undefined) continue
        holder.refusal = { through: plan, segment }
        refused.push(holder)
      }
    }
    for (const { plan } of this.#tasks) plan.holders = undefined
    return root
  }

  /**
   * The plan of a part. It must not be run before values come.
   *
   * @param segment Where in the holder it is, for errors.
   */
  part(holder: OpenPlan, segment: string, shape: Shape, id: number): ReadPlan {
    const plan = this.#plan(shape, id)
    if (plan.holders !== undefined) plan.holders.push([holder, segment])
    else if (plan.refusal !== undefined) holder.refusal ??= { through: plan, segment }
    return plan
  }

  #plan(shape: Shape, id: number): OpenPlan {
    const type = this.reader.type(id)
    const known = type.plans.get(shape)
    if (known !== undefined) return known
    // Pointers, names and lazies are nothing on the wire.
    const plain = plainOf(shape)
    let plan = type.plans.get(plain)
    if (plan === undefined) {
      plan = { read: unfinished, isStruct: type.kind === 'struct', strange: false, refusal: undefined, holders: [] }
      type.plans.set(plain, plan)
      if (this.#tasks.push({ plan, shape: plain, type, id }) > MOST_PLANS) throw endlessSchema()
    }
    type.plans.set(shape, plan)
    return plan
  }
}

/** A fresh one each time: it gathers its path on the way out. */
function faultOf(plan: OpenPlan): Fault {
  const segments: string[] = []
  let refusal = plan.refusal as Refusal
  while ('through' in refusal) {
    segments.push(refusal.segment)
    refusal = refusal.through.refusal as Refusal
  }
  const fault = refusal.fault.copy()
  for (const segment of segments.reverse()) if (segment !== '') fault.within(segment)
  return fault
}

function unfinished(): never {
  throw new Error('a plan is used before it is made')
}
