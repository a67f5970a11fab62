// Makes a release out of what was built: files for each platform, a manifest to be signed, and the index beside it, laid out so that any web server can
// hand them out (docs/index-format.md). The same input makes the same bytes.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import {
  encodeManifest,
  isPlatform,
  type Manifest,
  type ManifestArchive,
  type ManifestContract,
  type ManifestFile,
  type ManifestPlatform,
  type ManifestPublisher,
  type PluginType,
} from '@plugwire/trust'
import { PluginError } from 'plugwire'
import semver from 'semver'
import { type FileToPack, writeTarGz } from '../archives/write-tar.ts'
import { participantName } from '../content/participant.ts'
import { isMissing } from '../content/store.ts'
import { MANIFEST_NAME } from '../discovery/candidate-name.ts'
import { INDEX_FORMAT, INDEX_NAME, type IndexVersion, isPlainPath, readIndex } from '../sources/index-source.ts'

export interface Build {
  /** A file, or a directory with everything that the plugin needs and nothing else. */
  readonly path: string
  /** Which file of the directory is started, with `/`. A file by itself is its own entry. */
  readonly entry?: string
}

export interface PackOptions {
  readonly name: string
  readonly version: string
  /** Default: `bundle` when there is one JavaScript file for every platform, `package` when the entry is JavaScript, else `program`. */
  readonly type?: PluginType
  readonly contract: ManifestContract
  readonly publisher: ManifestPublisher
  /** By platform: `linux-x64`, …, or `any`. */
  readonly builds: Readonly<Record<string, Build>>
  /** Where the index is, or shall be. The release goes to `<name>/<version>/` in it. */
  readonly out: string
  readonly notAfter?: string
  /** Where it will be published from, a URL, for people. */
  readonly source?: string
  /** Makes a version anew that is in the index already. Whoever has locked it will refuse the new one. Default false. */
  readonly replace?: boolean
  /** Writes nothing. Default false. */
  readonly dryRun?: boolean
}

export interface Packed {
  readonly manifest: Manifest
  /** What is to be signed. */
  readonly manifestPath: string
  readonly indexPath: string
  /** Everything that was written for this version. */
  readonly files: readonly { readonly path: string; readonly size: number; readonly sha512: string }[]
}

/** @throws PluginError `ERR_MANIFEST_FIELD`, `ERR_STORE_IO` when a build cannot be packed */
export async function pack(options: PackOptions): Promise<Packed> {
  const { name, version, out, dryRun = false } = options
  const type = options.type ?? (await typeOf(options.builds))
  const directory = join(resolve(out), ...name.split('/'), version)
  const indexPath = join(dirname(directory), INDEX_NAME)
  const index = await readVersions(indexPath)
  if (index.some(entry => entry.version === version) && options.replace !== true)
    throw refuse(
      directory,
      'this version is there already',
      'A release does not change: raise the version, or --replace it if nobody has it yet.',
    )
  const written: { path: string; size: number; sha512: string }[] = []
  const scratch = join(dirname(directory), `.${version}.${participantName()}`)
  if (!dryRun) await mkdir(scratch, { recursive: true })
  try {
    const platforms: Record<string, ManifestPlatform> = {}
    for (const [platform, build] of Object.entries(options.builds)) {
      if (!isPlatform(platform))
        throw refuse(platform, 'it is no platform', 'Write linux-x64, linux-x64-musl, darwin-arm64, win32-x64 or any, for example.')
      const { files, entry } = await filesOf(build, type)
      const listed: Record<string, ManifestFile> = {}
      for (const { path, from, size, executable } of files)
        listed[path] = { sha512: await sha512Of(from), size, ...(executable && { executable }) }
      const [only] = files
      const isBare = type === 'bundle' && platform === 'any' && files.length === 1 && only !== undefined && isPlainPath(only.path)
      if (isBare) {
        const { sha512, size } = listed[only.path] as ManifestFile
        if (!dryRun) await copyInto(scratch, only.path, only.from)
        written.push({ path: join(directory, only.path), size, sha512 })
        platforms[platform] = { entry, files: listed }
      } else {
        const archive = await packArchive(`${bareName(name)}-${version}-${platform}.tar.gz`, files, dryRun ? undefined : scratch)
        written.push({ path: join(directory, archive.path), size: archive.size, sha512: archive.sha512 })
        platforms[platform] = { entry, files: listed, archive }
      }
    }
    const { contract, publisher, notAfter, source } = options
    const manifest: Manifest = {
      name,
      version,
      type,
      contract,
      publisher,
      platforms,
      ...(notAfter && { notAfter }),
      ...(source && { source }),
    }
    const bytes = encodeManifest(manifest)
    const manifestPath = join(directory, MANIFEST_NAME)
    written.push({ path: manifestPath, size: bytes.length, sha512: createHash('sha512').update(bytes).digest('hex') })
    if (!dryRun) {
      await writeDown(join(scratch, MANIFEST_NAME), bytes)
      await rm(directory, { recursive: true, force: true })
      await rename(scratch, directory)
      // Read anew: another version may have been packed meanwhile.
      await writeIndex(indexPath, name, version, await readVersions(indexPath))
    }
    return { manifest, manifestPath, indexPath, files: written }
  } catch (cause) {
    await rm(scratch, { recursive: true, force: true })
    throw cause
  }
}

