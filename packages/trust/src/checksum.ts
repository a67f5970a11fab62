// A checksum that was given by hand: go-plugin's SecureConfig, of bytes instead of a path. Source: client.go `SecureConfig.Check`.

import { createHash, getHashes, timingSafeEqual } from 'node:crypto'
import { PluginError } from 'plugwire'

/** The same as `Digest` of plugwire/host, which `launch` and `verifyProgram` take. */
export interface Checksum {
  /** Any hash of `node:crypto`, e.g. `sha256`. */
  readonly algorithm: string
  /** The digest, as bytes or as hexadecimal digits of either case. */
  readonly digest: Uint8Array | string
}

/**
 * Hashes bytes and compares them, in a time that does not tell how much of the checksum is the same.
 * @param bytes The bytes that will be run, or a stream that hands them on while it is read.
 * @returns The digest.
 * @throws PluginError `ERR_CHECKSUM`, also when the checksum itself cannot be used: a missing one never passes.
 */
export async function checkChecksum(bytes: Uint8Array | AsyncIterable<Uint8Array>, expected: Checksum): Promise<Uint8Array> {
  const wanted = wantedOf(expected)
  const hash = createHash(expected.algorithm)
  if (bytes instanceof Uint8Array) hash.update(bytes)
  else for await (const part of bytes) hash.update(part)
  const actual = hash.digest()
  if (wanted.byteLength === actual.byteLength && timingSafeEqual(wanted, actual)) return new Uint8Array(actual)
  throw new PluginError('ERR_CHECKSUM', {
    expected: wanted.toString('hex'),
    actual: actual.toString('hex'),
    reason: `the ${expected.algorithm} is ${actual.toString('hex')}, not ${wanted.toString('hex')} as expected`,
    remedy: 'Do not run it. Fetch it again, and ask where the checksum came from.',
  })
}

function wantedOf({ algorithm, digest }: Checksum): Buffer {
  const fault = (reason: string): PluginError<'ERR_CHECKSUM'> =>
    new PluginError('ERR_CHECKSUM', { expected: '', actual: '', reason, remedy: 'Give a hash of node:crypto and a digest of its length.' })
  if (!isHash(algorithm)) throw fault(`${JSON.stringify(algorithm)} is no hash that this runtime has`)
  const bytes = typeof digest === 'string' ? Buffer.from(digest, 'hex') : Buffer.from(digest)
  if (typeof digest === 'string' && bytes.toString('hex') !== digest.toLowerCase()) throw fault('the checksum is not hexadecimal')
  if (bytes.byteLength === 0) throw fault('there is no checksum')
  return bytes
}

function isHash(name: string): boolean {
  if (typeof name !== 'string' || name === '') return false
  if (getHashes().includes(name)) return true
  try {
    createHash(name) // Some names are known without being listed: SHA256, sha-256.
    return true
  } catch {
    return false
  }
}
