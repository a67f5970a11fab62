// What Go has in a variable that nobody set, per shape: for fields that were left out.

import { PluginError } from 'plugwire'
import { OBJECT_ITEMS } from './gob-limits.ts'
import type { Shape } from './schema.ts'

/** A fresh zero value. */
export function zeroOf(shape: Shape, depth = 0): unknown {
  if (depth > MAX_ZERO_DEPTH) throw endless()
  switch (shape.kind) {
    case 'bool':
      return false
    case 'int':
    case 'uint':
      return shape.big ? 0n : 0
    case 'float':
      return 0
    case 'complex':
      return { re: 0, im: 0 }
    case 'string':
      return ''
    case 'rawString':
    case 'bytes':
      return new Uint8Array(0)
    case 'byteArray':
      return new Uint8Array(shape.length)
    case 'slice':
      return []
    case 'map':
      return new Map()
    case 'array':
      return Array.from({ length: shape.length }, () => zeroOf(shape.of, depth + 1))
    case 'struct': {
      const value: Record<string, unknown> = {}
      for (const field of shape.fields) value[field.name] = zeroOf(field.shape, depth + 1)
      return value
    }
    case 'iface':
    case 'pointer':
    case 'any':
      return null
    case 'lazy':
      return zeroOf(shape.get(), depth + 1)
    case 'named':
      return zeroOf(shape.of, depth + 1)
    case 'opaque':
      return shape.zero()
  }
}

/** What a zero value counts as: an absent array is as large as a present one. */
export function weightOf(shape: Shape, depth = 0): number {
  if (depth > MAX_ZERO_DEPTH) throw endless()
  switch (shape.kind) {
    case 'array':
      return 1 + shape.length * weightOf(shape.of, depth + 1)
    case 'byteArray':
      return byteArrayWeight(shape.length)
    case 'rawString':
    case 'bytes':
    case 'map':
    case 'opaque':
      return 1 + OBJECT_ITEMS
    case 'complex':
      return 2
    case 'struct': {
      let weight = 1
      for (const field of shape.fields) weight += weightOf(field.shape, depth + 1)
      return weight
    }
    case 'lazy':
      return weightOf(shape.get(), depth + 1)
    case 'named':
      return weightOf(shape.of, depth + 1)
    default:
      return 1
  }
}

/** Of eight bytes each, beside the object. */
export function byteArrayWeight(length: number): number {
  return 1 + OBJECT_ITEMS + Math.ceil(length / 8)
}

/** A Go type that contains itself without a pointer, slice or map between has no size; it is found here. */
const MAX_ZERO_DEPTH = 200

function endless(): PluginError {
  return new PluginError('ERR_CONTRACT', { reason: 'gob: a struct contains itself; put a pointer, slice or map between' })
}
