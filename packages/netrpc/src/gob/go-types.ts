// How Go sees a shape: its name, its spelling, what makes two shapes the same type. Source: encoding/gob type.go, reflect's Type.String.

import { PluginError } from 'plugwire'
import type { Shape } from './schema.ts'

/** A shape beneath its lazies and pointers, and what Go's reflection says of it. */
export interface GoType {
  /** Two shapes with the same key are the same Go type and share an id. */
  readonly key: string
  /** Beneath pointers and names. */
  readonly shape: Plain
  /** `rt.Name()`: bare, empty for unnamed types. */
  readonly name: string
  /** `rt.String()`: `main.Point`, `[]string`, `map[string]*main.Point`. */
  readonly spelling: string
  /** The key of the type as it was written, pointers included; differs from `key` for pointers alone. */
  readonly userKey: string
}

export type Plain = Exclude<Shape, { readonly kind: 'lazy' | 'pointer' | 'named' }>

/** Ids that both sides know. Source: encoding/gob type.go bootstrapType, in this order. */
export const BuiltinId = { bool: 1, int: 2, uint: 3, float: 4, bytes: 5, string: 6, complex: 7, interface: 8 } as const

/** The id of a type that needs no definition, 0 for the others. */
export function builtinIdOf(shape: Plain): number {
  switch (shape.kind) {
    case 'bool':
    case 'int':
    case 'uint':
    case 'float':
    case 'bytes':
    case 'string':
    case 'complex':
      return BuiltinId[shape.kind]
    case 'rawString':
      return BuiltinId.string
    case 'iface':
      return BuiltinId.interface
    default:
      return 0
  }
}

/** Beneath lazies. */
export function unlazy(shape: Shape): Exclude<Shape, { readonly kind: 'lazy' }> {
  let at = shape
  for (let steps = 0; at.kind === 'lazy'; steps++) {
    if (steps > MAX_LAZIES) throw onlyItself()
    at = at.get()
  }
  return at
}

/** Beneath lazies and `nullable`, which Go knows nothing of. */
function written(shape: Shape): Exclude<Shape, { readonly kind: 'lazy' }> {
  let at = unlazy(shape)
  for (let steps = 0; at.kind === 'pointer' && !at.star; steps++) {
    if (steps > MAX_LAZIES) throw onlyItself()
    at = unlazy(at.to)
  }
  return at
}

/** Beneath lazies, pointers and names. */
export function plainOf(shape: Shape): Plain {
  let at = unlazy(shape)
  for (let steps = 0; at.kind === 'pointer' || at.kind === 'named'; steps++) {
    if (steps > MAX_LAZIES) throw onlyItself()
    at = unlazy(at.kind === 'pointer' ? at.to : at.of)
  }
  return at
}

const MAX_LAZIES = 100

/** A function that makes a schema of itself anew makes another Go type each time. */
export function endlessSchema(): PluginError {
  return new PluginError('ERR_CONTRACT', { reason: 'gob: a schema goes on without end; let `lazy` return the same schema each time' })
}

function onlyItself(): PluginError {
  return new PluginError('ERR_CONTRACT', { reason: 'gob: a type is defined by nothing but itself' })
}

const known = new WeakMap<Shape, GoType>()

export function goTypeOf(shape: Shape): GoType {
  const cached = known.get(shape)
  if (cached) return cached
  // First, because it finds pointers without end.
  const plain = plainOf(shape)
  let base = written(shape)
  while (base.kind === 'pointer') base = written(base.to)
  const type: GoType = {
    key: keyOf(base, 0),
    shape: plain,
    name: nameOf(base),
    spelling: spellingOf(base, 0),
    userKey: keyOf(shape, 0),
  }
  known.set(shape, type)
  return type
}

const identities = new WeakMap<Shape, number>()
let lastIdentity = 0
function identityOf(shape: Shape): number {
  let identity = identities.get(shape)
  if (identity === undefined) {
    identity = ++lastIdentity
    identities.set(shape, identity)
  }
  return identity
}

const MAX_UNNAMED_DEPTH = 1000
function keyOf(shape: Shape, depth: number): string {
  if (depth > MAX_UNNAMED_DEPTH) throw new PluginError('ERR_CONTRACT', { reason: 'gob: a type without a name contains itself' })
  const at = written(shape)
  switch (at.kind) {
    case 'slice':
      return `[]${keyOf(at.of, depth + 1)}`
    case 'array':
      return `[${at.length}]${keyOf(at.of, depth + 1)}`
    case 'byteArray':
      return `[${at.length}]uint8`
    case 'map':
      return `map[${keyOf(at.key, depth + 1)}]${keyOf(at.value, depth + 1)}`
    case 'pointer':
      return `*${keyOf(at.to, depth + 1)}`
    case 'struct':
    case 'opaque':
    case 'named':
      return `#${identityOf(at)}`
    case 'iface':
      return 'interface'
    default:
      return at.go
  }
}

/** As reflect's Name: the bare name; empty for unnamed types and pointers. */
export function nameOf(shape: Shape): string {
  const at = written(shape)
  switch (at.kind) {
    case 'named':
    case 'struct':
    case 'opaque':
      return at.name.slice(at.name.lastIndexOf('.') + 1)
    case 'bool':
    case 'int':
    case 'uint':
    case 'float':
    case 'complex':
    case 'string':
    case 'rawString':
      return at.go
    default:
      return ''
  }
}

/** Unnamed structs in each other: Go would spell all of them, but has none that contain themselves, as ours may. */
const MAX_SPELT_STRUCTS = 4

/** As reflect's String; for people, and for the names of unnamed types of struct fields. */
export function spellingOf(shape: Shape, depth = 0, structs = 0): string {
  if (depth > MAX_UNNAMED_DEPTH) return '...'
  const at = written(shape)
  switch (at.kind) {
    case 'slice':
      return `[]${spellingOf(at.of, depth + 1, structs)}`
    case 'array':
      return `[${at.length}]${spellingOf(at.of, depth + 1, structs)}`
    case 'byteArray':
      return `[${at.length}]uint8`
    case 'map':
      return `map[${spellingOf(at.key, depth + 1, structs)}]${spellingOf(at.value, depth + 1, structs)}`
    case 'pointer':
      return `*${spellingOf(at.to, depth + 1, structs)}`
    case 'named':
    case 'opaque':
      return at.name.slice(at.name.lastIndexOf('/') + 1)
    case 'struct': {
      if (at.name !== '') return at.name.slice(at.name.lastIndexOf('/') + 1)
      if (structs === MAX_SPELT_STRUCTS) return 'struct { ... }'
      const fields = at.fields.map(field => `${field.name} ${spellingOf(field.shape, depth + 1, structs + 1)}`)
      return fields.length === 0 ? 'struct {}' : `struct { ${fields.join('; ')} }`
    }
    case 'iface':
      return 'interface {}'
    default:
      return at.go
  }
}
