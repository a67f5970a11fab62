// A plugin that speaks another protocol than ours: brings its driver together with its process. Knows no protocol itself.

import type { AnyContract, Contract, Kind } from '../contract.ts'
import { PluginError } from '../errors.ts'
import { connectTo } from '../process/connect.ts'
import { type Conversation, type ForeignPlugin, loadDriver, type MutualTls, type SideListener } from '../process/driver.ts'
import type { Logger } from '../process/output.ts'
import type { Metadata } from '../rpc/call-context.ts'
import type { Handshake, Network } from '../wire/handshake.ts'
import type { LogLevel } from '../wire/log-record.ts'
import { createPlugin, type Plugin, type PluginProcess } from './plugin.ts'

/** What a process must offer beyond `PluginProcess`, whether it was started or attached to. */
export interface ForeignProcess {
  readonly handshake: Handshake | undefined
  /** Both sides' certificates, when the plugin encrypts. */
  readonly tls: { readonly identity: MutualTls['identity']; readonly pluginCertificate: string } | undefined
  connect(): ReturnType<ForeignPlugin['connect']>
  output(descriptor: number, bytes: Uint8Array): Promise<void> | undefined
  /** Waits for the last step, bounded; what comes too late is handed to `discard`. Holds the event loop meanwhile. */
  ready<T>(step: Promise<T>, discard: (late: T) => void): Promise<T>
}

export interface ForeignPluginOptions {
  readonly logger: Logger | undefined
  readonly metadata: (() => Metadata | undefined) | undefined
  readonly tlsOptions: ForeignPlugin['customTls']
  readonly multiplex: boolean | undefined
  /** What becomes of a process that its driver cannot talk to. */
  readonly abandon: () => unknown
}

/**
 * Lets the driver of the agreed version talk to a process.
 *
 * @throws PluginError what the driver throws, or `ready`; the process has been abandoned then.
 */
export async function foreignPlugin<C extends AnyContract>(
  contract: C,
  foreign: ForeignProcess,
  process: PluginProcess,
  options: ForeignPluginOptions,
): Promise<Plugin<C>> {
  let explain = async (cause: PluginError | undefined): Promise<PluginError> => {
    if (cause !== undefined) return cause
    // One that outlives its hosts may well run on.
    if (process.record !== undefined) return new PluginError('ERR_SESSION_CLOSED', { reason: `${process.name} closed the connection` })
    return new PluginError('ERR_PLUGIN_EXITED', { plugin: process.name, ...(await process.ended()) })
  }
  try {
    const kinds = kindsOf(contract, process.version)
    const begin = async (): Promise<Conversation> =>
      (await loadDriver(kinds)).converse({
        name: process.name,
        pid: process.pid,
        version: process.version,
        kinds,
        handshake: foreign.handshake,
        tls: foreign.tls && { identity: foreign.tls.identity, peerCertificate: foreign.tls.pluginCertificate },
        customTls: options.tlsOptions,
        multiplex: options.multiplex ?? false,
        connect: async () => (await foreign.connect()).unref(),
        connectTo: (network, address) =>
          connectTo({ plugin: process.name, network: network as Network, address, anyHost: true }, () => process.lastWords()),
        listen,
        output: (descriptor, bytes) => foreign.output(descriptor, bytes),
        log: (level, message, fields) => log(options.logger, process.name, level, message, fields),
        metadata: options.metadata,
        exited: process.exited,
        lastWords: () => process.lastWords(),
        lost: cause => explain(cause),
      })
    const gone = new PluginError('ERR_PLUGIN_CLOSED', { plugin: process.name })
    const conversation = await foreign.ready(begin(), late => late.destroy(gone))
    return createPlugin(contract, process, lost => {
      explain = lost
      endWith(conversation, process)
      return conversation
    })
  } catch (cause) {
    await options.abandon()
    throw cause
  }
}

function kindsOf(contract: Contract, version: number): { readonly [kind: string]: Kind } {
  return contract.versions.find(known => known.version === version)?.kinds ?? {}
}

/** Somebody else may hold the other end of its connection; then its end is told by nobody but the process. */
function endWith(conversation: Conversation, process: PluginProcess): void {
  void process.exited.then(() => {
    // Two turns later all that was sent has been read.
    const reason = (): PluginError => new PluginError('ERR_PLUGIN_EXITED', { plugin: process.name, ...process.lastWords() })
    setImmediate(() => setImmediate(() => conversation.destroy(reason())))
  })
}

async function listen(onConnection: Parameters<ForeignPlugin['listen']>[0]): Promise<SideListener> {
  const { listen } = await import('../process/listen.ts')
  const windows = globalThis.process.platform === 'win32'
  const where = windows ? ({ network: 'tcp', ports: '0-0' } as const) : ({ network: 'unix', directory: '' } as const)
  const listener = await listen(where, onConnection)
  return { network: where.network, address: listener.address, close: () => listener.close() }
}

function log(
  logger: Logger | undefined,
  plugin: string,
  level: LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  try {
    logger?.({ plugin, stream: 'log', level, message, fields, time: new Date() })
  } catch {
    // A logger that throws must not end what it was told of.
  }
}
