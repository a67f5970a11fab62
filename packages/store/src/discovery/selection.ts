// Chooses among what was discovered: by name, by semver range and by contract, newest first. Reads no files.

import { PluginError } from 'plugwire'
import semver from 'semver'
import type { Candidate, Discovery } from './discover.ts'
import type { Refusal } from './ownership.ts'

export interface Wanted {
  readonly name: string
  /** Semver range. Default: any version, and none. Without a version a candidate only fits any. */
  readonly range?: string
  /** What the host understands. A candidate whose manifest claims nothing in common is left out; one without a manifest stays, its handshake will tell. */
  readonly contract?: { readonly name?: string; readonly versions?: readonly number[]; readonly protocols?: readonly string[] }
}

/** Candidates of that name, newest first, each with everything that speaks against it for this purpose. */
export function rankCandidates({ candidates }: Discovery, wanted: Wanted): Candidate[] {
  const range = parseRange(wanted.range)
  return candidates
    .filter(({ name }) => name === wanted.name)
    .map(candidate => {
      const more = [otherVersion(candidate, range, wanted.range), otherContract(candidate, wanted)].filter(refusal => refusal !== undefined)
      return more.length === 0 ? candidate : { ...candidate, refusals: [...candidate.refusals, ...more] }
    })
}

/**
 * The newest candidate that may be run.
 * @throws PluginError `ERR_DISCOVER_NONE` with the reasons of all others.
 */
export function selectCandidate(discovery: Discovery, wanted: Wanted): Candidate {
  const ranked = rankCandidates(discovery, wanted)
  const found = ranked.find(({ refusals }) => refusals.length === 0)
  if (found !== undefined) return found
  const refusals = ranked.flatMap(candidate => candidate.refusals.map(({ path, text }) => `${path}: ${text}`))
  const what = `${wanted.name}${wanted.range === undefined ? '' : ` ${wanted.range}`}`
  const directories = discovery.places.map(({ directory }) => directory).join(', ')
  throw new PluginError('ERR_DISCOVER_NONE', {
    subject: `the plugin ${what}`,
    reason: ranked.length === 0 ? `none was found in ${directories}` : `none of ${ranked.length} may be run (${refusals.join('; ')})`,
    remedy:
      ranked.length === 0 ? 'Install it, or name its directory.' : (ranked[0] as Candidate).refusals.map(({ remedy }) => remedy).join(' '),
    refusals,
  })
}

/** @throws PluginError `ERR_SOURCE_ADDRESS` */
function parseRange(text: string | undefined): semver.Range | undefined {
  if (text === undefined || text === '' || text === '*') return undefined
  try {
    return new semver.Range(text)
  } catch (cause) {
    throw new PluginError(
      'ERR_SOURCE_ADDRESS',
      { subject: text.slice(0, 200), reason: 'it is no semver range', remedy: 'Write for example ^1.2.0, ~1.2.0, 1.x or >=1.2 <3.' },
      { cause },
    )
  }
}

function otherVersion({ version, path }: Candidate, range: semver.Range | undefined, text: string | undefined): Refusal | undefined {
  if (range === undefined || (version !== undefined && range.test(version))) return undefined
  const what = version === undefined ? 'it has no version' : `it has version ${version}`
  return { reason: 'other-version', path, text: `${what}, ${text} is wanted`, remedy: 'Install a version in that range.' }
}

function otherContract({ claims, path }: Candidate, { contract }: Wanted): Refusal | undefined {
  if (claims === undefined || contract === undefined) return undefined
  const { name, versions, protocols } = contract
  const text =
    name !== undefined && name !== claims.contract.name
      ? `it serves the contract ${claims.contract.name}, not ${name}`
      : versions !== undefined && !versions.some(version => claims.contract.versions.includes(version))
        ? `it serves version ${claims.contract.versions.join(', ')} of the contract, ${versions.join(', ')} is understood here`
        : protocols !== undefined && !protocols.some(protocol => claims.contract.protocols.includes(protocol))
          ? `it speaks ${claims.contract.protocols.join(', ')}, ${protocols.join(', ')} is understood here`
          : undefined
  return text === undefined
    ? undefined
    : { reason: 'other-contract', path, text, remedy: 'Install another version of it, or update this program.' }
}
