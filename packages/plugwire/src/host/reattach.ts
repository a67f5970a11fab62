// Back to a plugin that was left running, from this process or another.

import type { AnyContract } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { AttachOptions, AttachRecord } from '../process/attach.ts'
import type { LaunchOptions } from './launch.ts'
import { stderrLogger } from './logger.ts'
import type { Plugin } from './plugin.ts'

export interface ReattachOptions extends AttachOptions, Pick<LaunchOptions, 'logger' | 'limits' | 'metadata' | 'keepAliveMs'> {}

/**
 * Connects to a plugin that was launched `detached` and is still running.
 *
 * The instances of the host before have been disposed; dispense new ones. Closing the plugin ends it; `detach` leaves it running.
 *
 * @throws PluginError `ERR_REATTACH`, `ERR_VERSION_MISMATCH` when the contract no longer has the version the plugin speaks, `ERR_LAUNCH_ABORTED`.
 */
export async function reattach<C extends AnyContract>(
  contract: C,
  record: AttachRecord,
  options: ReattachOptions = {},
): Promise<Plugin<C>> {
  const hostVersions = contract.versions.map(({ version }) => version)
  if (!hostVersions.includes(record.version)) {
    throw new PluginError('ERR_VERSION_MISMATCH', {
      plugin: record.name,
      pluginVersions: [record.version],
      hostVersions,
      remedy: 'The version was agreed on when the plugin was launched: end the plugin and launch it again',
    })
  }
  const [{ attachPlugin }, { createPlugin }] = await Promise.all([import('../process/attach.ts'), import('./plugin.ts')])
  const attached = await attachPlugin(record, options)
  const logger = options.logger === false ? undefined : (options.logger ?? stderrLogger())
  const lastWords = () => ({ exitCode: null, signal: null, stdoutTail: '', stderrTail: '' })
  const process = {
    name: attached.name,
    pid: attached.pid,
    version: attached.version,
    wire: 'unix',
    secure: record.tls !== undefined,
    link: attached.link,
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
    output: () => undefined,
  }
  const plugin = createPlugin(contract, process, {
    logger,
    limits: options.limits,
    metadata: options.metadata,
    keepAliveMs: options.keepAliveMs,
  })
  try {
    // Of TLS 1.3 a client that is refused hears with its first read only.
    await plugin.ping()
  } catch (cause) {
    plugin.detach()
    throw new PluginError(
      'ERR_REATTACH',
      {
        plugin: record.name,
        reason: cause instanceof Error ? cause.message : String(cause),
        remedy: 'Was this record saved by the host that launched it?',
      },
      { cause },
    )
  }
  return plugin
}
