// What every reader of archives gives: one file after the other, in the order in which they stand.

/** One file of an archive. Directories are not listed: they follow from the paths. */
export interface ArchiveFile {
  /** Names joined by `/`: relative, without `..`, unlike every other path of the archive on any system. */
  readonly path: string
  /** Bytes, unpacked. `body` has exactly that many, or fails. */
  readonly size: number
  /** Whether the archive says that its owner may execute it. Every other bit of its mode is dropped. */
  readonly executable: boolean
  /** To be read once, before the next file is asked for; what is left over is skipped. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Bytes that can be read anywhere: what the directory at the end of a zip archive needs. */
export interface RandomAccess {
  readonly size: number
  /** Exactly `length` bytes. Never called beyond `size`. */
  read(offset: number, length: number): Promise<Uint8Array>
}
