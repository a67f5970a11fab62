// Runs a plugin as a person would, without a host: to ask it for its contract, or to see what it says to somebody who has none.
// Knows no handshake and no session.

import type { LastWords } from '../errors.ts'
import { PluginError } from '../errors.ts'
import { MAX_PREAMBLE_BYTES } from '../limits.ts'
import { Variable } from '../wire/environment.ts'
import type { ServedContract } from '../wire/served-contract.ts'
import { findServedContract } from '../wire/served-contract.ts'
import { lastWordsOf, startChild } from './child.ts'
import type { EnvironmentOptions } from './child-environment.ts'
import { applicationEnvironment } from './child-environment.ts'
import { killProcess } from './closing.ts'
import type { Command } from './command.ts'
import { resolveCommand } from './command.ts'
import { Tail } from './output.ts'

export interface HandRunOptions extends EnvironmentOptions {
  /** Asks the plugin to tell its contract and exit, by `PLUGWIRE_DESCRIBE=1`. Programs that do not know the variable run as by hand. Default `true`. */
  readonly describe?: boolean
  /** Milliseconds until the process is ended when it does not exit by itself. Default 10_000. */
  readonly timeoutMs?: number
  /** Ends the process and rejects with `ERR_LAUNCH_ABORTED`. */
  readonly signal?: AbortSignal
}

/** What became of it. */
export interface HandRun extends LastWords {
  /** What the plugin told of its contract, when it was asked and knows how to. */
  readonly contract: ServedContract | undefined
  /** True when it did not exit by itself and was ended; a plugin exits at once. */
  readonly timedOut: boolean
  /** From its start to its exit. */
  readonly durationMs: number
}

/** Milliseconds for a plugin to load and exit; a cold disk and a TypeScript loader included. */
const DEFAULT_TIMEOUT_MS = 10_000

/**
 * Runs a plugin without a host. It gets no stdin and no cookie; whatever it started is ended with it.
 *
 * The program is run, with all it does before it calls `serve`: do not ask a program that you would not start.
 *
 * @throws PluginError as `launch` does for what cannot be started, and `ERR_LAUNCH_ABORTED`.
 */
export async function runByHand(plugin: string | URL | Command, options: HandRunOptions = {}): Promise<HandRun> {
  const env = applicationEnvironment(options)
  const program = resolveCommand(plugin, env)
  const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const aborted = (): PluginError => new PluginError('ERR_LAUNCH_ABORTED', { plugin: program.path }, { cause: signal?.reason })
  if (signal?.aborted) throw aborted()
  if (options.describe ?? true) env[Variable.describe] = '1'
  const startedAt = performance.now()
  const child = startChild({ program, env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', channel: false })
  const stdout = new Tail()
  const stderr = new Tail()
  const head: Uint8Array[] = []
  let headBytes = 0
  child.stdout?.on('data', (chunk: Uint8Array) => {
    stdout.push(chunk)
    if (headBytes > MAX_PREAMBLE_BYTES) return
    head.push(chunk)
    headBytes += chunk.length
  })
  child.stderr?.on('data', (chunk: Uint8Array) => stderr.push(chunk))
  let stop: (how: 'late' | 'aborted') => void = () => {}
  const stopped = new Promise<'late' | 'aborted'>(resolve => {
    stop = resolve
  })
  const timer = setTimeout(() => stop('late'), timeoutMs)
  const abort = (): void => stop('aborted')
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const how = await Promise.race([child.exited, child.failed, stopped])
    if (how === 'aborted') throw aborted()
    const timedOut = how === 'late'
    const status = timedOut ? undefined : child.status
    if (timedOut) await killProcess(child)
    return {
      ...lastWordsOf(status, stdout.text, stderr.text),
      contract: findServedContract(Buffer.concat(head).toString('utf8')),
      timedOut,
      durationMs: performance.now() - startedAt,
    }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    if (child.status === undefined) await killProcess(child)
  }
}
