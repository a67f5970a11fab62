// Brings the files of a release into the store: out of archives, packages, or one by one. Every file is held against the manifest before it gets a name.

import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { FileDigest, Manifest, ManifestFile, SelectedPlatform } from '@plugwire/trust'
import { encodeManifest } from '@plugwire/trust'
import { isPluginError, PluginError } from 'plugwire'
import type { ArchiveFile } from '../archives/entry.ts'
import { unsafe } from '../archives/entry-names.ts'
import { type ArchiveFormat, formatOf, randomAccess, unpack } from '../archives/unpack.ts'
import { type ContentStore, isMissing, type StoredContent, wrongContent } from '../content/store.ts'
import { MANIFEST_NAME, SIGNATURE_SUFFIXES } from '../discovery/candidate-name.ts'
import { type ArchiveLimits, MAX_MANIFEST_BYTES, MAX_SIGNATURES } from '../limits.ts'
import { type DownloadOptions, download } from '../sources/download.ts'
import { malformed } from '../sources/failure.ts'
import type { HttpClient } from '../sources/http/client.ts'
import { Interruption, type Layout, type Source, type SourceFile } from '../sources/source.ts'

/** What it takes to bring something here. */
export interface Bringing {
  readonly store: ContentStore
  readonly source: Source
  readonly client: HttpClient
  readonly limits?: Partial<ArchiveLimits> | undefined
  readonly signal?: AbortSignal | undefined
  readonly onFetch?: ((file: SourceFile, receivedBytes: number, totalBytes: number | undefined) => void) | undefined
  /** Archives that were brought only to be unpacked. */
  readonly spent: Set<string>
}

/** A manifest with the signatures that came with it. */
export interface BroughtManifest {
  readonly manifest: Uint8Array
  readonly signatures: readonly Uint8Array[]
}

const downloadOptions = ({ signal, onFetch }: Bringing, file: SourceFile): DownloadOptions => ({
  ...(signal !== undefined && { signal }),
  ...(onFetch !== undefined && { onProgress: ({ receivedBytes, totalBytes }) => onFetch(file, receivedBytes, totalBytes) }),
})

/** A small file as a whole; undefined when it is not there, by one of those statuses. */
async function fetchWhole(
  { source, client, signal }: Bringing,
  file: SourceFile,
  maxBytes: number,
  absent: readonly (number | null)[] = [404, 410],
): Promise<Uint8Array | undefined> {
  try {
    return await client.retried(file.name, signal, async () => {
      const { body, size } = await source.fetch(file, signal === undefined ? {} : { signal })
      const parts: Uint8Array[] = []
      let length = 0
      for await (const part of body) {
        length += part.length
        if (length > maxBytes) throw malformed(file.name, `it has more than ${maxBytes} bytes`)
        parts.push(part)
      }
      if (size !== undefined && length < size) throw new Interruption(`it ended after ${length} of ${size} bytes`)
      return Buffer.concat(parts)
    })
  } catch (cause) {
    if (isPluginError(cause, 'ERR_SOURCE_UNREACHABLE') && absent.includes(cause.facts.status)) return undefined
    throw cause
  }
}

type FilesLayout = Extract<Layout, { kind: 'files' }>
type PackagesLayout = Extract<Layout, { kind: 'packages' }>
type ImportLayout = Extract<Layout, { kind: 'import' }>

/** The manifest of a release whose files are files of their own. */
export async function bringManifest(bringing: Bringing, layout: FilesLayout): Promise<BroughtManifest> {
  const manifest = await fetchWhole(bringing, layout.manifest, MAX_MANIFEST_BYTES)
  if (manifest === undefined) throw malformed(layout.manifest.name, 'the manifest is announced and not there')
  // Each is kept in memory until it is verified.
  if (layout.signatures.length > MAX_SIGNATURES)
    throw malformed(layout.manifest.name, `it has ${layout.signatures.length} signatures, at most ${MAX_SIGNATURES} are fetched`)
  const signatures: Uint8Array[] = []
  for (const file of layout.signatures) {
    // Stores of files that nobody may list answer 403 for what is not there. A signature that is missing is for the policy to judge.
    const signature = await fetchWhole(bringing, file, MAX_MANIFEST_BYTES, [403, 404, 410])
    if (signature !== undefined) signatures.push(signature)
  }
  return { manifest, signatures }
}

