// The errors of sources, each with what to do about it.

import { PluginError } from 'plugwire'
import semver from 'semver'

export function malformed(subject: string, reason: string, cause?: unknown): PluginError {
  return new PluginError('ERR_SOURCE_MALFORMED', { subject, reason, remedy: 'Tell whoever runs the source.' }, { cause })
}

export function badAddress(subject: string, reason: string, remedy: string): PluginError {
  return new PluginError('ERR_SOURCE_ADDRESS', { subject, reason, remedy })
}

export function noPlugin(source: string, name: string): PluginError {
  const remedy = "Compare the name, letter by letter: a similar one may be somebody else's."
  return new PluginError('ERR_SOURCE_NOT_FOUND', { subject: name, reason: `${source} has no plugin of that name`, remedy, versions: [] })
}

export function tooLarge(subject: string, limit: string, max: number): PluginError {
  const reason = `it has more than ${max} bytes, which is ${limit === 'size' ? 'what was announced' : 'the limit'}`
  return new PluginError('ERR_SOURCE_LIMIT', {
    subject,
    reason,
    remedy: 'Nothing of it is kept. If it stays so, tell whoever runs the source.',
    limit,
    max,
  })
}

/**
 * The newest of some versions in a range.
 * @throws PluginError `ERR_SOURCE_NOT_FOUND`, `ERR_SOURCE_ADDRESS`
 */
export function newestOf(versions: readonly string[], range: string, name: string, source: string): string {
  if (semver.validRange(range) === null)
    throw badAddress(`${name}@${range}`, `${range} is no semver range`, 'Write for example ^1.2.0 or 1.2.3.')
  const newest = semver.maxSatisfying([...versions], range)
  if (newest !== null) return newest
  const sorted = versions.filter(version => semver.valid(version) !== null).sort(semver.rcompare)
  const shown = `${sorted.slice(0, 8).join(', ')}${sorted.length > 8 ? ', …' : ''}`
  throw new PluginError('ERR_SOURCE_NOT_FOUND', {
    subject: `${name}@${range}`,
    reason: sorted.length === 0 ? `${source} has no version of it` : `${source} has no version in that range, only ${shown}`,
    remedy: 'Ask for another range; pre-releases have to be named.',
    versions: sorted.slice(0, 100),
  })
}

export function parseJson(bytes: Uint8Array, subject: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw malformed(subject, 'it is no JSON', cause)
  }
  return objectIn(value, subject, 'the document')
}

export function objectIn(value: unknown, subject: string, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(subject, `${what} is no object`)
  return value as Record<string, unknown>
}

export function textIn(value: unknown, subject: string, what: string): string {
  if (typeof value !== 'string') throw malformed(subject, `${what} is no text`)
  return value
}

export function listIn(value: unknown, subject: string, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(subject, `${what} is no list`)
  return value
}

/** Own properties only: names come from strangers. */
export const fieldOf = (object: Record<string, unknown>, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined)
