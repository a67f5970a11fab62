// How values of a shape are written, worked out once per shape. It knows the order of bytes in a value, not streams, messages or ids.

import type { ByteWriter } from './byte-writer.ts'
import { describe, Fault, limitFault, typeFault, valueFault, within } from './fault.ts'
import { plainOf, spellingOf, unlazy } from './go-types.ts'
import { MAX_NAME_BYTES } from './gob-limits.ts'
import type { Complex, Shape, StructShape, Typed } from './schema.ts'
import { zeroOf } from './zero-values.ts'

/** What writing a value needs from its stream. */
export interface WriteTarget {
  readonly out: ByteWriter
  readonly maxDepth: number
  depth: number
  /** The id of a type inside an interface; the stream defines it if it has not yet. */
  idFor(shape: Shape): number
}

export interface WritePlan {
  /** Struct values have no zero byte before them where they stand alone. */
  readonly isStruct: boolean
  write(target: WriteTarget, value: unknown): void
  /** Whether Go leaves this value out of a struct. */
  omits(value: unknown): boolean
  /** Go sends it even where a struct does not give it. */
  readonly always: boolean
  readonly step: number
}

/** The commonest fields are written where they stand, without a call through a plan. */
const Step = { other: 0, string: 1, int: 2, uint: 3, bool: 4, float: 5 } as const

const plans = new WeakMap<Shape, WritePlan>()

export function writePlanOf(shape: Shape): WritePlan {
  let plan = plans.get(shape)
  if (plan === undefined) {
    plan = build(shape)
    plans.set(shape, plan)
  }
  return plan
}

function build(shape: Shape): WritePlan {
  switch (shape.kind) {
    case 'lazy':
      return writePlanOf(unlazy(shape))
    case 'named':
      return writePlanOf(shape.of)
    case 'pointer':
      return pointerPlan(shape)
    case 'bool':
      return leaf(
        Step.bool,
        (target, value) => writeBool(target.out, value),
        value => value === false,
      )
    case 'int':
      return shape.bits === 64 && !shape.big
        ? leaf(Step.int, (target, value) => writeInt(target.out, value), isZero)
        : leaf(Step.other, intWriter(shape.bits, shape.go), isZero)
    case 'uint':
      return shape.bits === 64 && !shape.big
        ? leaf(Step.uint, (target, value) => writeUint(target.out, value), isZero)
        : leaf(Step.other, uintWriter(shape.bits, shape.go), isZero)
    case 'float':
      return shape.single
        ? leaf(
            Step.other,
            (target, value) => target.out.float(single(value)),
            value => value === 0,
          )
        : leaf(
            Step.float,
            (target, value) => writeFloat(target.out, value),
            value => value === 0,
          )
    case 'complex':
      return leaf(Step.other, complexWriter(shape.single), value => isComplex(value) && value.re === 0 && value.im === 0)
    case 'string':
      return leaf(
        Step.string,
        (target, value) => writeString(target.out, value),
        value => value === '',
      )
    case 'rawString':
    case 'bytes':
      return leaf(
        Step.other,
        (target, value) => target.out.rawBytes(expectBytes(value)),
        value => value instanceof Uint8Array && value.length === 0,
      )
    case 'any':
      return leaf(
        Step.other,
        () => {
          throw typeFault('a schema (`any` only decodes)', 'any')
        },
        () => false,
      )
    case 'slice':
      return slicePlan(shape.of)
    case 'array':
      return arrayPlan(shape.of, shape.length)
    case 'byteArray':
      return byteArrayPlan(shape.length)
    case 'map':
      return mapPlan(shape.key, shape.value)
    case 'struct':
      return structPlan(shape)
    case 'iface':
      return interfacePlan(shape)
    case 'opaque':
      return {
        isStruct: false,
        always: shape.onPointer,
        step: Step.other,
        omits: value => !shape.onPointer && opaque(shape.name, () => shape.isZero(value as never)),
        write: (target, value) => target.out.rawBytes(opaque(shape.name, () => shape.encode(value as never))),
      }
  }
}

type Write = WritePlan['write']

function leaf(step: number, write: Write, omits: (value: unknown) => boolean): WritePlan {
  return { isStruct: false, always: false, step, write, omits }
}

/** The writer of another shape, asked for when first needed: types may contain themselves. */
function later(shape: Shape): () => WritePlan {
  let plan: WritePlan | undefined
  return () => (plan ??= writePlanOf(shape))
}

const isZero = (value: unknown): boolean => value === 0 || value === 0n

function opaque<T>(name: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw error instanceof Fault ? error : valueFault(`is no ${name}: ${error instanceof Error ? error.message : String(error)}`, error)
  }
}

function pointerPlan(shape: Extract<Shape, { kind: 'pointer' }>): WritePlan {
  const inner = later(shape.to)
  return {
    get isStruct() {
      return inner().isStruct
    },
    always: false,
    step: Step.other,
    // A pointer to a type with bytes of its own is left out when nil only, any other also when it points to zero.
    omits: value => value === null || (!(shape.star && plainOf(shape.to).kind === 'opaque') && inner().omits(value)),
    write: (target, value) => {
      if (value === null || value === undefined) throw valueFault('is nil, which Go can send in the field of a struct only')
      inner().write(target, value)
    },
  }
}

