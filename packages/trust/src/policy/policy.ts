// What the application or its user has decided about trust: plain values, nothing in them asks anybody. docs/trust.md explains them.

/** A publisher, the keys that are its own, and what it may sign. */
export interface TrustedPublisher {
  /** Has to be the name in the manifests it signs. */
  readonly name: string
  /**
   * Public keys: minisign or signify keys, lines of OpenSSH `.pub` files, or identities that a `SignatureVerifier` reports. Of an identity a `*` at its end
   * stands for any rest.
   */
  readonly keys: readonly string[]
  /** Names of plugins it may sign; a `*` at the end stands for any rest. Default: every name. */
  readonly plugins?: readonly string[]
}

/** A document with the signatures that belong to it. */
export interface SignedDocument {
  readonly document: Uint8Array
  readonly signatures: readonly Uint8Array[]
}

/** What is no longer trusted. Your own, or a publisher's as `readRevocations` gives it. */
export interface Revocations {
  /** Only this publisher's keys and manifests are meant. Default: everybody's. */
  readonly publisher?: string
  /** Fingerprints of keys (`SHA256:…`), or identities. */
  readonly keys: readonly string[]
  /** SHA-512 of manifests, as lower-case hexadecimal digits. */
  readonly manifests: readonly string[]
}

export interface TrustPolicy {
  /**
   * What a plugin has to bring. Default `signature`.
   *
   * `signature`: a valid signature by a trusted key; none is a failure. `digest`: one that is unsigned is accepted when the lock file
   * already holds exactly this manifest. `none`: unsigned is accepted; for development. A signature by a key that is known has to be good all the same.
   */
  readonly require?: 'signature' | 'digest' | 'none'
  /** Whom the application or the user trusts. Default: nobody. */
  readonly publishers?: readonly TrustedPublisher[]
  /**
   * What to do about a publisher of whom no key is known. Default `refuse`: the error tells the fingerprint. `accept`: the key that the
   * manifest itself brings counts, and the verdict says so (`basis: 'first-use'`); show the fingerprint and record the key, or the next
   * time is a first time again.
   */
  readonly firstUse?: 'refuse' | 'accept'
  /** Statements by which publishers hand over from an old key to a new one. Those that do not concern the plugin at hand are not looked at. */
  readonly rotations?: readonly SignedDocument[]
  readonly revocations?: readonly Revocations[]
  /** Names of plugins that may go back to a lower version; true for all of them. Default: none. */
  readonly allowDowngrade?: boolean | readonly string[]
  /** How many different trusted keys have to have signed; whatever fits one identity with a `*`, or comes from one key by rotation, is one. Default 1. */
  readonly threshold?: number
  /** Refuses manifests without `notAfter`. Default false. */
  readonly requireExpiry?: boolean
  /** What to do when `notAfter` has passed. `refuse` (default), or `locked`: what the lock file already holds goes on working. */
  readonly expired?: 'refuse' | 'locked'
}

/** A scheme and a colon, which no key has: `sigstore:…`, `openpgp:…`. */
export const isIdentity = (text: string): boolean => /^[a-z][a-z0-9]*:\S/.test(text)

/** Whether a text can be what a revocation names as a key: a fingerprint, or an identity. What is misspelt would revoke nothing. */
export const namesKey = (text: unknown): boolean =>
  typeof text === 'string' && (/^SHA256:[A-Za-z0-9+/]{43}$/.test(text) || isIdentity(text))

export const namesManifest = (text: unknown): boolean => typeof text === 'string' && /^[0-9a-f]{128}$/.test(text)

/** Whether one of the patterns fits: a name, or its beginning followed by `*`. */
export function mayName(patterns: readonly string[] | undefined, name: string): boolean {
  if (patterns === undefined) return true
  return patterns.some(pattern => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern))
}
