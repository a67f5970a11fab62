// What an installation says while it goes on.

import type { Basis, Signer } from '@plugwire/trust'
import type { Finding } from '../sources/source.ts'

interface OfRelease {
  readonly name: string
  readonly version: string
}

export type InstallEvent =
  /** An address has led to a release. */
  | (OfRelease & { readonly kind: 'resolved'; readonly request: string; readonly address: string; readonly locked: boolean })
  /** A part of a file has come. */
  | (OfRelease & { readonly kind: 'fetch'; readonly file: string; readonly receivedBytes: number; readonly totalBytes: number | undefined })
  /** The source found something out. */
  | (OfRelease & { readonly kind: 'finding'; readonly finding: Finding })
  /** The manifest was accepted. Its files are fetched only now. */
  | (OfRelease & { readonly kind: 'verified'; readonly basis: Basis; readonly signers: readonly Signer[] })
  /** Everything is in the store, and the lock file says so. */
  | (OfRelease & { readonly kind: 'locked'; readonly lockFile: string })
