// What is asked of `verify` and what it answers. A verdict is about bytes, never about a path: what a path leads to can change after it was read.

import type { LockedPlugin } from '../lock/lock.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { SelectedPlatform } from '../manifest/platform.ts'
import type { TrustPolicy } from './policy.ts'

/** What was found of one file: of its bytes, counted and hashed by whoever keeps exactly those bytes. */
export interface FileDigest {
  /** Lower-case hexadecimal digits. */
  readonly sha512: string
  /** Bytes. */
  readonly size: number
}

export interface VerifyRequest {
  /** The manifest as it was published. */
  readonly manifest: Uint8Array
  /** Its signatures: minisign or signify files, SSH signatures, or what one of `verifiers` knows. May be empty: the policy says what that means. */
  readonly signatures: readonly Uint8Array[]
  readonly policy: TrustPolicy
  /** Name of the plugin that was asked for. Without it any plugin of the publisher passes: give it whenever you know it. */
  readonly plugin?: string
  /** Version that was asked for, when it was an exact one. */
  readonly version?: string
  /** Platform whose files are wanted. Default: none; the verdict then has no `platform`. */
  readonly platform?: string
  /** What was found of the platform's files, by their paths in the manifest: all of them and no others. Needs `platform`. */
  readonly files?: ReadonlyMap<string, FileDigest>
  /** What the lock file knows of this plugin. */
  readonly locked?: LockedPlugin | undefined
  /** Default: the clock. */
  readonly now?: Date
  /** Extension fields that the caller understands; they may be critical. */
  readonly understands?: readonly string[]
  /** For other formats of signatures. */
  readonly verifiers?: readonly SignatureVerifier[]
}

export interface Signer {
  /** The publisher in the policy that the key belongs to. */
  readonly publisher: string
  /** `SHA256:…` as `ssh-keygen -l` prints it, for keys of every format; or the identity that a verifier reported. */
  readonly fingerprint: string
  /** The public key as one line of text; undefined where there is none. */
  readonly key: string | undefined
  /** `minisign`, `signify`, `ssh`, or a verifier's own. */
  readonly format: string
  /** What the signature says about itself under its own protection, e.g. the trusted comment of minisign. */
  readonly comment?: string
}

/**
 * Why the plugin was accepted. `pinned`: by a key in the policy. `rotated`: by one that a pinned key handed over to. `first-use`: by the key it
 * brought itself; record it. `locked`: unsigned, but exactly what the lock file holds. `unsigned`: the policy requires nothing.
 */
export type Basis = 'pinned' | 'rotated' | 'first-use' | 'locked' | 'unsigned'

export interface Verdict {
  readonly manifest: Manifest
  /** SHA-512 of the manifest's bytes, as lower-case hexadecimal digits. */
  readonly manifestSha512: string
  readonly basis: Basis
  /** Those whose signatures count, the first one is who the lock file records. Empty when the plugin is unsigned. */
  readonly signers: readonly Signer[]
  /** The files for the platform that was asked for. */
  readonly platform?: SelectedPlatform
  /** Whether `files` were given and are exactly those of the platform. */
  readonly filesChecked: boolean
}

/** One more format of signatures. */
export interface SignatureVerifier {
  readonly format: string
  /** Whether these bytes are a signature of this format. Must not throw. */
  recognizes(signature: Uint8Array): boolean
  /**
   * Who signed the document. Resolves only when the signature is valid now.
   * @throws PluginError `ERR_SIGNATURE_MALFORMED`, `ERR_SIGNATURE_INVALID`
   */
  verify(document: Uint8Array, signature: Uint8Array): Promise<{ readonly identity: string; readonly comment?: string }>
}
