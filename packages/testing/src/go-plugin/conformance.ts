// Holds a plugin, in whatever language, to what hosts of go-plugin rely on: starts it again and again, one demand at a time, and reports.

import type { Command } from 'plugwire/host'
import { Unmet, Unseen } from '../check.ts'
import type { Verdict } from '../conformance.ts'
import type { GoCheck, GoSubject } from './check.ts'
import { grpcChecks } from './checks/grpc.ts'
import { launchChecks } from './checks/launch.ts'
import { netrpcChecks } from './checks/netrpc.ts'
import { tlsChecks } from './checks/tls.ts'
import { type GoLaunchOptions, GoPeer, GoPeerError } from './go-peer.ts'
import { RawGrpc } from './raw-grpc.ts'

export interface GoConformanceOptions {
  /** What its hosts put into the environment; see `knownHosts` for those of Terraform, Vault and Nomad. */
  readonly cookie: { readonly key: string; readonly value: string }
  /** Contract versions that its hosts offer. Default 1 to 10. */
  readonly versions?: readonly number[]
  /** The name under which a net/rpc plugin is dispensed, e.g. `greeter`. */
  readonly kind?: string
  /** Variables for the plugin. */
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds that each answer, and each end, may take. Default 5,000. */
  readonly deadlineMs?: number
  /** Only checks whose id is one of these or begins with one of them, e.g. `tls`. Default all. */
  readonly only?: readonly string[]
  /** Called after each check. */
  readonly onResult?: (result: GoCheckResult) => void
  /** Ends it after the check that runs. */
  readonly signal?: AbortSignal
}

export interface GoCheckResult {
  /** Group and name, e.g. `grpc.health`. */
  readonly id: string
  readonly demands: string
  /** What a Go host, or its user, sees when it is not so. */
  readonly otherwise: string
  readonly verdict: Verdict
  /** What was seen; of a skipped check, why it could not be. */
  readonly seen: string
  readonly durationMs: number
}

export interface GoReport {
  /** No check failed, and one passed at least. */
  readonly conforms: boolean
  /** `grpc` or `netrpc`; empty when it never introduced itself. */
  readonly protocol: string
  /** The contract version that it chose; undefined when it never introduced itself. */
  readonly version: number | undefined
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly results: readonly GoCheckResult[]
}

/** All checks, in the order in which they are made. */
export const goPluginChecks: readonly GoCheck[] = [...launchChecks, ...tlsChecks, ...grpcChecks, ...netrpcChecks]

/** Cookies and versions of programs whose plugins many people write. Source: their own repositories. */
export const knownHosts = {
  terraform: {
    cookie: { key: 'TF_PLUGIN_MAGIC_COOKIE', value: 'd602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2' },
    versions: [5, 6],
  },
  vault: { cookie: { key: 'VAULT_BACKEND_PLUGIN', value: '6669da05-b1c8-4f49-97d9-c8e5bed98e20' }, versions: [3, 4, 5] },
  nomad: {
    cookie: { key: 'NOMAD_PLUGIN_MAGIC_COOKIE', value: 'e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255' },
    versions: [1, 2],
  },
} as const

const DEFAULT_DEADLINE_MS = 5_000
const DEFAULT_VERSIONS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

/**
 * The protocol that a plugin speaks to a host of go-plugin: `grpc`, `netrpc`, or `plugwire` for one of our own. Undefined when it says nothing such a host
 * understands.
 */
export async function protocolForGo(
  command: string | URL | Command,
  options: Pick<GoConformanceOptions, 'cookie' | 'env' | 'deadlineMs'>,
): Promise<string | undefined> {
  const { cookie, env = {}, deadlineMs = DEFAULT_DEADLINE_MS } = options
  try {
    const peer = await GoPeer.launch(command, { cookie, env, deadlineMs, versions: DEFAULT_VERSIONS })
    await peer[Symbol.asyncDispose]()
    return peer.protocol
  } catch (cause) {
    if (cause instanceof GoPeerError) return undefined
    throw cause
  }
}

/**
 * Checks what hosts of go-plugin rely on. The plugin is started some forty times, one after the other; nothing of it is left behind.
 *
 * @throws PluginError for a program that cannot be started.
 */
