// What the value codec needs of Node, Bun and Deno beyond their documentation, and the order of bytes in this machine's memory.

/** Methods that Buffer has in Node, Bun and Deno and that its documentation leaves out. Without them: the documented, slower ones. */
interface RawBuffer {
  latin1Slice?(start: number, end: number): string
  utf8Slice?(start: number, end: number): string
  utf8Write?(text: string, offset: number): number
}

const raw = Buffer.prototype as RawBuffer
export const latin1Slice: (bytes: Buffer, start: number, end: number) => string = raw.latin1Slice
  ? (bytes, start, end) => (bytes as Buffer & Required<RawBuffer>).latin1Slice(start, end)
  : (bytes, start, end) => bytes.toString('latin1', start, end)
export const utf8Slice: (bytes: Buffer, start: number, end: number) => string = raw.utf8Slice
  ? (bytes, start, end) => (bytes as Buffer & Required<RawBuffer>).utf8Slice(start, end)
  : (bytes, start, end) => bytes.toString('utf8', start, end)
export const utf8Write: (bytes: Buffer, text: string, offset: number) => number = raw.utf8Write
  ? (bytes, text, offset) => (bytes as Buffer & Required<RawBuffer>).utf8Write(text, offset)
  : (bytes, text, offset) => bytes.write(text, offset, 'utf8')

/** False when the string holds half of a surrogate pair. */
export const isWellFormed = (value: string): boolean => (value as string & { isWellFormed(): boolean }).isWellFormed()

export const nothing: Buffer = Buffer.alloc(0)
export const nothingView: DataView = new DataView(new ArrayBuffer(0))
export const littleEndian: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** The same elements with their bytes the other way round. */
export function swapped(memory: Uint8Array, size: number): Uint8Array {
  const copy = new Uint8Array(memory)
  for (let start = 0; size > 1 && start < copy.length; start += size) copy.subarray(start, start + size).reverse()
  return copy
}

let slab: Buffer = nothing
let used = 0

/**
 * Memory for a small byte array, with anything in it.
 *
 * Cut from the pool of `Buffer.allocUnsafe`, which Node keeps from being transferred to other threads: that would empty its neighbours.
 */
export function pooled(length: number): Uint8Array {
  if (used + length > slab.length) {
    slab = Buffer.allocUnsafe(Math.max(length, SLAB_BYTES))
    used = 0
  }
  const piece = new Uint8Array(slab.buffer, slab.byteOffset + used, length)
  // Eight: any typed array may be laid over it.
  used += (length + 7) & ~7
  return piece
}

/** The most that `Buffer.allocUnsafe` takes from its pool by default. */
const SLAB_BYTES = 4088
