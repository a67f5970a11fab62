// A running plugin in the hands of its host: dispense, ping, close; and the one place where its state changes.

import type { Readable } from 'node:stream'
import type { AnyContract, Contract, Dispenser } from '../contract.ts'
import type { LastWords } from '../errors.ts'
import { PluginError } from '../errors.ts'
import type { AttachRecord } from '../process/attach.ts'
import type { ExitStatus } from '../process/child.ts'
import type { ClosingOptions, Ending } from '../process/closing.ts'
import type { Conversation } from '../process/driver.ts'
import type { Timings } from '../process/start.ts'
import type { CallOptions } from '../rpc/call-context.ts'
import { withChecks } from '../rpc/remote-object.ts'
import type { PluginDescription } from '../rpc/roots.ts'
import { resultChecks } from '../rpc/validation.ts'
import type { Handshake } from '../wire/handshake.ts'

/** How a plugin ended, and what is known of why. */
export interface PluginExit extends LastWords {
  /** True when its host had asked for it. */
  readonly expected: boolean
}

export interface PluginEvents {
  /** The process has ended. */
  exited: PluginExit
  /** The host began to close it: no new calls are taken. */
  closing: undefined
}

export type PluginState = 'ready' | 'draining' | 'exited'

export interface CloseOptions {
  /** Milliseconds that the plugin has to end by itself. Default 2_000, as in go-plugin. */
  readonly graceMs?: number
  /** Milliseconds between SIGTERM and SIGKILL. Default 1_000. */
  readonly terminateMs?: number
}

/** What a running plugin offers whatever its version. */
export interface PluginHandle extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  readonly state: PluginState
  /** How bytes travel: `fd`, `unix`, `tcp` or `stdio`. */
  readonly wire: string
  /** Whether the connection is encrypted. */
  readonly secure: boolean
  /** What it said of itself when it started; undefined for a plugin that was attached to. */
  readonly handshake: Handshake | undefined
  /** How long the parts of the launch took, in milliseconds; undefined for a plugin that was attached to. */
  readonly timings: Timings | undefined
  /** The plugin's stdout and stderr, where `launch` was asked to hand them over (`pipe`). */
  readonly stdout: Readable | undefined
  readonly stderr: Readable | undefined
  /** Resolves when the process has ended; never rejects, and does not keep the event loop alive. */
  readonly exited: Promise<PluginExit>
  /** Calls that have no answer yet. */
  readonly callsInFlight: number
  /** A round trip to the plugin, in milliseconds. A plugin that is busy computing answers late. */
  ping(): Promise<number>
  /** What the plugin says of itself. */
  describe(options?: CallOptions): Promise<PluginDescription>
  /**
   * Ends the plugin: tells it, waits, SIGTERM, waits, SIGKILL to everything it started; each step bounded. Calls in flight
   * reject with `ERR_PLUGIN_CLOSED` at the latest when it is gone. Never rejects; a second call joins the first.
   *
   * @returns By which step it ended.
   */
  close(options?: CloseOptions): Promise<Ending>
  /** Ends the plugin and everything it started at once. Never rejects. */
  kill(): Promise<Ending>
  /**
   * Leaves a plugin that was launched `detached` running and returns what `reattach` needs to find it. The record holds a private
   * key: keep it where only you can read it (`saveRecord` does).
   *
   * @throws PluginError `ERR_REATTACH` when the plugin was not launched `detached`.
   */
  detach(): AttachRecord
  on<E extends keyof PluginEvents>(event: E, listener: (facts: PluginEvents[E]) => void): () => void
}

/** A running plugin. Its `version` tells which kinds it has: `if (plugin.version === 2) plugin.dispense('admin')`. */
export type Plugin<C> = Dispenser<C> & PluginHandle

