// Values of schemas in which something stands that stays where it is and travels as a broker id. A schema is read once; from then on only the
// ways that lead to a reference are walked, and values without any are left alone. It must not know what a reference refers to.

import { PluginError } from 'plugwire'
import type { AnySchema, Schema, Shape } from '../gob/schema.ts'
import type { Body, Carrier } from '../rpc/body.ts'

/** Something that travels as a broker id. */
export interface Reference {
  /** For texts: `a function`, `a reader`. */
  readonly what: string
  /** Offers what the application gave under a new id, and returns the id. */
  offer(value: unknown, carrier: Carrier): number
  /** Takes what the peer offered under an id, and returns what the application gets. */
  take(id: number, carrier: Carrier): unknown
}

/** References in one value that are taken: each is a stream at once, of which no connection has more. */
const MAX_REFERENCES = 16_384

const references = new WeakMap<Shape, Reference>()
const ignored = new WeakSet<Shape>()

/** A schema that is Go's `uint32` on the wire, and a reference to the application. */
export function referenceSchema<Out, In>(reference: Reference): Schema<Out, In> {
  // A shape of its own each time: it is known by its identity.
  const shape: Shape = { kind: 'uint', go: 'uint32', bits: 32, big: false }
  references.set(shape, reference)
  return { '~gob': shape }
}

/** A schema of the same wire type whose value does not matter: what comes is passed over. */
export function ignoredSchema<Out, In>(of: AnySchema): Schema<Out, In> {
  const shape: Shape = { ...of['~gob'] }
  ignored.add(shape)
  return { '~gob': shape }
}

/** How a body of this schema is written and read. */
export function bodyOf(schema: AnySchema): Body {
  const shape = schema['~gob']
  if (ignored.has(shape)) return { schema, toWire: () => null, fromWire: () => undefined, ignored: true }
  const way = wayThrough(shape, new Map())
  if (way === undefined) return { schema, ignored: false }
  return {
    schema,
    ignored: false,
    toWire: (value, carrier) => way.walk(value, 'the value', (reference, given, path) => offer(reference, given, path, carrier)),
    fromWire: (value, carrier) => {
      // All of them before one is taken: of what was taken for nothing nobody would know.
      let count = 0
      way.walk(value, 'the value', (reference, id, path) => {
        if (++count > MAX_REFERENCES)
          throw new PluginError('ERR_CALL_LIMIT', { limit: 'functions, objects and streams in one value', max: MAX_REFERENCES })
        checkId(reference, id, path)
      })
      return way.walk(value, 'the value', (reference, id) => reference.take(id as number, carrier))
    },
  }
}

type Exchange = (reference: Reference, value: unknown, path: string) => unknown

/** A type in which references stand. */
interface Way {
  /** A copy of the value, as deep as references stand in it, with each exchanged. */
  walk(value: unknown, path: string, exchange: Exchange): unknown
}

/** Whether a reference can stand anywhere in a type. */
function holds(shape: Shape, seen: Set<Shape>): boolean {
  if (references.has(shape)) return true
  if (seen.has(shape)) return false
  seen.add(shape)
  switch (shape.kind) {
    case 'named':
    case 'slice':
    case 'array':
      return holds(shape.of, seen)
    case 'pointer':
      return holds(shape.to, seen)
    case 'map':
      return holds(shape.key, seen) || holds(shape.value, seen)
    case 'struct':
      return shape.fields.some(field => holds(field.shape, seen))
    case 'lazy':
      return holds(shape.get(), seen)
    default:
      return false
  }
}

/** The way through a type, which may contain itself; undefined when no reference can stand in it. */
function wayThrough(shape: Shape, known: Map<Shape, Way>): Way | undefined {
  const before = known.get(shape)
  if (before !== undefined) return before
  if (!holds(shape, new Set())) return undefined
  let found: Way | undefined
  // What contains itself comes back here while it is still being looked at.
  known.set(shape, { walk: (value, path, exchange) => (found as Way).walk(value, path, exchange) })
  found = makeWay(shape, known)
  return found
}

function makeWay(shape: Shape, known: Map<Shape, Way>): Way {
  const reference = references.get(shape)
  if (reference !== undefined) return { walk: (value, path, exchange) => exchange(reference, value, path) }
  switch (shape.kind) {
    case 'named':
      return wayThrough(shape.of, known) as Way
    case 'lazy':
      return wayThrough(shape.get(), known) as Way
    case 'pointer': {
      const to = wayThrough(shape.to, known) as Way
      return { walk: (value, path, exchange) => (value === null || value === undefined ? value : to.walk(value, path, exchange)) }
    }
    case 'slice':
    case 'array': {
      const of = wayThrough(shape.of, known) as Way
      return {
        walk: (value, path, exchange) =>
          Array.isArray(value) ? value.map((item, index) => of.walk(item, `${path}[${index}]`, exchange)) : value,
      }
    }
    case 'map': {
      if (holds(shape.key, new Set())) {
        throw new PluginError('ERR_CONTRACT', { reason: 'netrpc: the key of a map cannot be a function, an object or a stream' })
      }
      const of = wayThrough(shape.value, known) as Way
      return {
        walk: (value, path, exchange) =>
          value instanceof Map
            ? new Map([...value].map(([key, item]) => [key, of.walk(item, `${path}[${String(key)}]`, exchange)]))
            : value,
      }
    }
    case 'struct': {
      const fields = shape.fields.flatMap(({ name, shape: field }): [string, Way][] => {
        const way = wayThrough(field, known)
        return way === undefined ? [] : [[name, way]]
      })
      return { walk: (value, path, exchange) => walkFields(fields, value, path, exchange) }
    }
    default:
      throw new TypeError(`no reference can stand in ${shape.kind}`)
  }
}

function walkFields(fields: readonly [name: string, way: Way][], value: unknown, path: string, exchange: Exchange): unknown {
  if (typeof value !== 'object' || value === null) return value
  const copy = { ...value } as Record<string, unknown>
  for (const [name, way] of fields) copy[name] = way.walk(copy[name], `${path}.${name}`, exchange)
  return copy
}

function offer(reference: Reference, value: unknown, path: string, carrier: Carrier): number {
  if (value === undefined || value === null) {
    throw new PluginError('ERR_VALUE_UNSUPPORTED', {
      path,
      type: String(value),
      remedy: `Give ${reference.what}, or wrap its schema in nullable()`,
    })
  }
  return reference.offer(value, carrier)
}

function checkId(reference: Reference, id: unknown, path: string): void {
  // 0 is what is left when the peer gave none: ids begin at 1.
  if (typeof id !== 'number' || id === 0) {
    throw new PluginError('ERR_VALUE_UNSUPPORTED', {
      path,
      type: 'no broker id',
      remedy: `The other side gave no ${reference.what.replace(/^an? /, '')}`,
    })
  }
}
