// The files of a manifest, platform by platform: their names, and which platform fits a machine. Knows no file system.

import { createHash } from 'node:crypto'
import { PluginError } from 'plugwire'
import { MAX_FILES, MAX_PATH_BYTES, MAX_PLATFORMS } from '../limits.ts'
import { Fields, fieldFault } from './fields.ts'
import { isObject, type JsonObject, writeCanonical } from './json.ts'
import type { Manifest, ManifestArchive, ManifestFile, ManifestPlatform, PluginType } from './manifest.ts'

/** Fits every machine. */
export const ANY_PLATFORM = 'any'

/** @throws PluginError `ERR_MANIFEST_FIELD` */
export function checkPlatforms(value: JsonObject, type: PluginType): Readonly<Record<string, ManifestPlatform>> {
  const names = Object.keys(value)
  if (names.length === 0) throw fieldFault('platforms', 'is empty')
  if (names.length > MAX_PLATFORMS) throw fieldFault('platforms', `has more than ${MAX_PLATFORMS} entries`)
  const platforms: Record<string, ManifestPlatform> = Object.create(null)
  for (const name of names) {
    if (!isPlatform(name))
      throw fieldFault('platforms', `has ${JSON.stringify(name.slice(0, 60))}, which is no platform such as linux-x64 or any`)
    const platform = value[name]
    if (!isObject(platform)) throw fieldFault(`platforms.${name}`, 'is no object')
    platforms[name] = platformOf(new Fields(platform, `platforms.${name}.`), type)
  }
  return platforms
}

/** `linux-x64`, `linux-x64-musl`, `any`: Node's names of system and processor, and the C library where it is not the usual one. */
export const isPlatform = (name: string): boolean =>
  name === ANY_PLATFORM || /^[a-z][a-z0-9]{1,15}-[a-z][a-z0-9]{1,15}(?:-musl)?$/.test(name)

function platformOf(fields: Fields, type: PluginType): ManifestPlatform {
  fields.only(['entry', 'files', 'archive'])
  const entry = fields.text('entry')
  const given = fields.object('files')
  const paths = Object.keys(given.value)
  if (paths.length === 0 || paths.length > MAX_FILES) throw fieldFault(fields.at('files'), `has to have 1 to ${MAX_FILES} entries`)
  checkPaths(paths, fields.at('files'))
  const files: Record<string, ManifestFile> = Object.create(null)
  for (const path of paths) files[path] = fileOf(given.object(path), path === entry && type === 'program')
  if (!(entry in files)) throw fieldFault(fields.at('entry'), 'is none of the files')
  if (type === 'bundle' && paths.length !== 1) throw fieldFault(fields.at('files'), 'of a bundle is one file')
  return { entry, files, ...(fields.has('archive') && { archive: archiveOf(fields.object('archive')) }) }
}

function fileOf(fields: Fields, executed: boolean): ManifestFile {
  fields.only(['sha512', 'size', 'executable'])
  const executable = fields.optionalBoolean('executable')
  if (executed && executable === false) throw fieldFault(fields.at('executable'), 'is false, but this file is executed')
  return { sha512: fields.sha512('sha512'), size: fields.count('size'), ...(executable !== undefined && { executable }) }
}

function archiveOf(fields: Fields): ManifestArchive {
  fields.only(['path', 'sha512', 'size'])
  const path = fields.text('path')
  const fault = pathFault(path)
  if (fault !== undefined || path.includes('/')) throw fieldFault(fields.at('path'), fault ?? 'lies beside the manifest, so it has no /')
  if (!/\.(?:tar|tar\.gz|tgz|zip)$/.test(path)) throw fieldFault(fields.at('path'), 'ends neither in .tar, .tar.gz, .tgz nor .zip')
  return { path, sha512: fields.sha512('sha512'), size: fields.count('size') }
}

