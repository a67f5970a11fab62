// Between values as they travel and values as programs see them. They differ only in numbers: on the way each has one form that loses nothing,
// programs see a `number` or a `bigint`, as the schema says. What a program gives back unchanged goes on with all its digits.

import { type CtyNumber, Decimal, numberFrom } from './cty/number.ts'
import { CtyError, type CtyPath } from './cty/type.ts'
import { type CtyValue, Dynamic, isRecord, record, same, Unknown } from './cty/value.ts'
import { plainShape, type Shape, typeOfShape } from './schema.ts'

/** Of what no schema speaks; a value of it is checked when it is encoded. */
const anything: Shape = { kind: 'dynamic' }

/** @throws CtyError when a whole number is asked for and another one is there. */
export function toProgram(shape: Shape, value: CtyValue, path: CtyPath = []): unknown {
  if (value === null || value instanceof Unknown) return value
  if (shape.kind === 'number') return Number(value)
  if (shape.kind === 'integer') {
    if (value instanceof Decimal || (typeof value === 'number' && !Number.isInteger(value))) {
      throw new CtyError('a whole number is required', path)
    }
    return BigInt(value as number | bigint)
  }
  return mapped(shape, value, path, toProgram)
}

/**
 * @param before What the program was shown, if anything. Where it sees the same value now, the one from before goes on.
 * @throws CtyError when the program made a value that does not fit the schema.
 */
export function fromProgram(shape: Shape, value: unknown, before: CtyValue = null, path: CtyPath = []): CtyValue {
  const now = read(shape, value, path)
  return before === null ? now : settled(shape, before, now)
}

function read(shape: Shape, value: unknown, path: CtyPath): CtyValue {
  if (value === null || value === undefined) return null
  if (value instanceof Unknown) return value
  if (shape.kind === 'number' && typeof value === 'number' && !Number.isNaN(value)) return numberFrom(value)
  if (shape.kind === 'integer' && (typeof value === 'bigint' || Number.isInteger(value))) return numberFrom(value as number | bigint)
  const fits =
    shape.kind === 'string' || shape.kind === 'bool'
      ? typeof value === (shape.kind === 'bool' ? 'boolean' : 'string')
      : shape.kind === 'dynamic'
        ? value instanceof Dynamic
        : shape.kind !== 'number' && shape.kind !== 'integer' && typeof value === 'object'
  if (!fits) throw new CtyError(`the provider made a value that is no ${shape.kind}`, path)
  return mapped(shape, value as CtyValue, path, read) as CtyValue
}

/** Applies `part` to the members of a value. */
function mapped<V>(shape: Shape, value: V, path: CtyPath, part: (shape: Shape, value: V, path: CtyPath) => unknown): unknown {
  switch (shape.kind) {
    case 'nested':
      return part(plainShape(shape), value, path)
    case 'object':
      return record(
        Object.entries(shape.members).map(([name, member]) => [
          name,
          part(member, ((value as { readonly [name: string]: V })[name] ?? null) as V, [...path, name]),
        ]),
      )
    case 'map':
      return record(
        Object.entries(value as { readonly [name: string]: V }).map(([name, inner]) => [name, part(shape.element, inner, [...path, name])]),
      )
    case 'list':
    case 'set':
    case 'tuple':
      if (!Array.isArray(value)) throw new CtyError(`a ${shape.kind} is an array`, path)
      return (value as readonly V[]).map((inner, i) =>
        part(shape.kind === 'tuple' ? (shape.elements[i] ?? anything) : shape.element, inner, [...path, i]),
      )
    default:
      return value
  }
}

/** `now`, but with the numbers from `before` where a program cannot tell them apart. */
function settled(shape: Shape, before: CtyValue, now: CtyValue): CtyValue {
  if (before === null || now === null || before instanceof Unknown || now instanceof Unknown) return now
  switch (shape.kind) {
    case 'number':
      return Number(before as CtyNumber) === Number(now as CtyNumber) ? before : now
    case 'nested':
      return settled(plainShape(shape), before, now)
    case 'object':
    case 'map':
      if (!isRecord(before) || !isRecord(now)) return now
      return record(
        Object.entries(now).map(([name, inner]) => [
          name,
          settled(shape.kind === 'object' ? (shape.members[name] ?? anything) : shape.element, before[name] ?? null, inner),
        ]),
      )
    case 'list':
    case 'tuple':
      if (!Array.isArray(before) || !Array.isArray(now)) return now
      return (now as readonly CtyValue[]).map((inner, i) =>
        settled(shape.kind === 'tuple' ? (shape.elements[i] ?? anything) : shape.element, before[i] ?? null, inner),
      )
    case 'set': {
      if (!Array.isArray(before) || !Array.isArray(now)) return now
      const type = typeOfShape(shape.element)
      return (now as readonly CtyValue[]).map(inner => {
        const twin = (before as readonly CtyValue[]).find(candidate => same(settled(shape.element, candidate, inner), candidate, type))
        return twin ?? inner
      })
    }
    default:
      return now
  }
}
