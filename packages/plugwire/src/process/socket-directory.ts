// A private directory for one plugin's socket, gone again in every ending, and the length that a socket's path may have.

import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { PluginError } from '../errors.ts'
import { atEnd } from './at-end.ts'

/** Bytes of a socket path: sun_path less its final zero. Source: unix(7), unix(4) of macOS and the BSDs. */
export const MAX_SOCKET_PATH_BYTES: number = process.platform === 'linux' ? 107 : 103
/** What is appended to a directory at most: go-plugin names its sockets `plugin` and up to ten digits. */
const NAME_BYTES = '/plugin1234567890'.length

export interface SocketDirectory {
  /** Ends in no slash. */
  readonly path: string
  /** Removes it with all that is in it. Twice is fine. */
  remove(): void
  /** It stays when this process ends, as the plugin does. */
  keep(): void
}

/** Removes a socket, if there is an address, and, when nothing else is in it, the directory that was made for it. */
export function removeSocket(address: string, directory: string | undefined): void {
  try {
    // The address is the plugin's own word: nothing but a socket is removed for it.
    if (address !== '' && fs.lstatSync(address, { throwIfNoEntry: false })?.isSocket()) fs.rmSync(address)
    if (directory !== undefined) fs.rmdirSync(directory)
  } catch {
    // Something of someone else lies in it, or the plugin was quicker.
  }
}

const existing = new Set<string>()
const kept = new Set<string>()

/** Directories that this process made and that are still there, those included that stay for a plugin that outlives it. */
export function socketDirectories(): string[] {
  return [...existing, ...kept].filter(directory => fs.existsSync(directory))
}

/**
 * Makes a directory that only this user may enter, in the system's place for temporary files, or in a shorter one when paths there would be too long.
 *
 * @throws PluginError `ERR_SOCKET_PATH_TOO_LONG` when no place is short enough.
 */
export function makeSocketDirectory(): SocketDirectory {
  const temporary = os.tmpdir()
  const places = [temporary, process.env['XDG_RUNTIME_DIR'], ...(process.platform === 'win32' ? [] : ['/tmp', '/var/tmp'])]
  for (const place of places) {
    if (place === undefined || Buffer.byteLength(path.join(place, 'pw-123456')) + NAME_BYTES > MAX_SOCKET_PATH_BYTES) continue
    try {
      return register(fs.mkdtempSync(path.join(place, 'pw-')))
    } catch {
      // Not there, or not ours to write to: the next place.
    }
  }
  const longest = path.join(temporary, 'pw-123456')
  throw new PluginError('ERR_SOCKET_PATH_TOO_LONG', {
    path: longest,
    bytes: Buffer.byteLength(longest) + NAME_BYTES,
    maxBytes: MAX_SOCKET_PATH_BYTES,
    remedy: 'Set TMPDIR to a short directory that this user may write to.',
  })
}

/** @throws PluginError `ERR_SOCKET_PATH_TOO_LONG` */
export function checkSocketPath(address: string): void {
  const bytes = Buffer.byteLength(address)
  if (process.platform === 'win32' || bytes <= MAX_SOCKET_PATH_BYTES) return
  throw new PluginError('ERR_SOCKET_PATH_TOO_LONG', {
    path: address,
    bytes,
    maxBytes: MAX_SOCKET_PATH_BYTES,
    remedy: 'Let the plugin use a shorter directory.',
  })
}

function register(directory: string): SocketDirectory {
  existing.add(directory)
  const forgetAtEnd = atEnd(() => remove(directory))
  const forget = (): boolean => {
    forgetAtEnd()
    return existing.delete(directory)
  }
  return {
    path: directory,
    remove: () => {
      if (forget()) remove(directory)
    },
    keep: () => {
      if (forget()) kept.add(directory)
    },
  }
}

function remove(directory: string): void {
  try {
    fs.rmSync(directory, { recursive: true, force: true })
  } catch {
    // Someone else's file in it, or the disk is gone: nothing that ending a plugin could mend.
  }
}
