// Holds a plugin, in whatever language, to docs/protocol.md: starts it again and again, one demand at a time, and reports.

import { type Command, runByHand } from 'plugwire/host'
import { type Check, type Instance, Root, type Subject, Unmet, Unseen } from './check.ts'
import { breachChecks } from './checks/breaches.ts'
import { callChecks, shown } from './checks/calls.ts'
import { endingChecks } from './checks/ending.ts'
import { launchChecks } from './checks/launch.ts'
import { referenceChecks } from './checks/references.ts'
import { sessionChecks } from './checks/session.ts'
import { type LaunchedPeer, launchPeer, type PeerLaunchOptions, type PeerWire } from './launched-peer.ts'
import { PeerError, type RawPeer } from './raw-peer.ts'
import { isReferenceValue, ValueFault } from './values.ts'

export interface ConformanceOptions {
  /** The contract's cookie. Default: what the plugin tells when it is asked, as one made with plugwire does. */
  readonly cookie?: { readonly key: string; readonly value: string }
  /** The kind that is dispensed. Default: the first of `describe`. */
  readonly kind?: string
  /** What it is dispensed with: JSON or bytes. Default undefined. */
  readonly config?: unknown
  /** Name of a method of that kind that returns the plugin's environment: an object, an array of names, or lines of `NAME=value`. */
  readonly environmentMethod?: string
  /** Default `fd`. */
  readonly wire?: PeerWire
  /** Variables for the plugin. */
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds that each answer, and each end, may take. Default 5,000. */
  readonly deadlineMs?: number
  /** Only checks whose id is one of these or begins with one of them, e.g. `breaches`. Default all. */
  readonly only?: readonly string[]
  /** Called after each check. */
  readonly onResult?: (result: CheckResult) => void
  /** Ends it after the check that runs. */
  readonly signal?: AbortSignal
}

export type Verdict = 'pass' | 'fail' | 'skipped'

export interface CheckResult {
  /** Group and name, e.g. `session.ping`. */
  readonly id: string
  /** Heading of docs/protocol.md under which the demand stands. */
  readonly section: string
  readonly demands: string
  readonly verdict: Verdict
  /** What was seen; of a skipped check, why it could not be. */
  readonly seen: string
  readonly durationMs: number
}

export interface Report {
  /** No check failed, and one passed at least. */
  readonly conforms: boolean
  readonly wire: PeerWire
  /** Contract versions of the plugin; empty when it never introduced itself. */
  readonly versions: readonly number[]
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly results: readonly CheckResult[]
}

/** All checks, in the order in which they are made. */
export const checks: readonly Check[] = [
  ...launchChecks,
  ...sessionChecks,
  ...callChecks,
  ...referenceChecks,
  ...breachChecks,
  ...endingChecks,
]

/** The plugin's cookie is not known: it was not given, and the plugin does not tell it. */
export class CookieUnknownError extends Error {}

const DEFAULT_DEADLINE_MS = 5_000

/**
 * Checks what docs/protocol.md demands of a plugin. It is started some sixty times, one after the other; nothing of it is left behind.
 *
 * @throws CookieUnknownError when no cookie is given and the plugin tells none; PluginError for a program that cannot be started.
 */
export async function conformance(command: string | URL | Command, options: ConformanceOptions = {}): Promise<Report> {
  const { only, signal } = options
  const wire = options.wire ?? 'fd'
  const cookie = options.cookie ?? (await cookieOf(command, options))
  const examination = new Examination(command, cookie, options)
  const results: CheckResult[] = []
  for (const check of checks) {
    if (only !== undefined && !only.some(part => check.id === part || check.id.startsWith(`${part}.`))) continue
    if (signal?.aborted) break
    const result = await examination.judge(check)
    results.push(result)
    options.onResult?.(result)
  }
  signal?.throwIfAborted()
  const count = (verdict: Verdict): number => results.filter(result => result.verdict === verdict).length
  const [passed, failed, skipped] = [count('pass'), count('fail'), count('skipped')]
  return { conforms: failed === 0 && passed > 0, wire, versions: examination.versions, passed, failed, skipped, results }
}

async function cookieOf(
  command: string | URL | Command,
  { env = {}, signal }: ConformanceOptions,
): Promise<{ key: string; value: string }> {
  const { contract, stderrTail } = await runByHand(command, { env, ...(signal !== undefined && { signal }) })
  if (contract !== undefined) return contract.cookie
  throw new CookieUnknownError(
    `the plugin does not tell its cookie when it is asked${stderrTail.trim() && `; it said: ${stderrTail.trim()}`}`,
  )
}

class Examination {
  versions: readonly number[] = []
  readonly #command: string | URL | Command
  readonly #cookie: { readonly key: string; readonly value: string }
  readonly #options: ConformanceOptions
  /** Why nothing behind the handshake can be looked at. */
  #unreachable: string | undefined
  #introduced = false

  constructor(command: string | URL | Command, cookie: { readonly key: string; readonly value: string }, options: ConformanceOptions) {
    this.#command = command
    this.#cookie = cookie
    this.#options = options
  }

