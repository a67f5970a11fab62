// Reads zip. Source of the layout: PKWARE APPNOTE.TXT 6.3.9, sections 4.3 to 4.5. An archive whose directory and local headers disagree, whose entries
// overlap, or that has bytes nobody accounts for is refused: two readers might see two different archives. Knows nothing of files.

import type { ArchiveLimits } from '../limits.ts'
import { MAX_ZIP_DIRECTORY_BYTES } from '../limits.ts'
import type { ArchiveFile, RandomAccess } from './entry.ts'
import { archiveLimit, EntryNames, malformedArchive, unsafe } from './entry-names.ts'

const END_BYTES = 22
const LOCATOR_BYTES = 20
const LARGE_END_BYTES = 56
const CENTRAL_BYTES = 46
const LOCAL_BYTES = 30
const CHUNK_BYTES = 64 * 1024

/** One entry as the directory at the end of the archive describes it. */
interface Central {
  /** As stored, to be compared with the local header. */
  readonly rawName: Buffer
  readonly path: string
  readonly isFile: boolean
  readonly executable: boolean
  readonly flags: number
  readonly method: number
  readonly crc: number
  readonly packedBytes: number
  readonly size: number
  readonly localAt: number
}

/**
 * Reads a zip archive, in the order of its bytes.
 *
 * @param archive Its name, for error texts.
 * @throws PluginError `ERR_ARCHIVE_MALFORMED`, `ERR_ARCHIVE_UNSAFE`, `ERR_ARCHIVE_LIMIT`
 */
export async function* readZip(source: RandomAccess, archive: string, limits: ArchiveLimits): AsyncGenerator<ArchiveFile> {
  const { entries, directoryAt } = await readDirectory(source, archive, limits)
  let expectedAt = 0
  for (const [i, entry] of entries.entries()) {
    if (entry.localAt !== expectedAt) throw malformedArchive(archive, entry.localAt, 'entries overlap, or hide something between them')
    const next = entries[i + 1]?.localAt ?? directoryAt
    const dataAt = await checkLocal(source, archive, entry, next)
    if (entry.isFile)
      yield { path: entry.path, size: entry.size, executable: entry.executable, body: bodyOf(source, archive, entry, dataAt) }
    expectedAt = next
  }
  if (entries.length === 0 && directoryAt !== 0) throw malformedArchive(archive, 0, 'it hides something in front of its directory')
}

async function readDirectory(
  source: RandomAccess,
  archive: string,
  limits: ArchiveLimits,
): Promise<{ entries: readonly Central[]; directoryAt: number }> {
  const { count, bytes, at } = await findDirectory(source, archive)
  if (count > limits.maxEntries) throw archiveLimit(archive, 'maxEntries', limits.maxEntries)
  if (bytes > MAX_ZIP_DIRECTORY_BYTES || bytes < count * CENTRAL_BYTES)
    throw malformedArchive(archive, at, `a directory of ${bytes} bytes for ${count} entries`)
  const directory = bufferOf(await source.read(at, bytes))
  const names = new EntryNames(archive, limits)
  const entries: Central[] = []
  let totalBytes = 0
  let offset = 0
  for (let i = 0; i < count; i++) {
    if (offset + CENTRAL_BYTES > bytes || directory.readUInt32LE(offset) !== 0x02014b50)
      throw malformedArchive(archive, at + offset, 'its directory has fewer entries than it says')
    const length =
      CENTRAL_BYTES + directory.readUInt16LE(offset + 28) + directory.readUInt16LE(offset + 30) + directory.readUInt16LE(offset + 32)
    if (offset + length > bytes) throw malformedArchive(archive, at + offset, 'an entry of its directory is cut off')
    const entry = decodeCentral(directory.subarray(offset, offset + length), archive, at + offset, names)
    if (entry.size > limits.maxEntryBytes) throw archiveLimit(archive, 'maxEntryBytes', limits.maxEntryBytes)
    totalBytes += entry.size
    if (totalBytes > limits.maxTotalBytes) throw archiveLimit(archive, 'maxTotalBytes', limits.maxTotalBytes)
    entries.push(entry)
    offset += length
  }
  if (offset !== bytes) throw malformedArchive(archive, at + offset, 'its directory has more entries than it says')
  return { entries: entries.sort((a, b) => a.localAt - b.localAt), directoryAt: at }
}

