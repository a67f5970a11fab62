// Passing over values: by plans where all of a value is there, and by a walk that can pause where its next message may be missing.

import type { ByteReader } from './byte-reader.ts'
import type { Make, Read, ReadPlan } from './plans.ts'
import { planOf } from './plans.ts'
import type { Shape } from './schema.ts'
import type { WireType } from './wire-types.ts'

/** Stands for no shape at all. */
export const skipShape: Shape = { kind: 'any', go: 'nothing' }

/** Reads and throws away. @throws NEED_MORE as all plans do: for what may go on in later messages there is `passOver`. */
function skipPlanOf(reader: ByteReader, id: number): ReadPlan {
  return reader.type(id).plans.get(skipShape) ?? planOf(reader, skipShape, id, makeSkipper)
}

export const makeSkipper: Make = (planning, plan, _shape, type) => skipperFor(type, id => planning.part(plan, '', skipShape, id))

function skipperFor(type: WireType, part: (id: number) => ReadPlan): Read {
  switch (type.kind) {
    case 'bool':
    case 'int':
    case 'uint':
    case 'float':
      return from => from.passUint()
    case 'complex':
      return from => {
        from.passUint()
        from.passUint()
      }
    case 'bytes':
    case 'string':
    case 'opaque':
      return from => from.pass()
    case 'slice':
      return elementsSkipper(part(type.elem))
    case 'array':
      return elementsSkipper(part(type.elem), type.length)
    case 'map': {
      const key = part(type.key)
      const value = part(type.elem)
      return from => {
        from.enter()
        for (let count = from.count(); count > 0; count--) {
          if (from.at >= from.end) throw from.malformed(`${count} more entries announced at the end of the message`)
          key.read(from)
          value.read(from)
        }
        from.depth--
      }
    }
    case 'struct': {
      const fields = type.fields.map(field => part(field.id))
      return from => {
        from.enter()
        let at = -1
        while (from.at < from.end) {
          const delta = from.count()
          if (delta === 0) break
          at += delta
          const field = fields[at]
          if (field === undefined) throw from.malformed(`a struct of ${fields.length} fields with a field ${at}`)
          field.read(from)
        }
        from.depth--
      }
    }
    case 'interface':
      return from => {
        if (from.name() === '') return
        const id = from.interfaceType()
        from.enter()
        const plan = skipPlanOf(from, id)
        if (!plan.isStruct && from.count() !== 0) throw from.malformed('a value that is no struct does not begin with 0')
        plan.read(from)
        from.depth--
      }
  }
}

function elementsSkipper(element: ReadPlan, length?: number): Read {
  return from => {
    const count = from.count()
    if (length !== undefined && count !== length) throw from.malformed(`an array of ${length} with ${count} elements`)
    from.enter()
    for (let i = 0; i < count; i++) {
      if (from.at >= from.end) throw from.malformed(`${count} elements announced, the message ends after ${i}`)
      element.read(from)
    }
    from.depth--
  }
}

/** Passes over one value, however many messages it is spread over; yields whenever the next has not arrived. */
export function* passOver(reader: ByteReader, id: number): Generator<undefined, void, undefined> {
  const type = reader.type(id)
  if (reader.closed(id)) {
    skipPlanOf(reader, id).read(reader)
    return
  }
  reader.enter()
  switch (type.kind) {
    case 'slice':
    case 'array':
      for (let count = reader.count(); count > 0; count--) {
        if (reader.at >= reader.end) throw reader.malformed(`${count} more elements announced at the end of the message`)
        // A nil needs no generator of its own: there may be millions.
        if (reader.bytes[reader.at] === 0 && reader.type(type.elem).kind === 'interface') reader.at++
        else yield* passOver(reader, type.elem)
      }
      break
    case 'map':
      for (let count = reader.count(); count > 0; count--) {
        if (reader.at >= reader.end) throw reader.malformed(`${count} more entries announced at the end of the message`)
        yield* passOver(reader, type.key)
        yield* passOver(reader, type.elem)
      }
      break
    case 'struct': {
      let at = -1
      while (reader.at < reader.end) {
        const delta = reader.count()
        if (delta === 0) break
        at += delta
        const field = type.fields[at]
        if (field === undefined) throw reader.malformed(`a struct of ${type.fields.length} fields with a field ${at}`)
        yield* passOver(reader, field.id)
      }
      break
    }
    case 'interface':
      if (reader.name() === '') break
      for (;;) {
        if (reader.at === reader.end) while (!reader.nextMessage()) yield
        const inner = reader.typeId()
        if (inner >= 0) {
          reader.passUint()
          if (reader.type(inner).kind !== 'struct' && reader.count() !== 0)
            throw reader.malformed('a value that is no struct does not begin with 0')
          yield* passOver(reader, inner)
          break
        }
        reader.define(-inner)
        if (reader.at < reader.end) reader.passUint()
      }
      break
    default:
  }
  reader.depth--
}
