// What went wrong inside a value, gathering its path on the way out, so that no path is kept while all goes well.

import type { ErrorFacts } from 'plugwire'
import { PluginError } from 'plugwire'

type Facts =
  | { readonly code: 'ERR_GOB_TYPE'; readonly facts: Omit<ErrorFacts['ERR_GOB_TYPE'], 'path'> }
  | { readonly code: 'ERR_GOB_VALUE'; readonly facts: Omit<ErrorFacts['ERR_GOB_VALUE'], 'path'> }
  | { readonly code: 'ERR_GOB_LIMIT'; readonly facts: Omit<ErrorFacts['ERR_GOB_LIMIT'], 'path'> }
  | { readonly code: 'ERR_GOB_MALFORMED'; readonly facts: Omit<ErrorFacts['ERR_GOB_MALFORMED'], 'path'> }

/** A longer path is cut in the middle. */
const MAX_SEGMENTS = 24

export class Fault extends Error {
  readonly what: Facts
  /** The stream cannot be read beyond it. */
  readonly fatal: boolean
  readonly #segments: string[] = []

  constructor(what: Facts, fatal: boolean, cause?: unknown) {
    super(what.code, cause === undefined ? undefined : { cause })
    this.what = what
    this.fatal = fatal
  }

  copy(): Fault {
    const copy = new Fault(this.what, this.fatal, this.cause)
    copy.#segments.push(...this.#segments)
    return copy
  }

  /** Adds where it happened, from the inside out: `.Field`, `[3]`. */
  within(segment: string): this {
    this.#segments.push(segment)
    return this
  }

  toError(): PluginError {
    const segments = this.#segments.toReversed()
    if (segments.length > MAX_SEGMENTS) segments.splice(MAX_SEGMENTS / 2, segments.length - MAX_SEGMENTS, '...')
    const path = `value${segments.join('')}`
    const options = this.cause === undefined ? undefined : { cause: this.cause }
    const { code, facts } = this.what
    // One case each: the facts belong to their code, which a union of both does not say.
    switch (code) {
      case 'ERR_GOB_TYPE':
        return new PluginError(code, { path, ...facts }, options)
      case 'ERR_GOB_VALUE':
        return new PluginError(code, { path, ...facts }, options)
      case 'ERR_GOB_LIMIT':
        return new PluginError(code, { path, ...facts }, options)
      case 'ERR_GOB_MALFORMED':
        return new PluginError(code, { path, ...facts }, options)
    }
  }
}

export function typeFault(expected: string, found: string): Fault {
  return new Fault({ code: 'ERR_GOB_TYPE', facts: { expected, found } }, false)
}

/** @param reason Follows the path: `is out of range of int8`. */
export function valueFault(reason: string, cause?: unknown): Fault {
  return new Fault({ code: 'ERR_GOB_VALUE', facts: { reason } }, false, cause)
}

export function limitFault(limit: string, max: number, fatal = false): Fault {
  return new Fault({ code: 'ERR_GOB_LIMIT', facts: { limit, max } }, fatal)
}

export function malformed(reason: string, offset: number): Fault {
  return new Fault({ code: 'ERR_GOB_MALFORMED', facts: { reason, offset } }, true)
}

/** Any error on its way out, with one more step of the path. */
export function within(error: unknown, segment: string): unknown {
  return error instanceof Fault ? error.within(segment) : error
}

/** What a JavaScript value is, for people. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value !== 'object') return value === undefined ? 'undefined' : `a ${typeof value}`
  const name = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name}` : 'an object'
}
