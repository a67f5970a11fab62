// Every number of this package that protects a host from a source, an archive or a directory. docs/plugins.md lists them.

/** Bounds for one archive. What an archive claims is held against them before anything is allocated. */
export interface ArchiveLimits {
  /** Files and directories. Default 50_000. */
  readonly maxEntries: number
  /** Bytes of one file, unpacked. Default 1 GiB. */
  readonly maxEntryBytes: number
  /** Bytes of all files, unpacked. Default 2 GiB. */
  readonly maxTotalBytes: number
  /** Bytes of one path. Default 1_024. */
  readonly maxPathBytes: number
}

export const defaultArchiveLimits: ArchiveLimits = {
  maxEntries: 50_000,
  maxEntryBytes: 1024 ** 3,
  maxTotalBytes: 2 * 1024 ** 3,
  maxPathBytes: 1_024,
}

/** Bytes of an extended tar header, which has to be read as a whole. */
export const MAX_TAR_EXTENSION_BYTES: number = 64 * 1024
/** Zeros behind the end of a tar archive. */
export const MAX_TAR_PADDING_BYTES: number = 1024 * 1024
/** Bytes of a zip archive's directory, which has to be read as a whole. */
export const MAX_ZIP_DIRECTORY_BYTES: number = 16 * 1024 * 1024
/** Bytes of a manifest, or of a signature beside it. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024
/** Signatures of one manifest: `@plugwire/trust` has the same number. */
export const MAX_SIGNATURES: number = 16
/** Bytes of a document of a registry: lists of versions, keys, sums. */
export const MAX_DOCUMENT_BYTES: number = 64 * 1024 * 1024
/** Bytes of one file of a release. */
export const MAX_FILE_BYTES: number = 2 * 1024 ** 3
/** Names that are looked at in one directory; the rest is reported as not seen. */
export const MAX_DIRECTORY_NAMES: number = 100_000
