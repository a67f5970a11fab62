// Sigstore bundles of signed files, as `cosign sign-blob --bundle` writes them, verified without a network. Needs the packages
// `@sigstore/bundle`, `@sigstore/verify` and `@sigstore/protobuf-specs`, which are loaded when the first bundle is verified.

import type { Bundle } from '@sigstore/bundle'
import type { TrustMaterial } from '@sigstore/verify'
import { PluginError } from 'plugwire'
import { MAX_BUNDLE_BYTES } from '../limits.ts'
import type { SignatureVerifier } from '../policy/verdict.ts'

export interface SigstoreOptions {
  /**
   * The certificate authorities and logs to trust: a `trusted_root.json`, as text. Sigstore's own is distributed by TUF and changes from time to time;
   * bring the one that you have checked, and renew it with your application. This package fetches nothing.
   */
  readonly trustedRoot: string | Uint8Array
}

const MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle'

const malformed = (reason: string, cause?: unknown): PluginError<'ERR_SIGNATURE_MALFORMED'> =>
  new PluginError('ERR_SIGNATURE_MALFORMED', { reason, remedy: 'Give the bundle as `cosign sign-blob --bundle` wrote it.' }, { cause })

const invalid = (fingerprint: string, reason: string, cause?: unknown): PluginError<'ERR_SIGNATURE_INVALID'> =>
  new PluginError(
    'ERR_SIGNATURE_INVALID',
    { fingerprint, reason, remedy: 'Do not use the file. Fetch file and bundle again, from their publisher; is the trusted root current?' },
    { cause },
  )

/**
 * For `verify`: manifests with Sigstore bundles.
 *
 * The identity is `sigstore:<issuer>#<subject>`, both as the certificate has them, e.g.
 * `sigstore:https://token.actions.githubusercontent.com#https://github.com/acme/aws/.github/workflows/release.yml@refs/tags/v1.0.0`. A policy pins it among the
 * keys of a publisher, exactly or with a `*` at its end. One entry of a transparency log, its time and one certificate log are required. Bundles with a
 * bare public key and attestations about a file (DSSE) are refused: they do not say who signed, or are not a signature of these bytes.
 */
export function sigstoreVerifier(options: SigstoreOptions): SignatureVerifier {
  let material: Promise<TrustMaterial> | undefined
  return {
    format: 'sigstore',
    recognizes: bytes => bytes[0] === 0x7b && Buffer.from(bytes.subarray(0, 65_536)).includes(MEDIA_TYPE),
    verify: async (document, signature) => {
      if (signature.byteLength > MAX_BUNDLE_BYTES) throw malformed(`the Sigstore bundle has more than ${MAX_BUNDLE_BYTES} bytes`)
      material ??= materialOf(options.trustedRoot)
      return { identity: await identityOf(document, signature, await material) }
    },
  }
}

async function load<T>(module: () => Promise<T>): Promise<T> {
  try {
    return await module()
  } catch (cause) {
    throw new PluginError(
      'ERR_SIGNATURE_KEY',
      {
        reason: 'Sigstore bundles cannot be verified: the packages are not installed',
        remedy: 'npm install @sigstore/bundle @sigstore/verify @sigstore/protobuf-specs',
      },
      { cause },
    )
  }
}

async function materialOf(trustedRoot: string | Uint8Array): Promise<TrustMaterial> {
  const { TrustedRoot } = await load(() => import('@sigstore/protobuf-specs'))
  const { toTrustMaterial } = await load(() => import('@sigstore/verify'))
  try {
    const text = typeof trustedRoot === 'string' ? trustedRoot : Buffer.from(trustedRoot).toString('utf8')
    // Without keys by name: who a bare key belongs to is not said anywhere.
    return toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(text)))
  } catch (cause) {
    throw new PluginError(
      'ERR_SIGNATURE_KEY',
      { reason: `the trusted root of Sigstore cannot be read: ${(cause as Error).message}`, remedy: 'Give a trusted_root.json.' },
      { cause },
    )
  }
}

async function identityOf(document: Uint8Array, bytes: Uint8Array, material: TrustMaterial): Promise<string> {
  const { bundleFromJSON, isBundleWithMessageSignature } = await load(() => import('@sigstore/bundle'))
  const { toSignedEntity, Verifier } = await load(() => import('@sigstore/verify'))
  let bundle: Bundle
  try {
    bundle = bundleFromJSON(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (cause) {
    throw malformed(`the Sigstore bundle cannot be read: ${(cause as Error).message}`, cause)
  }
  if (!isBundleWithMessageSignature(bundle)) throw malformed('the Sigstore bundle is an attestation, not a signature of a file')
  if (bundle.verificationMaterial.content.$case === 'publicKey')
    throw malformed('the Sigstore bundle names a bare key and nobody it belongs to')
  try {
    const { identity } = new Verifier(material).verify(toSignedEntity(bundle, Buffer.from(document)))
    const issuer = identity?.extensions?.issuer
    const subject = identity?.subjectAlternativeName
    if (!issuer || !subject) throw invalid('', 'the certificate in the Sigstore bundle names no issuer or no subject')
    return `sigstore:${issuer}#${subject}`
  } catch (cause) {
    if (cause instanceof PluginError) throw cause
    throw invalid('', `the Sigstore bundle is not valid for these bytes: ${(cause as Error).message}`, cause)
  }
}
