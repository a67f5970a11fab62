// Writes tar.gz so that the same files always make the same bytes: sorted, without times and owners.

import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

export interface FileToPack {
  /** Inside of the archive, with `/`. */
  readonly path: string
  /** Where it is read from. */
  readonly from: string
  readonly size: number
  readonly executable: boolean
}

const BLOCK_BYTES = 512

/** Packs files. @param take Is given the bytes of the archive as they come, and may make the writer wait. */
export async function writeTarGz(files: readonly FileToPack[], take: (chunk: Uint8Array) => void | Promise<void>): Promise<void> {
  const sorted = [...files].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
  await pipeline(tarOf(sorted), createGzip({ level: 9 }), async (source: AsyncIterable<Uint8Array>) => {
    let offset = 0
    for await (const chunk of source) {
      // The tenth byte of gzip is the system it was made on; 255 is none in particular.
      if (offset <= 9 && offset + chunk.length > 9) chunk[9 - offset] = 255
      offset += chunk.length
      await take(chunk)
    }
  })
}

async function* tarOf(files: readonly FileToPack[]): AsyncGenerator<Uint8Array> {
  for (const { path, from, size, executable } of files) {
    const parts = splitPath(path)
    if (parts === undefined) {
      const record = paxRecord('path', path)
      yield header({ name: 'long-path', prefix: '', size: record.length, mode: 0o644, type: 'x' })
      yield padded(record)
    }
    const { name, prefix } = parts ?? { name: 'long-path', prefix: '' }
    yield header({ name, prefix, size, mode: executable ? 0o755 : 0o644, type: '0' })
    let written = 0
    for await (const chunk of createReadStream(from)) {
      written += (chunk as Uint8Array).length
      yield chunk as Uint8Array
    }
    if (written !== size) throw new Error(`${from} has changed while it was packed`)
    yield Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
  }
  yield Buffer.alloc(2 * BLOCK_BYTES)
}

/** As ustar keeps a path: at most 100 bytes of name behind at most 155 of directories. Undefined when it does not fit. */
function splitPath(path: string): { readonly name: string; readonly prefix: string } | undefined {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' }
  for (let cut = path.indexOf('/'); cut > 0; cut = path.indexOf('/', cut + 1)) {
    const [prefix, name] = [path.slice(0, cut), path.slice(cut + 1)]
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return { name, prefix }
  }
  return undefined
}

function header(entry: {
  readonly name: string
  readonly prefix: string
  readonly size: number
  readonly mode: number
  readonly type: string
}): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(entry.name, 0, 100)
  block.write(`${entry.mode.toString(8).padStart(7, '0')}\0`, 100)
  block.write('0000000\0'.repeat(2), 108)
  block.write(`${entry.size.toString(8).padStart(11, '0')}\0`, 124)
  block.write('00000000000\0', 136)
  block.fill(' ', 148, 156)
  block.write(entry.type, 156)
  block.write('ustar\x0000', 257, 'latin1')
  block.write(entry.prefix, 345, 155)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + 1
  while (rest + String(length).length !== length) length = rest + String(length).length
  return Buffer.from(`${length} ${key}=${value}\n`)
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES)])
