// From a contract and a file to a running plugin.

import { type AnyContract, protocolsOf } from '../contract.ts'
import type { Limits } from '../limits.ts'
import type { Link } from '../mux/link.ts'
import type { AttachRecord } from '../process/attach.ts'
import type { PluginSource } from '../process/command.ts'
import type { Logger, OutputMode } from '../process/output.ts'
import { pollingLink, pollMicroseconds } from '../process/polling-link.ts'
import { type StartOptions, startPlugin } from '../process/start.ts'
import type { Metadata } from '../rpc/call-context.ts'
import { stderrLogger } from './logger.ts'
import type { Plugin, PluginProcess } from './plugin.ts'

export interface LaunchOptions extends Omit<StartOptions, 'plugin' | 'name' | 'cookie' | 'versions' | 'protocols' | 'logger'> {
  /**
   * Takes the plugin's log records, and the lines of its stdout and stderr where they are logged. Default: `stderrLogger()`, which
   * writes them to the host's stderr behind the plugin's name. `false` drops them.
   */
  readonly logger?: Logger | false
  /** The plugin's name in messages and log records. Default: the contract's. */
  readonly name?: string
  /** Gives the plugin the host's own terminal: short for `inherit` in stdin, stdout and stderr. */
  readonly terminal?: boolean
  /** Limits for the connection; see `Limits`. */
  readonly limits?: Partial<Limits>
  /** Metadata for every call to this plugin: trace context, as `traceparent`. */
  readonly metadata?: () => Metadata | undefined
  /** Milliseconds between pings; a plugin that does not answer one within 10 s is ended. Default 0: none, since a lost plugin closes its descriptor. */
  readonly keepAliveMs?: number
}

/**
 * Starts a plugin and agrees with it on a version.
 *
 * `.js` and `.mjs` files run under the runtime of the host, `.ts` files where that can run them, everything else is executed.
 * A string is relative to the working directory; for a file beside your own, pass `new URL('./plugin.js', import.meta.url)`.
 *
 * @returns The running plugin. It is yours to close: `await using plugin = await launch(…)`.
 * @throws PluginError `ERR_PLUGIN_NOT_FOUND`, `ERR_PLUGIN_NOT_EXECUTABLE`, `ERR_PLUGIN_START`, `ERR_TYPESCRIPT_UNSUPPORTED`,
 * `ERR_HANDSHAKE_TIMEOUT`, `ERR_HANDSHAKE_EXIT`, `ERR_HANDSHAKE_LINE`, `ERR_CORE_VERSION`, `ERR_VERSION_MISMATCH`,
 * `ERR_PROTOCOL_UNSUPPORTED`, `ERR_LAUNCH_ABORTED`, `ERR_CONNECT`, `ERR_TLS`: see docs/errors.md. Nothing is left behind then.
 */
export function launch<C extends AnyContract>(contract: C, plugin: PluginSource, options: LaunchOptions = {}): Promise<Plugin<C>> {
  return launchOver(contract, plugin, options, link => link)
}

/**
 * @internal The same, with something put between the session and its link.
 *
 * @param between Called once, when the plugin is connected.
 */
export async function launchOver<C extends AnyContract>(
  contract: C,
  plugin: PluginSource,
  options: LaunchOptions,
  between: (link: Link, pid: number) => Link,
): Promise<Plugin<C>> {
  const { logger: given, terminal, limits, metadata, keepAliveMs, ...start } = options
  const logger = given === false ? undefined : (given ?? stderrLogger())
  const inherited: { stdin?: 'inherit'; stdout?: OutputMode; stderr?: OutputMode } = terminal
    ? { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' }
    : {}
  const starting = startPlugin({
    ...inherited,
    ...start,
    plugin,
    name: start.name ?? contract.name,
    cookie: contract.cookie,
    versions: contract.versions.map(({ version }) => version),
    protocols: [...new Set(contract.versions.flatMap(protocolsOf))],
    ...(logger !== undefined && { logger }),
  })
  // On the default wire the process has been spawned by now: sessions and calls are loaded while it starts.
  const [started, { plugwirePlugin }] = await Promise.all([starting, import('./plugwire-plugin.ts')]).catch(async (cause: unknown) => {
    await (await starting).kill()
    throw cause
  })
  const process: PluginProcess = {
    name: started.name,
    pid: started.pid,
    version: started.version,
    wire: started.wire,
    secure: started.tls !== undefined,
    handshake: started.handshake,
    timings: started.timings,
    stdout: started.stdout,
    stderr: started.stderr,
    get status() {
      return started.status
    },
    exited: started.exited,
    lastWords: () => started.lastWords(),
    ended: () => started.ended(),
    close: started.close.bind(started),
    kill: () => started.kill(),
    get record() {
      return started.record
    },
    detach: () => started.release(),
  }
  const { link: wired } = started
  if (wired === undefined) {
    const { foreignPlugin } = await import('./foreign-plugin.ts')
    const { tlsOptions, multiplex } = start
    return foreignPlugin(contract, started, process, { logger, metadata, tlsOptions, multiplex, abandon: () => started.kill() })
  }
  const microseconds = pollMicroseconds(start.busyPoll)
  const link = between(microseconds > 0 ? pollingLink(wired, microseconds) : wired, started.pid)
  const output = (descriptor: number, bytes: Uint8Array): void => void started.output(descriptor, bytes)
  return plugwirePlugin(contract, process, link, { logger, limits, metadata, keepAliveMs, output })
}

export type { AttachRecord }
