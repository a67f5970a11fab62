// The public `@plugwire/trust` entry. Names are listed one by one.

export type { Lock, LockEntry, LockedPlugin, LockedRequest, LockedSigner, LockedVersion } from './lock/lock.ts'
export { emptyLock, encodeLock, LOCK_VERSION, lockPlugin, readLock, unlockPlugin } from './lock/lock.ts'
export type { UpdateLockOptions } from './lock/lock-file.ts'
export { LOCK_FILE_NAME, readLockFile, updateLockFile } from './lock/lock-file.ts'
export type { Json, JsonObject } from './manifest/json.ts'
export type {
  Manifest,
  ManifestArchive,
  ManifestContract,
  ManifestFile,
  ManifestPlatform,
  ManifestPublisher,
  PluginType,
  ReadManifestOptions,
} from './manifest/manifest.ts'
export { encodeManifest, isPluginName, MANIFEST_FORMAT, readManifest } from './manifest/manifest.ts'
export type { SelectedPlatform } from './manifest/platform.ts'
export { ANY_PLATFORM, currentPlatform, isPlatform, pathFault, platformDigests, selectPlatform } from './manifest/platform.ts'
export { compareVersions, isVersion } from './manifest/version.ts'
export type { Revocations, SignedDocument, TrustedPublisher, TrustPolicy } from './policy/policy.ts'
export type { Basis, FileDigest, SignatureVerifier, Signer, Verdict, VerifyRequest } from './policy/verdict.ts'
