// Which paths of an archive may become files, and which clash. Knows no archive format and no file system: the strictest of all systems counts.

import { PluginError } from 'plugwire'
import type { ArchiveLimits } from '../limits.ts'

/** Directories above one file. */
const MAX_DEPTH = 64
/** Bytes of one name, the smallest maximum among usual file systems. */
const MAX_NAME_BYTES = 255
/** Names that Windows takes for devices, with any extension. */
const deviceName = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
const control = /[\u0000-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/

/** The paths of one archive, checked as they come. */
export class EntryNames {
  readonly #archive: string
  readonly #limits: ArchiveLimits
  /** Folded path to the path as it was first written, and whether it is a file. */
  readonly #seen = new Map<string, { readonly path: string; readonly isFile: boolean }>()
  #entries = 0

  constructor(archive: string, limits: ArchiveLimits) {
    this.#archive = archive
    this.#limits = limits
  }

  /**
   * Takes one path in, and gives back its normal form: names joined by `/`, no leading `./`, no trailing `/`. Empty for the archive's own root.
   * @throws PluginError `ERR_ARCHIVE_UNSAFE`, `ERR_ARCHIVE_LIMIT`
   */
  add(given: string, isFile: boolean): string {
    if (++this.#entries > this.#limits.maxEntries) throw archiveLimit(this.#archive, 'maxEntries', this.#limits.maxEntries)
    if (Buffer.byteLength(given) > this.#limits.maxPathBytes) throw archiveLimit(this.#archive, 'maxPathBytes', this.#limits.maxPathBytes)
    const names = this.#split(given, isFile)
    const path = names.join('/')
    let parent = ''
    for (const name of names.slice(0, -1)) {
      parent = parent === '' ? name : `${parent}/${name}`
      this.#claim(parent, false)
    }
    if (names.length > 0) this.#claim(path, isFile)
    return path
  }

  #split(given: string, isFile: boolean): string[] {
    const refuse = (reason: string): PluginError => unsafe(this.#archive, given, reason)
    if (given === '') throw refuse('it has no name')
    if (given.includes('\uFFFD')) throw refuse('its name is no UTF-8')
    if (control.test(given)) throw refuse('its name has control characters')
    if (given.includes('\\')) throw refuse('its name has a backslash, which some systems take for a directory')
    if (given.startsWith('/')) throw refuse('its path is absolute')
    const names = given.replace(/\/+$/, '').split('/')
    if (isFile && given.endsWith('/')) throw refuse('a file with the name of a directory')
    while (names[0] === '.') names.shift()
    if (names.length > MAX_DEPTH) throw refuse(`it lies deeper than ${MAX_DEPTH} directories`)
    for (const name of names) {
      if (name === '..') throw refuse('its path leaves the archive by ".."')
      if (name === '' || name === '.') throw refuse('its path has an empty name')
      if (name.includes(':')) throw refuse('its name has a colon, which some systems take for a drive or a hidden stream')
      if (/[. ]$/.test(name)) throw refuse('a name ends with a dot or a space, which some systems cut off')
      if (deviceName.test(name)) throw refuse(`${name} is a device on some systems`)
      if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw refuse(`a name has more than ${MAX_NAME_BYTES} bytes`)
    }
    if (names.length === 0 && isFile) throw refuse('it has no name')
    return names
  }

  #claim(path: string, isFile: boolean): void {
    const key = folded(path)
    const known = this.#seen.get(key)
    if (known === undefined) {
      this.#seen.set(key, { path, isFile })
      return
    }
    if (!isFile && !known.isFile && known.path === path) return
    throw unsafe(
      this.#archive,
      path,
      known.path === path ? 'the archive has this path twice' : `some systems take it for the same name as ${known.path}`,
    )
  }
}

/** Both ways, so that letters with several small or capital forms meet. */
const folded = (path: string): string => path.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')

export function unsafe(archive: string, entry: string, reason: string): PluginError {
  return new PluginError('ERR_ARCHIVE_UNSAFE', {
    subject: `${archive}: ${JSON.stringify(entry.slice(0, 200))}`,
    entry,
    reason,
    remedy: 'Nothing of the archive is used; its publisher has to make it anew.',
  })
}

export function archiveLimit(archive: string, limit: keyof ArchiveLimits, max: number): PluginError {
  return new PluginError('ERR_ARCHIVE_LIMIT', {
    subject: archive,
    reason: `it has, or claims, more than ${max} (${limit})`,
    remedy: 'Nothing of it is used. Raise the limit only if you expected such a size.',
    limit,
    max,
  })
}

export function malformedArchive(archive: string, offset: number, reason: string, cause?: unknown): PluginError {
  return new PluginError(
    'ERR_ARCHIVE_MALFORMED',
    { subject: archive, reason: `${reason} (at byte ${offset})`, remedy: 'Fetch it again, or have it made anew.', offset },
    { cause },
  )
}
