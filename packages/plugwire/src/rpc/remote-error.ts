// What the other side's code threw, as an error on this side.

import type { ErrorValue } from '../wire/values.ts'

const brand = Symbol.for('plugwire/remote-error')

/**
 * An error that the other side's own code threw.
 *
 * `name`, `message`, `code`, `cause` and enumerable properties are the original's, so that it may be passed on as it is; `remoteStack` is
 * its stack over there.
 * It is never an instance of the original class: decide by `name` or `code`.
 */
export class RemoteError extends Error {
  override readonly name: string
  /** The original's `code`, when it had one. */
  readonly code: string | number | undefined
  /** The stack of the original, as text. */
  readonly remoteStack: string | undefined
  /** The original's other enumerable properties. */
  readonly data: Readonly<Record<string, unknown>>
  /** The errors of an AggregateError. */
  readonly errors: readonly unknown[] | undefined

  constructor(facts: ErrorValue) {
    super(facts.message, 'cause' in facts && facts.cause !== undefined ? { cause: facts.cause } : undefined)
    this.name = facts.name
    const { code, ...data } = facts.data
    this.code = typeof code === 'string' || typeof code === 'number' ? code : undefined
    this.remoteStack = facts.stack
    this.data = data
    this.errors = facts.errors
    const frames = (facts.stack ?? '').split('\n').filter(line => /^\s+at /.test(line))
    Object.defineProperty(this, 'stack', {
      value: [`${facts.name}: ${facts.message}`, ...frames.map(line => `${line} [remote]`)].join('\n'),
      writable: true,
      configurable: true,
    })
    // What is enumerable would travel along when the error is thrown on to a third process: the original's properties only.
    for (const own of ['name', 'remoteStack', 'data', 'errors', ...(this.code === undefined ? ['code'] : [])]) {
      Object.defineProperty(this, own, { enumerable: false })
    }
    for (const [key, value] of Object.entries(data)) {
      if (!(key in this)) Object.defineProperty(this, key, { value, enumerable: true, writable: true, configurable: true })
    }
  }

  static {
    Object.defineProperty(this.prototype, brand, { value: true })
  }
}

/** True for an error that the other side's code threw, whichever copy of the library made it. */
export function isRemoteError(value: unknown): value is RemoteError {
  return value instanceof Error && brand in value
}
