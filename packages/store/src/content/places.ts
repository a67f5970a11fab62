// Where a user's data lies on this system. Knows no store and no plugin.

import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

/** Where programs keep data of their own for one user, by the habit of the system; `XDG_DATA_HOME` counts everywhere. Always absolute. */
export function userDataDirectory(env: Environment = process.env): string {
  const home = homedir()
  if (isGiven(env['XDG_DATA_HOME'])) return env['XDG_DATA_HOME']
  if (process.platform === 'win32') return isGiven(env['LOCALAPPDATA']) ? env['LOCALAPPDATA'] : join(home, 'AppData', 'Local')
  if (process.platform === 'darwin') return join(home, 'Library', 'Application Support')
  return join(home, '.local', 'share')
}

/** Relative paths in XDG variables have to be ignored: XDG Base Directory Specification 0.8. */
const isGiven = (path: string | undefined): path is string => path !== undefined && isAbsolute(path)

/** The store of this user: `PLUGWIRE_STORE`, or `plugwire/store` among the user's data. */
export function defaultStoreDirectory(env: Environment = process.env): string {
  return isGiven(env['PLUGWIRE_STORE']) ? env['PLUGWIRE_STORE'] : join(userDataDirectory(env), 'plugwire', 'store')
}
