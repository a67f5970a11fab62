// What the tests of the value codec share: encode to bytes, decode bytes, compare.

import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { isPluginError, type PluginError } from '../../src/errors.ts'
import { defaultLimits } from '../../src/limits.ts'
import { Outbox } from '../../src/wire/outbox.ts'
import { type ReferenceReader, type ReferenceWriter, ValueDecoder, ValueEncoder, type ValueLimits } from '../../src/wire/values.ts'

export const limits: ValueLimits = defaultLimits
export const small: ValueLimits = { maxDepth: 20, maxValueBytes: 1 << 20, maxShapes: 64 }

export const encoder = (references?: ReferenceWriter, given: ValueLimits = limits): ValueEncoder => new ValueEncoder(given, references)
export const decoder = (references?: ReferenceReader, given: ValueLimits = limits): ValueDecoder => new ValueDecoder(given, references)

/** The bytes of one value. */
export function encode(value: unknown, by: ValueEncoder = encoder(), outboxBytes = 1024): Buffer {
  const out = new Outbox(outboxBytes)
  by.encode(out, value, 'value')
  return Buffer.concat(out.take())
}

export function decode(bytes: Buffer, by: ValueDecoder = decoder()): unknown {
  return by.decode(bytes, 0, bytes.length)
}

/** Encodes with one connection's memory of shapes and decodes with the other's. */
export function pair(): (value: unknown) => unknown {
  const there = encoder()
  const here = decoder()
  return value => decode(encode(value, there), here)
}

/** `Invalid Date` is not equal to itself in every version of the platform. */
export function assertSame(actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  if (actual instanceof Date && expected instanceof Date && Number.isNaN(actual.getTime()) && Number.isNaN(expected.getTime())) return
  assert.deepStrictEqual(actual, expected)
}

/** The error that it throws, which must be one of ours with this code. */
export function refused<C extends PluginError['code']>(run: () => unknown, code: C): PluginError<C> {
  try {
    run()
  } catch (error) {
    assert.ok(isPluginError(error, code), `${code} expected, not ${String(error)}`)
    return error
  }
  assert.fail(`${code} expected`)
}

export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
