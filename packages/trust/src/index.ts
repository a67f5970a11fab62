// The public `@plugwire/trust` entry. Names are listed one by one.

export type { Checksum } from './checksum.ts'
export { checkChecksum } from './checksum.ts'
export type { Lock, LockEntry, LockedPlugin, LockedRequest, LockedSigner, LockedVersion } from './lock/lock.ts'
export { emptyLock, encodeLock, LOCK_VERSION, lockPlugin, readLock, unlockPlugin } from './lock/lock.ts'
export type { UpdateLockOptions } from './lock/lock-file.ts'
export { LOCK_FILE_NAME, readLockFile, updateLockFile, verifyAndLock } from './lock/lock-file.ts'
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
export { canonicalize, documentFormat, encodeManifest, isPluginName, MANIFEST_FORMAT, readManifest } from './manifest/manifest.ts'
export type { SelectedPlatform } from './manifest/platform.ts'
export { ANY_PLATFORM, currentPlatform, isPlatform, pathFault, platformDigests, selectPlatform } from './manifest/platform.ts'
export { compareVersions, isVersion } from './manifest/version.ts'
export { readRevocations, verifyRotation } from './policy/keyring.ts'
export type { Revocations, SignedDocument, TrustedPublisher, TrustPolicy } from './policy/policy.ts'
export type { RevocationList, Rotation } from './policy/statement.ts'
export {
  encodeRevocationList,
  encodeRotation,
  REVOCATIONS_FORMAT,
  ROTATION_FORMAT,
  readRevocationList,
  readRotation,
} from './policy/statement.ts'
export type { Basis, FileDigest, SignatureVerifier, Signer, Verdict, VerifyRequest } from './policy/verdict.ts'
export { checkFile, digestFile, verify } from './policy/verify.ts'
export { checkSha256Sum, readSha256Sums } from './sha256sums.ts'
export type { MinisignOptions, ScryptCost } from './signatures/minisign.ts'
export type { KeyFormat, PublicKey } from './signatures/public-key.ts'
export { readPublicKey } from './signatures/public-key.ts'
export type { ExportOptions, SignOptions } from './signatures/secret-key.ts'
export { generateKey, readSecretKey, SecretKey } from './signatures/secret-key.ts'
export type { VerifiedSignature } from './signatures/signature.ts'
export { verifySignature } from './signatures/signature.ts'
export { SSH_NAMESPACE } from './signatures/sshsig.ts'
export type { KnownKey, KnownPublisher, Trust, TrustBasis, TrustEntry } from './trusted/trust.ts'
export {
  distrust,
  emptyTrust,
  encodeTrust,
  isRevoked,
  readTrust,
  revoke,
  trustFirstUse,
  trustKey,
  trustPolicy,
  trustRevocations,
  trustRotation,
} from './trusted/trust.ts'
export { defaultTrustFile, readTrustFile, updateTrustFile } from './trusted/trust-file.ts'
