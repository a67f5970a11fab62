// How a type on the wire is read into a shape of ours, worked out once per pair of both. Source: encoding/gob decode.go, compatibleType.

import type { ByteReader } from './byte-reader.ts'
import type { Fault } from './fault.ts'
import { typeFault, valueFault, within } from './fault.ts'
import { spellingOf } from './go-types.ts'
import { MAX_NAME_BYTES, OBJECT_ITEMS } from './gob-limits.ts'
import type { Make, OpenPlan, Planning, Read, ReadPlan } from './plans.ts'
import { planOf } from './plans.ts'
import type { GobValue, OpaqueShape, Shape, StructShape } from './schema.ts'
import { any, Opaque } from './schema.ts'
import { makeSkipper, skipShape } from './skip-plans.ts'
import type { WireType } from './wire-types.ts'
import { OPAQUE_WORDS, spellingOfWire } from './wire-types.ts'
import { byteArrayWeight, weightOf, zeroOf } from './zero-values.ts'

export function readPlanOf(reader: ByteReader, shape: Shape, id: number): ReadPlan {
  return reader.type(id).plans.get(shape) ?? planOf(reader, shape, id, makeReader)
}

const makeReader: Make = (planning, plan, shape, type, id) => {
  const { reader } = planning
  const part = (of: Shape, partId: number): ReadPlan => planning.part(plan, '', of, partId)
  const mismatch = (): Fault => typeFault(spellingOf(shape), spellingOfWire(reader.types, id))
  const expect = (kind: WireType['kind'], read: Read): Read => {
    if (type.kind !== kind) throw mismatch()
    return read
  }
  if (shape === skipShape) return makeSkipper(planning, plan, shape, type, id)
  switch (shape.kind) {
    case 'lazy':
    case 'pointer':
    case 'named':
      throw new Error('these are taken off before')
    case 'any':
      return anyReader(planning, type, part)
    case 'bool':
      return expect('bool', from => from.bool())
    case 'int':
      return expect('int', intReader(shape.bits, shape.big, shape.go))
    case 'uint':
      return expect('uint', uintReader(shape.bits, shape.big, shape.go))
    case 'float':
      return expect('float', shape.single ? singleOf : from => from.float())
    case 'complex':
      return expect('complex', complexReader(shape.single ? singleOf : from => from.float()))
    case 'string':
      return expect('string', from => from.string())
    case 'rawString':
      return expect('string', from => from.copy())
    case 'bytes':
      return expect('bytes', from => from.copy())
    case 'slice':
      if (type.kind !== 'slice') throw mismatch()
      return sliceReader(part(shape.of, type.elem), reader.closed(type.elem))
    case 'array':
      if (type.kind !== 'array' || type.length !== shape.length) throw mismatch()
      return arrayReader(part(shape.of, type.elem), shape.length)
    case 'byteArray':
      if (type.kind !== 'array' || type.length !== shape.length || reader.type(type.elem).kind !== 'uint') throw mismatch()
      return byteArrayReader(shape.length)
    case 'map':
      if (type.kind !== 'map') throw mismatch()
      return mapReader(part(shape.key, type.key), part(shape.value, type.elem), reader.closed(id))
    case 'iface':
      return expect('interface', from => readInterface(from, shape.types))
    case 'struct':
      if (type.kind !== 'struct') throw mismatch()
      return structReader(planning, plan, shape, type)
    case 'opaque':
      if (type.kind !== 'opaque') throw typeFault(`${shape.name} (${OPAQUE_WORDS[shape.wire]})`, spellingOfWire(reader.types, id))
      if (type.wire !== shape.wire) throw typeFault(`${shape.name} (${OPAQUE_WORDS[shape.wire]})`, OPAQUE_WORDS[type.wire])
      return opaqueReader(shape)
  }
}

