// Which directories the user has said plugins may be run from, although they are only the current one. A directory that was replaced by another of the
// same name is another directory.

import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { PluginError } from 'plugwire'
import { storeFailure } from '../content/failure.ts'
import { participantName } from '../content/participant.ts'

interface Entry {
  readonly directory: string
  /** Device and number of the directory, which a new one of the same name has not. */
  readonly identity: string
}

/** The file is `plugwire/directories.json` among the user's configuration. */
export function defaultTrustedDirectoriesFile(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env['XDG_CONFIG_HOME']
  const base =
    given !== undefined && isAbsolute(given)
      ? given
      : process.platform === 'win32'
        ? (env['APPDATA'] ?? join(homedir(), 'AppData', 'Roaming'))
        : join(homedir(), '.config')
  return join(base, 'plugwire', 'directories.json')
}

/** The user's list of trusted directories. Reads its file once. */
export class TrustedDirectories {
  readonly #file: string
  #entries: readonly Entry[]

  private constructor(file: string, entries: readonly Entry[]) {
    this.#file = file
    this.#entries = entries
  }

  /** @throws PluginError `ERR_STORE_ROOT` when the list cannot be read, or somebody else may write it. */
  static read(file: string = defaultTrustedDirectoriesFile()): TrustedDirectories {
    const refuse = (reason: string, cause?: unknown): PluginError =>
      new PluginError(
        'ERR_STORE_ROOT',
        { subject: file, reason, remedy: 'Look at it, and remove it if in doubt: no directory is trusted then.' },
        { cause },
      )
    let text: string
    try {
      text = readFileSync(file, 'utf8')
      const { uid, mode } = statSync(file)
      if (process.getuid !== undefined && ((uid !== process.getuid() && uid !== 0) || (mode & 0o022) !== 0))
        throw refuse('others may write to it')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new TrustedDirectories(file, [])
      throw storeFailure(file, cause)
    }
    try {
      const { directories } = JSON.parse(text) as { directories: Entry[] }
      const isSound = directories.every(({ directory, identity }) => typeof directory === 'string' && typeof identity === 'string')
      if (!isSound) throw new SyntaxError('an entry is malformed')
      return new TrustedDirectories(file, directories)
    } catch (cause) {
      throw refuse(`it cannot be read: ${(cause as Error).message}`, cause)
    }
  }

  get directories(): readonly string[] {
    return this.#entries.map(({ directory }) => directory)
  }

  /** Whether this very directory is trusted. Made to be the `trusts` of `discover`. */
  readonly has = (directory: string): boolean => {
    const entry = entryOf(directory)
    return entry !== undefined && this.#entries.some(known => known.directory === entry.directory && known.identity === entry.identity)
  }

  /** Trusts a directory from now on. @throws PluginError `ERR_STORE_IO` when it is not there, or the list cannot be written. */
  add(directory: string): void {
    const entry = entryOf(directory)
    if (entry === undefined) {
      const remedy = 'Name a directory that exists.'
      throw new PluginError('ERR_STORE_IO', { subject: directory, reason: 'there is no such directory', remedy })
    }
    this.#write([...this.#entries.filter(known => known.directory !== entry.directory), entry])
  }

  /** Trusts it no longer. Also of a directory that is gone. */
  remove(directory: string): void {
    const real = entryOf(directory)?.directory ?? directory
    this.#write(this.#entries.filter(known => known.directory !== real))
  }

  #write(entries: readonly Entry[]): void {
    const temporary = `${this.#file}.${participantName()}`
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
      writeFileSync(temporary, `${JSON.stringify({ directories: entries }, undefined, 2)}\n`, { flag: 'wx', mode: 0o600, flush: true })
      chmodSync(temporary, 0o600)
      renameSync(temporary, this.#file)
    } catch (cause) {
      throw storeFailure(this.#file, cause)
    }
    this.#entries = entries
  }
}

function entryOf(directory: string): Entry | undefined {
  try {
    const real = realpathSync(directory)
    const { dev, ino } = statSync(real, { bigint: true })
    return { directory: real, identity: `${dev}:${ino}` }
  } catch {
    return undefined
  }
}
