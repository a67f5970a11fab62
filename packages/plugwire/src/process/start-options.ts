// How a plugin is to be started, and what follows from it before anything runs.

import * as path from 'node:path'
import { PluginError } from '../errors.ts'
import type { HostVariable, PortRange } from '../wire/environment.ts'
import { defaultPorts } from '../wire/environment.ts'
import type { Network } from '../wire/handshake.ts'
import { CORE_VERSION } from '../wire/handshake.ts'
import type { Curve } from './certificate.ts'
import type { EnvironmentOptions } from './child-environment.ts'
import { applicationEnvironment } from './child-environment.ts'
import type { PluginSource, Program } from './command.ts'
import { commandOf, resolveCommand } from './command.ts'
import type { TlsClientOptions } from './driver.ts'
import type { Logger, OutputMode } from './output.ts'
import { MAX_POLL_MICROSECONDS, pollMicroseconds } from './polling-link.ts'
import type { Digest } from './verified/digest.ts'

export interface StartOptions extends EnvironmentOptions {
  /** What to start: a file, a program that was verified, or a command in full. */
  readonly plugin: PluginSource
  /**
   * What the program's file must be. It is then started from a verified copy, as by `verifyProgram`, so that nobody can swap it in between; go-plugin's
   * `SecureConfig`.
   */
  readonly checksum?: Digest | undefined
  /** The plugin's name for texts and log records. Default: the file's name. */
  readonly name?: string | undefined
  /** Shows the plugin that it was started by a host of its contract. */
  readonly cookie: { readonly key: string; readonly value: string }
  /** Contract versions that this host understands. */
  readonly versions: readonly number[]
  /** Protocols that this host understands. Default `['plugwire']`. */
  readonly protocols?: readonly string[]
  /** How bytes shall travel, for a plugin that lets its host choose. Default `fd`. */
  readonly wire?: Network | undefined
  /**
   * Whether the connection is encrypted, with one-time certificates of both sides (go-plugin's AutoMTLS). Default: on wherever there is an address, that
   * is for `unix`, `tcp` and contracts of go-plugin's protocols alone; off for `fd` and `stdio`. Always on for `tcp`, unless the plugin is a Go one.
   */
  readonly tls?: boolean | undefined
  /**
   * For plugins of go-plugin's protocols that bring certificates of their own, in place of one-time ones: what `tls.connect` takes.
   * go-plugin's `TLSConfig`. The server name is `localhost` unless you say otherwise.
   */
  readonly tlsOptions?: TlsClientOptions | undefined
  /**
   * Asks a gRPC plugin to carry brokered connections inside its one connection. Default false, as in go-plugin, whose plugins can since v1.6.
   */
  readonly multiplex?: boolean | undefined
  /** A group, by name or number, that may connect to the plugin's sockets beside this user: for plugins that drop privileges. */
  readonly socketGroup?: string | undefined
  /** The curve of the host's key. Default P-256. */
  readonly curve?: Curve | undefined
  /** Ports that a plugin may listen on. Default 10000 to 25000, as in go-plugin. 0 to 0: whichever is free. */
  readonly ports?: PortRange | undefined
  /** Default `ignore`. With `inherit` the plugin stays in the host's process group. Not with the wire `stdio`, which needs it. */
  readonly stdin?: 'ignore' | 'inherit' | undefined
  /**
   * Default `log`. Only where the handshake comes on descriptor 3 (wire `fd`, protocol `plugwire`) is `inherit` the very same file or terminal;
   * elsewhere stdout is copied to the host's. With the wire `stdio` it carries the session.
   */
  readonly stdout?: OutputMode | undefined
  /** Default `log`. */
  readonly stderr?: OutputMode | undefined
  /** Gets the lines of outputs in mode `log`. Without one they are kept for error texts only. */
  readonly logger?: Logger | undefined
  /** Milliseconds from spawn until the plugin is connected. Default 60_000, as in go-plugin. */
  readonly startTimeoutMs?: number | undefined
  /** Aborts the launch at any moment of it; has no effect on a plugin that has started. */
  readonly signal?: AbortSignal | undefined
  /**
   * Starts a plugin that outlives its host and can be attached to again (`attachPlugin`); wire `unix` only. A string is the directory for its socket,
   * which must exist, be private, and is left alone; without one a directory is made and stays as long as the plugin may be attached to.
   */
  readonly detached?: boolean | string | undefined
  /**
   * For calls that wait for each other: after each message host and plugin poll for the next one for so many microseconds (`true`: 50) before
   * they sleep. Where both have a core to themselves, a call so takes a third of the time. It costs each of the two up to that much processor
   * time per burst of messages; without a free core it only delays others, and calls further apart than that gain nothing. Default false.
   * Of a detached plugin, a host that attaches later does not poll.
   */
  readonly busyPoll?: boolean | { readonly microseconds: number } | undefined
}