function intReader(bits: number, big: boolean, go: string): Read {
  if (big) return from => from.bigInt()
  if (bits === 64) return from => from.int()
  const max = 2 ** (bits - 1) - 1
  return from => {
    const value = from.int()
    if (value > max || value < -max - 1) throw valueFault(`is ${value}, out of range of ${go}`)
    return value
  }
}

function uintReader(bits: number, big: boolean, go: string): Read {
  if (big) return from => from.bigUint()
  if (bits === 64) return from => from.uint()
  const max = 2 ** bits - 1
  return from => {
    const value = from.uint()
    if (value > max) throw valueFault(`is ${value}, out of range of ${go}`)
    return value
  }
}

const MAX_FLOAT32 = 2 ** 127 * (2 - 2 ** -23)

function singleOf(from: ByteReader): number {
  const value = from.float()
  // As Go: infinities pass, what is between them and the largest float32 does not.
  if (Number.isFinite(value) && Math.abs(value) > MAX_FLOAT32) throw valueFault(`is ${value}, out of range of float32`)
  return Math.fround(value)
}

function complexReader(part: (from: ByteReader) => number): Read {
  return from => {
    from.spend(1)
    return { re: part(from), im: part(from) }
  }
}

function sliceReader(element: ReadPlan, closed: boolean): Read {
  return from => {
    const count = from.count()
    // Every element takes a byte at least; one that holds interfaces may go on in messages that are not here yet.
    if (closed && count > from.end - from.at) throw from.malformed(`${count} elements announced, ${from.end - from.at} bytes left`)
    return readElements(from, element, count)
  }
}

function arrayReader(element: ReadPlan, length: number): Read {
  return from => {
    const count = from.count()
    if (count !== length) throw from.malformed(`an array of ${length} with ${count} elements`)
    return readElements(from, element, count)
  }
}

function readElements(from: ByteReader, element: ReadPlan, count: number): unknown[] {
  from.spend(count)
  from.enter()
  const list: unknown[] = []
  let i = 0
  try {
    for (; i < count; i++) {
      if (from.at >= from.end) throw from.malformed(`${count} elements announced, the message ends after ${i}`)
      list.push(element.read(from))
    }
  } catch (error) {
    throw within(error, `[${i}]`)
  }
  from.depth--
  return list
}

function byteArrayReader(length: number): Read {
  return from => {
    const count = from.count()
    if (count !== length) throw from.malformed(`an array of ${length} with ${count} elements`)
    if (count > from.end - from.at) throw from.malformed(`${count} elements announced, ${from.end - from.at} bytes left`)
    from.spend(byteArrayWeight(length))
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) {
      const byte = from.uint()
      if (byte > 0xff) throw valueFault(`is ${byte}, out of range of uint8`).within(`[${i}]`)
      bytes[i] = byte
    }
    return bytes
  }
}

function mapReader(key: ReadPlan, value: ReadPlan, closed: boolean): Read {
  return from => {
    const count = from.count()
    if (closed && count * 2 > from.end - from.at) throw from.malformed(`${count} entries announced, ${from.end - from.at} bytes left`)
    from.spend(count * 2 + OBJECT_ITEMS)
    from.enter()
    const map = new Map<unknown, unknown>()
    let at: unknown
    try {
      for (let i = 0; i < count; i++) {
        at = undefined
        if (from.at >= from.end) throw from.malformed(`${count} entries announced, the message ends after ${i}`)
        at = key.read(from)
        map.set(at, value.read(from))
      }
    } catch (error) {
      throw within(
        error,
        `[${typeof at === 'string' ? JSON.stringify(at.slice(0, MAX_NAME_BYTES)) : at === undefined || typeof at === 'object' ? 'key' : String(at)}]`,
      )
    }
    from.depth--
    return map
  }
}

function opaqueReader(shape: OpaqueShape): Read {
  return from => {
    const raw = from.copy()
    try {
      return shape.decode(raw)
    } catch (error) {
      throw valueFault(`is no ${shape.name}: ${error instanceof Error ? error.message : String(error)}`, error)
    }
  }
}

