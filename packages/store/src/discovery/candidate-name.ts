// What the name of a file says: which plugin it is, and which version. Knows no file system.

import { isVersion } from '@plugwire/trust'
import { compileName } from './glob.ts'

/** The manifest of a plugin that has a directory of its own, or that comes in an archive or a package. */
export const MANIFEST_NAME = 'plugwire.json'
/** What the manifest of a plugin that is one file has behind that file's name. */
export const MANIFEST_SUFFIX = '.plugwire.json'
/** What signatures have behind the name of what they sign. */
export const SIGNATURE_SUFFIXES: readonly string[] = ['.minisig', '.sig', '.sigstore.json']

/** JavaScript is started by Node and needs no permission to be executed. */
export const isScript = (name: string): boolean => /\.(?:[cm]?js|[cm]?ts)$/.test(name) && !/\.d\.[cm]?ts$/.test(name)

/** Files that accompany plugins and are no candidates themselves. */
export function isCompanion(name: string): boolean {
  return (
    name === MANIFEST_NAME ||
    name.endsWith(MANIFEST_SUFFIX) ||
    SIGNATURE_SUFFIXES.some(suffix => name.endsWith(suffix)) ||
    /\.(?:map|d\.[cm]?ts)$/.test(name)
  )
}

export interface ReadName {
  readonly name: string
  /** Undefined when the name holds none. */
  readonly version: string | undefined
  /** What stands where a version should, and is none. */
  readonly malformedVersion?: string
}

/**
 * Reads names by a pattern such as `acme-plugin-*`: what the first `*` stands for is the name of the plugin. A version follows it as `_v1.2.3` or
 * `@1.2.3`; endings that say how to run the file (`.exe`, `.js`, …) do not count.
 */
export class NamePattern {
  readonly pattern: string
  readonly #fits: (name: string) => boolean
  readonly #before: string
  readonly #after: string

  /** @throws PluginError `ERR_DISCOVER_PATTERN` when it is malformed; TypeError when it has no `*`. */
  constructor(pattern: string) {
    const star = pattern.indexOf('*')
    if (star < 0) throw new TypeError(`the pattern ${pattern} has no * for the name of the plugin`)
    this.pattern = pattern
    this.#fits = compileName(pattern)
    this.#before = pattern.slice(0, star)
    this.#after = pattern.slice(star + 1)
  }

  /** Undefined when the name does not fit. */
  read(fileName: string): ReadName | undefined {
    const bare = fileName.replace(/\.exe$/i, '')
    const stem = isScript(bare) ? bare.replace(/\.[^.]+$/, '') : bare
    const [, versionless, version] = /^(.+?)(?:_v|@)(\d.*)$/.exec(stem) ?? [undefined, stem, undefined]
    const base = versionless as string
    if (!this.#fits(base)) return undefined
    // Where the pattern has more than one star, or classes, the whole is the name.
    const plain = !/[*?[\\]/.test(this.#before + this.#after)
    const name = plain ? base.slice(this.#before.length, base.length - this.#after.length) : base
    if (name === '') return undefined
    if (version === undefined) return { name, version }
    // terraform-provider-random_v3.6.0_x5: the ending is the plugin's protocol.
    const semver = version.replace(/_x\d+$/, '')
    return isVersion(semver) ? { name, version: semver } : { name, version: undefined, malformedVersion: version }
  }
}
