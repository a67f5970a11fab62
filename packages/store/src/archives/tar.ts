// Reads tar: ustar, pax and GNU's long names. Source of the layout: POSIX.1-2017 pax "ustar Interchange Format" and "pax Extended Header", GNU tar
// manual "Basic Tar Format". Links, devices, sparse files and whatever is not known are refused. Knows nothing of compression and files.

import type { ArchiveLimits } from '../limits.ts'
import { MAX_TAR_EXTENSION_BYTES, MAX_TAR_PADDING_BYTES } from '../limits.ts'
import { ByteReader } from './byte-reader.ts'
import type { ArchiveFile } from './entry.ts'
import { archiveLimit, EntryNames, malformedArchive, unsafe } from './entry-names.ts'

const BLOCK_BYTES = 512

interface Header {
  readonly name: string
  readonly mode: number
  readonly size: number
  readonly type: string
}

/** What an extended header says about the entry behind it. */
interface Extension {
  readonly path?: string
  readonly size?: number
}

/**
 * Reads a tar archive as it comes.
 *
 * @param archive Its name, for error texts.
 * @throws PluginError `ERR_ARCHIVE_MALFORMED`, `ERR_ARCHIVE_UNSAFE`, `ERR_ARCHIVE_LIMIT`
 */
export async function* readTar(source: AsyncIterable<Uint8Array>, archive: string, limits: ArchiveLimits): AsyncGenerator<ArchiveFile> {
  const reader = new ByteReader(source)
  const names = new EntryNames(archive, limits)
  let extension: Extension = {}
  let totalBytes = 0
  let extensions = 0
  try {
    for (;;) {
      const at = reader.offset
      const block = await reader.exactly(BLOCK_BYTES)
      if (block === undefined) throw malformedArchive(archive, at, 'it is cut off before its end mark')
      if (isZero(block)) return await expectOnlyZeros(reader, archive)
      const header = decodeHeader(block, archive, at)
      if (header.type === 'x' || header.type === 'g' || header.type === 'L') {
        // Each is free of charge in `maxEntries`, so they are counted by themselves.
        if (++extensions > limits.maxEntries * 2) throw archiveLimit(archive, 'maxEntries', limits.maxEntries)
        const bytes = await readExtension(reader, header, archive, at)
        totalBytes += bytes.length
        if (totalBytes > limits.maxTotalBytes) throw archiveLimit(archive, 'maxTotalBytes', limits.maxTotalBytes)
        if (header.type === 'x') extension = { ...extension, ...decodePax(bytes, archive, at) }
        else if (header.type === 'L') extension = { ...extension, path: textOf(bytes, archive, at) }
        else if (Object.keys(decodePax(bytes, archive, at)).length > 0)
          throw malformedArchive(archive, at, 'a global header sets a path or a size for all entries')
        continue
      }
      const name = extension.path ?? header.name
      const size = extension.size ?? header.size
      extension = {}
      refuseKind(archive, name, header.type)
      const isFile = header.type === '0' && !name.endsWith('/')
      const path = names.add(name, isFile)
      if (!isFile) {
        if (size !== 0) throw malformedArchive(archive, at, 'a directory with content')
        continue
      }
      if (size > limits.maxEntryBytes) throw archiveLimit(archive, 'maxEntryBytes', limits.maxEntryBytes)
      totalBytes += size
      if (totalBytes > limits.maxTotalBytes) throw archiveLimit(archive, 'maxTotalBytes', limits.maxTotalBytes)
      const end = reader.offset + size
      const body = bodyOf(reader, size, archive)
      yield { path, size, executable: (header.mode & 0o100) !== 0, body }
      await reader.skip(end - reader.offset, () => malformedArchive(archive, reader.offset, `${path} is cut off`))
      const padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES
      await reader.skip(padding, () => malformedArchive(archive, reader.offset, `${path} is cut off`))
    }
  } finally {
    await reader.close()
  }
}

async function* bodyOf(reader: ByteReader, size: number, archive: string): AsyncGenerator<Uint8Array> {
  for (let left = size; left > 0; ) {
    const chunk = await reader.atMost(left)
    if (chunk === undefined) throw malformedArchive(archive, reader.offset, 'an entry is cut off')
    left -= chunk.length
    yield chunk
  }
}

function refuseKind(archive: string, name: string, type: string): void {
  switch (type) {
    case '0':
    case '5':
      return
    case '1':
      throw unsafe(archive, name, 'it is a hard link')
    case '2':
      throw unsafe(archive, name, 'it is a symbolic link')
    case '3':
    case '4':
      throw unsafe(archive, name, 'it is a device')
    case '6':
      throw unsafe(archive, name, 'it is a pipe')
    default:
      throw unsafe(archive, name, `entries of the kind ${JSON.stringify(type)} are not taken`)
  }
}

