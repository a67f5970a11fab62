// The plugin's side: waits for its host, makes instances when it is asked to, and ends when it is told to or when the host is gone.
// Stands on the way of every plugin's start, so sessions and calls are loaded only when the host knows that the plugin is there.

import { type AnyContract, type Contract, type ContractVersion, type Factories, factoriesByVersion, protocolsOf } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { type AcceptedHost, acceptHost, type HostConnection } from '../process/accept.ts'
import type { ForeignHost, ForeignOutput } from '../process/accept-foreign.ts'
import type { ServedProtocol, TlsServerOptions } from '../process/driver.ts'
import { endOwnTree } from '../process/process-tree.ts'
import type { Metadata } from '../rpc/call-context.ts'
import type { ReattachConfig } from '../wire/reattach-config.ts'
import { introductionOf } from './introduction.ts'
import { logger, setLogSink } from './logger.ts'
import type { FactoryContext, FactoryTable, Service } from './service.ts'

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
  /**
   * The plugin goes on when its host is gone without having told it to end. For hosts of go-plugin that come back to their plugins (Nomad does).
   * Default false. Our own hosts say it at the launch, with `detached`.
   */
  readonly outlivesHost?: boolean
  /** For plugins of go-plugin's protocols with certificates of their own, in place of one-time ones: what `tls.createServer` takes. go-plugin's `TLSProvider`. */
  readonly tlsOptions?: TlsServerOptions
  /**
   * Serves without a host, for a debugger: no cookie is asked for, output stays in the terminal, Ctrl-C ends it. Only for go-plugin's protocols.
   * `onReattach` gets what hosts need to attach, such as Terraform in TF_REATTACH_PROVIDERS.
   */
  readonly debug?: {
    /** Default: the contract's highest version of such a protocol. */
    readonly version?: number
    readonly onReattach: (config: ReattachConfig) => void
  }
}

/** Milliseconds that instances and `onClose` have when the host is gone. */
const LOST_HOST_MS = 1_000
/** Milliseconds after `serve` is done until the process ends by itself even if something still keeps it alive. */
const LINGER_MS = 250

/**
 * Serves a contract to the host that started this process.
 *
 * Each `dispense` of the host calls the factory of its kind, which returns a new instance; what it throws reaches the host.
 * Run by hand, the process prints what it is and exits with code 1; with `PLUGWIRE_DESCRIBE=1` in its environment it prints its contract
 * as one line of JSON and exits with code 0, which is how tools find out what to launch.
 *
 * @returns A promise that resolves when the plugin has been told to end, its instances are disposed and `onClose` is done. The process
 * ends then, a quarter of a second later at the latest.
 * @throws PluginError `ERR_CONTRACT` when the factories do not fit the contract.
 */
export function serve<C extends AnyContract>(
  contract: C,
  factories: Factories<C, FactoryContext>,
  options: ServeOptions = {},
): Promise<void> {
  const byVersion = factoriesByVersion<FactoryContext>(contract, factories)
  return new Promise(resolve => {
    new Server(contract, byVersion, options, resolve).start()
  })
}

class Server {
  readonly #contract: Contract
  readonly #factories: FactoryTable
  readonly #options: ServeOptions
  readonly #done: () => void
  readonly #services = new Set<Service>()
  /** Hosts that are connected. */
  #hosts = 0
  #accepted: AcceptedHost | undefined
  #foreign: ServedProtocol | undefined
  #ending: Promise<void> | undefined

  constructor(contract: Contract, factories: FactoryTable, options: ServeOptions, done: () => void) {
    this.#contract = contract
    this.#factories = factories
    this.#options = options
    this.#done = done
  }

