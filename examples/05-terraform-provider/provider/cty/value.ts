// Terraform's values as values of JavaScript, exactly as they travel. Sets are arrays without order; names come from outside, so objects and maps
// have no prototype. Knows of no bytes and of no schema.

import { type CtyNumber, Decimal, sameNumber } from './number.ts'
import type { CtyType } from './type.ts'

export type CtyValue = null | string | boolean | CtyNumber | Unknown | Dynamic | readonly CtyValue[] | CtyRecord

/** An object or a map. No prototype. */
export interface CtyRecord {
  readonly [name: string]: CtyValue
}

/** What is known about a value that is not known yet. */
export interface Refinement {
  /** It will not be null. */
  readonly notNull?: boolean
  /** Of a string: how it will begin. */
  readonly prefix?: string
  /** Of a number. */
  readonly min?: Bound
  /** Of a number. */
  readonly max?: Bound
  /** Of a list, set or map. */
  readonly minLength?: number
  /** Of a list, set or map. */
  readonly maxLength?: number
}

export interface Bound {
  readonly value: CtyNumber
  readonly inclusive: boolean
}

/** A value that is only known after apply. Two are alike whatever is already known about them. */
export class Unknown {
  readonly refinement: Refinement | undefined

  constructor(refinement?: Refinement) {
    this.refinement = refinement
  }
}

/** About which nothing is known. */
export const unknown: Unknown = new Unknown()

/** A value of an attribute that takes any type, with the type it has. */
export class Dynamic {
  readonly type: CtyType
  readonly value: CtyValue

  constructor(type: CtyType, value: CtyValue) {
    this.type = type
    this.value = value
  }
}

/** An object without prototype, so that any name is just a name. */
export function record<T>(entries: Iterable<readonly [string, T]> = []): { [name: string]: T } {
  const made: { [name: string]: T } = Object.create(null)
  for (const [name, value] of entries) made[name] = value
  return made
}

export function isRecord(value: unknown): value is CtyRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Unknown || value instanceof Dynamic || value instanceof Decimal)
  )
}

/** True when nothing in it is unknown. */
export function isKnown(value: CtyValue): boolean {
  if (value instanceof Unknown) return false
  if (value instanceof Dynamic) return isKnown(value.value)
  if (Array.isArray(value)) return value.every(isKnown)
  return !isRecord(value) || Object.values(value).every(isKnown)
}

/** Whether two values of one type are the same. Elements of sets may stand in any order. */
export function same(a: CtyValue, b: CtyValue, type: CtyType): boolean {
  if (a === b) return true
  if (a === null || b === null) return false
  if (a instanceof Unknown || b instanceof Unknown) return a instanceof Unknown && b instanceof Unknown
  if (type === 'dynamic') {
    if (!(a instanceof Dynamic && b instanceof Dynamic)) return false
    return sameType(a.type, b.type) && same(a.value, b.value, a.type)
  }
  if (type === 'number') return sameNumber(a as CtyNumber, b as CtyNumber)
  if (typeof type === 'string') return false
  const [kind, inner] = type
  if (kind === 'list' || kind === 'set' || kind === 'tuple') {
    if (!(Array.isArray(a) && Array.isArray(b)) || a.length !== b.length) return false
    if (kind !== 'set') return a.every((item, i) => same(item, b[i], kind === 'tuple' ? (inner[i] ?? 'dynamic') : inner))
    const rest = [...b]
    return a.every(item => {
      const at = rest.findIndex(candidate => same(item, candidate, inner))
      if (at >= 0) rest.splice(at, 1)
      return at >= 0
    })
  }
  if (!(isRecord(a) && isRecord(b))) return false
  if (kind === 'object') return Object.entries(inner).every(([name, of]) => same(a[name] ?? null, b[name] ?? null, of))
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every(name => name in b && same(a[name] ?? null, b[name] ?? null, inner))
}

function sameType(a: CtyType, b: CtyType): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b
  if (a[0] !== b[0]) return false
  if (a[0] === 'tuple' && b[0] === 'tuple') return a[1].length === b[1].length && a[1].every((of, i) => sameType(of, b[1][i] ?? 'dynamic'))
  if (a[0] === 'object' && b[0] === 'object') {
    const [mine, theirs] = [a[1], b[1]]
    const names = Object.keys(mine)
    return names.length === Object.keys(theirs).length && names.every(name => sameType(mine[name]!, theirs[name] ?? 'dynamic'))
  }
  return sameType(a[1] as CtyType, b[1] as CtyType)
}