/** The end record, whose comment must reach exactly to the end; with the large form for what does not fit into 32 bits. */
async function findDirectory(source: RandomAccess, archive: string): Promise<{ count: number; bytes: number; at: number }> {
  const tailBytes = Math.min(source.size, END_BYTES + 0xffff)
  const tailAt = source.size - tailBytes
  const tail = bufferOf(await source.read(tailAt, tailBytes))
  let end = tailBytes - END_BYTES
  while (end >= 0 && !(tail.readUInt32LE(end) === 0x06054b50 && end + END_BYTES + tail.readUInt16LE(end + 20) === tailBytes)) end--
  if (end < 0) throw malformedArchive(archive, source.size, 'it has no directory at its end')
  const endAt = tailAt + end
  const [disk, firstDisk, here, count] = [4, 6, 8, 10].map(field => tail.readUInt16LE(end + field)) as [number, number, number, number]
  const bytes = tail.readUInt32LE(end + 12)
  const at = tail.readUInt32LE(end + 16)
  const locatorAt = endAt - LOCATOR_BYTES
  const locator = locatorAt >= 0 ? bufferOf(await source.read(locatorAt, LOCATOR_BYTES)) : undefined
  if (locator?.readUInt32LE(0) === 0x07064b50) return findLargeDirectory(source, archive, locator, locatorAt)
  if (disk !== 0 || firstDisk !== 0 || here !== count) throw malformedArchive(archive, endAt, 'it is spread over several files')
  if (at + bytes !== endAt) throw malformedArchive(archive, endAt, 'its directory does not lie where it says')
  return { count, bytes, at }
}

async function findLargeDirectory(source: RandomAccess, archive: string, locator: Buffer, locatorAt: number) {
  const recordAt = safe(locator.readBigUInt64LE(8), archive, locatorAt)
  if (locator.readUInt32LE(4) !== 0 || locator.readUInt32LE(16) > 1)
    throw malformedArchive(archive, locatorAt, 'it is spread over several files')
  if (recordAt + LARGE_END_BYTES !== locatorAt) throw malformedArchive(archive, locatorAt, 'its directory does not lie where it says')
  const record = bufferOf(await source.read(recordAt, LARGE_END_BYTES))
  if (record.readUInt32LE(0) !== 0x06064b50) throw malformedArchive(archive, recordAt, 'its directory does not lie where it says')
  if (record.readUInt32LE(16) !== 0 || record.readUInt32LE(20) !== 0)
    throw malformedArchive(archive, recordAt, 'it is spread over several files')
  const [here, count, bytes, at] = [24, 32, 40, 48].map(field => safe(record.readBigUInt64LE(field), archive, recordAt)) as [
    number,
    number,
    number,
    number,
  ]
  if (here !== count || at + bytes !== recordAt) throw malformedArchive(archive, recordAt, 'its directory does not lie where it says')
  return { count, bytes, at }
}

