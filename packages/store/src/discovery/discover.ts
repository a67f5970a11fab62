// Finds plugins without running anything: it reads names, manifests, owners and modes, and says of everything it will not run why. What it reads of
// manifests are claims; whoever launches verifies.

import { accessSync, constants, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { compareVersions, currentPlatform, pathFault } from '@plugwire/trust'
import { MAX_DIRECTORY_NAMES } from '../limits.ts'
import { isCompanion, isScript, MANIFEST_NAME, MANIFEST_SUFFIX, NamePattern } from './candidate-name.ts'
import { type Claims, readClaims } from './claims.ts'
import { Ownership, type Refusal, unique, unreadable } from './ownership.ts'
import { type Place, type PlacesOptions, placesOf } from './places.ts'

export interface DiscoverOptions extends PlacesOptions {
  /** Names of files and directories; what the first `*` stands for is the plugin's name. Default `<application>-plugin-*`. */
  readonly pattern?: string
  /**
   * Whether the user trusts a directory that is only the current one. Default: none, so plugins there are listed and refused.
   * @see TrustedDirectories
   */
  readonly trusts?: (directory: string) => boolean
}

export interface Candidate {
  readonly name: string
  /** Of the manifest, else of the name. */
  readonly version: string | undefined
  /** What is to be launched. */
  readonly path: string
  readonly place: Place
  /** The manifest beside it, if there is one. */
  readonly manifestPath: string | undefined
  /** What it claims; unverified. */
  readonly claims: Claims | undefined
  /** Why it must not be run. Empty when it may. */
  readonly refusals: readonly Refusal[]
}

export interface Discovery {
  /** By name, newest version first, earlier places before later ones. */
  readonly candidates: readonly Candidate[]
  /** Of names in plugin directories that are no candidates. */
  readonly others: readonly Refusal[]
  readonly places: readonly PlaceReport[]
}

export interface PlaceReport extends Place {
  /** Undefined when it could be read. A directory that is not there is no failure. */
  readonly failure: 'missing' | Refusal | undefined
  /** Names that were looked at. */
  readonly seen: number
  /** Names that do not fit, of directories that are not for plugins alone. */
  readonly passedOver: number
}

/** Lists plugins. Executes, imports and launches nothing. */
export async function discover(options: DiscoverOptions): Promise<Discovery> {
  const search = new Search(options)
  for (const place of placesOf(options)) {
    search.look(place)
    await null // Others may do something between two directories.
  }
  return search.result()
}

let platform: string | undefined

class Search {
  readonly #pattern: NamePattern
  readonly #trusts: (directory: string) => boolean
  readonly #ownership = new Ownership()
  readonly #candidates: Candidate[] = []
  readonly #others: Refusal[] = []
  readonly #places: PlaceReport[] = []

  constructor({ application, pattern = `${application}-plugin-*`, trusts = () => false }: DiscoverOptions) {
    this.#pattern = new NamePattern(pattern)
    this.#trusts = trusts
  }

  look(place: Place): void {
    const { directory } = place
    let names: string[]
    try {
      names = readdirSync(directory)
    } catch (cause) {
      const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
      this.#places.push({ ...place, failure: isMissing ? 'missing' : unreadable(directory, cause), seen: 0, passedOver: 0 })
      return
    }
    if (names.length > MAX_DIRECTORY_NAMES) names.length = MAX_DIRECTORY_NAMES
    const present = new Set(names)
    const ofPlace = this.#refusalsOf(place)
    let passedOver = 0
    for (const name of names) {
      if (isCompanion(name)) continue
      const read = this.#pattern.read(name)
      if (read === undefined) {
        if (place.kind === 'application' || place.kind === 'user') this.#others.push(this.#misnamed(join(directory, name)))
        else passedOver++
        continue
      }
      const path = join(directory, name)
      const { stats, refusals } = this.#ownership.inspect(path)
      const all = [...ofPlace, ...refusals]
      if (read.malformedVersion !== undefined) all.push(malformedVersion(path, read.malformedVersion))
      if (stats?.isDirectory()) this.#lookInside(place, path, read.name, all)
      else {
        const { name: stem, version } = read
        const manifestPath = present.has(`${name}${MANIFEST_SUFFIX}`) ? `${path}${MANIFEST_SUFFIX}` : undefined
        const claims = this.#claims(manifestPath, all)
        if (stats !== undefined) all.push(...judgeFile(path, stats))
        this.#add({ name: claims?.name ?? stem, version: claims?.version ?? version, path, place, manifestPath, claims, refusals: all })
      }
    }
    this.#places.push({ ...place, failure: undefined, seen: names.length, passedOver })
  }

  /** A plugin that has a directory: with its manifest in it, or with a directory for each version. */
  #lookInside(place: Place, path: string, name: string, refusals: readonly Refusal[]): void {
    let names: string[]
    try {
      names = readdirSync(path)
    } catch (cause) {
      return this.#add(this.#refused(place, path, name, [...refusals, unreadable(path, cause)]))
    }
    if (names.includes(MANIFEST_NAME)) return this.#addDirectory(place, path, name, [...refusals])
    const versions = names.filter(version => /^v?\d/.test(version)).slice(0, MAX_DIRECTORY_NAMES)
    for (const version of versions) {
      const inside = join(path, version)
      const { stats, refusals: found } = this.#ownership.inspect(inside)
      if (stats?.isDirectory()) this.#addDirectory(place, inside, name, [...refusals, ...found])
    }
    if (versions.length > 0) return
    const text = `it is a directory without ${MANIFEST_NAME}`
    this.#add(
      this.#refused(place, path, name, [
        ...refusals,
        { reason: 'not-a-file', path, text, remedy: 'Put the manifest of the plugin there.' },
      ]),
    )
  }

  #addDirectory(place: Place, directory: string, name: string, refusals: Refusal[]): void {
    const manifestPath = join(directory, MANIFEST_NAME)
    const claims = this.#claims(manifestPath, refusals)
    if (claims === undefined) {
      if (refusals.length === 0) refusals.push(malformedManifest(manifestPath, 'it is not there'))
      return this.#add(this.#refused(place, directory, name, refusals, manifestPath))
    }
    const entry = entryOf(claims)
    let path = directory
    const fault = entry === undefined ? undefined : pathFault(entry)
    if (entry === undefined) {
      const text = `it has nothing for ${platform ?? 'this machine'}, only for ${[...claims.entries.keys()].join(', ')}`
      refusals.push({ reason: 'no-platform', path: manifestPath, text, remedy: 'Ask its publisher for a build.' })
    } else if (fault !== undefined) {
      refusals.push(malformedManifest(manifestPath, `its entry ${JSON.stringify(entry.slice(0, 100))} ${fault}`))
    } else {
      path = join(directory, entry)
      const { stats, refusals: found } = this.#ownership.inspect(path)
      refusals.push(...found)
      if (stats !== undefined) refusals.push(...judgeFile(path, stats))
    }
    this.#add({ name: claims.name, version: claims.version, path, place, manifestPath, claims, refusals })
  }

  /** The directories above the manifest are those above the plugin, which are looked at anyway; so one look at the open file is enough, but for links. */
  #claims(path: string | undefined, refusals: Refusal[]): Claims | undefined {
    if (path === undefined) return undefined
    try {
      const read = readClaims(path, false)
      if (read === undefined) return undefined
      refusals.push(...this.#ownership.judge(path, read.stats))
      return read.claims
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ELOOP') return this.#linkedClaims(path, refusals)
      refusals.push(cause instanceof SyntaxError ? malformedManifest(path, cause.message) : unreadable(path, cause))
      return undefined
    }
  }

  #linkedClaims(path: string, refusals: Refusal[]): Claims | undefined {
    const { refusals: found, stats } = this.#ownership.inspect(path)
    refusals.push(...found)
    try {
      return stats === undefined ? undefined : readClaims(path)?.claims
    } catch (cause) {
      refusals.push(cause instanceof SyntaxError ? malformedManifest(path, cause.message) : unreadable(path, cause))
      return undefined
    }
  }

  #refusalsOf(place: Place): Refusal[] {
    const { kind, directory } = place
    if (kind !== 'working' || this.#trusts(directory)) return []
    const text = "it lies in the current directory, which may be a stranger's"
    return [
      { reason: 'untrusted-directory', path: directory, text, remedy: `If you know what is there: plugwire discover --trust ${directory}` },
    ]
  }

  #misnamed(path: string): Refusal {
    const text = `its name does not fit ${this.#pattern.pattern}`
    return { reason: 'name-does-not-fit', path, text, remedy: 'Rename it if it is a plugin, move it elsewhere if it is not.' }
  }

  #refused(place: Place, path: string, name: string, refusals: readonly Refusal[], manifestPath?: string): Candidate {
    return { name, version: undefined, path, place, manifestPath, claims: undefined, refusals }
  }

  #add(candidate: Candidate): void {
    this.#candidates.push(candidate.refusals.length < 2 ? candidate : { ...candidate, refusals: unique(candidate.refusals) })
  }

  result(): Discovery {
    const order = new Map(this.#places.map(({ directory }, i) => [directory, i]))
    const rank = ({ place }: Candidate): number => order.get(place.directory) ?? 0
    const sorted = this.#candidates.sort(
      (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) || newestFirst(a.version, b.version) || rank(a) - rank(b),
    )
    return { candidates: markShadowed(sorted), others: this.#others, places: this.#places }
  }
}