const isScript = (path: string): boolean => /\.[cm]?js$/.test(path)
const bareName = (name: string): string => name.replace('@', '').replace('/', '-')

async function typeOf(builds: Readonly<Record<string, Build>>): Promise<PluginType> {
  const list = await Promise.all(
    Object.values(builds).map(async ({ path, entry }) => ({ entry: entry ?? path, isFile: (await lookAt(path)).isFile() })),
  )
  if (!list.every(({ entry }) => isScript(entry))) return 'program'
  return list.every(({ isFile }) => isFile) ? 'bundle' : 'package'
}

async function lookAt(path: string) {
  try {
    return await stat(path)
  } catch {
    throw refuse(path, 'it is not there', 'Build the plugin first.')
  }
}

async function filesOf({ path, entry }: Build, type: PluginType): Promise<{ files: readonly FileToPack[]; entry: string }> {
  const found = await lookAt(path)
  if (found.isFile()) {
    const name = basename(path)
    return { entry: name, files: [{ path: name, from: path, size: found.size, executable: type === 'program' }] }
  }
  if (entry === undefined)
    throw refuse(path, 'it is a directory, and nothing says which of its files is started', 'Name it: --entry <file>.')
  const files: FileToPack[] = []
  // With types: by names alone it would follow links, also those that lead round in circles.
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  for (const name of entries.map(found => relative(path, join(found.parentPath, found.name))).sort()) {
    const from = join(path, name)
    const stats = await lstat(from)
    if (stats.isDirectory()) continue
    if (!stats.isFile())
      throw refuse(from, 'it is a link or a device, and neither is packed', 'Put the file itself there, or leave it out.')
    const inside = name.split(sep).join('/')
    files.push({ path: inside, from, size: stats.size, executable: (stats.mode & 0o100) !== 0 || (type === 'program' && inside === entry) })
  }
  if (!files.some(file => file.path === entry)) throw refuse(join(path, entry), 'it is not there', 'Look at the name of the entry.')
  return { entry, files }
}

async function packArchive(name: string, files: readonly FileToPack[], directory: string | undefined): Promise<ManifestArchive> {
  const hash = createHash('sha512')
  let size = 0
  const handle = directory === undefined ? undefined : await open(join(directory, name), 'wx', 0o644)
  try {
    await writeTarGz(files, async chunk => {
      hash.update(chunk)
      size += chunk.length
      await handle?.writeFile(chunk)
    })
    await handle?.sync()
  } finally {
    await handle?.close()
  }
  return { path: name, sha512: hash.digest('hex'), size }
}

async function sha512Of(path: string): Promise<string> {
  const hash = createHash('sha512')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}

async function copyInto(directory: string, path: string, from: string): Promise<void> {
  await writeDown(join(directory, path), await readFile(from))
}

async function writeDown(path: string, bytes: Uint8Array | string): Promise<void> {
  const handle = await open(path, 'wx', 0o644)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function readVersions(indexPath: string): Promise<readonly IndexVersion[]> {
  try {
    return readIndex(await readFile(indexPath), indexPath).versions
  } catch (cause) {
    if (isMissing(cause)) return []
    throw cause
  }
}

/** Newest first; what it says of other versions stays. Signatures are made later, so the index leaves their names to the usual endings. */
async function writeIndex(path: string, name: string, version: string, known: readonly IndexVersion[]): Promise<void> {
  const others = known.filter(entry => entry.version !== version)
  const list = [...others, { version, manifest: `${version}/${MANIFEST_NAME}` }].sort((a, b) => semver.rcompare(a.version, b.version))
  const temporary = `${path}.${participantName()}`
  await writeDown(temporary, `${JSON.stringify({ plugwire: INDEX_FORMAT, name, versions: list }, undefined, 2)}\n`)
  await rename(temporary, path)
}

function refuse(subject: string, reason: string, remedy: string): PluginError {
  return new PluginError('ERR_STORE_IO', { subject, reason, remedy })
}