function writeBool(out: ByteWriter, value: unknown): void {
  if (typeof value !== 'boolean') throw typeFault('bool', describe(value))
  out.byte(value ? 1 : 0)
}

const MIN_INT64 = -(1n << 63n)
const MAX_INT64 = (1n << 63n) - 1n
const MAX_UINT64 = (1n << 64n) - 1n

function writeInt(out: ByteWriter, value: unknown): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw outOfRange(value, 'int')
    out.int(value)
  } else if (typeof value === 'bigint') {
    if (value < MIN_INT64 || value > MAX_INT64) throw outOfRange(value, 'int')
    out.bigInt(value)
  } else throw typeFault('int', describe(value))
}

function writeUint(out: ByteWriter, value: unknown): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) throw outOfRange(value, 'uint')
    out.uint(value)
  } else if (typeof value === 'bigint') {
    if (value < 0n || value > MAX_UINT64) throw outOfRange(value, 'uint')
    out.bigUint(value)
  } else throw typeFault('uint', describe(value))
}

function intWriter(bits: number, go: string): Write {
  const min = -(2 ** (bits - 1))
  const max = 2 ** (bits - 1) - 1
  return (target, value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) target.out.int(value)
    else if (typeof value === 'bigint' && value >= min && value <= (bits === 64 ? MAX_INT64 : max)) target.out.bigInt(value)
    else throw typeof value === 'number' || typeof value === 'bigint' ? outOfRange(value, go) : typeFault(go, describe(value))
  }
}

function uintWriter(bits: number, go: string): Write {
  const max = 2 ** bits - 1
  return (target, value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) target.out.uint(value)
    else if (typeof value === 'bigint' && value >= 0n && value <= (bits === 64 ? MAX_UINT64 : max)) target.out.bigUint(value)
    else throw typeof value === 'number' || typeof value === 'bigint' ? outOfRange(value, go) : typeFault(go, describe(value))
  }
}

function outOfRange(value: number | bigint, go: string): Fault {
  if (typeof value === 'number' && !Number.isInteger(value)) return valueFault(`is ${value}, no whole number, where Go has ${go}`)
  const exact = typeof value === 'bigint' || Number.isSafeInteger(value)
  return valueFault(exact ? `is ${value}, out of range of ${go}` : `is ${value}, beyond what a number holds exactly: give a bigint`)
}

function writeFloat(out: ByteWriter, value: unknown): void {
  if (typeof value !== 'number') throw typeFault('float64', describe(value))
  out.float(value)
}

function single(value: unknown): number {
  if (typeof value !== 'number') throw typeFault('float32', describe(value))
  const rounded = Math.fround(value)
  if (Number.isFinite(value) && !Number.isFinite(rounded)) throw valueFault(`is ${value}, out of range of float32`)
  return rounded
}

const isComplex = (value: unknown): value is Complex =>
  typeof value === 'object' &&
  value !== null &&
  're' in value &&
  'im' in value &&
  typeof value.re === 'number' &&
  typeof value.im === 'number'