export async function goPluginConformance(command: string | URL | Command, options: GoConformanceOptions): Promise<GoReport> {
  const { only, signal } = options
  const examination = new GoExamination(command, options)
  await examination.introduce()
  const results: GoCheckResult[] = []
  for (const check of goPluginChecks) {
    if (only !== undefined && !only.some(part => check.id === part || check.id.startsWith(`${part}.`))) continue
    if (check.protocol !== undefined && examination.protocol !== '' && check.protocol !== examination.protocol) continue
    if (signal?.aborted) break
    const result = await examination.judge(check)
    results.push(result)
    options.onResult?.(result)
  }
  signal?.throwIfAborted()
  const count = (verdict: Verdict): number => results.filter(result => result.verdict === verdict).length
  const [passed, failed, skipped] = [count('pass'), count('fail'), count('skipped')]
  const { protocol, version } = examination
  return { conforms: failed === 0 && passed > 0, protocol, version, passed, failed, skipped, results }
}

class GoExamination {
  protocol = ''
  version: number | undefined
  readonly #command: string | URL | Command
  readonly #options: GoConformanceOptions
  /** Why nothing behind the handshake can be looked at. */
  #unreachable: string | undefined

  constructor(command: string | URL | Command, options: GoConformanceOptions) {
    this.#command = command
    this.#options = options
  }

  /** Learns protocol and version from a first handshake. */
  async introduce(): Promise<void> {
    try {
      const peer = await GoPeer.launch(this.#command, this.#launchOptions({}))
      this.protocol = peer.protocol
      this.version = Number(peer.fields[1])
      await peer[Symbol.asyncDispose]()
    } catch (cause) {
      if (!(cause instanceof GoPeerError)) throw cause
      this.#unreachable = cause.message
    }
  }

  async judge({ id, demands, otherwise, look }: GoCheck): Promise<GoCheckResult> {
    const startedAt = performance.now()
    const launched: GoPeer[] = []
    const opened: RawGrpc[] = []
    const done = (verdict: Verdict, seen: string): GoCheckResult => ({
      id,
      demands,
      otherwise,
      verdict,
      seen,
      durationMs: performance.now() - startedAt,
    })
    try {
      const beforeAll = ['launch.by-hand', 'launch.wrong-cookie', 'launch.line'].includes(id)
      if (!beforeAll && this.#unreachable !== undefined) return done('skipped', this.#unreachable)
      return done('pass', await look(this.#subject(launched, opened)))
    } catch (cause) {
      if (cause instanceof Unseen) return done('skipped', cause.message)
      if (!(cause instanceof Unmet || cause instanceof GoPeerError)) throw cause
      const words = launched.at(-1)?.stderr.trim() ?? ''
      return done('fail', `${cause.message}${words === '' ? '' : `\non stderr: ${words.slice(-500)}`}`)
    } finally {
      for (const each of opened) each.close()
      for (const each of launched) await each[Symbol.asyncDispose]()
    }
  }

  #launchOptions(more: Partial<GoLaunchOptions>): GoLaunchOptions {
    const { cookie, versions = DEFAULT_VERSIONS, env = {}, deadlineMs = DEFAULT_DEADLINE_MS } = this.#options
    return { cookie, versions, env, deadlineMs, ...more }
  }

  #subject(launched: GoPeer[], opened: RawGrpc[]): GoSubject {
    const { cookie, env, versions, deadlineMs } = this.#launchOptions({})
    const launch = async (more: Partial<GoLaunchOptions> = {}): Promise<GoPeer> => {
      const peer = await GoPeer.launch(this.#command, this.#launchOptions(more))
      launched.push(peer)
      return peer
    }
    return {
      command: this.#command,
      cookie,
      env,
      deadlineMs,
      version: this.version ?? 0,
      versions: versions ?? [],
      protocol: this.protocol,
      kind: this.#options.kind,
      launch,
      grpc: async more => {
        const peer = await launch(more)
        const grpc = await RawGrpc.over(await peer.connect(), deadlineMs)
        opened.push(grpc)
        return { peer, grpc }
      },
    }
  }
}
