// Every number that bounds what a stranger's file may cost. docs/manifest.md lists them.

/** Bytes of a manifest, a statement or a revocation list. */
export const MAX_DOCUMENT_BYTES: number = 4 * 1024 * 1024
/** Levels of nesting in one of them. */
export const MAX_DOCUMENT_DEPTH: number = 16
/** Values in one of them: objects, lists, texts, numbers. */
export const MAX_DOCUMENT_VALUES: number = 200_000
/** Bytes of one signature file. */
export const MAX_SIGNATURE_BYTES: number = 16 * 1024
/** Bytes of a Sigstore bundle, which brings certificates and log entries along. */
export const MAX_BUNDLE_BYTES: number = 64 * 1024
/** Bytes of one key file. */
export const MAX_KEY_BYTES: number = 16 * 1024
/** Signatures that are looked at for one manifest. */
export const MAX_SIGNATURES: number = 16
/** Files of one platform. */
export const MAX_FILES: number = 10_000
/** Bytes of a file's path inside a plugin. */
export const MAX_PATH_BYTES: number = 512
/** Platforms of one manifest. */
export const MAX_PLATFORMS: number = 64
/** Rotation statements that may lead from one key to another. */
export const MAX_ROTATIONS: number = 16
/** Bytes of a lock file or of the file of trusted keys. */
export const MAX_STATE_BYTES: number = 16 * 1024 * 1024
/** Bytes of a `SHA256SUMS` file. */
export const MAX_SUMS_BYTES: number = 4 * 1024 * 1024
/** Bytes of memory that the password of a minisign key may ask of scrypt: what minisign itself asks for. */
export const MAX_SCRYPT_BYTES: number = 1024 * 1024 * 1024