/** The files of one platform, of a release whose files are files of their own. */
export async function bringFiles(
  bringing: Bringing,
  layout: FilesLayout,
  platform: SelectedPlatform,
): Promise<ReadonlyMap<string, FileDigest>> {
  const { store } = bringing
  const missing = await missingFiles(store, platform)
  if (missing.size > 0) {
    const { archive } = platform
    if (archive !== undefined) {
      const file = announced(layout, archive.path)
      await unpackDownloaded(bringing, { ...file, size: archive.size, digests: { sha512: archive.sha512 } }, async entry => {
        const expected = Object.hasOwn(platform.files, entry.path) ? platform.files[entry.path] : undefined
        if (expected === undefined) throw unsafe(archive.path, entry.path, 'the manifest knows no such file')
        await keepEntry(store, entry, expected, archive.path, bringing.signal)
        missing.delete(entry.path)
      })
    } else {
      for (const [path, { sha512, size }] of missing) {
        const file = announced(layout, path)
        await download(store, bringing.source, { ...file, size, digests: { sha512 } }, bringing.client, downloadOptions(bringing, file))
        missing.delete(path)
      }
    }
    refuseMissing(archive?.path ?? 'the release', missing)
  }
  return digestsOf(platform)
}

function announced(layout: FilesLayout, path: string): SourceFile {
  const file = layout.file(path)
  if (file === undefined) throw malformed(path, 'the manifest names it and the source does not have it')
  return file
}

/** What a package holds, once it is here. Its files are in the store only when the manifest asks for them. */
export class BroughtPackages {
  readonly #bringing: Bringing
  readonly #layout: PackagesLayout
  /** By path: what was found under the name of a file that is wanted, and is not that file. */
  readonly #others = new Map<string, string>()

  constructor(bringing: Bringing, layout: PackagesLayout) {
    this.#bringing = bringing
    this.#layout = layout
  }