  start(): void {
    const { name, cookie, versions } = this.#contract
    const { outlivesHost, debug } = this.#options
    const protocolOf = (version: number): string => protocolsOf(versionOf(this.#contract, version))[0] as string
    this.#accepted = acceptHost({
      name,
      cookie,
      versions: versions.map(({ version }) => version),
      protocolOf,
      serveForeign: (host, output) => this.#serveForeign(host, output),
      ownTls: this.#options.tlsOptions !== undefined,
      ...(outlivesHost !== undefined && { outlivesHost }),
      debug: debug && { version: debuggable(this.#contract, debug.version), onReattach: debug.onReattach },
      describe: () => introductionOf(this.#contract, this.#factories),
      onHost: host => void this.#connect(host),
      onLost: () => void this.#lost(),
    })
    // No host decides here what Ctrl-C means.
    if (debug !== undefined) process.once('SIGINT', () => void this.#end())
  }

  async #connect(host: HostConnection): Promise<void> {
    const { serveHost } = await import('./service.ts')
    // Another host may have ended the plugin in the meantime.
    if (this.#ending !== undefined) return host.link.destroy()
    const service: Service = serveHost(host, {
      contract: this.#contract,
      factories: this.#factories,
      logger,
      limits: this.#options.limits,
      metadata: this.#options.metadata,
      stayAlive: true,
      onClose: () => void this.#end(),
      onEnded: () => {
        if (--this.#hosts === 0) setLogSink(undefined)
      },
    })
    this.#hosts++
    // Kept until its instances are disposed: a plugin that ends waits for that, also when the host went first.
    this.#services.add(service)
    void service.disposed.then(() => this.#services.delete(service))
    setLogSink(service.logSink)
    this.#accepted?.stdout?.setSink(chunk => service.sendOutput(1, chunk))
  }

  async #serveForeign(host: ForeignHost, output: ForeignOutput | undefined): Promise<ServedProtocol> {
    const { serveForeign } = await import('./foreign-service.ts')
    const served = await serveForeign(host, output, {
      contract: this.#contract,
      factories: this.#factories,
      metadata: this.#options.metadata,
      tlsOptions: this.#options.tlsOptions,
      onClose: () => void this.#end(),
    })
    this.#foreign = served
    return served
  }

  /** A host says that the plugin is to end. */
  #end(): Promise<void> {
    this.#ending ??= this.#endAll()
    return this.#ending
  }

  async #endAll(): Promise<void> {
    this.#accepted?.close()
    // The answer to `close` leaves first; then what hosts held is disposed, and the connections end.
    await new Promise(resolve => setImmediate(resolve))
    await this.#cleanUp()
    this.#done()
    setTimeout(() => process.exit(), LINGER_MS).unref()
  }

  async #cleanUp(): Promise<void> {
    const services = [...this.#services]
    // Another protocol has but one word for both: its instances are disposed and its connections end.
    await Promise.all([...services.map(service => service.retire()), this.#foreign?.close()])
    try {
      await this.#options.onClose?.()
    } catch (cause) {
      process.exitCode = 1
      logger.error(`onClose failed: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
    for (const service of services) service.close()
    await Promise.all(services.map(service => service.disposed))
  }

  /** The host is gone and none can come: nothing that this process started may outlive it. */
  async #lost(): Promise<void> {
    if (this.#ending === undefined) {
      await Promise.race([this.#cleanUp().catch(() => undefined), new Promise(resolve => setTimeout(resolve, LOST_HOST_MS))])
    }
    endOwnTree()
    // Still here: hosts of go-plugin start their plugins in their own group.
    process.exit()
  }
}

const versionOf = (contract: Contract, version: number): ContractVersion =>
  contract.versions.find(known => known.version === version) as ContractVersion

function debuggable(contract: Contract, asked: number | undefined): number {
  const foreign = contract.versions.filter(version => protocolsOf(version).some(protocol => protocol !== 'plugwire'))
  const found = asked === undefined ? foreign.at(-1) : foreign.find(({ version }) => version === asked)
  if (found !== undefined) return found.version
  const what = asked === undefined ? 'no version of the contract' : `version ${asked} of the contract does not exist or`
  throw new PluginError('ERR_CONTRACT', {
    reason: `debug is for go-plugin's protocols, and ${what} speaks ${asked === undefined ? 'one' : 'none'}`,
  })
}
