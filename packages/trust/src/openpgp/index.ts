// The public `@plugwire/trust/openpgp` entry. Names are listed one by one.

export type { OpenPgpOptions, OpenPgpSigner } from './openpgp.ts'
export { openPgpVerifier, readSignedSha256Sums, verifyOpenPgp } from './openpgp.ts'
