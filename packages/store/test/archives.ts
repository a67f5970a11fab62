// Archives as an attacker writes them: every field can be set to anything.

import { crc32, deflateRawSync, gzipSync } from 'node:zlib'

export interface TarEntry {
  readonly name: string
  readonly type?: string
  readonly body?: Uint8Array | string
  /** What the header claims, if not the size of the body. */
  readonly size?: number | bigint
  readonly mode?: number
  readonly link?: string
  readonly prefix?: string
  readonly magic?: string
  readonly checksum?: number
}

export function tarHeader(entry: TarEntry): Buffer {
  const block = Buffer.alloc(512)
  const body = Buffer.from(entry.body ?? '')
  block.write(entry.name, 0, 100)
  block.write((entry.mode ?? 0o644).toString(8).padStart(7, '0'), 100)
  block.write('0000000\0'.repeat(2), 108)
  const size = entry.size ?? body.length
  if (typeof size === 'bigint') {
    block[124] = 0x80
    block.writeBigUInt64BE(size, 128)
  } else block.write(size.toString(8).padStart(11, '0'), 124)
  block.write('00000000000', 136)
  block.fill(' ', 148, 156)
  block.write(entry.type ?? '0', 156)
  block.write(entry.link ?? '', 157, 100)
  block.write(entry.magic ?? 'ustar\x0000', 257, 'latin1')
  if (entry.prefix) block.write(entry.prefix, 345, 155)
  const sum = entry.checksum ?? block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

export function tar(entries: readonly TarEntry[], end: Uint8Array = Buffer.alloc(1024)): Buffer {
  const parts = entries.flatMap(entry => {
    const body = Buffer.from(entry.body ?? '')
    return [tarHeader(entry), body, Buffer.alloc((512 - (body.length % 512)) % 512)]
  })
  return Buffer.concat([...parts, end])
}

export const tgz = (entries: readonly TarEntry[]): Buffer => gzipSync(tar(entries))

export function pax(records: Record<string, string>): string {
  return Object.entries(records)
    .map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`)
      let length = rest + 1
      while (String(length).length + rest !== length) length = String(length).length + rest
      return `${length} ${key}=${value}\n`
    })
    .join('')
}

export interface ZipEntry {
  readonly name: string | Buffer
  readonly body?: Uint8Array | string
  readonly mode?: number
  readonly method?: number
  readonly flags?: number
  /** What the directory claims, if not the truth. */
  readonly size?: number
  readonly crc?: number
  readonly packed?: Buffer
  /** What the local header claims, if not the same as the directory. */
  readonly localName?: string
  readonly localSize?: number
  readonly localFlags?: number
  readonly descriptor?: boolean
  readonly extra?: Buffer
  readonly gap?: Buffer
  readonly at?: number
}

export function zip(
  entries: readonly ZipEntry[],
  { count = entries.length, comment = '', prepend = Buffer.alloc(0), shift = 0, bytes = undefined as number | undefined } = {},
): Buffer {
  const locals: Buffer[] = [prepend]
  const centrals: Buffer[] = []
  let offset = prepend.length
  for (const entry of entries) {
    const body = Buffer.from(entry.body ?? '')
    const method = entry.method ?? 8
    const packed = entry.packed ?? (method === 8 ? deflateRawSync(body) : body)
    const name = Buffer.from(entry.name)
    const localName = Buffer.from(entry.localName ?? entry.name)
    const crc = entry.crc ?? crc32(body)
    const size = entry.size ?? body.length
    const flags = (entry.flags ?? 0x800) | (entry.descriptor ? 8 : 0)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(20, 4)
    local.writeUInt16LE(entry.localFlags ?? flags, 6)
    local.writeUInt16LE(method, 8)
    if (!entry.descriptor) {
      local.writeUInt32LE(crc, 14)
      local.writeUInt32LE(packed.length, 18)
      local.writeUInt32LE(entry.localSize ?? size, 22)
    }
    local.writeUInt16LE(localName.length, 26)
    const descriptor = Buffer.alloc(entry.descriptor ? 16 : 0)
    if (entry.descriptor) {
      descriptor.writeUInt32LE(0x08074b50, 0)
      descriptor.writeUInt32LE(crc, 4)
      descriptor.writeUInt32LE(packed.length, 8)
      descriptor.writeUInt32LE(size, 12)
    }
    const extra = entry.extra ?? Buffer.alloc(0)
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    central.writeUInt16LE(0x0314, 4)
    central.writeUInt16LE(20, 6)
    central.writeUInt16LE(flags, 8)
    central.writeUInt16LE(method, 10)
    central.writeUInt32LE(crc, 16)
    central.writeUInt32LE(packed.length, 20)
    central.writeUInt32LE(size, 24)
    central.writeUInt16LE(name.length, 28)
    central.writeUInt16LE(extra.length, 30)
    central.writeUInt32LE((((entry.mode ?? 0o100644) << 16) >>> 0) as number, 38)
    central.writeUInt32LE(entry.at ?? offset, 42)
    centrals.push(central, name, extra)
    const whole = Buffer.concat([local, localName, packed, descriptor, entry.gap ?? Buffer.alloc(0)])
    locals.push(whole)
    offset += whole.length
  }
  const directory = Buffer.concat(centrals)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(count & 0xffff, 8)
  end.writeUInt16LE(count & 0xffff, 10)
  end.writeUInt32LE(bytes ?? directory.length, 12)
  end.writeUInt32LE(offset + shift, 16)
  end.writeUInt16LE(Buffer.byteLength(comment), 20)
  return Buffer.concat([...locals, directory, end, Buffer.from(comment)])
}