function decodeCentral(record: Buffer, archive: string, at: number, names: EntryNames): Central {
  const nameBytes = record.readUInt16LE(28)
  const rawName = record.subarray(CENTRAL_BYTES, CENTRAL_BYTES + nameBytes)
  const flags = record.readUInt16LE(8)
  const name = nameOf(rawName, archive, at)
  const isFile = !name.endsWith('/')
  const path = names.add(name, isFile)
  if ((flags & 0x2041) !== 0) throw unsafe(archive, name, 'it is encrypted')
  const method = record.readUInt16LE(10)
  if (method !== 0 && method !== 8) throw unsafe(archive, name, `it is packed by method ${method}; only 0 and 8 are taken`)
  const mode = record.readUInt8(5) === 3 ? record.readUInt32LE(38) >>> 16 : 0
  const kind = mode & 0o170000
  if (kind === 0o120000) throw unsafe(archive, name, 'it is a symbolic link')
  if (kind !== 0 && kind !== (isFile ? 0o100000 : 0o040000)) throw unsafe(archive, name, 'it is a device, or no file by its mode')
  const extra = record.subarray(CENTRAL_BYTES + nameBytes, CENTRAL_BYTES + nameBytes + record.readUInt16LE(30))
  const large = largeSizes(extra, archive, at)
  const take = (value: number): number => (value === 0xffffffff && large.length > 0 ? safe(large.shift() as bigint, archive, at) : value)
  const size = take(record.readUInt32LE(24))
  const packedBytes = take(record.readUInt32LE(20))
  const localAt = take(record.readUInt32LE(42))
  if (record.readUInt16LE(34) !== 0) throw malformedArchive(archive, at, 'it is spread over several files')
  if (!isFile && (size !== 0 || packedBytes > 2)) throw malformedArchive(archive, at, 'a directory with content')
  if (method === 0 && size !== packedBytes) throw malformedArchive(archive, at, 'an entry that is stored as it is has two sizes')
  return {
    rawName,
    path,
    isFile,
    executable: (mode & 0o100) !== 0,
    flags,
    method,
    crc: record.readUInt32LE(16),
    packedBytes,
    size,
    localAt,
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** UTF-8, which ASCII is part of; other codings of old archives could be read as other names elsewhere. */
function nameOf(raw: Buffer, archive: string, at: number): string {
  try {
    return utf8.decode(raw)
  } catch {
    throw malformedArchive(archive, at, 'a path that is no UTF-8')
  }
}

/** The 64-bit values of the extra field 0x0001, in their order. A second path for the same entry (0x7075) is refused. */
function largeSizes(extra: Buffer, archive: string, at: number): bigint[] {
  let values: bigint[] | undefined
  for (let offset = 0; offset + 4 <= extra.length; ) {
    const id = extra.readUInt16LE(offset)
    const end = offset + 4 + extra.readUInt16LE(offset + 2)
    if (end > extra.length) throw malformedArchive(archive, at, 'an extra field is cut off')
    if (id === 0x7075) throw malformedArchive(archive, at, 'an entry has two paths')
    if (id === 0x0001) {
      if (values !== undefined) throw malformedArchive(archive, at, 'an entry has its sizes twice')
      values = []
      for (let value = offset + 4; value + 8 <= end; value += 8) values.push(extra.readBigUInt64LE(value))
    }
    offset = end
  }
  return values ?? []
}

/** Holds the local header to the directory. @returns Where the data begins. */
async function checkLocal(source: RandomAccess, archive: string, entry: Central, next: number): Promise<number> {
  const { localAt, rawName } = entry
  if (localAt + LOCAL_BYTES > next) throw malformedArchive(archive, localAt, 'an entry is cut off')
  const header = bufferOf(await source.read(localAt, LOCAL_BYTES))
  const dataAt = localAt + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28)
  const isLate = (entry.flags & 8) !== 0
  // With a data descriptor behind the data, each of these may be left open by a zero.
  const says = (field: number, value: number): boolean => {
    const stored = header.readUInt32LE(field)
    return stored === value || (field !== 14 && stored === 0xffffffff) || (isLate && stored === 0)
  }
  const sizesFit = says(14, entry.crc) && says(18, entry.packedBytes) && says(22, entry.size)
  if (
    header.readUInt32LE(0) !== 0x04034b50 ||
    header.readUInt16LE(6) !== entry.flags ||
    header.readUInt16LE(8) !== entry.method ||
    !sizesFit
  )
    throw malformedArchive(archive, localAt, `the header of ${entry.path} says other things than the directory`)
  if (header.readUInt16LE(26) !== rawName.length || !bufferOf(await source.read(localAt + LOCAL_BYTES, rawName.length)).equals(rawName))
    throw malformedArchive(archive, localAt, `${entry.path} has another name in front of its data than in the directory`)
  const behind = next - dataAt - entry.packedBytes
  // A data descriptor has 12 to 24 bytes.
  if (isLate ? behind !== 12 && behind !== 16 && behind !== 20 && behind !== 24 : behind !== 0)
    throw malformedArchive(archive, localAt, `the data of ${entry.path} does not fill the place it has`)
  return dataAt
}

async function* bodyOf(source: RandomAccess, archive: string, entry: Central, dataAt: number): AsyncGenerator<Uint8Array> {
  const { crc32 } = await import('node:zlib')
  let crc = 0
  let size = 0
  const packed = rangeOf(source, dataAt, entry.packedBytes)
  for await (const chunk of entry.method === 0 ? packed : inflated(packed, archive, entry, dataAt)) {
    size += chunk.length
    if (size > entry.size) throw malformedArchive(archive, dataAt, `${entry.path} is larger than it says`)
    crc = crc32(chunk, crc)
    yield chunk
  }
  if (size !== entry.size) throw malformedArchive(archive, dataAt, `${entry.path} is smaller than it says`)
  if (crc !== entry.crc) throw malformedArchive(archive, dataAt, `${entry.path} is damaged: its checksum does not fit`)
}

async function* inflated(packed: AsyncIterable<Uint8Array>, archive: string, entry: Central, dataAt: number): AsyncGenerator<Uint8Array> {
  const { inflate } = await import('./inflate.ts')
  yield* inflate(packed, 'raw', (reason, cause) => malformedArchive(archive, dataAt, `${entry.path}: ${reason}`, cause))
}

async function* rangeOf(source: RandomAccess, start: number, length: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < length; offset += CHUNK_BYTES)
    yield await source.read(start + offset, Math.min(CHUNK_BYTES, length - offset))
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function safe(value: bigint, archive: string, at: number): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformedArchive(archive, at, 'a size beyond all measure')
  return Number(value)
}
