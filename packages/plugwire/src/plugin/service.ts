// What one connected host gets from a plugin: instances, a description, and an end when it asks for one. Knows nothing of how the host came here.

import type { Contract, factoriesByVersion } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { Link } from '../mux/link.ts'
import type { Metadata } from '../rpc/call-context.ts'
import { Connection } from '../rpc/connection.ts'
import { Dispensed } from '../rpc/dispensed.ts'
import { methodTable } from '../rpc/method-table.ts'
import { HostMethod, type PluginDescription, pluginMethods } from '../rpc/roots.ts'
import { withSchemas } from '../rpc/validation.ts'
import { VERSION } from '../version.ts'
import type { LogRecord } from '../wire/log-record.ts'
import type { LogSink, PluginLogger } from './logger.ts'
import { runtimeName } from './runtime-name.ts'

/** What a factory is told beside the configuration. */
export interface FactoryContext {
  /** A logger named after the kind. */
  readonly logger: PluginLogger
  /** The contract version agreed on with this host. */
  readonly version: number
}

/** The factories of a contract, by version and kind. */
export type FactoryTable = ReturnType<typeof factoriesByVersion<FactoryContext>>

/** A host that has connected. */
export interface ServedHost {
  readonly link: Link
  /** The contract version agreed on. */
  readonly version: number
  readonly wire: string
  readonly secure: boolean
}

export interface ServiceOptions {
  readonly contract: Contract
  readonly factories: FactoryTable
  /** Where the loggers of factories come from. */
  readonly logger: PluginLogger
  readonly limits?: Partial<Limits> | undefined
  readonly metadata?: (() => Metadata | undefined) | undefined
  /** Keeps the event loop alive as long as the host is there. */
  readonly stayAlive: boolean
  /** The host says that the plugin is to end. Its call is answered at once. */
  readonly onClose: () => void
  /** The connection ended; what the host held is about to be disposed. */
  readonly onEnded: () => void
}

/** Serves one host over one link. */
export function serveHost(host: ServedHost, options: ServiceOptions): Service {
  return new Service(host, options)
}

export class Service {
  readonly #host: ServedHost
  readonly #options: ServiceOptions
  readonly #connection: Connection
  /** Resolves when the connection has ended and what the host held has been disposed. */
  readonly disposed: Promise<void>

  constructor(host: ServedHost, options: ServiceOptions) {
    this.#host = host
    this.#options = options
    let ended = (): void => undefined
    this.disposed = new Promise<void>(resolve => {
      ended = resolve
    }).then(async () => void (await this.#connection.disposed))
    this.#connection = new Connection(host.link, {
      role: 'plugin',
      peerName: 'the host',
      root: {},
      rootMethods: pluginMethods({
        dispense: (kind, config) => this.#dispense(kind, config),
        describe: () => this.#describe(),
        close: () => options.onClose(),
      }),
      stayAlive: options.stayAlive,
      ...(options.limits !== undefined && { limits: options.limits }),
      ...(options.metadata !== undefined && { metadata: options.metadata }),
      onEnded: cause => {
        options.onEnded()
        ended()
        return cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: 'the host is gone' })
      },
    })
  }

  /** Sends log records to this host; a record that cannot leave now is refused with false. */
  get logSink(): LogSink {
    const send = ({ level, message, fields, time, module }: LogRecord): boolean =>
      this.#connection.notifyRoot(HostMethod.log, [level, message, fields, time.getTime(), module])
    return record => {
      try {
        return send(record)
      } catch {
        // Whoever logs an odd value wants to see it, not to fail for it.
        return send({ ...record, fields: inWords(record.fields) })
      }
    }
  }

  /** Sends output that the wire cannot carry otherwise. */
  sendOutput(descriptor: number, bytes: Uint8Array): void {
    this.#connection.sendOutput(descriptor, bytes)
  }

  /** Disposes what the host held; what is logged meanwhile still reaches it. Never rejects. */
  retire(): Promise<void> {
    return this.#connection.retire(new PluginError('ERR_PLUGIN_CLOSED', { plugin: this.#options.contract.name }))
  }

  /** Lets what was said leave, then ends the connection. Twice is fine. */
  close(): void {
    this.#connection.close()
  }

  async #dispense(kind: string, config: unknown): Promise<Dispensed> {
    const { contract, logger } = this.#options
    const { version } = this.#host
    const factories = this.#options.factories.get(version)
    const factory = factories?.get(kind)
    if (factory === undefined) throw new PluginError('ERR_KIND_NOT_FOUND', { kind, kinds: [...(factories?.keys() ?? [])] })
    const instance = await factory(config, { logger: logger.child(kind), version })
    if ((typeof instance !== 'object' && typeof instance !== 'function') || instance === null) {
      throw new PluginError('ERR_CONTRACT', {
        reason: `the factory of ${kind} returned ${instance === null ? 'null' : typeof instance}, not an object with methods`,
      })
    }
    const schemas = contract.versions.find(candidate => candidate.version === version)?.kinds[kind]?.schemas
    return new Dispensed(instance, kind, withSchemas(methodTable(instance), kind, schemas))
  }

  #describe(): PluginDescription {
    const { contract, factories } = this.#options
    const { version, wire, secure } = this.#host
    return {
      name: contract.name,
      version,
      versions: contract.versions.map(known => known.version),
      kinds: [...(factories.get(version)?.keys() ?? [])],
      pid: process.pid,
      runtime: runtimeName(),
      plugwire: VERSION,
      wire,
      secure,
    }
  }
}

/** E.g. `node 20.20.2`. */

/** Fields that can travel, whatever they were. */
function inWords(fields: LogRecord['fields']): Record<string, string> {
  const { inspect } = process.getBuiltinModule('node:util')
  const options = { depth: 2, maxStringLength: 1_000, breakLength: Number.POSITIVE_INFINITY }
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? value : inspect(value, options)]),
  )
}
