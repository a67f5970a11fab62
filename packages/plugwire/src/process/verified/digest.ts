// What a program is expected to be: the digest of its bytes. Any hash of node:crypto, compared in constant time.

import type { Hash } from 'node:crypto'
import { PluginError } from '../../errors.ts'

/** The digest that somebody trustworthy told. go-plugin's `SecureConfig`. */
export interface Digest {
  /** A hash of node:crypto, e.g. `sha256`. */
  readonly algorithm: string
  /** The digest itself, or its text in hexadecimal. */
  readonly digest: Uint8Array | string
}

/** A digest that can be compared with. */
export class ExpectedDigest {
  readonly algorithm: string
  readonly #bytes: Uint8Array

  /** @throws PluginError `ERR_CHECKSUM` when the digest is empty or no hexadecimal, or the hash is not known. */
  constructor({ algorithm, digest }: Digest) {
    this.algorithm = algorithm
    this.#bytes = typeof digest === 'string' ? fromHex(digest) : Uint8Array.from(digest)
    const made = this.hash().digest()
    if (this.#bytes.length !== made.length) {
      throw refused(
        `a digest of ${algorithm} has ${made.length} bytes, the one given has ${this.#bytes.length}`,
        'Give the whole digest.',
        this.hex,
        '',
      )
    }
  }

  get hex(): string {
    return Buffer.from(this.#bytes).toString('hex')
  }

  /** A fresh hash to put the bytes into. */
  hash(): Hash {
    try {
      return process.getBuiltinModule('node:crypto').createHash(this.algorithm)
    } catch (cause) {
      throw refused(`there is no hash ${JSON.stringify(this.algorithm)}`, 'Use one of node:crypto, e.g. sha256.', this.hex, '', cause)
    }
  }

  /** @throws PluginError `ERR_CHECKSUM` when what was hashed is something else. */
  check(hash: Hash, what: string): void {
    const actual = hash.digest()
    if (process.getBuiltinModule('node:crypto').timingSafeEqual(actual, this.#bytes)) return
    throw refused(
      `${what} is not what it was expected to be: its ${this.algorithm} differs`,
      'It was changed, or it is another release; get it again from its source.',
      this.hex,
      actual.toString('hex'),
    )
  }
}

function fromHex(text: string): Uint8Array {
  if (text.length === 0 || text.length % 2 !== 0 || /[^0-9a-f]/i.test(text)) {
    throw refused('the expected digest is empty or no hexadecimal text', 'Give the digest as bytes, or as hexadecimal text.', text, '')
  }
  return Buffer.from(text, 'hex')
}

function refused(reason: string, remedy: string, expected: string, actual: string, cause?: unknown): PluginError {
  return new PluginError('ERR_CHECKSUM', { reason, remedy, expected, actual }, cause === undefined ? undefined : { cause })
}