function decodeHeader(block: Uint8Array, archive: string, at: number): Header {
  const stored = numberOf(block, 148, 8, archive, at)
  let sum = 8 * 0x20
  for (let i = 0; i < BLOCK_BYTES; i++) if (i < 148 || i >= 156) sum += block[i] as number
  if (sum !== stored) throw malformedArchive(archive, at, 'no tar header, or a damaged one: its checksum does not fit')
  // POSIX writes "ustar\0" and may split a path in two; GNU writes "ustar  " and has times where POSIX has the prefix.
  const isPosix = Buffer.from(block.subarray(257, 263)).toString('latin1') === 'ustar\0'
  const prefix = isPosix ? textOf(block.subarray(345, 500), archive, at) : ''
  const name = textOf(block.subarray(0, 100), archive, at)
  const type = String.fromCharCode(block[156] as number)
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: numberOf(block, 100, 8, archive, at),
    size: numberOf(block, 124, 12, archive, at),
    type: type === '\0' || type === '7' ? '0' : type,
  }
}

/** Octal digits, or GNU's binary form for what does not fit into them. */
function numberOf(block: Uint8Array, start: number, length: number, archive: string, at: number): number {
  const field = Buffer.from(block.subarray(start, start + length))
  const first = field[0] as number
  if (first === 0xff) throw malformedArchive(archive, at, 'a negative number')
  if (first === 0x80) {
    const value = BigInt(`0x${field.subarray(1).toString('hex')}`)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformedArchive(archive, at, 'a size beyond all measure')
    return Number(value)
  }
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(text)) throw malformedArchive(archive, at, 'a number that is not octal')
  return text === '' ? 0 : Number.parseInt(text, 8)
}

async function readExtension(reader: ByteReader, header: Header, archive: string, at: number): Promise<Uint8Array> {
  if (header.size > MAX_TAR_EXTENSION_BYTES) throw malformedArchive(archive, at, `an extended header of ${header.size} bytes`)
  const padded = Math.ceil(header.size / BLOCK_BYTES) * BLOCK_BYTES
  const bytes = await reader.exactly(padded)
  if (bytes === undefined) throw malformedArchive(archive, reader.offset, 'an extended header is cut off')
  return bytes.subarray(0, header.size)
}

/** Records are `length key=value\n`, the length in decimal and counting itself. */
function decodePax(bytes: Uint8Array, archive: string, at: number): Extension {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let extension: Extension = {}
  for (let start = 0; start < buffer.length; ) {
    const space = buffer.indexOf(0x20, start)
    const digits = space < 0 ? '' : buffer.toString('latin1', start, space)
    const end = start + Number(digits)
    const equals = buffer.indexOf(0x3d, space)
    if (!/^[1-9]\d{0,5}$/.test(digits) || end > buffer.length || equals < 0 || equals >= end || buffer[end - 1] !== 0x0a)
      throw malformedArchive(archive, at, 'an extended header that cannot be read')
    const key = buffer.toString('utf8', space + 1, equals)
    const value = buffer.subarray(equals + 1, end - 1)
    if (key === 'path') extension = { ...extension, path: textOf(value, archive, at, true) }
    else if (key === 'size') {
      const size = value.toString('latin1')
      if (!/^\d{1,15}$/.test(size)) throw malformedArchive(archive, at, 'an extended header with a size that is no number')
      extension = { ...extension, size: Number(size) }
    } else if (key.startsWith('GNU.sparse')) throw unsafe(archive, extension.path ?? '', 'it is a sparse file')
    start = end
  }
  return extension
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Up to the first zero byte; with `whole` a zero byte is an error, since something behind it would be hidden. */
function textOf(bytes: Uint8Array, archive: string, at: number, whole = false): string {
  const zero = bytes.indexOf(0)
  if (zero >= 0 && whole) throw malformedArchive(archive, at, 'a path with a zero byte')
  try {
    return utf8.decode(zero < 0 ? bytes : bytes.subarray(0, zero))
  } catch {
    throw malformedArchive(archive, at, 'a path that is no UTF-8')
  }
}

async function expectOnlyZeros(reader: ByteReader, archive: string): Promise<void> {
  const begin = reader.offset
  for (let chunk = await reader.atMost(65_536); chunk !== undefined; chunk = await reader.atMost(65_536))
    if (!isZero(chunk)) throw malformedArchive(archive, reader.offset, 'something follows its end mark')
    // Writers fill up a block of a tape, 10 KiB as a rule; packed, terabytes of zeros are small.
    else if (reader.offset - begin > MAX_TAR_PADDING_BYTES) throw malformedArchive(archive, reader.offset, 'its end mark has no end')
}

const isZero = (bytes: Uint8Array): boolean => bytes.every(byte => byte === 0)
