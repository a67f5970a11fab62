// The file in which a user's trusted keys are kept. This module touches the file system.

import type { Stats } from 'node:fs'
import { mkdir, realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { PluginError } from 'plugwire'
import { readWhole, updateFile } from '../files/durable-file.ts'
import { MAX_STATE_BYTES } from '../limits.ts'
import type { UpdateLockOptions } from '../lock/lock-file.ts'
import { emptyTrust, encodeTrust, readTrust, type Trust } from './trust.ts'

/**
 * Where a user's trusted keys are: `plugwire/trust.json` in `$XDG_CONFIG_HOME`, otherwise in `~/.config`, on Windows in `%APPDATA%`.
 * @param env Default: the environment.
 */
export function defaultTrustFile(env: Readonly<Record<string, string | undefined>> = process.env): string {
  // The specification of these directories says to ignore a path that is not absolute: the current directory may be a stranger's.
  const given = process.platform === 'win32' ? env['APPDATA'] : env['XDG_CONFIG_HOME']
  const base = given?.startsWith('/') || (process.platform === 'win32' && given) ? given : join(homedir(), '.config')
  return join(base, 'plugwire', 'trust.json')
}

/**
 * Reads the trusted keys; nobody is trusted when there is no file.
 * @throws PluginError `ERR_TRUST_STORE`, also when somebody else could have written it.
 */
export async function readTrustFile(path: string = defaultTrustFile()): Promise<Trust> {
  const bytes = await readSafely(path)
  return bytes === undefined ? emptyTrust : readTrust(bytes, path)
}

async function readSafely(path: string): Promise<Uint8Array | undefined> {
  try {
    const bytes = await readWhole(path, MAX_STATE_BYTES, file => refuseOthers(path, file))
    // Who may write a directory on the way may put another file in the place of this one: on the way of the name, and where links lead.
    if (bytes !== undefined) for (const way of new Set([resolve(path), await realpath(path)])) await refuseOthersAbove(way)
    return bytes
  } catch (cause) {
    if (cause instanceof PluginError) throw cause
    throw new PluginError(
      'ERR_TRUST_STORE',
      { path, reason: `${path} cannot be read: ${(cause as Error).message}`, remedy: 'It has to be a file of yours.' },
      { cause },
    )
  }
}

function refuseOthers(path: string, found: Stats, isSticky = false): void {
  if (process.getuid === undefined) return // Windows: the profile's own access list protects it.
  const fault = (reason: string, remedy: string): PluginError<'ERR_TRUST_STORE'> =>
    new PluginError('ERR_TRUST_STORE', { path, reason, remedy })
  if (found.uid !== process.getuid() && found.uid !== 0)
    throw fault(`${path} belongs to user ${found.uid}`, 'Only keys that you keep yourself are trusted.')
  if ((found.mode & 0o022) !== 0 && !isSticky)
    throw fault(`${path} can be written by others`, `Look what it says, then: chmod go-w ${path}`)
}

async function refuseOthersAbove(path: string): Promise<void> {
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    const found = await stat(directory)
    // Where the sticky bit is set, as on /tmp, nobody renames what belongs to others; but whoever the directory belongs to.
    refuseOthers(directory, found, (found.mode & 0o1000) !== 0)
    if (directory === dirname(directory)) return
  }
}

/**
 * Changes the trusted keys while no other process does.
 * @returns What the file says then.
 * @throws PluginError `ERR_TRUST_STORE`, `ERR_LOCK_BUSY`, `ERR_LOCK_WRITE`
 */
export async function updateTrustFile(
  change: (trust: Trust) => Trust | Promise<Trust>,
  path: string = defaultTrustFile(),
  options: UpdateLockOptions = {},
): Promise<Trust> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await refuseOthersAbove(join(await realpath(dirname(path)), basename(path)))
  let result = emptyTrust
  await updateFile(path, { ...options, mode: 0o600, read: readSafely }, async bytes => {
    const before = bytes === undefined ? emptyTrust : readTrust(bytes, path)
    result = await change(before)
    return result === before ? undefined : encodeTrust(result)
  })
  return result
}