  async judge({ id, section, demands, look }: Check): Promise<CheckResult> {
    const startedAt = performance.now()
    const launched: LaunchedPeer[] = []
    const done = (verdict: Verdict, seen: string): CheckResult => ({
      id,
      section,
      demands,
      verdict,
      seen,
      durationMs: performance.now() - startedAt,
    })
    try {
      const byHand = id === 'launch.by-hand' || id === 'launch.wrong-cookie'
      if (!byHand) await this.#introduce()
      if (!byHand && id !== 'launch.handshake' && this.#unreachable !== undefined) return done('skipped', this.#unreachable)
      const seen = await look(this.#subject(launched))
      // What it says must be right as well, whatever the check was about.
      const faults = launched.flatMap(({ peer }) => peer.faults)
      return faults.length === 0 ? done('pass', seen) : done('fail', `${seen}; but the plugin sent ${faults.join('; ')}`)
    } catch (cause) {
      if (cause instanceof Unseen) return done('skipped', cause.message)
      if (!(cause instanceof Unmet || cause instanceof PeerError || cause instanceof ValueFault)) throw cause
      const words = launched.at(-1)?.stderr().trim() ?? ''
      return done('fail', `${cause.message}${words === '' ? '' : `\non stderr: ${words.slice(-500)}`}`)
    } finally {
      for (const each of launched) await each[Symbol.asyncDispose]()
    }
  }

  /** Learns the versions from a first handshake. */
  async #introduce(): Promise<void> {
    if (this.#introduced) return
    this.#introduced = true
    let first: LaunchedPeer | undefined
    try {
      first = await launchPeer(this.#command, this.#launchOptions({ versions: null }))
      this.#readLine(first.line)
    } catch (cause) {
      if (!(cause instanceof PeerError)) throw cause
      this.#unreachable = `no session: ${cause.message}`
    } finally {
      await first?.[Symbol.asyncDispose]()
    }
  }

  #readLine(line: string): void {
    const fields = line.split('|')
    const versions = (fields[7] || fields[1] || '').split(',')
    if (fields.length < 4 || !versions.every(version => /^\d{1,9}$/.test(version))) {
      this.#unreachable = `its handshake cannot be read: ${line.slice(0, 200)}`
      return
    }
    this.versions = versions.map(Number).sort((a, b) => a - b)
    if (fields[2] !== this.#wire) this.#unreachable = `its handshake is of the wire ${fields[2]}: ${line.slice(0, 200)}`
  }

  get #wire(): PeerWire {
    return this.#options.wire ?? 'fd'
  }

  #launchOptions(more: Partial<PeerLaunchOptions>): PeerLaunchOptions {
    const { env = {}, deadlineMs = DEFAULT_DEADLINE_MS } = this.#options
    const versions = this.versions.length > 0 ? this.versions : [1]
    return { cookie: this.#cookie, wire: this.#wire, versions, env, deadlineMs, startMs: 2 * deadlineMs, ...more }
  }

  #subject(launched: LaunchedPeer[]): Subject {
    const { env = {}, deadlineMs = DEFAULT_DEADLINE_MS, environmentMethod } = this.#options
    const launch = async (more: Partial<PeerLaunchOptions> = {}): Promise<LaunchedPeer> => {
      const one = await launchPeer(this.#command, this.#launchOptions(more))
      launched.push(one)
      return one
    }
    return {
      command: this.#command,
      cookie: this.#cookie,
      env,
      wire: this.#wire,
      deadlineMs,
      versions: this.versions.length > 0 ? this.versions : [1],
      environmentMethod,
      launch,
      connect: async more => {
        const one = await launch(more)
        one.peer.openCalls()
        return one
      },
      dispense: peer => this.#dispense(peer),
    }
  }

  async #dispense(peer: RawPeer): Promise<Instance> {
    const kind = this.#options.kind ?? (await firstKind(peer))
    const reply = await peer.call({ method: Root.dispense, args: [kind, this.#options.config] })
    if (reply.failed) throw new Unseen(`${kind} cannot be dispensed with this configuration: ${shown(reply)}`)
    const { value } = reply
    if (!isReferenceValue(value)) throw new Unmet(`dispense returned no reference but ${JSON.stringify(value)}`)
    const [name, methods] = Array.isArray(value.detail) ? (value.detail as unknown[]) : []
    if (value.kind !== 2 || typeof name !== 'string' || !Array.isArray(methods) || !methods.every(method => typeof method === 'string'))
      throw new Unmet(`dispense returned no object: a reference of kind ${value.kind} with ${JSON.stringify(value.detail)}`)
    return { kind, reference: value.id, name, methods }
  }
}

async function firstKind(peer: RawPeer): Promise<string> {
  const { value } = await peer.call({ method: Root.describe })
  const kinds = (value as { kinds?: unknown } | null | undefined)?.kinds
  const [first] = Array.isArray(kinds) ? (kinds as unknown[]) : []
  if (typeof first !== 'string') throw new Unseen('it describes no kind that could be dispensed')
  return first
}
