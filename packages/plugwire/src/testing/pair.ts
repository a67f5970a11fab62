// Host and plugin in one process, for tests of what a plugin does: the real codec, mux and calls, and no process to start.

import { type AnyContract, type Factories, factoriesByVersion } from '../contract.ts'
import { stderrLogger } from '../host/logger.ts'
import type { Plugin } from '../host/plugin.ts'
import { plugwirePlugin } from '../host/plugwire-plugin.ts'
import type { Limits } from '../limits.ts'
import type { FactoryContext } from '../plugin/service.ts'
import type { Logger } from '../process/output.ts'
import type { Metadata } from '../rpc/call-context.ts'
import { type Faults, faultyLink } from './faulty-link.ts'
import { counted } from './killing.ts'
import { memoryLinks } from './memory-link.ts'
import { MemoryProcess } from './memory-process.ts'

export interface PairOptions {
  /** The contract version to talk in. Default: the highest. */
  readonly version?: number
  /** Takes the plugin's log records. Default: the host's stderr. `false` drops them. */
  readonly logger?: Logger | false
  /** Limits for both sides. */
  readonly limits?: Partial<Limits>
  /** Metadata for the host's calls. */
  readonly metadata?: () => Metadata | undefined
  /** Metadata for the plugin's calls into the host. */
  readonly pluginMetadata?: () => Metadata | undefined
  /** What goes wrong between the two. */
  readonly faults?: Faults
}

/** A way to cut the connection of a plugin by hand. */
export interface Severable {
  /** Cuts the connection to the plugin now, as a lost network would; what is under way is lost. */
  sever(): void
}

/** A plugin that lives in this process. */
export type Pair<C> = Plugin<C> & Severable

/**
 * Makes a plugin in this process, connected to its host over memory.
 *
 * Everything crosses as bytes, so what cannot travel fails here as it would between processes, and what was copied is a copy.
 * Only what belongs to a process is missing: output, signals, a pid of its own; a kill ends the connection.
 *
 * @throws PluginError `ERR_CONTRACT` when the factories do not fit the contract.
 */
export function pair<C extends AnyContract>(contract: C, factories: Factories<C, FactoryContext>, options: PairOptions = {}): Pair<C> {
  const { faults = {}, limits, pluginMetadata } = options
  const version = options.version ?? Math.max(...contract.versions.map(known => known.version))
  const [hostLink, pluginLink] = memoryLinks()
  const kill = (): void => void process.kill()
  const link = faultyLink(hostLink, faults, kill)
  const process: MemoryProcess = new MemoryProcess(link, pluginLink, {
    contract,
    version,
    factories: factoriesByVersion<FactoryContext>(contract, factories),
    limits,
    metadata: pluginMetadata,
  })
  const plugin = plugwirePlugin(contract, process, process.link, {
    logger: options.logger === false ? undefined : (options.logger ?? stderrLogger()),
    limits,
    metadata: counted(options.metadata, faults.killAtCall, kill),
    keepAliveMs: undefined,
    output: () => undefined,
  })
  return Object.defineProperty(plugin, 'sever', { value: () => link.sever() }) as Pair<C>
}