/** What a plugin object needs of its process, whether it is a child or was attached to. */
export interface PluginProcess {
  readonly name: string
  readonly pid: number
  readonly version: number
  readonly wire: string
  readonly secure: boolean
  readonly handshake?: Handshake | undefined
  readonly timings: Timings | undefined
  readonly stdout: Readable | undefined
  readonly stderr: Readable | undefined
  readonly status: ExitStatus | undefined
  readonly exited: Promise<ExitStatus>
  lastWords(): LastWords
  /** Resolves when the process has ended; keeps the event loop alive until then. */
  ended(): Promise<LastWords>
  close(options: ClosingOptions): Promise<Ending>
  kill(): Promise<Ending>
  readonly record: AttachRecord | undefined
  detach(): void
}

/** Begins the conversation with a plugin. `lost` tells what calls in flight reject with when the connection has ended. */
export type Converse = (lost: (cause: PluginError | undefined) => Promise<PluginError>) => Conversation

/** Milliseconds that a process may still run after its connection has closed, before it is ended. */
const LINGER_MS = 500

/** @internal Makes the plugin object of a process that has introduced itself. */
export function createPlugin<C extends AnyContract>(contract: C, process: PluginProcess, converse: Converse): Plugin<C> {
  return new RunningPlugin(contract, process, converse) as object as Plugin<C>
}

/** What is open on the connection of a plugin: calls of both sides without an answer, and streams. For tests that want none left. */
export interface OpenEnds {
  /** Calls into the plugin. */
  readonly calls: number
  /** Calls that the plugin made. */
  readonly served: number
  /** Streams that travel, or large values. */
  readonly streams: number
}

/** @internal */
export function openEndsOf(plugin: object): OpenEnds {
  return RunningPlugin.openEnds(plugin as RunningPlugin)
}

class RunningPlugin implements PluginHandle {
  readonly #contract: Contract
  readonly #process: PluginProcess
  readonly #conversation: Conversation
  readonly #listeners = new Map<keyof PluginEvents, Set<(facts: never) => void>>()
  readonly exited: Promise<PluginExit>
  #state: PluginState = 'ready'
  #detached = false
  #closing: Promise<Ending> | undefined

