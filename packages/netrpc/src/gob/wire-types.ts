// Types as the other side defined them. Source: encoding/gob type.go wireType.

import { BuiltinId } from './go-types.ts'
import { MAX_NAME_BYTES } from './gob-limits.ts'
import type { OpenPlan } from './plans.ts'
import type { Shape } from './schema.ts'

interface Common {
  /** For people only. */
  readonly name: string
  /** Plans for reading it by a schema, and by none: worked out once. */
  readonly plans: Map<Shape, OpenPlan>
  /** No value of it can hold an interface, so it never goes beyond its message. Undefined until asked. */
  closed: boolean | undefined
}

export type WireType = Common &
  (
    | { readonly kind: 'bool' | 'int' | 'uint' | 'float' | 'bytes' | 'string' | 'complex' | 'interface' }
    | { readonly kind: 'array'; readonly elem: number; readonly length: number }
    | { readonly kind: 'slice'; readonly elem: number }
    | { readonly kind: 'map'; readonly key: number; readonly elem: number }
    | { readonly kind: 'struct'; readonly fields: readonly { readonly name: string; readonly id: number }[] }
    /** What makes bytes of itself; 5, 6 and 7 are the fields of wireType. */
    | { readonly kind: 'opaque'; readonly wire: 5 | 6 | 7 }
  )

export type WireTypes = Map<number, WireType>

/** The types that need no definition. Ids 9 to 15 are reserved, 16 to 23 those of definitions, which never are values. */
export function builtinTypes(): WireTypes {
  const types: WireTypes = new Map()
  for (const [name, id] of Object.entries(BuiltinId) as [keyof typeof BuiltinId, number][])
    types.set(id, { kind: name, name, plans: new Map(), closed: name !== 'interface' })
  return types
}

/** Go's word for a type on the wire. */
export function spellingOfWire(types: WireTypes, id: number, depth = 0): string {
  const type = types.get(id)
  if (type === undefined) return `type ${id}`
  if (type.kind === 'bytes') return '[]byte'
  if (type.name !== '') return type.name.slice(0, MAX_NAME_BYTES)
  if (depth > 5) return '...'
  const inner = (of: number): string => spellingOfWire(types, of, depth + 1)
  switch (type.kind) {
    case 'array':
      return `[${type.length}]${inner(type.elem)}`
    case 'slice':
      return `[]${inner(type.elem)}`
    case 'map':
      return `map[${inner(type.key)}]${inner(type.elem)}`
    case 'struct':
      return type.fields.length === 0 ? 'an empty struct' : `a struct of ${listed(type.fields)}`
    default:
      return OPAQUE_WORDS[type.kind === 'opaque' ? type.wire : 5]
  }
}

export const OPAQUE_WORDS = { 5: 'a GobEncoder', 6: 'a BinaryMarshaler', 7: 'a TextMarshaler' } as const

function listed(fields: readonly { readonly name: string }[]): string {
  const names = fields.slice(0, 5).map(({ name }) => name.slice(0, MAX_NAME_BYTES))
  return `${names.join(', ')}${fields.length > 5 ? ', ...' : ''}`
}

/**
 * Finds out, for this type and all types in it, whether a value of it can go beyond its message.
 *
 * @param find Throws for types that were never defined.
 */
export function markClosed(type: WireType, find: (id: number) => WireType): void {
  // All types from here at once and without recursion: a chain of types may be long.
  const reached = new Map<WireType, WireType[]>([[type, []]])
  for (const each of reached.keys()) {
    if (each.closed !== undefined) continue
    for (const id of partsOf(each)) {
      const part = find(id)
      const holders = reached.get(part)
      if (holders === undefined) reached.set(part, [each])
      else holders.push(each)
    }
  }
  const open = [...reached.keys()].filter(each => each.closed === false)
  for (const each of open) {
    for (const holder of reached.get(each) ?? []) {
      if (holder.closed !== undefined) continue
      holder.closed = false
      open.push(holder)
    }
  }
  for (const each of reached.keys()) each.closed ??= true
}

function partsOf(type: WireType): readonly number[] {
  switch (type.kind) {
    case 'array':
    case 'slice':
      return [type.elem]
    case 'map':
      return [type.key, type.elem]
    case 'struct':
      return type.fields.map(field => field.id)
    default:
      return []
  }
}
