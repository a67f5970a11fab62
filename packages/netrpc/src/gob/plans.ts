// What all plans for reading share: made once per type on the wire and shape of ours, kept with the type, all or none.

import type { ByteReader } from './byte-reader.ts'
import { Fault } from './fault.ts'
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

export type Undo = [WireType, Shape][]

/** Plans that refer to each other are kept all or none. */
export function planned(reader: ByteReader, shape: Shape, id: number, make: (undo: Undo) => ReadPlan): ReadPlan {
  const undo: Undo = []
  try {
    return make(undo)
  } catch (error) {
    for (const [type, of] of undo) type.plans.delete(of)
    // What does not fit will not fit the next time: a peer may try a million times, and types may be large.
    const type = reader.type(id)
    if (error instanceof Fault && !error.fatal) type.plans.set(shape, refusing(type, error.copy()))
    throw error
  }
}

function refusing(type: WireType, fault: Fault): ReadPlan {
  return {
    isStruct: type.kind === 'struct',
    strange: false,
    read: () => {
      throw fault.copy()
    },
  }
}

/** A plan that may still be in the making: types may contain themselves. */
export interface OpenPlan {
  read: Read
  isStruct: boolean
  strange: boolean
}

export function unfinished(): never {
  throw new Error('a plan is used before it is made')
}
