// What `plugwire.lock` says, as a value: read from its text, changed by making a new one, written in one way only. Knows no file.
//
// A lock narrows, it never grants: it lies in a directory that may be a stranger's. Who is trusted is said by the policy.

import { PluginError } from 'plugwire'
import { MAX_STATE_BYTES } from '../limits.ts'
import { isObject, type Json, JsonFault, type JsonObject, readJson, writeCanonical } from '../manifest/json.ts'
import { isPluginName } from '../manifest/manifest.ts'
import { compareVersions, isVersion } from '../manifest/version.ts'

export const LOCK_VERSION = 1

export interface LockedSigner {
  /** Name of the publisher, as the policy calls it. */
  readonly publisher: string
  /** `SHA256:…` of the key, or the identity that a verifier reported. */
  readonly fingerprint: string
  /** The public key itself, for those who want to pin it; a lock does not make it trusted. */
  readonly key?: string
}

export interface LockedVersion {
  /** SHA-512 of the manifest, as lower-case hexadecimal digits. It covers every file of every platform. */
  readonly manifest: string
  /** Where it came from, e.g. `npm:@acme/aws-plugin@2.1.0` or a URL. */
  readonly source: string
  /** By platform: digests such as `files:sha512:…` or `archive:sha256:…`. */
  readonly platforms: ReadonlyMap<string, readonly string[]>
}

export interface LockedPlugin {
  /** The highest version that was ever accepted. A lower one is refused unless the policy allows it. */
  readonly highest: string
  /** Who signed; null when the plugin is unsigned. */
  readonly signer: LockedSigner | null
  readonly versions: ReadonlyMap<string, LockedVersion>
}

export interface LockedRequest {
  readonly plugin: string
  readonly version: string
}

export interface Lock {
  readonly plugins: ReadonlyMap<string, LockedPlugin>
  /** What was asked for, e.g. `npm:@acme/aws-plugin@^2`, and what it led to. */
  readonly requests: ReadonlyMap<string, LockedRequest>
}

export const emptyLock: Lock = { plugins: new Map(), requests: new Map() }
