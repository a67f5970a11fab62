// The public `@plugwire/trust/sigstore` entry. Names are listed one by one.

export type { SigstoreOptions } from './sigstore.ts'
export { sigstoreVerifier } from './sigstore.ts'
