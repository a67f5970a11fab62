// BLAKE2b with a digest of any length, for the 32-byte checksum inside minisign's secret keys: OpenSSL offers only 64 bytes, and a shorter
// digest is not a longer one cut off. For a hundred bytes at a time; whatever is large goes through node:crypto. Source: RFC 7693.

const IV: readonly bigint[] = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
]

const SIGMA: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
]

/** Which words of the state each of the eight mixings of a round takes: columns, then diagonals. */
const LANES: readonly (readonly [number, number, number, number])[] = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
]

const BLOCK_BYTES = 128
const word = (value: bigint): bigint => BigInt.asUintN(64, value)
const rotate = (value: bigint, bits: bigint): bigint => word((value >> bits) | (value << (64n - bits)))

/** @param length Bytes of the digest, 1 to 64. */
export function blake2b(bytes: Uint8Array, length: number): Uint8Array {
  const h = [...IV]
  h[0] = word(IV[0]! ^ 0x01010000n ^ BigInt(length))
  const blocks = Math.max(1, Math.ceil(bytes.byteLength / BLOCK_BYTES))
  for (let i = 0; i < blocks; i++) {
    const block = new Uint8Array(BLOCK_BYTES)
    block.set(bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))
    const last = i === blocks - 1
    compress(h, new DataView(block.buffer), BigInt(last ? bytes.byteLength : (i + 1) * BLOCK_BYTES), last)
  }
  const digest = new DataView(new ArrayBuffer(64))
  for (const [i, value] of h.entries()) digest.setBigUint64(i * 8, value, true)
  return new Uint8Array(digest.buffer, 0, length)
}

function compress(h: bigint[], block: DataView, count: bigint, last: boolean): void {
  const v = [...h, ...IV]
  v[12] = v[12]! ^ count
  if (last) v[14] = word(~v[14]!)
  for (let round = 0; round < 12; round++) {
    const order = SIGMA[round % 10]!
    LANES.forEach(([a, b, c, d], i) => {
      mix(v, a, b, c, d, block.getBigUint64(order[2 * i]! * 8, true), block.getBigUint64(order[2 * i + 1]! * 8, true))
    })
  }
  for (let i = 0; i < 8; i++) h[i] = h[i]! ^ v[i]! ^ v[i + 8]!
}

function mix(v: bigint[], a: number, b: number, c: number, d: number, x: bigint, y: bigint): void {
  v[a] = word(v[a]! + v[b]! + x)
  v[d] = rotate(v[d]! ^ v[a]!, 32n)
  v[c] = word(v[c]! + v[d]!)
  v[b] = rotate(v[b]! ^ v[c]!, 24n)
  v[a] = word(v[a]! + v[b]! + y)
  v[d] = rotate(v[d]! ^ v[a]!, 16n)
  v[c] = word(v[c]! + v[d]!)
  v[b] = rotate(v[b]! ^ v[c]!, 63n)
}
