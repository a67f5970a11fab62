// Back to a plugin that was left running, from this process or another.

import { type AnyContract, type ContractVersion, protocolsOf } from '../contract.ts'
import { type LastWords, PluginError } from '../errors.ts'
import type { AttachOptions, AttachRecord } from '../process/attach.ts'
import { isReattachConfig, type ReattachConfig } from '../wire/reattach-config.ts'
import type { LaunchOptions } from './launch.ts'
import { stderrLogger } from './logger.ts'
import type { Plugin } from './plugin.ts'

export interface ReattachOptions
  extends AttachOptions,
    Pick<LaunchOptions, 'logger' | 'limits' | 'metadata' | 'keepAliveMs' | 'tlsOptions'> {}

/**
 * A plugin that serves for a debugger, or one that another library launched: what go-plugin's hosts call a reattach configuration.
 *
 * @param text JSON: the object itself, or objects by name as in TF_REATTACH_PROVIDERS.
 * @param name Which of several; its end is enough (`acme/thing` for `registry.terraform.io/acme/thing`).
 * @throws PluginError `ERR_REATTACH` when it cannot be read or there is no such plugin in it.
 */
export function reattachConfig(text: string, name?: string): ReattachConfig {
  const refuse = (reason: string): never => {
    throw new PluginError('ERR_REATTACH', { plugin: name ?? 'a plugin', reason, remedy: 'Pass the JSON that the plugin printed' })
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    return refuse(`the configuration is no JSON (${(cause as Error).message})`)
  }
  if (isReattachConfig(parsed)) return parsed
  const named = typeof parsed === 'object' && parsed !== null ? Object.entries(parsed).filter(([, value]) => isReattachConfig(value)) : []
  const found = name === undefined ? named : named.filter(([key]) => key === name || key.endsWith(`/${name}`))
  if (found.length !== 1) return refuse(`it names ${named.length === 0 ? 'no plugin' : named.map(([key]) => key).join(', ')}`)
  return (found[0] as [string, ReattachConfig])[1]
}

/**
 * Connects to a plugin that was launched `detached` and is still running.
 *
 * Also to one that runs for a debugger (`ReattachConfig`), which closing leaves running.
 *
 * The instances of the host before have been disposed; dispense new ones. Closing the plugin ends it; `detach` leaves it running.
 *
 * @throws PluginError `ERR_REATTACH`, `ERR_VERSION_MISMATCH` when the contract no longer has the version the plugin speaks, `ERR_PROTOCOL_UNSUPPORTED`
 * when that version has kinds of another protocol, `ERR_LAUNCH_ABORTED`. The plugin runs on in each case.
 */
export async function reattach<C extends AnyContract>(
  contract: C,
  running: AttachRecord | ReattachConfig,
  options: ReattachOptions = {},
): Promise<Plugin<C>> {
  const record = isReattachConfig(running) ? recordOf(running, contract) : running
  const hostVersions = contract.versions.map(({ version }) => version)
  if (!hostVersions.includes(record.version)) {
    throw new PluginError('ERR_VERSION_MISMATCH', {
      plugin: record.name,
      pluginVersions: [record.version],
      hostVersions,
      remedy: 'The version was agreed on when the plugin was launched: end the plugin and launch it again',
    })
  }
  // Two dialects of other protocols understand nothing of each other, and do not even notice at once.
  const supported = protocolsOf(contract.versions.find(({ version }) => version === record.version) as ContractVersion)
  if (!supported.includes(record.protocol)) {
    throw new PluginError('ERR_PROTOCOL_UNSUPPORTED', {
      plugin: record.name,
      protocol: record.protocol,
      supported,
      line: '',
      remedy: `Give version ${record.version} of the contract kinds of ${record.protocol}.`,
      ...lastWords(),
    })
  }
  const [{ attachPlugin, bounded }, { plugwirePlugin }] = await Promise.all([
    import('../process/attach.ts'),
    import('./plugwire-plugin.ts'),
  ])
  const attached = await attachPlugin(record, options)
  const logger = options.logger === false ? undefined : (options.logger ?? stderrLogger())
  const process = {
    name: attached.name,
    pid: attached.pid,
    version: attached.version,
    wire: record.network ?? 'unix',
    secure: record.tls !== undefined,
    handshake: undefined,
    timings: undefined,
    stdout: undefined,
    stderr: undefined,
    get status() {
      return attached.status
    },
    exited: attached.exited,
    lastWords,
    async ended() {
      attached.hold()
      await attached.exited
      return lastWords()
    },
    close: attached.close.bind(attached),
    kill: () => attached.kill(),
    record,
    detach: () => attached.detach(),
  }
  const { link: wired } = attached
  if (wired === undefined) {
    const { foreignPlugin } = await import('./foreign-plugin.ts')
    const { tls } = record
    const foreign = {
      handshake: undefined,
      tls: tls && {
        identity: { key: tls.key, certificate: tls.certificate, der: new Uint8Array() },
        pluginCertificate: tls.pluginCertificate,
      },
      connect: () => attached.connect(),
      output: () => undefined,
      ready: async <T>(step: Promise<T>, discard: (late: T) => void): Promise<T> => {
        attached.hold()
        try {
          return await bounded(options, step, discard)
        } catch (cause) {
          throw unanswered(record, cause, options)
        } finally {
          attached.release()
        }
      },
    }
    return foreignPlugin(contract, foreign, process, {
      logger,
      metadata: options.metadata,
      tlsOptions: options.tlsOptions,
      multiplex: record.multiplex,
      // It is somebody's, and may be in order.
      abandon: () => attached.detach(),
    })
  }
  const { limits, metadata, keepAliveMs } = options
  const plugin = plugwirePlugin(contract, process, wired, { logger, limits, metadata, keepAliveMs, output: () => undefined })
  try {
    // Of TLS 1.3 a client that is refused hears with its first read only.
    await bounded(options, plugin.ping(), () => {})
  } catch (cause) {
    plugin.detach()
    throw unanswered(record, cause, options)
  }
  return plugin
}

function unanswered({ name }: AttachRecord, cause: unknown, { signal }: AttachOptions): PluginError {
  if (signal?.aborted) return new PluginError('ERR_LAUNCH_ABORTED', { plugin: name }, { cause: signal.reason })
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new PluginError('ERR_REATTACH', { plugin: name, reason, remedy: 'Was this record saved by the host that launched it?' }, { cause })
}

const lastWords = (): LastWords => ({ exitCode: null, signal: null, stdoutTail: '', stderrTail: '' })

/** A record of a plugin that we did not start. When it began is unknown: its pid has to do. */
function recordOf(config: ReattachConfig, contract: AnyContract): AttachRecord {
  // Some tell none; then the contract's highest is meant.
  const version = config.ProtocolVersion || (contract.versions.at(-1)?.version ?? 1)
  return {
    name: contract.name,
    pid: config.Pid,
    startedAt: '',
    network: config.Addr.Network === 'tcp' ? 'tcp' : 'unix',
    address: config.Addr.String,
    protocol: config.Protocol || 'netrpc',
    version,
    versions: [version],
    test: config.Test === true,
  }
}