  /** The manifest, from the first package. */
  async manifest(): Promise<BroughtManifest> {
    const [first] = this.#layout.packages
    const found = new Map<string, Uint8Array>()
    const wanted = [MANIFEST_NAME, ...SIGNATURE_SUFFIXES.map(suffix => MANIFEST_NAME + suffix)]
    await unpackDownloaded(this.#bringing, first as SourceFile, async entry => {
      const path = this.#pathOf(entry.path)
      if (path === undefined || !wanted.includes(path)) return
      if (entry.size > MAX_MANIFEST_BYTES) throw malformed(entry.path, `it has ${entry.size} bytes`)
      found.set(path, await bytesOf(entry))
    })
    const manifest = found.get(MANIFEST_NAME)
    if (manifest === undefined) {
      throw new PluginError('ERR_SOURCE_MALFORMED', {
        subject: (first as SourceFile).name,
        reason: `it has no ${MANIFEST_NAME}, so it is no plugin`,
        remedy: '`plugwire pack` makes one; ask its publisher.',
      })
    }
    return { manifest, signatures: wanted.slice(1).flatMap(name => found.get(name) ?? []) }
  }

  /** The files of one platform, from all packages that may have them. */
  async files(platform: SelectedPlatform): Promise<ReadonlyMap<string, FileDigest>> {
    const { store } = this.#bringing
    const missing = await missingFiles(store, platform)
    const packages = [...this.#layout.packages]
    for (let i = 0; missing.size > 0; i++) {
      if (i === this.#layout.packages.length) packages.push(...(await this.#layout.forPlatform(platform.name)))
      const file = packages[i]
      if (file === undefined) break
      await unpackDownloaded(this.#bringing, file, entry => this.#take(entry, platform, missing))
    }
    const where = packages.map(({ name }) => name).join(' and ')
    for (const [path, { sha512, size }] of missing) {
      const other = this.#others.get(path)
      if (other !== undefined)
        throw wrongContent(`${path} in ${where}`, other.startsWith('sha512:') ? `sha512:${sha512}` : `${size} bytes`, other)
    }
    refuseMissing(where, missing)
    return digestsOf(platform)
  }

  async #take(entry: ArchiveFile, platform: SelectedPlatform, missing: Map<string, ManifestFile>): Promise<void> {
    const path = this.#pathOf(entry.path)
    if (path === undefined) return
    const { store, signal } = this.#bringing
    const { archive } = platform
    if (archive !== undefined && path === archive.path) {
      const { sha512, size } = archive
      const isNew = (await store.sizeOf(sha512)) === undefined
      await store.put(entry.body, { sha512, size, name: path, ...(signal && { signal }) })
      if (isNew) this.#bringing.spent.add(sha512)
      return unpackStored(this.#bringing, sha512, archive.path, async inner => {
        const expected = missing.get(inner.path)
        if (expected !== undefined) await keepEntry(store, inner, expected, archive.path, signal)
        missing.delete(inner.path)
      })
    }
    // Files of several platforms in one package lie in a directory for each.
    const prefix = `${platform.name}/`
    const inside = path.startsWith(prefix) ? path.slice(prefix.length) : path
    const expected = missing.get(inside)
    if (expected === undefined) return
    // Another file of the same name may be that of another platform.
    this.#others.set(inside, `${entry.size} bytes`)
    if (entry.size !== expected.size) return
    try {
      await store.put(entry.body, { sha512: expected.sha512, size: expected.size, name: path, ...(signal && { signal }) })
      missing.delete(inside)
    } catch (cause) {
      if (!isPluginError(cause, 'ERR_SOURCE_DIGEST')) throw cause
      this.#others.set(inside, cause.facts.actual)
    }
  }

  #pathOf(path: string): string | undefined {
    const { inside } = this.#layout
    if (inside === undefined) return path
    return path.startsWith(`${inside}/`) ? path.slice(inside.length + 1) : undefined
  }
}

/** What an import is made of. */
export interface Imported extends BroughtManifest {
  /** For the lock file: the checksums of the archives themselves. */
  readonly digests: ReadonlyMap<string, readonly string[]>
}

/** Brings archives that have no manifest, and makes one from what is in them: the same files always make the same manifest. */
export async function bringImport(
  bringing: Bringing,
  layout: ImportLayout,
  release: { readonly name: string; readonly version: string },
  platforms: readonly string[],
  onFinding: (finding: Awaited<ReturnType<ImportLayout['archive']>>['findings'][number]) => void,
): Promise<Imported> {
  const { store } = bringing
  const { as } = layout
  const made: Record<string, Manifest['platforms'][string]> = {}
  const digests = new Map<string, readonly string[]>()
  for (const platform of platforms) {
    const { file, findings } = await layout.archive(platform)
    findings.forEach(onFinding)
    const files: Record<string, ManifestFile> = {}
    const add = (path: string, { sha512, size }: StoredContent, executable: boolean): void => {
      files[path] = { sha512, size, ...(executable && { executable }) }
    }
    if (formatOf(file.name) === undefined) {
      const stored = await download(store, bringing.source, file, bringing.client, downloadOptions(bringing, file))
      add(file.name, stored, true)
    } else {
      await unpackDownloaded(bringing, file, async entry => {
        const stored = await store.put(entry.body, { size: entry.size, name: entry.path })
        add(entry.path, stored, entry.executable || as.entry.test(entry.path))
      })
      if (file.digests?.sha256 !== undefined) digests.set(platform, [`archive:sha256:${file.digests.sha256}`])
    }
    const entries = Object.keys(files).filter(path => as.entry.test(path))
    const [entry] = entries
    if (entry === undefined || entries.length > 1)
      throw malformed(file.name, `it has ${entries.length} programs (${as.entry.source}), one was expected`)
    made[platform] = { entry, files }
  }
  const { type, publisher, contract } = as
  const manifest: Manifest = {
    name: release.name,
    version: release.version,
    type,
    publisher: { name: publisher },
    contract,
    platforms: made,
  }
  return { manifest: encodeManifest(manifest), signatures: [], digests }
}