/** What a machine of this kind starts. Asking Node what kind it is takes long, so it is asked once, and not at all for what runs anywhere. */
function entryOf({ entries }: Claims): string | undefined {
  if (entries.size === 1 && entries.has('any')) return entries.get('any')
  const here = (platform ??= currentPlatform())
  return entries.get(here) ?? entries.get('any')
}

/** Of the same version in several places only the first that may be run counts. Expects them sorted. */
function markShadowed(candidates: readonly Candidate[]): Candidate[] {
  let first: Candidate | undefined
  return candidates.map(candidate => {
    const isSame = first !== undefined && first.name === candidate.name && first.version === candidate.version
    if (candidate.refusals.length > 0) return candidate
    if (!isSame) {
      first = candidate
      return candidate
    }
    const by = (first as Candidate).path
    const text = `the same version lies in an earlier place, at ${by}`
    return { ...candidate, refusals: [{ reason: 'shadowed', path: candidate.path, text, remedy: 'Remove one of the two.' }] }
  })
}

/** Without a version comes last. */
export function newestFirst(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined)
  return compareVersions(b, a)
}

function judgeFile(path: string, stats: { isFile(): boolean; readonly mode: number }): Refusal[] {
  if (!stats.isFile()) return [{ reason: 'not-a-file', path, text: 'it is no regular file', remedy: 'Put a program there.' }]
  if ((stats.mode & 0o6000) !== 0)
    return [
      { reason: 'setuid', path, text: 'it would run with the rights of its owner', remedy: `If you know why it is so: chmod ug-s ${path}` },
    ]
  if (isScript(path) || process.platform === 'win32' || mayExecute(path, stats.mode)) return []
  return [{ reason: 'not-executable', path, text: 'it may not be executed', remedy: `If it is a program: chmod u+x ${path}` }]
}

/** Most files are decided by their mode alone; the system is asked about the others. */
function mayExecute(path: string, mode: number): boolean {
  if ((mode & 0o111) === 0) return false
  if ((mode & 0o111) === 0o111) return true
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function malformedVersion(path: string, version: string): Refusal {
  const text = `${JSON.stringify(version)} in its name is no semver version`
  return { reason: 'version-malformed', path, text, remedy: `Rename it, e.g. to ${join(dirname(path), 'name_v1.2.3')}.` }
}

function malformedManifest(path: string, reason: string): Refusal {
  return {
    reason: 'manifest-malformed',
    path,
    text: `its manifest cannot be read: ${reason}`,
    remedy: 'Get the manifest again from its publisher.',
  }
}