interface ReadField {
  readonly name: string
  readonly plan: ReadPlan
  /** Which field of ours it is; -1 is none, and it is passed over. */
  readonly index: number
}

function structReader(planning: Planning, plan: OpenPlan, shape: StructShape, type: Extract<WireType, { kind: 'struct' }>): Read {
  const ours = new Map(shape.fields.map((field, index) => [field.name, index]))
  let last = -1
  let matched = 0
  let ordered = true
  const fields = type.fields.map((field): ReadField => {
    const index = ours.get(field.name)
    if (index === undefined) return { name: field.name, plan: planning.part(plan, '', skipShape, field.id), index: -1 }
    matched++
    if (index <= last) ordered = false
    last = index
    const of = (shape.fields[index] as { shape: Shape }).shape
    return { name: field.name, plan: planning.part(plan, `.${field.name}`, of, field.id), index }
  })
  plan.strange = matched === 0 && type.fields.length > 0 && shape.fields.length > 0
  const zeros = shape.fields.map(field => zeroFieldOf(field.name, field.shape))
  const weight = 1 + zeros.length
  const fill = ordered && zeros.length <= MAX_PLAIN_FIELDS ? readInOrder : readOverZeros(zeros)
  return from => {
    from.spend(weight)
    from.enter()
    const value = fill(from, fields, zeros)
    from.depth--
    return value
  }
}

interface ZeroField {
  readonly name: string
  /** The zero that all values share; undefined when each needs one of its own. */
  readonly shared: unknown
  readonly make: (from: ByteReader) => unknown
}

function zeroFieldOf(name: string, shape: Shape): ZeroField {
  const zero = zeroOf(shape)
  // The field itself has been counted with its struct.
  const weight = weightOf(shape) - 1
  return {
    name,
    shared: typeof zero === 'object' && zero !== null ? undefined : zero,
    make: from => {
      from.spend(weight)
      return zeroOf(shape)
    },
  }
}

/** V8 makes an object slow to use once more fields than this (19 in Node 20) are added to it one by one. */
const MAX_PLAIN_FIELDS = 17

/** Fields as they come, zeros for those between: nothing is written twice, and all objects get the same order of fields. */
function readInOrder(from: ByteReader, fields: readonly ReadField[], zeros: readonly ZeroField[]): Record<string, unknown> {
  const value: Record<string, unknown> = {}
  let at = -1
  let next = 0
  try {
    // Go takes the end of the message for the end of the struct as well.
    while (from.at < from.end) {
      const delta = from.count()
      if (delta === 0) break
      at += delta
      if (at >= fields.length) throw from.malformed(`a struct of ${fields.length} fields with a field ${at}`)
      const field = fields[at] as ReadField
      const { index } = field
      if (index < 0) field.plan.read(from)
      else {
        while (next < index) {
          const zero = zeros[next++] as ZeroField
          value[zero.name] = zero.shared === undefined ? zero.make(from) : zero.shared
        }
        value[field.name] = field.plan.read(from)
        next++
      }
    }
  } catch (error) {
    throw within(error, segmentOf(fields[at]))
  }
  while (next < zeros.length) {
    const zero = zeros[next++] as ZeroField
    value[zero.name] = zero.shared === undefined ? zero.make(from) : zero.shared
  }
  return value
}

/** For many fields, or those that come in another order than ours. */
function readOverZeros(zeros: readonly ZeroField[]): typeof readInOrder {
  // Parsed, because an object that is filled field by field would be a slow one.
  const template: Record<string, unknown> = JSON.parse(`{${zeros.map(({ name }) => `${JSON.stringify(name)}:null`).join()}}`)
  for (const { name, shared } of zeros) template[name] = shared
  const own = zeros.filter(({ shared }) => shared === undefined)
  return (from, fields) => {
    const value: Record<string, unknown> = Object.assign({}, template)
    readFields(from, fields, value)
    for (const { name, make } of own) if (value[name] === undefined) value[name] = make(from)
    return value
  }
}