/** Files of a platform that the store has not, or not whole. */
export async function missingFiles(store: ContentStore, { files }: SelectedPlatform): Promise<Map<string, ManifestFile>> {
  const missing = new Map<string, ManifestFile>()
  for (const [path, file] of Object.entries(files)) if (!(await store.holds(file.sha512))) missing.set(path, file)
  return missing
}

/** Every file of the platform is in the store under its digest by now, so these are facts. */
export const digestsOf = ({ files }: SelectedPlatform): ReadonlyMap<string, FileDigest> =>
  new Map(Object.entries(files).map(([path, { sha512, size }]) => [path, { sha512, size }]))

function refuseMissing(where: string, missing: ReadonlyMap<string, ManifestFile>): void {
  if (missing.size === 0) return
  const shown = [...missing.keys()].slice(0, 5).join(', ')
  throw malformed(where, `it lacks ${missing.size === 1 ? '' : `${missing.size} files of the manifest: `}${shown}`)
}

async function keepEntry(
  store: ContentStore,
  entry: ArchiveFile,
  expected: ManifestFile,
  archive: string,
  signal: AbortSignal | undefined,
) {
  const { sha512, size } = expected
  if (entry.size !== size) throw malformed(archive, `${entry.path} has ${entry.size} bytes in it and ${size} in the manifest`)
  await store.put(entry.body, { sha512, size, name: `${entry.path} in ${archive}`, ...(signal && { signal }) })
}

/** Brings an archive and reads it. It is left to be removed later. */
async function unpackDownloaded(bringing: Bringing, file: SourceFile, take: (entry: ArchiveFile) => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { sha512, isNew } = await download(bringing.store, bringing.source, file, bringing.client, downloadOptions(bringing, file))
    // What was there before may be a file of another plugin: a source can hand out, or announce, whatever it likes.
    if (isNew) bringing.spent.add(sha512)
    try {
      return await unpackStored(bringing, sha512, file.name, take)
    } catch (cause) {
      // Another installer was done with the same archive at that very moment.
      if (!isPluginError(cause, 'ERR_STORE_MISSING') || attempt === 3) throw cause
    }
  }
}

async function unpackStored(bringing: Bringing, sha512: string, name: string, take: (entry: ArchiveFile) => Promise<void>): Promise<void> {
  const format: ArchiveFormat | undefined = formatOf(name)
  if (format === undefined) throw malformed(name, 'it is no archive (.tar, .tar.gz, .tgz, .zip)')
  let handle: FileHandle
  try {
    handle = await open(bringing.store.pathOf(sha512), constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (cause) {
    if (!isMissing(cause)) throw cause
    throw new PluginError('ERR_STORE_MISSING', {
      subject: name,
      digest: sha512,
      reason: 'it is no longer in the store',
      remedy: 'Try again.',
    })
  }
  try {
    const { size } = await handle.stat()
    const options = { name, ...(bringing.limits !== undefined && { limits: bringing.limits }) }
    for await (const entry of unpack(randomAccess(handle, size), format, options)) {
      bringing.signal?.throwIfAborted()
      await take(entry)
    }
  } finally {
    await handle.close()
  }
}

async function bytesOf({ body }: ArchiveFile): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part.slice())
  return Buffer.concat(parts)
}
