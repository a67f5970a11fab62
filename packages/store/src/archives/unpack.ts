// One door to all archive formats: bytes or a stream in, files out one by one. Knows no store.

import type { FileHandle } from 'node:fs/promises'
import { type ArchiveLimits, defaultArchiveLimits } from '../limits.ts'
import type { ArchiveFile, RandomAccess } from './entry.ts'
import { malformedArchive } from './entry-names.ts'

export type ArchiveFormat = 'tar.gz' | 'tar' | 'zip'

export interface UnpackOptions {
  /** For error texts. Default `the archive`. */
  readonly name?: string
  readonly limits?: Partial<ArchiveLimits>
}

/** The format that a file's name promises; undefined for anything that is no archive. */
export function formatOf(name: string): ArchiveFormat | undefined {
  if (/\.(?:tar\.gz|tgz)$/i.test(name)) return 'tar.gz'
  if (/\.tar$/i.test(name)) return 'tar'
  return /\.zip$/i.test(name) ? 'zip' : undefined
}

/**
 * The files of an archive, in its order, each to be read before the next.
 *
 * Links, devices, absolute paths, `..`, paths that some system would take for one another, entries over the limits and bytes that nobody accounts
 * for end it with an error; so take what was unpacked for good only after the last one.
 *
 * @param source A stream will do for tar; zip has its directory at the end and needs bytes or a place to read from.
 * @throws PluginError `ERR_ARCHIVE_MALFORMED`, `ERR_ARCHIVE_UNSAFE`, `ERR_ARCHIVE_LIMIT`
 */
export async function* unpack(
  source: Uint8Array | RandomAccess | AsyncIterable<Uint8Array>,
  format: ArchiveFormat,
  options: UnpackOptions = {},
): AsyncGenerator<ArchiveFile> {
  const name = options.name ?? 'the archive'
  const limits = { ...defaultArchiveLimits, ...options.limits }
  if (format === 'zip') {
    const { readZip } = await import('./zip.ts')
    if (Symbol.asyncIterator in source) throw new TypeError('a zip archive cannot be read from a stream')
    return yield* readZip(source instanceof Uint8Array ? inMemory(source) : source, name, limits)
  }
  const { readTar } = await import('./tar.ts')
  const bytes = Symbol.asyncIterator in source ? source : source instanceof Uint8Array ? once(source) : whole(source)
  if (format === 'tar') return yield* readTar(bytes, name, limits)
  const { inflate } = await import('./inflate.ts')
  yield* readTar(
    inflate(bytes, 'gzip', (reason, cause) => malformedArchive(name, 0, reason, cause)),
    name,
    limits,
  )
}

/** A file that is open, to be read anywhere. It stays open. */
export function randomAccess(handle: FileHandle, size: number): RandomAccess {
  return {
    size,
    async read(offset, length) {
      const buffer = new Uint8Array(length)
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled)
        if (bytesRead === 0) throw malformedArchive('the archive', offset + filled, 'it got shorter while it was read')
        filled += bytesRead
      }
      return buffer
    },
  }
}

const inMemory = (bytes: Uint8Array): RandomAccess => ({
  size: bytes.length,
  read: async (offset, length) => bytes.subarray(offset, offset + length),
})

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function* whole(source: RandomAccess): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < source.size; offset += 65_536) yield await source.read(offset, Math.min(65_536, source.size - offset))
}