/** What was decided before anything runs. */
export interface Plan {
  readonly program: Program
  readonly env: Record<string, string>
  readonly name: string
  readonly wire: Network
  readonly tls: boolean
  readonly protocols: readonly string[]
  readonly stdout: OutputMode
  readonly stderr: OutputMode
  readonly detached: boolean
  /** 0: none. */
  readonly pollMicroseconds: number
  /** Nothing of the host's reaches the plugin but what was meant for it. */
  readonly strict: boolean
}

/**
 * Decides.
 *
 * @throws PluginError `ERR_CONTRACT`, `ERR_PORT_RANGE`, and those of `resolveCommand`.
 */
export function planOf(options: StartOptions): Plan {
  const verified = typeof commandOf(options.plugin).command === 'object' && !(commandOf(options.plugin).command instanceof URL)
  const strict = options.inheritEnv === 'strict' || (verified && options.inheritEnv === undefined)
  const env = applicationEnvironment(strict ? { ...options, inheritEnv: 'strict' } : options)
  const program = resolveCommand(options.plugin, env)
  const wire = options.wire ?? 'fd'
  const detached = options.detached !== undefined && options.detached !== false
  const refuse = (reason: string): never => {
    throw new PluginError('ERR_CONTRACT', { reason })
  }
  if (options.versions.length === 0) refuse('a host that understands no contract version can start no plugin')
  if (detached && wire !== 'unix') refuse(`a detached plugin needs the wire unix, not ${wire}`)
  if (wire === 'stdio' && options.stdin === 'inherit')
    refuse('on the wire stdio the session has the stdin of the plugin, so it cannot be the one of the host')
  checkPorts(options.ports ?? defaultPorts)
  const protocols = options.protocols ?? ['plugwire']
  if (options.tlsOptions !== undefined && (wire === 'unix' || wire === 'tcp') && protocols.includes('plugwire'))
    refuse(
      `tlsOptions is for plugins of other protocols; one that speaks plugwire on the wire ${wire} would not encrypt. Use the wire fd, or leave them out`,
    )
  const microseconds = pollMicroseconds(options.busyPoll)
  if (Number.isNaN(microseconds)) refuse(`busyPoll is given in whole microseconds, from 1 to ${MAX_POLL_MICROSECONDS}`)
  return {
    program,
    env,
    name: options.name ?? path.basename(program.path),
    wire,
    // A certificate of the application's own takes the place of one-time ones.
    tls: options.tlsOptions === undefined && (wire === 'tcp' || (options.tls ?? (wire === 'unix' || !protocols.includes('plugwire')))),
    protocols,
    stdout: options.stdout ?? 'log',
    stderr: options.stderr ?? 'log',
    detached,
    pollMicroseconds: microseconds,
    strict,
  }
}

function checkPorts({ minPort, maxPort }: PortRange): void {
  const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port <= 65_535
  if (isPort(minPort) && isPort(maxPort) && minPort <= maxPort) return
  throw new PluginError('ERR_PORT_RANGE', {
    minPort,
    maxPort,
    reason: 'a range goes from a lower to a higher port, both between 0 and 65535',
  })
}

/** Whether the handshake of the plugin may come on stdout. */
export function needsStdout({ wire, protocols }: Plan): boolean {
  return wire !== 'fd' || protocols.some(protocol => protocol !== 'plugwire')
}

/** What the plugin is told of its host. */
export function hostVariable(plan: Plan, ports: PortRange, socketDir: string | undefined): HostVariable {
  const { wire, detached, pollMicroseconds } = plan
  const address = { fd: '3', stdio: '-', tcp: `${ports.minPort}-${ports.maxPort}`, unix: `${socketDir}/` }[wire]
  const guarded = (wire === 'unix' || wire === 'tcp') && !detached
  return {
    coreVersions: [CORE_VERSION],
    wire,
    address,
    protocols: ['plugwire'],
    ...(guarded && { guard: 3 }),
    detached,
    ...(pollMicroseconds > 0 && { pollMicroseconds }),
  }
}
