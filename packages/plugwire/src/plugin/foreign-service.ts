// A plugin that serves another protocol than ours: brings the contract's factories together with the protocol's driver. Knows no protocol itself.

import type { Contract } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { ForeignHost, ForeignOutput } from '../process/accept-foreign.ts'
import { type ForeignService, loadDriver, type ServedProtocol } from '../process/driver.ts'
import type { Metadata } from '../rpc/call-context.ts'
import { encodeLogLine } from '../wire/log-record.ts'
import { logger, logToStderr, setLogSink } from './logger.ts'
import type { FactoryTable } from './service.ts'

export interface ForeignServiceOptions {
  readonly contract: Contract
  readonly factories: FactoryTable
  readonly metadata: (() => Metadata | undefined) | undefined
  readonly tlsOptions: ForeignService['customTls']
  /** The host says that the plugin is to end. */
  readonly onClose: () => void
}

/** Lets the driver of the agreed version serve. */
export async function serveForeign(
  host: ForeignHost,
  output: ForeignOutput | undefined,
  options: ForeignServiceOptions,
): Promise<ServedProtocol> {
  const { contract } = options
  const kinds = contract.versions.find(known => known.version === host.version)?.kinds ?? {}
  // Records go to the real stderr, which is the host's log; what the plugin itself prints goes over the connection.
  setLogSink(output === undefined ? logToStderr : record => output.logLine(encodeLogLine(record)))
  const driver = await loadDriver(kinds)
  return driver.serve({
    ...host,
    name: contract.name,
    kinds,
    make: (kind, config) => make(kind, config, host.version, options.factories),
    tls: options.tlsOptions === undefined ? host.tls : undefined,
    customTls: options.tlsOptions,
    log: (level, message, fields) => logger[level](message, fields),
    metadata: options.metadata,
    end: options.onClose,
  })
}

async function make(kind: string, config: unknown, version: number, factories: FactoryTable): Promise<object> {
  const ofVersion = factories.get(version)
  const factory = ofVersion?.get(kind)
  if (factory === undefined) throw new PluginError('ERR_KIND_NOT_FOUND', { kind, kinds: [...(ofVersion?.keys() ?? [])] })
  let instance: unknown
  try {
    instance = await factory(config, { logger: logger.child(kind), version })
  } catch (cause) {
    // Its host hears the message, if there is one yet: the author wants to know where it comes from.
    logger.error(`the factory of ${kind} failed`, { error: cause })
    throw cause
  }
  if ((typeof instance === 'object' && instance !== null) || typeof instance === 'function') return instance
  throw new PluginError('ERR_CONTRACT', {
    reason: `the factory of ${kind} returned ${instance === null ? 'null' : typeof instance}, not an object with methods`,
  })
}