function complexWriter(half: boolean): Write {
  return ({ out }, value) => {
    if (!isComplex(value)) throw typeFault('complex', describe(value))
    out.float(half ? single(value.re) : value.re)
    out.float(half ? single(value.im) : value.im)
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u

function writeString(out: ByteWriter, value: unknown): void {
  if (typeof value !== 'string') throw typeFault('string', describe(value))
  // Only what takes more bytes than units can hold a surrogate.
  if (out.string(value) !== value.length && LONE_SURROGATE.test(value)) throw valueFault('has a lone surrogate, which UTF-8 cannot say')
}

function expectBytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw typeFault('[]byte', describe(value))
  return value
}

function expectArray(value: unknown, shape: Shape): readonly unknown[] {
  if (!Array.isArray(value)) throw typeFault(`[]${spellingOf(shape)}`, describe(value))
  return value
}

function writeElements(target: WriteTarget, plan: WritePlan, list: readonly unknown[]): void {
  if (++target.depth > target.maxDepth) throw limitFault('levels (maxDepth)', target.maxDepth)
  let i = 0
  try {
    for (; i < list.length; i++) plan.write(target, list[i])
  } catch (error) {
    throw within(error, `[${i}]`)
  }
  target.depth--
}

function slicePlan(of: Shape): WritePlan {
  const element = later(of)
  return leaf(
    Step.other,
    (target, value) => {
      const list = expectArray(value, of)
      target.out.uint(list.length)
      writeElements(target, element(), list)
    },
    value => Array.isArray(value) && value.length === 0,
  )
}

function arrayPlan(of: Shape, length: number): WritePlan {
  const element = later(of)
  const write: Write = (target, value) => {
    const list = expectArray(value, of)
    if (list.length !== length) throw valueFault(`has ${list.length} elements where Go has ${length}`)
    target.out.uint(length)
    writeElements(target, element(), list)
  }
  return { ...leaf(Step.other, write, () => false), always: true }
}

function byteArrayPlan(length: number): WritePlan {
  const write: Write = ({ out }, value) => {
    const list = expectBytes(value)
    if (list.length !== length) throw valueFault(`has ${list.length} bytes where Go has ${length}`)
    out.uint(length)
    out.room(length * 2)
    for (let i = 0; i < length; i++) {
      const byte = list[i] as number
      if (byte > 0x7f) out.bytes[out.at++] = 0xff
      out.bytes[out.at++] = byte
    }
  }
  return { ...leaf(Step.other, write, () => false), always: true }
}

function mapPlan(keyShape: Shape, valueShape: Shape): WritePlan {
  const keyPlan = later(keyShape)
  const valuePlan = later(valueShape)
  const write: Write = (target, value) => {
    if (!(value instanceof Map)) throw typeFault(`map[${spellingOf(keyShape)}]${spellingOf(valueShape)} (a Map)`, describe(value))
    if (++target.depth > target.maxDepth) throw limitFault('levels (maxDepth)', target.maxDepth)
    target.out.uint(value.size)
    const keys = keyPlan()
    const values = valuePlan()
    let key: unknown
    try {
      for (const entry of value) {
        key = entry[0]
        keys.write(target, key)
        values.write(target, entry[1])
      }
    } catch (error) {
      throw within(
        error,
        `[${typeof key === 'string' ? JSON.stringify(key.slice(0, MAX_NAME_BYTES)) : typeof key === 'object' ? 'key' : String(key)}]`,
      )
    }
    target.depth--
  }
  return leaf(Step.other, write, () => false)
}

interface WriteField {
  readonly name: string
  readonly plan: WritePlan
  readonly step: number
  readonly shape: Shape
}

function structPlan(shape: StructShape): WritePlan {
  let fields: WriteField[] | undefined
  const prepare = (): WriteField[] =>
    shape.fields.map(field => {
      const plan = writePlanOf(field.shape)
      return { name: field.name, plan, step: plan.step, shape: field.shape }
    })
  return {
    isStruct: true,
    always: true,
    step: Step.other,
    omits: () => false,
    write: (target, value) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw typeFault(shape.name || 'a struct', describe(value))
      fields ??= prepare()
      writeFields(target, value as Record<string, unknown>, fields)
    },
  }
}

function writeFields(target: WriteTarget, value: Record<string, unknown>, fields: readonly WriteField[]): void {
  if (++target.depth > target.maxDepth) throw limitFault('levels (maxDepth)', target.maxDepth)
  const { out } = target
  let last = -1
  let i = 0
  try {
    for (; i < fields.length; i++) {
      const field = fields[i] as WriteField
      const item = value[field.name]
      switch (field.step) {
        case Step.string:
          if (item === '' || item === undefined) continue
          out.uint(i - last)
          writeString(out, item)
          break
        case Step.int:
          if (item === 0 || item === undefined || item === 0n) continue
          out.uint(i - last)
          writeInt(out, item)
          break
        case Step.uint:
          if (item === 0 || item === undefined || item === 0n) continue
          out.uint(i - last)
          writeUint(out, item)
          break
        case Step.bool:
          if (item === false || item === undefined) continue
          out.uint(i - last)
          writeBool(out, item)
          break
        case Step.float:
          if (item === 0 || item === undefined) continue
          out.uint(i - last)
          writeFloat(out, item)
          break
        default:
          if (item === undefined) {
            if (!field.plan.always) continue
            out.uint(i - last)
            field.plan.write(target, zeroOf(field.shape))
          } else {
            if (field.plan.omits(item)) continue
            out.uint(i - last)
            field.plan.write(target, item)
          }
      }
      last = i
    }
  } catch (error) {
    throw within(error, `.${(fields[i] as WriteField).name}`)
  }
  out.byte(0)
  target.depth--
}

function interfacePlan(shape: Extract<Shape, { kind: 'iface' }>): WritePlan {
  const write: Write = (target, value) => {
    if (value === null) return target.out.byte(0)
    const { type, value: inner } = typedOf(value)
    const concrete = shape.types.get(type)
    if (concrete === undefined) throw typeFault('a registered type', JSON.stringify(type.slice(0, MAX_NAME_BYTES)))
    if (++target.depth > target.maxDepth) throw limitFault('levels (maxDepth)', target.maxDepth)
    const plan = writePlanOf(concrete)
    const { out } = target
    out.string(type)
    out.int(target.idFor(concrete))
    const mark = out.open(1)
    if (!plan.isStruct) out.byte(0)
    try {
      plan.write(target, inner)
    } catch (error) {
      throw within(error, `.(${type})`)
    }
    out.close(mark, 1)
    target.depth--
  }
  return leaf(Step.other, write, value => value === null)
}

function typedOf(value: unknown): Typed {
  if (typeof value === 'string') return { type: 'string', value }
  if (typeof value === 'boolean') return { type: 'bool', value }
  if (value instanceof Uint8Array) return { type: '[]uint8', value }
  if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'value' in value)
    return value as Typed
  throw typeFault('{ type, value }, the name of a Go type and its value', describe(value))
}
