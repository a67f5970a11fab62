// `SHA256SUMS` files, as release pages offer them and `sha256sum` prints them. Says nothing of who wrote one: verify its signature first.

import { timingSafeEqual } from 'node:crypto'
import { PluginError } from 'plugwire'
import { MAX_SUMS_BYTES } from './limits.ts'

function sumsFault(reason: string): PluginError<'ERR_CHECKSUM'> {
  return new PluginError('ERR_CHECKSUM', { expected: '', actual: '', reason, remedy: 'Give the file as `sha256sum` wrote it.' })
}

/**
 * Reads a file of SHA-256 checksums: `<64 hexadecimal digits>  <name>`, with ` *` before the name in binary mode, with a leading `\` when the
 * name is escaped.
 * @returns Checksums as lower-case digits, by name.
 * @throws PluginError `ERR_CHECKSUM` when a line is not of that form, or a name stands there twice.
 */
export function readSha256Sums(bytes: Uint8Array): ReadonlyMap<string, string> {
  if (bytes.byteLength > MAX_SUMS_BYTES) throw sumsFault(`the checksums have more than ${MAX_SUMS_BYTES} bytes`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw sumsFault('the checksums are not UTF-8')
  }
  const sums = new Map<string, string>()
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return
    const match = /^(\\?)([0-9A-Fa-f]{64}) [ *](.+?)\r?$/.exec(line)
    if (match === null) throw sumsFault(`line ${i + 1} of the checksums is not one: ${JSON.stringify(line.slice(0, 80))}`)
    const [, escaped, digits, given] = match as unknown as [string, string, string, string]
    const name =
      escaped === '' ? given : given.replace(/\\([\\nr])/g, (_, letter: string) => (letter === 'n' ? '\n' : letter === 'r' ? '\r' : '\\'))
    if (sums.has(name)) throw sumsFault(`line ${i + 1} of the checksums names ${JSON.stringify(name.slice(0, 100))} again`)
    sums.set(name, digits.toLowerCase())
  })
  return sums
}

/**
 * Compares one file's SHA-256 with its line.
 * @param sha256 Of the bytes that will be used, as lower-case hexadecimal digits.
 * @throws PluginError `ERR_CHECKSUM`, also when the file has no line.
 */
export function checkSha256Sum(sums: ReadonlyMap<string, string>, name: string, sha256: string): void {
  const expected = sums.get(name)
  if (expected === undefined) throw sumsFault(`the checksums have no line for ${JSON.stringify(name)}`)
  const [a, b] = [Buffer.from(expected, 'latin1'), Buffer.from(sha256, 'latin1')]
  if (a.byteLength === b.byteLength && timingSafeEqual(a, b)) return
  throw new PluginError('ERR_CHECKSUM', {
    expected,
    actual: sha256,
    reason: `the sha256 of ${name} is ${sha256}, not ${expected} as expected`,
    remedy: 'Do not run it. Fetch it again.',
  })
}