  constructor(contract: Contract, process: PluginProcess, converse: Converse) {
    this.#contract = contract
    this.#process = process
    this.#conversation = converse(cause => this.#explain(cause))
    this.exited = process.exited.then(() => this.#onExited())
  }

  static openEnds(plugin: RunningPlugin): OpenEnds {
    const { callsInFlight, callsServed, streamCount } = plugin.#conversation
    return { calls: callsInFlight, served: callsServed, streams: streamCount }
  }

  get name(): string {
    return this.#process.name
  }
  get pid(): number {
    return this.#process.pid
  }
  get version(): number {
    return this.#process.version
  }
  get state(): PluginState {
    return this.#state
  }
  get wire(): string {
    return this.#process.wire
  }
  get secure(): boolean {
    return this.#process.secure
  }
  get handshake(): Handshake | undefined {
    return this.#process.handshake
  }
  get timings(): Timings | undefined {
    return this.#process.timings
  }
  get stdout(): Readable | undefined {
    return this.#process.stdout
  }
  get stderr(): Readable | undefined {
    return this.#process.stderr
  }
  get callsInFlight(): number {
    return this.#conversation.callsInFlight
  }

  async dispense(kind: string, config?: unknown): Promise<object> {
    if (this.#state !== 'ready') throw this.#gone()
    const version = this.#contract.versions.find(({ version }) => version === this.#process.version)
    const known = version?.kinds[kind]
    if (version !== undefined && !version.open && known === undefined) {
      throw new PluginError('ERR_KIND_NOT_FOUND', { kind, kinds: Object.keys(version.kinds) })
    }
    const instance = await this.#conversation.dispense(kind, config)
    const checks = resultChecks(kind, known?.schemas)
    return checks === undefined ? instance : withChecks(instance, checks)
  }

  async ping(): Promise<number> {
    if (this.#state === 'exited') throw this.#gone()
    return this.#conversation.ping()
  }

  async describe(options?: CallOptions): Promise<PluginDescription> {
    return (await this.#conversation.describe(options)) ?? this.#known()
  }

  /** What is known of a plugin whose protocol has no word for it. */
  #known(): PluginDescription {
    const { version, handshake, pid, wire, secure } = this.#process
    const kinds = Object.keys(this.#contract.versions.find(known => known.version === version)?.kinds ?? {})
    return { name: this.name, version, versions: handshake?.versions ?? [version], kinds, pid, runtime: '', plugwire: '', wire, secure }
  }

  close(options: CloseOptions = {}): Promise<Ending> {
    this.#leaveToOwner()
    if (this.#detached) return Promise.resolve('gone')
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async #close(options: CloseOptions): Promise<Ending> {
    this.#drain()
    const ending = await this.#process.close({
      ...options,
      tell: () => this.#conversation.tellToEnd(),
    })
    this.#conversation.destroy(this.#gone())
    await this.exited
    return ending
  }

  /** A person started it, for a debugger, and ends it. */
  #leaveToOwner(): void {
    if (this.#process.record?.test && !this.#detached) this.detach()
  }

  async kill(): Promise<Ending> {
    this.#leaveToOwner()
    if (this.#detached) return 'gone'
    this.#drain()
    // Now, as afterwards it has exited.
    const reason = this.#gone()
    const ending = await this.#process.kill()
    this.#conversation.destroy(reason)
    this.#closing ??= Promise.resolve(ending)
    await this.exited
    return ending
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  detach(): AttachRecord {
    const { record } = this.#process
    if (record === undefined) {
      throw new PluginError('ERR_REATTACH', {
        plugin: this.name,
        reason: 'it was not launched to outlive its host',
        remedy: "Launch it with { wire: 'unix', detached: true }",
      })
    }
    this.#detached = true
    this.#drain()
    this.#conversation.close()
    this.#process.detach()
    return record
  }

  on<E extends keyof PluginEvents>(event: E, listener: (facts: PluginEvents[E]) => void): () => void {
    let listeners = this.#listeners.get(event)
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()))
    listeners.add(listener as (facts: never) => void)
    return () => void listeners.delete(listener as (facts: never) => void)
  }

  #emit<E extends keyof PluginEvents>(event: E, facts: PluginEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) (listener as (facts: PluginEvents[E]) => void)(facts)
  }

  #drain(): void {
    if (this.#state !== 'ready') return
    this.#state = 'draining'
    this.#conversation.refuseCalls(this.#gone())
    this.#emit('closing', undefined)
  }

  #onExited(): PluginExit {
    const expected = this.#state === 'draining'
    this.#state = 'exited'
    const facts: PluginExit = { ...this.#process.lastWords(), expected }
    this.#emit('exited', facts)
    return facts
  }

  #gone(): PluginError {
    const plugin = this.name
    if (this.#closing !== undefined || this.#state === 'draining' || this.#detached) return new PluginError('ERR_PLUGIN_CLOSED', { plugin })
    return new PluginError('ERR_PLUGIN_EXITED', { plugin, ...this.#process.lastWords() })
  }

  /** A plugin that outlives its hosts may outlive this connection as well: it is not ended for the loss. */
  async #left(cause: PluginError | undefined): Promise<PluginError> {
    const gone = await new Promise(resolve => {
      const timer = setTimeout(resolve, LINGER_MS, false)
      void this.#process.exited.then(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
    if (gone) return this.#gone()
    return cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: `${this.name} closed the connection` })
  }

  /** The connection ended; why, is known when the process has ended, too. */
  async #explain(cause: PluginError | undefined): Promise<PluginError> {
    if (this.#state === 'draining' || this.#detached) return new PluginError('ERR_PLUGIN_CLOSED', { plugin: this.name })
    const isUnreachable = cause?.code === 'ERR_CONNECT' && this.#process.record !== undefined
    if (cause !== undefined && cause.code !== 'ERR_SESSION_CLOSED' && cause.code !== 'ERR_TLS' && !isUnreachable) {
      // It broke the protocol: nothing that it says can be trusted any more.
      void this.#process.kill()
      return cause
    }
    if (this.#process.record !== undefined) return this.#left(cause)
    const late = setTimeout(() => void this.#process.close({ graceMs: 0 }), LINGER_MS)
    const words = await this.#process.ended()
    clearTimeout(late)
    return new PluginError('ERR_PLUGIN_EXITED', { plugin: this.name, ...words }, cause === undefined ? undefined : { cause })
  }
}
