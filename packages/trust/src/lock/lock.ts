// What `plugwire.lock` says, as a value: read from its text, changed by making a new one, written in one way only. Knows no file.
//
// A lock narrows, it never grants: it lies in a directory that may be a stranger's. Who is trusted is said by the policy.

import { PluginError } from 'plugwire'
import { MAX_STATE_BYTES } from '../limits.ts'
import { isObject, type Json, JsonFault, type JsonObject, readJson, writeCanonical } from '../manifest/json.ts'
import { isPluginName } from '../manifest/manifest.ts'
import { platformDigests } from '../manifest/platform.ts'
import { compareVersions, isVersion } from '../manifest/version.ts'
import type { Signer, Verdict } from '../policy/verdict.ts'

export const LOCK_VERSION = 1

export interface LockedSigner {
  /** Name of the publisher, as the policy calls it. */
  readonly publisher: string
  /** `SHA256:…` of the key, or the identity that a verifier reported. */
  readonly fingerprint: string
  /** The public key itself, for those who want to pin it; a lock does not make it trusted. */
  readonly key?: string
}

export interface LockedVersion {
  /** SHA-512 of the manifest, as lower-case hexadecimal digits. It covers every file of every platform. */
  readonly manifest: string
  /** Where it came from, e.g. `npm:@acme/aws-plugin@2.1.0` or a URL. */
  readonly source: string
  /** By platform: digests such as `files:sha512:…` or `archive:sha256:…`. */
  readonly platforms: ReadonlyMap<string, readonly string[]>
}

export interface LockedPlugin {
  /** The highest version that was ever accepted. A lower one is refused unless the policy allows it. */
  readonly highest: string
  /** Who signed; null when the plugin is unsigned. */
  readonly signer: LockedSigner | null
  readonly versions: ReadonlyMap<string, LockedVersion>
}

export interface LockedRequest {
  readonly plugin: string
  readonly version: string
}

export interface Lock {
  readonly plugins: ReadonlyMap<string, LockedPlugin>
  /** What was asked for, e.g. `npm:@acme/aws-plugin@^2`, and what it led to. */
  readonly requests: ReadonlyMap<string, LockedRequest>
}

export const emptyLock: Lock = { plugins: new Map(), requests: new Map() }

/** `plugwire.lock` is malformed; the sentence names the line where that is known. */
function lockFault(path: string, reason: string): PluginError<'ERR_LOCK_MALFORMED'> {
  return new PluginError('ERR_LOCK_MALFORMED', {
    path,
    reason: `${path}: ${reason}`,
    remedy: 'Restore it from version control, or remove the entry that is named and install that plugin again.',
  })
}

/**
 * Reads a lock, in any layout: people and merges may have touched it.
 * @param path For the error.
 * @throws PluginError `ERR_LOCK_MALFORMED`
 */
export function readLock(bytes: Uint8Array, path = 'plugwire.lock'): Lock {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const conflict = /^(?:<{7}|>{7}|\|{7}|={7})(?: .*)?\r?$/m.exec(text)
  if (conflict !== null) {
    throw new PluginError('ERR_LOCK_MALFORMED', {
      path,
      reason: `${path} holds a merge conflict at line ${lineAt(text, conflict.index)}`,
      remedy: 'Keep what you want of both sides, entry by entry, and remove the marks; the order does not matter.',
    })
  }
  let document: Json
  try {
    document = readJson(bytes, { maxBytes: MAX_STATE_BYTES })
  } catch (cause) {
    if (!(cause instanceof JsonFault)) throw cause
    throw lockFault(path, `line ${lineAt(text, cause.offset)}: ${cause.message}`)
  }
  const fields = new LockFields(document, path, 'the document')
  const version = fields.value['lockVersion']
  if (version !== LOCK_VERSION) {
    const newer = typeof version === 'number' && version > LOCK_VERSION
    throw lockFault(
      path,
      newer ? `it has version ${version}; this plugwire knows version ${LOCK_VERSION}` : 'it has no lockVersion that is known',
    )
  }
  fields.only(['lockVersion', 'plugins', 'requests'])
  const plugins = fields.map('plugins', (plugin, name) => {
    if (!isPluginName(name)) plugin.fail('is no name of a plugin')
    return lockedPlugin(plugin)
  })
  const requests = fields.map('requests', (request, name) => {
    request.only(['plugin', 'version'])
    const found = { plugin: request.text('plugin'), version: request.text('version') }
    if (plugins.get(found.plugin)?.versions.has(found.version)) return found
    return request.fail(`leads ${JSON.stringify(name)} to ${found.plugin} ${found.version}, which is not in the lock`)
  })
  return { plugins, requests }
}

function lockedPlugin(fields: LockFields): LockedPlugin {
  fields.only(['highest', 'signer', 'versions'])
  const versions = fields.map('versions', (entry, version) => {
    if (!isVersion(version)) entry.fail('is no semver version')
    entry.only(['manifest', 'source', 'platforms'])
    const manifest = entry.text('manifest')
    if (!/^[0-9a-f]{128}$/.test(manifest)) entry.fail('has a manifest that is no SHA-512')
    return { manifest, source: entry.text('source'), platforms: entry.lists('platforms') }
  })
  const highest = fields.text('highest')
  if (!isVersion(highest)) fields.fail('has a highest that is no semver version')
  for (const version of versions.keys()) {
    if (compareVersions(version, highest) > 0) fields.fail(`has version ${version}, which is higher than its highest, ${highest}`)
  }
  return { highest, signer: fields.value['signer'] === null ? null : lockedSigner(fields.object('signer')), versions }
}

