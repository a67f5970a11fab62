// Secret keys of both families behind one face: made, read, used to sign, written. The secret never shows when a key is printed.

import { MAX_KEY_BYTES } from '../limits.ts'
import {
  type MinisignOptions,
  type MinisignSecret,
  minisignPublicFile,
  minisignSecretFile,
  newMinisignSecret,
  readMinisignSecret,
  type ScryptCost,
  signMinisign,
} from './minisign.ts'
import { type KeyFormat, keyFault, type PublicKey, readPublicKey } from './public-key.ts'
import { looksLikeSshSecret, newSshSecret, readSshSecret, type SshSecret, signSsh, sshPublicFile, sshSecretFile } from './sshsig.ts'

export interface SignOptions extends MinisignOptions {
  /** Of an SSH signature; a verifier asks for the same. Default `plugwire`. */
  readonly namespace?: string
}

export interface ExportOptions {
  /** Encrypts a minisign key; SSH keys are written without (`ssh-keygen -p` gives them a password). Default: none. */
  readonly password?: string
  /** What the password costs whoever tries it. */
  readonly cost?: ScryptCost
  /** At the end of an SSH key. Default: none. */
  readonly comment?: string
}

type Secret = ({ readonly format: 'minisign' } & MinisignSecret) | ({ readonly format: 'ssh' } & SshSecret)

export class SecretKey {
  readonly #secret: Secret
  readonly publicKey: PublicKey

  /** @internal Use `generateKey` and `readSecretKey`. */
  constructor(secret: Secret) {
    this.#secret = secret
    this.publicKey = readPublicKey(secret.publicKey.text)
  }

  get format(): KeyFormat {
    return this.#secret.format
  }

  /** How a file with a signature by this key ends: `.minisig`, `.sig`. */
  get signatureEnding(): string {
    return this.format === 'minisign' ? '.minisig' : '.sig'
  }

  /** The signature as a file that `minisign -V`, `signify -V` or `ssh-keygen -Y verify` takes. */
  sign(document: Uint8Array, options: SignOptions = {}): Uint8Array {
    return this.#secret.format === 'minisign'
      ? signMinisign(document, this.#secret, options)
      : signSsh(document, this.#secret, options.namespace)
  }

  /** Both halves as files. Keep the secret one where only you can read it. */
  async export(options: ExportOptions = {}): Promise<{ readonly secret: string; readonly public: string }> {
    const { comment = '', password, cost } = options
    if (this.#secret.format === 'minisign') {
      return { secret: await minisignSecretFile(this.#secret, password, cost), public: minisignPublicFile(this.#secret.publicKey) }
    }
    if (password !== undefined) throw keyFault('an SSH key is written without a password; give it one with ssh-keygen -p')
    if (/[\r\n]/.test(comment)) throw new TypeError('the comment of a key is one line')
    return { secret: sshSecretFile(this.#secret, comment), public: sshPublicFile(this.#secret.publicKey, comment) }
  }
}

export function generateKey(format: KeyFormat): SecretKey {
  return new SecretKey(format === 'minisign' ? { format, ...newMinisignSecret() } : { format, ...newSshSecret() })
}

/**
 * Reads a secret key: of minisign, of signify (made with `-n`), or an unencrypted Ed25519 key of OpenSSH.
 * @param password Of an encrypted minisign key; a function is called only when it is needed.
 * @throws PluginError `ERR_SIGNATURE_KEY`
 */
export async function readSecretKey(
  given: string | Uint8Array,
  password?: string | (() => string | undefined | Promise<string | undefined>),
): Promise<SecretKey> {
  if (Buffer.byteLength(given) > MAX_KEY_BYTES) throw keyFault(`the secret key has more than ${MAX_KEY_BYTES} bytes`)
  const text = typeof given === 'string' ? given : Buffer.from(given).toString('utf8')
  if (looksLikeSshSecret(text)) return new SecretKey({ format: 'ssh', ...readSshSecret(text) })
  const ask = async (): Promise<string | undefined> => (typeof password === 'function' ? password() : password)
  return new SecretKey({ format: 'minisign', ...(await readMinisignSecret(text, ask)) })
}