/** Every name has to mean one and the same file on every file system: also where letters have no case. */
function checkPaths(paths: readonly string[], where: string): void {
  const seen = new Set<string>()
  for (const path of paths) {
    const fault = pathFault(path)
    if (fault !== undefined) throw fieldFault(where, `has ${JSON.stringify(path.slice(0, 100))}, which ${fault}`)
    const folded = foldPath(path)
    if (seen.has(folded)) throw fieldFault(where, `has ${JSON.stringify(path)} twice where letters have no case`)
    seen.add(folded)
  }
  for (const path of seen) {
    for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
      if (seen.has(path.slice(0, at))) throw fieldFault(where, `has ${JSON.stringify(path.slice(0, at))} as a file and as a directory`)
    }
  }
}

const foldPath = (path: string): string => path.normalize('NFKC').toUpperCase().toLowerCase()

/** Why a path may not stand in a manifest or an archive, to be read after "which"; undefined when it may. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'is empty'
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `has more than ${MAX_PATH_BYTES} bytes`
  if (path.normalize('NFC') !== path) return 'is not in normal form (NFC)'
  if (/[\p{Cc}\p{Cf}\\:*?"<>|]/u.test(path)) return 'has a character that not every file system takes'
  for (const part of path.split('/')) {
    if (part === '') return 'is absolute, ends in / or has // in it'
    if (part === '.' || part === '..') return 'has . or .. in it'
    if (/[ .]$/.test(part)) return 'has a part that ends in a space or a full stop'
    if (/^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:$|[. ])/i.test(part))
      return 'has a part that is a device on Windows'
  }
  return undefined
}

let current: string | undefined

/** The machine this runs on. musl is told from the C library that Node itself reports. */
export function currentPlatform(): string {
  const name = `${process.platform}-${process.arch}`
  // The report takes a while.
  current ??= process.platform === 'linux' && !usesGlibc() ? `${name}-musl` : name
  return current
}

function usesGlibc(): boolean {
  // Without the network interfaces, of which there may be many and which take long.
  const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined
  if (report === undefined) return true
  const before = report.excludeNetwork
  report.excludeNetwork = true
  try {
    const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
    return header.glibcVersionRuntime !== undefined
  } finally {
    if (before !== undefined) report.excludeNetwork = before
  }
}

export interface SelectedPlatform extends ManifestPlatform {
  readonly name: string
}

/**
 * The files for a machine: those of exactly this platform, otherwise those for `any`.
 * @param platform Default: `currentPlatform()`.
 * @throws PluginError `ERR_MANIFEST_PLATFORM`
 */
export function selectPlatform(manifest: Manifest, platform: string = currentPlatform()): SelectedPlatform {
  for (const name of [platform, ANY_PLATFORM]) {
    if (Object.hasOwn(manifest.platforms, name)) return { name, ...(manifest.platforms[name] as ManifestPlatform) }
  }
  const platforms = Object.keys(manifest.platforms)
  throw new PluginError('ERR_MANIFEST_PLATFORM', {
    plugin: manifest.name,
    platform,
    platforms,
    reason: `${manifest.name} ${manifest.version} has no files for ${platform}, only for ${platforms.join(', ')}`,
    remedy: 'Ask its publisher for a build.',
  })
}

/**
 * One line per platform for the lock file: `files:sha512:…` is the SHA-512 of the platform's `entry` and `files` in canonical form,
 * `archive:sha512:…` that of its archive.
 */
export function platformDigests(manifest: Manifest): ReadonlyMap<string, readonly string[]> {
  const digests = new Map<string, readonly string[]>()
  for (const [name, { entry, files, archive }] of Object.entries(manifest.platforms)) {
    const bytes = writeCanonical({ entry, files: files as unknown as JsonObject })
    const lines = [`files:sha512:${createHash('sha512').update(bytes).digest('hex')}`]
    if (archive !== undefined) lines.unshift(`archive:sha512:${archive.sha512}`)
    digests.set(name, lines)
  }
  return digests
}
