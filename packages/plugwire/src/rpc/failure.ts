// Failures of calls on their way: errors of our own travel as code and facts, errors of the application as values.

import { type ErrorCode, type ErrorFacts, isPluginError, PluginError } from '../errors.ts'

/** Errors of our own that one side may report to the other by code. */
const reportable: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_METHOD_NOT_FOUND',
  'ERR_KIND_NOT_FOUND',
  'ERR_ARGUMENTS_INVALID',
  'ERR_RESULT_INVALID',
  'ERR_REFERENCE_RELEASED',
  'ERR_PLUGIN_CLOSED',
  'ERR_CALL_LIMIT',
  'ERR_VALUE_UNSUPPORTED',
  'ERR_VALUE_CYCLE',
  'ERR_VALUE_DEPTH',
  'ERR_VALUE_THROWS',
  'ERR_VALUE_TOO_LARGE',
])

/** What is sent for an error of our own, `[code, facts]`; undefined when the error is none, or concerns this side alone. */
export function reportOf(cause: unknown): readonly [code: string, facts: object] | undefined {
  return isPluginError(cause) && reportable.has(cause.code) ? [cause.code, cause.facts] : undefined
}

/** An error of plugwire's own that the other side reports; made anew here, when it is one that may be reported. */
export function errorOfReport(value: unknown): Error {
  if (Array.isArray(value) && value.length === 2) {
    const [code, facts] = value as unknown[]
    if (typeof code === 'string' && reportable.has(code) && typeof facts === 'object' && facts !== null) {
      try {
        return new PluginError(code as ErrorCode, facts as ErrorFacts[ErrorCode])
      } catch {
        // Facts that do not fit their code make no sentence; what came is shown as it is.
      }
    }
  }
  return new PluginError('ERR_CALL_FRAME', { reason: 'an error report that cannot be read', offset: 0 })
}

/** What is left of an error whose properties cannot travel: name, message and stack, and why that is all. */
export function bareError(cause: unknown, unsendable: unknown): Error {
  const why = unsendable instanceof Error ? unsendable.message : String(unsendable)
  if (!(cause instanceof Error)) return new Error(`the method threw something that cannot travel: ${why}`)
  const bare = new Error(`${cause.message} (its properties were left out: ${why})`)
  bare.name = String(cause.name)
  if (typeof cause.stack === 'string') bare.stack = cause.stack
  return bare
}
