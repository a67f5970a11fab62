// A zip archive with one file in it, as providers are packed. Source: PKWARE's APPNOTE.TXT, 4.3.

import { crc32, deflateRawSync } from 'node:zlib'

/** @param mode Permissions: mirrors keep them. */
export function zip(name: string, contents: Uint8Array, mode: number): Buffer {
  const packed = deflateRawSync(contents)
  const nameBytes = Buffer.from(name)
  // Version 2.0, flags, deflate, 1980-01-01, checksum, sizes, lengths.
  const common = Buffer.alloc(26)
  common.writeUInt16LE(20, 0)
  common.writeUInt16LE(8, 4)
  common.writeUInt16LE(0x21, 8)
  common.writeUInt32LE(crc32(contents), 10)
  common.writeUInt32LE(packed.length, 14)
  common.writeUInt32LE(contents.length, 18)
  common.writeUInt16LE(nameBytes.length, 22)
  const local = Buffer.concat([signature(0x04034b50), common, nameBytes, packed])

  const attributes = Buffer.alloc(14)
  attributes.writeUInt32LE(((0o100000 | mode) << 16) >>> 0, 6)
  // Made by Unix, so that the attributes are permissions.
  const directory = Buffer.concat([signature(0x02014b50), Buffer.from([20, 3]), common, attributes, nameBytes])

  const end = Buffer.alloc(18)
  end.writeUInt16LE(1, 4)
  end.writeUInt16LE(1, 6)
  end.writeUInt32LE(directory.length, 8)
  end.writeUInt32LE(local.length, 12)
  return Buffer.concat([local, directory, signature(0x06054b50), end])
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
