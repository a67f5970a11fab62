// How a command fails: the exit code, and what is said on stderr. Knows no command.

import { inspect } from 'node:util'
import { isPluginError } from 'plugwire'
import { isRemoteError } from 'plugwire/host'
import { paint } from './colour.ts'
import { toJson } from './json-values.ts'
import { visible } from './visible.ts'

export const ExitCode = {
  ok: 0,
  /** The plugin, or the call, failed. */
  failed: 1,
  /** The command line cannot be understood. */
  usage: 2,
  /** By Ctrl-C; the number that shells give to SIGINT. */
  interrupted: 130,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** A failure that this command itself found. */
export class CommandFailure extends Error {
  /** `CLI_USAGE`, `CLI_CONTRACT_UNKNOWN`, `CLI_DIRECTORY`, …: docs/cli.md lists them. */
  readonly code: string
  readonly exitCode: ExitCode
  /** What to do, in one sentence or a few lines. */
  readonly remedy: string | undefined

  constructor(code: string, message: string, exitCode: ExitCode, remedy?: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.exitCode = exitCode
    this.remedy = remedy
  }
}

/** What the plugin's code threw during a call, with the part of it that threw. `cause` is the error itself. */
export class CallFailure extends Error {
  readonly thrower: 'factory' | 'method'
  readonly kind: string
  readonly remedy: string | undefined

  constructor(thrower: 'factory' | 'method', kind: string, cause: Error, remedy: string | undefined) {
    super(cause.message, { cause })
    this.thrower = thrower
    this.kind = kind
    this.remedy = remedy
  }
}

/** A command line that cannot be understood. */
export function usage(message: string, remedy?: string): CommandFailure {
  return new CommandFailure('CLI_USAGE', message, ExitCode.usage, remedy)
}

/** An error as `--json` writes it. */
export interface FailureRecord {
  readonly code: string
  readonly message: string
  readonly remedy?: string
  /** Who threw: plugwire, the plugin's own code, or this command. */
  readonly origin: 'plugwire' | 'plugin' | 'command'
  /** Of a failed call: which part of the plugin threw. */
  readonly thrower?: 'factory' | 'method'
  readonly facts?: unknown
  readonly name?: string
  readonly stack?: string
}

export function recordOf(failure: unknown, debug: boolean): FailureRecord {
  if (failure instanceof CallFailure) {
    const { thrower, remedy } = failure
    return { ...recordOf(failure.cause, debug), thrower, ...(remedy !== undefined && { remedy }) }
  }
  const stack = debug && failure instanceof Error && failure.stack !== undefined ? { stack: failure.stack } : {}
  if (isPluginError(failure))
    return { code: failure.code, message: failure.message, origin: 'plugwire', facts: toJson(failure.facts), ...stack }
  if (isRemoteError(failure)) {
    const { name, message } = failure
    return { code: String(failure.code ?? name), message, origin: 'plugin', name, facts: toJson(failure.data), ...stack }
  }
  if (failure instanceof CommandFailure) {
    const { code, message, remedy } = failure
    return { code, message, ...(remedy !== undefined && { remedy }), origin: 'command', ...stack }
  }
  const error = failure instanceof Error ? failure : new Error(inspect(failure))
  return {
    code: String((error as { code?: unknown }).code ?? error.name),
    message: error.message,
    origin: 'command',
    name: error.name,
    ...stack,
  }
}

/** Says on stderr what failed: one line of JSON, or a code, a sentence and what to do. A stack only with `debug`. */
export function printFailure(failure: unknown, options: { readonly json: boolean; readonly debug: boolean }): void {
  const record = recordOf(failure, options.debug)
  if (options.json) {
    process.stderr.write(`${JSON.stringify({ error: record })}\n`)
    return
  }
  const stream = process.stderr
  const who = failure instanceof CallFailure && failure.thrower === 'factory' ? `the factory of ${failure.kind}` : 'the plugin'
  const what =
    record.origin === 'plugin'
      ? `${who} threw ${record.name === record.code ? record.name : `${record.name} (${record.code})`}`
      : record.code
  stream.write(visible(`${paint('bold', paint('red', what, stream), stream)}: ${record.message}\n`))
  if (record.remedy !== undefined) stream.write(visible(`${record.remedy}\n`))
  if (!options.debug) return
  process.stderr.write(`${paint('dim', inspect(failure instanceof CallFailure ? failure.cause : failure, { depth: 6 }), stream)}\n`)
}

export function exitCodeOf(failure: unknown): ExitCode {
  return failure instanceof CommandFailure ? failure.exitCode : ExitCode.failed
}
