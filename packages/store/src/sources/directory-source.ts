// Plugins that lie in a directory of this machine, or in an archive: what `plugwire pack` wrote, or one plugin with its manifest. Uses no network.

import { constants } from 'node:fs'
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { isVersion } from '@plugwire/trust'
import { PluginError } from 'plugwire'
import semver from 'semver'
import { formatOf, unpack } from '../archives/unpack.ts'
import { MANIFEST_NAME, SIGNATURE_SUFFIXES } from '../discovery/candidate-name.ts'
import { readClaims } from '../discovery/claims.ts'
import { MAX_FILE_BYTES, MAX_MANIFEST_BYTES } from '../limits.ts'
import { malformed, newestOf, noPlugin, parseJson } from './failure.ts'
import { INDEX_NAME, isPlainPath, readIndex } from './index-source.ts'
import type { FetchedFile, FetchOptions, Release, Source, SourceFile } from './source.ts'

/**
 * One path: a directory with a manifest, a directory with a directory for each version, or an archive with a manifest in it.
 * There is one plugin at such a path, so it has no name of its own: `name` is what the manifest says, and is not looked at when asked.
 */
export class DirectorySource implements Source {
  readonly id: string
  readonly #path: string
  readonly #given: string

  /** @param given How addresses write the path, when that is not how it is found: a lock file means the same in every checkout. */
  constructor(path: string, given: string = path) {
    this.#path = resolve(path)
    this.#given = given
    this.id = `file:${this.#path}`
  }

  async versions(): Promise<readonly string[]> {
    return (await this.#all()).map(({ version }) => version)
  }

  async resolve(_name: string, range: string): Promise<Release> {
    const all = await this.#all()
    const [only] = all
    // One plugin without versions beside it may be a pre-release: it was named by its path.
    const isOnly = all.length === 1 && range === '*'
    const version = isOnly
      ? (only as Release).version
      : newestOf(
          all.map(release => release.version),
          range,
          this.#path,
          this.id,
        )
    return all.find(release => release.version === version) as Release
  }

  async #all(): Promise<Release[]> {
    const found = await stat(this.#path).catch(() => undefined)
    if (found === undefined) throw noPlugin('this machine', this.#path)
    if (found.isFile()) return [await this.#archive()]
    const names = await readdir(this.#path)
    if (names.includes(MANIFEST_NAME)) return [this.#plugin(this.#path, MANIFEST_NAME)]
    if (names.includes(INDEX_NAME)) {
      const index = readIndex(await readFile(join(this.#path, INDEX_NAME)), join(this.#path, INDEX_NAME))
      return index.versions.map(({ manifest }) => this.#plugin(join(this.#path, dirname(manifest)), basename(manifest)))
    }
    const versions = names.filter(name => isVersion(name))
    const releases: Release[] = []
    for (const version of versions.sort(semver.rcompare)) releases.push(this.#plugin(join(this.#path, version), MANIFEST_NAME))
    if (releases.length > 0) return releases
    throw new PluginError('ERR_SOURCE_NOT_FOUND', {
      subject: this.#path,
      reason: `it has neither ${MANIFEST_NAME} nor ${INDEX_NAME} nor a directory for a version`,
      remedy: '`plugwire pack` makes such a directory.',
      versions: [],
    })
  }

  #plugin(directory: string, manifestName: string): Release {
    const manifest = join(directory, manifestName)
    const file = (path: string): SourceFile => ({ name: basename(path), location: path })
    const claims = this.#claims(manifest)
    return {
      name: claims.name,
      version: claims.version,
      address: this.#addressOf(claims.version),
      layout: {
        kind: 'files',
        manifest: file(manifest),
        signatures: SIGNATURE_SUFFIXES.map(suffix => file(`${manifest}${suffix}`)),
        file: path => (isPlainPath(path) ? file(join(directory, path)) : undefined),
      },
      findings: [],
    }
  }

  #claims(manifest: string) {
    try {
      const read = readClaims(manifest)
      if (read !== undefined) return read.claims
    } catch (cause) {
      throw malformed(manifest, `the manifest cannot be read: ${(cause as Error).message}`, cause)
    }
    throw malformed(manifest, 'there is no such manifest')
  }

  #addressOf(version: string): string {
    return `file:${this.#given}#${version}`
  }

  async #archive(): Promise<Release> {
    const format = formatOf(this.#path)
    if (format === undefined) throw malformed(this.#path, 'it is neither a directory nor an archive (.tar, .tar.gz, .tgz, .zip)')
    const { name, version, inside } = await this.#look(format)
    const file: SourceFile = { name: basename(this.#path), location: this.#path }
    return {
      name,
      version,
      address: this.#addressOf(version),
      layout: { kind: 'packages', packages: [file], forPlatform: async () => [], inside },
      findings: [],
    }
  }

  /** Which plugin is in it: the manifest lies at its top, or in its one directory. */
  async #look(format: NonNullable<ReturnType<typeof formatOf>>) {
    const handle = await open(this.#path)
    try {
      const { size } = await handle.stat()
      const { randomAccess } = await import('../archives/unpack.ts')
      for await (const { path, size: bytes, body } of unpack(randomAccess(handle, size), format, { name: this.#path })) {
        const [, inside] = /^(?:([^/]+)\/)?plugwire\.json$/.exec(path) ?? []
        if (path !== MANIFEST_NAME && inside === undefined) continue
        if (bytes > MAX_MANIFEST_BYTES) break
        const parts: Uint8Array[] = []
        for await (const part of body) parts.push(part.slice())
        const { name, version } = parseJson(Buffer.concat(parts), `${path} in ${this.#path}`)
        if (typeof name === 'string' && typeof version === 'string') return { name, version, inside }
      }
    } finally {
      await handle.close()
    }
    throw malformed(this.#path, `it has no ${MANIFEST_NAME}`)
  }

  async fetch(file: SourceFile, options: FetchOptions = {}): Promise<FetchedFile> {
    let handle: FileHandle
    try {
      handle = await open(file.location, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      const remedy = code === 'ENOENT' ? 'The directory is not complete.' : 'Look at its mode.'
      throw new PluginError(
        'ERR_SOURCE_UNREACHABLE',
        { subject: file.location, reason: `the system says ${code}`, remedy, status: code === 'ENOENT' ? 404 : null, attempts: 1 },
        { cause },
      )
    }
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) throw malformed(file.location, 'it is no file')
      if (stats.size > MAX_FILE_BYTES) throw malformed(file.location, `it has ${stats.size} bytes`)
      const offset = Math.min(options.offset ?? 0, stats.size)
      return { offset, size: stats.size, validator: undefined, body: read(handle, offset, stats.size, options) }
    } catch (cause) {
      await handle.close()
      throw cause
    }
  }
}

async function* read(handle: FileHandle, offset: number, size: number, { signal, onProgress }: FetchOptions): AsyncGenerator<Uint8Array> {
  try {
    for (let at = offset; ; ) {
      signal?.throwIfAborted()
      const buffer = new Uint8Array(256 * 1024)
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) return
      at += bytesRead
      onProgress?.({ receivedBytes: at, totalBytes: size })
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