function readFields(from: ByteReader, fields: readonly ReadField[], value: Record<string, unknown>): void {
  let at = -1
  try {
    while (from.at < from.end) {
      const delta = from.count()
      if (delta === 0) break
      at += delta
      if (at >= fields.length) throw from.malformed(`a struct of ${fields.length} fields with a field ${at}`)
      const { index, name, plan } = fields[at] as ReadField
      if (index < 0) plan.read(from)
      else value[name] = plan.read(from)
    }
  } catch (error) {
    throw within(error, segmentOf(fields[at]))
  }
}

const segmentOf = (field: ReadField | undefined): string => (field === undefined ? '' : `.${field.name.slice(0, MAX_NAME_BYTES)}`)

/** Source: decode.go decodeInterface. */
function readInterface(from: ByteReader, types: ReadonlyMap<string, Shape> | undefined): unknown {
  const name = from.name()
  if (name === '') return null
  const shape = types === undefined ? any['~gob'] : types.get(name)
  if (shape === undefined) throw typeFault('a registered type', JSON.stringify(name))
  const id = from.interfaceType()
  from.spend(1)
  from.enter()
  try {
    const plan = readPlanOf(from, shape, id)
    if (plan.strange) throw typeFault(spellingOf(shape), `${spellingOfWire(from.types, id)}, which shares no field with it`)
    if (!plan.isStruct && from.count() !== 0) throw from.malformed('a value that is no struct does not begin with 0')
    const value = plan.read(from)
    from.depth--
    return { type: name, value }
  } catch (error) {
    throw within(error, `.(${name})`)
  }
}

function anyReader({ reader }: Planning, type: WireType, part: (shape: Shape, id: number) => ReadPlan): Read {
  const shape = any['~gob']
  switch (type.kind) {
    case 'bool':
      return from => from.bool()
    case 'int':
      return from => safe(from.bigInt())
    case 'uint':
      return from => safe(from.bigUint())
    case 'float':
      return from => from.float()
    case 'complex':
      return complexReader(from => from.float())
    case 'string':
      return from => from.string()
    case 'bytes':
      return from => from.copy()
    case 'interface':
      return from => readInterface(from, undefined)
    case 'slice':
      return sliceReader(part(shape, type.elem), reader.closed(type.elem))
    case 'array':
      return arrayReader(part(shape, type.elem), type.length)
    case 'map':
      return mapReader(part(shape, type.key), part(shape, type.elem), reader.closed(type.elem) && reader.closed(type.key))
    case 'opaque':
      return from => new Opaque(type.name, from.copy())
    case 'struct': {
      const fields = type.fields.map(({ name, id }, index): ReadField & { zero: () => GobValue } => ({
        name,
        index,
        plan: part(shape, id),
        zero: wireZero(reader.type(id)),
      }))
      // Zeros of bytes are made for every value, and an object without prototype is no small thing either.
      const weight =
        1 + OBJECT_ITEMS + type.fields.reduce((sum, { id }) => sum + (reader.type(id).kind === 'bytes' ? 1 + OBJECT_ITEMS : 1), 0)
      return from => {
        from.spend(weight)
        from.enter()
        // The names are the other side's: none of them may reach a prototype.
        const value: Record<string, unknown> = Object.create(null)
        for (const { name, zero } of fields) value[name] = zero()
        readFields(from, fields, value)
        from.depth--
        return value
      }
    }
  }
}

const safe = (value: bigint): number | bigint => {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** What an absent field most likely was, told from its kind alone. */
function wireZero(type: WireType): () => GobValue {
  switch (type.kind) {
    case 'bool':
      return () => false
    case 'int':
    case 'uint':
    case 'float':
      return () => 0
    case 'complex':
      return () => ({ re: 0, im: 0 })
    case 'string':
      return () => ''
    case 'bytes':
      return () => new Uint8Array(0)
    case 'slice':
      return () => []
    // Structs and arrays are always sent, so what is absent was a nil pointer; so may be the others.
    default:
      return () => null
  }
}