function lockedSigner(fields: LockFields): LockedSigner {
  fields.only(['publisher', 'fingerprint', 'key'])
  const signer = { publisher: fields.text('publisher'), fingerprint: fields.text('fingerprint') }
  return fields.value['key'] === undefined ? signer : { ...signer, key: fields.text('key') }
}

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split('\n').length

class LockFields {
  readonly value: JsonObject
  readonly #path: string
  readonly #where: string

  constructor(value: Json | undefined, path: string, where: string) {
    this.#path = path
    this.#where = where
    if (!isObject(value)) throw lockFault(path, `${where} is no object`)
    this.value = value
  }

  fail(what: string): never {
    throw lockFault(this.#path, `${this.#where} ${what}`)
  }

  only(keys: readonly string[]): void {
    for (const key of Object.keys(this.value))
      if (!keys.includes(key)) this.fail(`has ${JSON.stringify(key.slice(0, 100))}, which is not known there`)
  }

  text(key: string): string {
    const value = this.value[key]
    return typeof value === 'string' ? value : this.fail(`has no text as ${key}`)
  }

  object(key: string): LockFields {
    return new LockFields(this.value[key], this.#path, `${key} of ${this.#where}`)
  }

  map<T>(key: string, read: (fields: LockFields, name: string) => T): ReadonlyMap<string, T> {
    const { value } = this.object(key)
    return new Map(
      Object.keys(value).map(name => [
        name,
        read(new LockFields(value[name], this.#path, `${JSON.stringify(name.slice(0, 220))} in ${key}`), name),
      ]),
    )
  }

  lists(key: string): ReadonlyMap<string, readonly string[]> {
    const { value } = this.object(key)
    return new Map(
      Object.entries(value).map(([name, list]) => {
        if (!Array.isArray(list) || !list.every(item => typeof item === 'string'))
          return this.fail(`has a ${key}.${name} that is no list of texts`)
        return [name, list as readonly string[]]
      }),
    )
  }
}

/** The text of a lock: stable, one fact a line, so that version control shows and merges it well. */
export function encodeLock(lock: Lock): Uint8Array {
  return writeCanonical({
    lockVersion: LOCK_VERSION,
    plugins: record(lock.plugins, plugin => ({
      highest: plugin.highest,
      signer: plugin.signer === null ? null : { ...plugin.signer },
      versions: record(plugin.versions, version => ({
        manifest: version.manifest,
        platforms: record(version.platforms, digests => digests),
        source: version.source,
      })),
    })),
    requests: record(lock.requests, request => ({ ...request })),
  })
}

function record<T>(map: ReadonlyMap<string, T>, encode: (value: T) => Json): JsonObject {
  const object: Record<string, Json> = Object.create(null)
  for (const [key, value] of map) object[key] = encode(value)
  return object
}

export interface LockEntry {
  /** Where the plugin came from. */
  readonly source: string
  /** What was asked for, if it should lead here from now on. */
  readonly request?: string
  /** Digests by platform beside those of the manifest, e.g. of an imported release. */
  readonly digests?: ReadonlyMap<string, readonly string[]>
}

/**
 * The lock with what was just accepted; the same value when it says so already. Other versions of the plugin stay.
 *
 * The highest version never falls. It does not check again what `verify` has checked with the lock's entry: update the lock with the entry
 * that `verify` was given, inside one `updateLockFile`, or call `verifyAndLock`.
 */
export function lockPlugin(lock: Lock, verdict: Verdict, entry: LockEntry): Lock {
  const { name, version } = verdict.manifest
  const before = lock.plugins.get(name)
  const [signer] = verdict.signers
  // What is accepted without a signature because the lock holds it does not unpin who signed it.
  const pinned = signer === undefined ? (before?.signer ?? null) : lockedSignerOf(signer)
  const platforms = new Map(platformDigests(verdict.manifest))
  for (const [platform, digests] of entry.digests ?? [])
    platforms.set(platform, [...new Set([...(platforms.get(platform) ?? []), ...digests])].sort())
  const versions = new Map(before?.versions)
  versions.set(version, { manifest: verdict.manifestSha512, source: entry.source, platforms })
  const plugin: LockedPlugin = {
    highest: before === undefined || compareVersions(version, before.highest) > 0 ? version : before.highest,
    signer: pinned,
    versions,
  }
  const requests = new Map(lock.requests)
  if (entry.request !== undefined) requests.set(entry.request, { plugin: name, version })
  const after = { plugins: new Map(lock.plugins).set(name, plugin), requests }
  return Buffer.compare(encodeLock(lock), encodeLock(after)) === 0 ? lock : after
}

const lockedSignerOf = ({ publisher, fingerprint, key }: Signer): LockedSigner => ({
  publisher,
  fingerprint,
  ...(key !== undefined && { key }),
})

/**
 * The lock without one version of a plugin, or without the plugin. What led there goes too.
 *
 * Without the last version the entry stays and remembers the highest version and the signer; name no version to forget these as well.
 */
export function unlockPlugin(lock: Lock, name: string, version?: string): Lock {
  const plugins = new Map(lock.plugins)
  const before = plugins.get(name)
  if (version === undefined || before === undefined) plugins.delete(name)
  else plugins.set(name, { ...before, versions: new Map([...before.versions].filter(([known]) => known !== version)) })
  const requests = [...lock.requests].filter(
    ([, request]) => request.plugin !== name || (version !== undefined && request.version !== version),
  )
  return { plugins, requests: new Map(requests) }
}
