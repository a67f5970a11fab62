// The plugin's side: waits for its host, makes instances when it is asked to, and ends when it is told to or when the host is gone.

import { type Contract, type Factories, factoriesByVersion } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { type AcceptedHost, type HostConnection, acceptHost } from '../process/accept.ts'
import { endOwnTree } from '../process/process-tree.ts'
import type { Metadata } from '../rpc/call-context.ts'
import { Connection } from '../rpc/connection.ts'
import { Dispensed } from '../rpc/dispensed.ts'
import { methodTable } from '../rpc/method-table.ts'
import { HostMethod, type PluginDescription, pluginMethods } from '../rpc/roots.ts'
import { withSchemas } from '../rpc/validation.ts'
import { VERSION } from '../version.ts'
import { type PluginLogger, logger, setLogSink } from './logger.ts'

/** What a factory is told beside the configuration. */
export interface FactoryContext {
  /** A logger named after the kind. */
  readonly logger: PluginLogger
  /** The contract version agreed on with this host. */
  readonly version: number
}

export interface ServeOptions {
  /**
   * Runs once when the plugin is to end: the host said so, or is gone. By then the instances have been disposed.
   * The host waits for it as long as its grace period lasts.
   */
  readonly onClose?: () => unknown
  /** Limits for the connection; see `Limits`. */
  readonly limits?: Partial<Limits>
  /** Metadata for every call that this plugin makes into its host: trace context, as `traceparent`. */
  readonly metadata?: () => Metadata | undefined
}

/** Milliseconds that instances and `onClose` have when the host is gone. */
const LOST_HOST_MS = 1_000
/** Milliseconds after `serve` is done until the process ends by itself even if something still keeps it alive. */
const LINGER_MS = 250

/**
 * Serves a contract to the host that started this process.
 *
 * Each `dispense` of the host calls the factory of its kind, which returns a new instance; what it throws reaches the host.
 * Run by hand, the process prints what it is and exits with code 1.
 *
 * @returns A promise that resolves when the plugin has been told to end, its instances are disposed and `onClose` is done. The process
 * ends then, a quarter of a second later at the latest.
 * @throws PluginError `ERR_CONTRACT` when the factories do not fit the contract.
 */
export function serve<C extends Contract<any>>(contract: C, factories: Factories<C, FactoryContext>, options: ServeOptions = {}): Promise<void> {
  const byVersion = factoriesByVersion<FactoryContext>(contract, factories)
  return new Promise(resolve => {
    new Server(contract, byVersion, options, resolve).start()
  })
}

class Server {
  readonly #contract: Contract
  readonly #factories: ReturnType<typeof factoriesByVersion<FactoryContext>>
  readonly #options: ServeOptions
  readonly #done: () => void
  readonly #connections = new Set<Connection>()
  #accepted: AcceptedHost | undefined
  #ending: Promise<void> | undefined

  constructor(contract: Contract, factories: ReturnType<typeof factoriesByVersion<FactoryContext>>, options: ServeOptions, done: () => void) {
    this.#contract = contract
    this.#factories = factories
    this.#options = options
    this.#done = done
  }

  start(): void {
    const { name, cookie, versions } = this.#contract
    this.#accepted = acceptHost({
      name,
      cookie,
      versions: versions.map(({ version }) => version),
      onHost: host => this.#connect(host),
      onLost: () => void this.#lost(),
    })
  }

  #connect(host: HostConnection): void {
    const connection: Connection = new Connection(host.link, {
      role: 'plugin',
      peerName: 'the host',
      root: {},
      rootMethods: pluginMethods({
        dispense: (kind, config) => this.#dispense(host, kind, config),
        describe: () => this.#describe(host),
        close: () => void this.#end(connection),
      }),
      stayAlive: true,
      ...(this.#options.limits !== undefined && { limits: this.#options.limits }),
      ...(this.#options.metadata !== undefined && { metadata: this.#options.metadata }),
      onEnded: cause => {
        this.#connections.delete(connection)
        if (this.#connections.size === 0) setLogSink(undefined)
        return cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: 'the host is gone' })
      },
    })
    this.#connections.add(connection)
    setLogSink(({ level, message, fields, time, module }) => connection.notifyRoot(HostMethod.log, [level, message, fields, time.getTime(), module]))
    this.#accepted?.stdout?.setSink(chunk => void connection.sendOutput(1, chunk))
    // On the descriptor wire the host is here before `acceptHost` has returned.
    if (this.#accepted === undefined) queueMicrotask(() => this.#accepted?.stdout?.setSink(chunk => void connection.sendOutput(1, chunk)))
  }

  async #dispense(host: HostConnection, kind: string, config: unknown): Promise<Dispensed> {
    const factories = this.#factories.get(host.version)
    const factory = factories?.get(kind)
    if (factory === undefined) throw new PluginError('ERR_KIND_NOT_FOUND', { kind, kinds: [...(factories?.keys() ?? [])] })
    const instance = await factory(config, { logger: logger.child(kind), version: host.version })
    if ((typeof instance !== 'object' && typeof instance !== 'function') || instance === null) {
      throw new PluginError('ERR_CONTRACT', { reason: `the factory of ${kind} returned ${instance === null ? 'null' : typeof instance}, not an object with methods` })
    }
    const schemas = this.#contract.versions.find(({ version }) => version === host.version)?.kinds[kind]?.schemas
    return new Dispensed(instance, kind, withSchemas(methodTable(instance), kind, schemas))
  }

  #describe(host: HostConnection): PluginDescription {
    return {
      name: this.#contract.name,
      version: host.version,
      versions: this.#contract.versions.map(({ version }) => version),
      kinds: [...(this.#factories.get(host.version)?.keys() ?? [])],
      pid: process.pid,
      runtime: runtimeName(),
      plugwire: VERSION,
      wire: host.wire,
      secure: host.secure,
    }
  }

  /** The host says that the plugin is to end. */
  #end(connection: Connection): Promise<void> {
    this.#ending ??= this.#endAll(connection)
    return this.#ending
  }

  async #endAll(connection: Connection): Promise<void> {
    this.#accepted?.close()
    // The answer to `close` leaves first; then the connections end and what hosts held is disposed.
    await new Promise(resolve => setImmediate(resolve))
    connection.close()
    await this.#cleanUp()
    this.#done()
    setTimeout(() => process.exit(), LINGER_MS).unref()
  }

  async #cleanUp(): Promise<void> {
    const connections = [...this.#connections]
    for (const connection of connections) connection.close()
    await Promise.all(connections.map(connection => connection.disposed))
    await this.#options.onClose?.()
  }

  /** The host is gone and none can come: nothing that this process started may outlive it. */
  async #lost(): Promise<void> {
    if (this.#ending === undefined) {
      await Promise.race([this.#cleanUp().catch(() => undefined), new Promise(resolve => setTimeout(resolve, LOST_HOST_MS))])
    }
    endOwnTree()
  }
}

function runtimeName(): string {
  const { versions } = process
  if (versions['bun'] !== undefined) return `bun ${versions['bun']}`
  if (versions['deno'] !== undefined) return `deno ${versions['deno']}`
  return `node ${versions.node}`
}
