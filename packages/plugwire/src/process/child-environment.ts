// The environment of a plugin process: what it inherits, what the application gives it, what the launch says. Later ones win.

import type { HostVariable, PortRange } from '../wire/environment.ts'
import { encodeHostVariable, scrubbedNames, Variable } from '../wire/environment.ts'

export interface EnvironmentOptions {
  /**
   * What the plugin inherits of the host's environment: all of it (default, `true`), nothing (`false`), or the variables named. With nothing
   * a plugin written in JavaScript still starts, as its runtime is called by its full path; but it finds no other programs without a PATH.
   * On Windows the system adds the few variables without which no process works. `strict`: those that say who and where the user is (PATH, HOME,
   * LANG, TZ, TERM and their like), none that a runtime or loader reads as orders (NODE_OPTIONS, LD_PRELOAD), none with secrets; the default for programs
   * that were verified.
   */
  readonly inheritEnv?: boolean | 'strict' | readonly string[]
  /** The application's own variables; they win over inherited ones. `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** What one launch tells its plugin. */
export interface LaunchVariables {
  readonly cookie: { readonly key: string; readonly value: string }
  readonly versions: readonly number[]
  readonly ports: PortRange
  readonly host: HostVariable
  /** The host's certificate as PEM, when the link is to be encrypted. */
  readonly clientCertificate?: string
  readonly socketDir?: string
  /** A group that may connect to the plugin's sockets, too. */
  readonly socketGroup?: string
  /** Asks a gRPC plugin to broker connections inside its one connection. */
  readonly multiplex?: boolean
}

/** A parent's private matters: a child that inherits them would talk to a channel that is not there. */
const privateNames: readonly string[] = ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'NODE_UNIQUE_ID']
const windows = process.platform === 'win32'

/** What says who and where the user is. */
const plainNames =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TERM|COLORTERM|NO_COLOR|FORCE_COLOR|TMPDIR|TMP|TEMP|XDG_\w+|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|USERNAME|USERPROFILE|APPDATA|LOCALAPPDATA|PROGRAMDATA|HOMEDRIVE|HOMEPATH|NUMBER_OF_PROCESSORS|PROCESSOR_ARCHITECTURE)$/i

/** What a plugin gets before the launch adds its own. Without a prototype: a variable may have any name. */
export function applicationEnvironment(options: EnvironmentOptions): Record<string, string> {
  const env: Record<string, string> = Object.create(null)
  const inherit = options.inheritEnv ?? true
  const names =
    inherit === true
      ? Object.keys(process.env)
      : inherit === 'strict'
        ? Object.keys(process.env).filter(name => plainNames.test(name))
        : inherit === false
          ? []
          : inherit
  // `process.env` is an ordinary object for names such as __proto__.
  for (const name of names) if (Object.hasOwn(process.env, name)) set(env, name, process.env[name])
  for (const name of [...scrubbedNames, ...privateNames]) set(env, name, undefined)
  for (const name of Object.keys(options.env ?? {})) {
    const value = options.env?.[name]
    // `env: { ...process.env, … }` must not bring back what was just removed.
    const isStray = value !== undefined && value === process.env[name] && (scrubbedNames.includes(name) || privateNames.includes(name))
    if (!isStray) set(env, name, value)
  }
  return env
}

/** Adds to `env` what the launch says. */
export function addLaunchVariables(env: Record<string, string>, launch: LaunchVariables): void {
  set(env, launch.cookie.key, launch.cookie.value)
  set(env, Variable.minPort, String(launch.ports.minPort))
  set(env, Variable.maxPort, String(launch.ports.maxPort))
  set(env, Variable.versions, launch.versions.join(','))
  set(env, Variable.host, encodeHostVariable(launch.host))
  if (launch.clientCertificate !== undefined) set(env, Variable.clientCertificate, launch.clientCertificate)
  if (launch.socketDir !== undefined) set(env, Variable.socketDir, launch.socketDir)
  if (launch.socketGroup !== undefined) set(env, Variable.socketGroup, launch.socketGroup)
  if (launch.multiplex === true) set(env, Variable.multiplexGrpc, 'true')
}

function set(env: Record<string, string>, name: string, value: string | undefined): void {
  // Windows does not tell `Path` from `PATH`: two spellings in one environment would leave it to chance which one counts.
  if (windows) for (const other of Object.keys(env)) if (other.toLowerCase() === name.toLowerCase()) delete env[other]
  if (value === undefined) delete env[name]
  else env[name] = value
}
