// What a manifest beside a plugin says about it, before anybody has verified it: good for listing and choosing, never a reason to run something.

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { isPluginName, isVersion } from '@plugwire/trust'
import { MAX_MANIFEST_BYTES } from '../limits.ts'

/** Unverified. `verify` of @plugwire/trust turns the same bytes into facts. */
export interface Claims {
  readonly name: string
  readonly version: string
  readonly type: string
  readonly publisher: string
  readonly contract: { readonly name: string; readonly versions: readonly number[]; readonly protocols: readonly string[] }
  /** Entry by platform. */
  readonly entries: ReadonlyMap<string, string>
}

/**
 * Reads a manifest's claims.
 * @param follow Whether a link is followed; otherwise it is an error of the system, `ELOOP`.
 * @returns undefined when there is no file.
 * @throws SyntaxError saying what is wrong with it; the system's error when it cannot be read.
 */
export function readClaims(path: string, follow = true): { readonly claims: Claims; readonly stats: Stats } | undefined {
  let descriptor: number
  try {
    // Without waiting: a pipe in its place would keep us forever.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | (follow ? 0 : constants.O_NOFOLLOW))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new SyntaxError('it is no file')
    if (stats.size > MAX_MANIFEST_BYTES) throw new SyntaxError(`it has ${stats.size} bytes, at most ${MAX_MANIFEST_BYTES} are read`)
    const bytes = Buffer.allocUnsafe(stats.size)
    const length = readSync(descriptor, bytes, 0, bytes.length, 0)
    return { claims: claimsOf(JSON.parse(bytes.toString('utf8', 0, length))), stats }
  } finally {
    closeSync(descriptor)
  }
}

function claimsOf(document: unknown): Claims {
  const { name, version, type, publisher, contract, platforms } = objectOf(document, 'the manifest')
  if (typeof name !== 'string' || !isPluginName(name)) throw new SyntaxError('its name is no name of a plugin')
  if (typeof version !== 'string' || !isVersion(version)) throw new SyntaxError('its version is no semver version')
  const { name: contractName, versions, protocols } = objectOf(contract, 'its contract')
  const { name: publisherName } = objectOf(publisher, 'its publisher')
  if (!Array.isArray(versions) || !versions.every(Number.isSafeInteger))
    throw new SyntaxError('the versions of its contract are no numbers')
  if (!Array.isArray(protocols)) throw new SyntaxError('the protocols of its contract are no list')
  const entries = new Map<string, string>()
  for (const [platform, value] of Object.entries(objectOf(platforms, 'its platforms'))) {
    const { entry } = objectOf(value, `its platform ${platform}`)
    if (typeof entry === 'string') entries.set(platform, entry)
  }
  return {
    name,
    version,
    type: String(type),
    publisher: String(publisherName),
    contract: { name: String(contractName), versions: versions as number[], protocols: protocols.map(String) },
    entries,
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SyntaxError(`${what} is no object`)
  return value as Record<string, unknown>
}
