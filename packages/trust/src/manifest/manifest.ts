// The manifest: what a publisher signs about one version of one plugin. docs/manifest.md is its specification.
// Bytes in, a checked value out; and back. Knows neither keys nor files.

import { PluginError } from 'plugwire'
import { Fields, fieldFault } from './fields.ts'
import { isObject, type Json, JsonFault, type JsonObject, readCanonical, readJson, writeCanonical } from './json.ts'
import { checkPlatforms } from './platform.ts'
import { isVersion } from './version.ts'

export const MANIFEST_FORMAT = 'manifest/1'

/** `program`: something the system executes. `bundle`: one JavaScript file. `package`: several JavaScript files. */
export type PluginType = 'program' | 'bundle' | 'package'

export interface ManifestFile {
  /** 128 lower-case hexadecimal digits, as `sha512sum` prints them. */
  readonly sha512: string
  /** Bytes. */
  readonly size: number
  /** Whether it is executed; the entry of a `program` always is. Default false. */
  readonly executable?: boolean
}

export interface ManifestArchive extends Omit<ManifestFile, 'executable'> {
  /** Name of the archive, relative to where the manifest lies. Its ending tells the format: `.tar`, `.tar.gz`, `.tgz`, `.zip`. */
  readonly path: string
}

export interface ManifestPlatform {
  /** Which of the files is started. */
  readonly entry: string
  /** Every file, by its path inside the plugin: relative, with `/`. */
  readonly files: Readonly<Record<string, ManifestFile>>
  /** The same files in one file, if they are offered that way. Check it before unpacking. */
  readonly archive?: ManifestArchive
}

export interface ManifestContract {
  /** Name of the contract that the plugin serves. */
  readonly name: string
  /** Contract versions (go-plugin's protocol versions), rising. */
  readonly versions: readonly number[]
  /** What it speaks on the wire, e.g. `plugwire`, `grpc`, `netrpc`; the handshake line's word. */
  readonly protocols: readonly string[]
}

export interface ManifestPublisher {
  /** What the publisher calls itself. Means nothing until a policy binds it to a key. */
  readonly name: string
  /** A public key to be shown and recorded on first use: a minisign key, or a line of an OpenSSH `.pub` file. Ignored where keys are pinned. */
  readonly key?: string
}

export interface Manifest {
  /** As npm names packages: `aws`, `@acme/aws`. */
  readonly name: string
  /** Semver 2.0.0. */
  readonly version: string
  readonly type: PluginType
  readonly contract: ManifestContract
  readonly publisher: ManifestPublisher
  /** By platform: `linux-x64`, `linux-x64-musl`, `darwin-arm64`, `win32-x64`, … or `any`. */
  readonly platforms: Readonly<Record<string, ManifestPlatform>>
  /** UTC, to the second: `2027-01-31T00:00:00Z`. From then on the manifest is not accepted. */
  readonly notAfter?: string
  /** Where it is published from, a URL. For people; signed, but nothing is decided by it. */
  readonly source?: string
  /** Names of extension fields that a reader has to understand; it refuses the manifest when it does not. */
  readonly critical?: readonly string[]
  /** Fields that this version of the format does not define, as they stand in the document. */
  readonly extensions?: Readonly<Record<string, Json>>
}

export interface ReadManifestOptions {
  /** Extension fields that the caller understands. They may be critical. */
  readonly understands?: readonly string[]
}

const knownFields: ReadonlySet<string> = new Set([
  'plugwire',
  'name',
  'version',
  'type',
  'contract',
  'publisher',
  'platforms',
  'notAfter',
  'source',
  'critical',
])

/**
 * Reads a manifest, which has to be in canonical form.
 *
 * Says nothing of trust: use `verify` for that.
 * @throws PluginError `ERR_MANIFEST_MALFORMED`, `ERR_MANIFEST_FIELD`
 */
export function readManifest(bytes: Uint8Array, options: ReadManifestOptions = {}): Manifest {
  return checked(readCanonical(bytes, 'the manifest'), options.understands ?? [])
}

/**
 * The bytes to sign and to publish, in canonical form.
 * @throws PluginError `ERR_MANIFEST_FIELD` when the manifest is not one that `readManifest` accepts.
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const { extensions, ...fields } = manifest
  for (const name of Object.keys(extensions ?? {})) {
    if (knownFields.has(name)) throw fieldFault(`extensions.${name}`, 'is a field of the format, no extension')
  }
  const document = withoutUndefined({ ...extensions, ...fields, plugwire: MANIFEST_FORMAT })
  let bytes: Uint8Array
  try {
    bytes = writeCanonical(document as JsonObject)
  } catch (cause) {
    throw fieldFault('manifest', `cannot be written: ${(cause as Error).message}`)
  }
  // What was written is read as a stranger would: nothing is signed that is refused later.
  readManifest(bytes, { understands: Object.keys(extensions ?? {}) })
  return bytes
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined)
  if (typeof value !== 'object' || value === null) return value
  const plain: Record<string, unknown> = Object.create(null)
  for (const [key, item] of Object.entries(value)) if (item !== undefined) plain[key] = withoutUndefined(item)
  return plain
}

function checked(document: JsonObject, understands: readonly string[]): Manifest {
  const fields = new Fields(document, '')
  const format = fields.text('plugwire')
  if (format !== MANIFEST_FORMAT) {
    throw fieldFault('plugwire', `is ${JSON.stringify(format.slice(0, 40))}; this plugwire reads ${JSON.stringify(MANIFEST_FORMAT)}`)
  }
  const extensions: Record<string, Json> = Object.create(null)
  for (const [key, value] of Object.entries(document)) if (!knownFields.has(key)) extensions[key] = value
  const critical = fields.optionalTexts('critical')
  checkCritical(critical, extensions, understands)

  const name = fields.text('name')
  if (!isPluginName(name)) throw fieldFault('name', 'is no name of a plugin: small letters, digits, . _ -, with or without an @scope/')
  const version = fields.text('version')
  if (!isVersion(version)) throw fieldFault('version', 'is no semver version')
  const type = fields.text('type')
  if (type !== 'program' && type !== 'bundle' && type !== 'package') throw fieldFault('type', 'is none of program, bundle, package')
  const notAfter = fields.optionalText('notAfter')
  if (notAfter !== undefined && !isInstant(notAfter)) throw fieldFault('notAfter', 'is no instant in UTC such as 2027-01-31T00:00:00Z')
  const source = fields.optionalText('source')
  if (source !== undefined && (!URL.canParse(source) || source.length > 2048)) throw fieldFault('source', 'is no URL')
  return {
    name,
    version,
    type,
    contract: contractOf(fields.object('contract')),
    publisher: publisherOf(fields.object('publisher')),
    platforms: checkPlatforms(fields.object('platforms').value, type),
    ...(notAfter !== undefined && { notAfter }),
    ...(source !== undefined && { source }),
    ...(critical !== undefined && { critical }),
    ...(Object.keys(extensions).length > 0 && { extensions }),
  }
}

/** As RFC 7515 rules `crit`: each names an extension that is there, once, and none that the format itself defines. */
function checkCritical(critical: readonly string[] | undefined, extensions: JsonObject, understands: readonly string[]): void {
  if (critical === undefined) return
  if (critical.length === 0) throw fieldFault('critical', 'is empty')
  if (new Set(critical).size !== critical.length) throw fieldFault('critical', 'names a field twice')
  for (const name of critical) {
    if (!(name in extensions))
      throw fieldFault('critical', `names ${JSON.stringify(name.slice(0, 100))}, which is no extension field of this manifest`)
    if (understands.includes(name)) continue
    throw new PluginError('ERR_MANIFEST_FIELD', {
      path: name,
      reason: `the manifest says that ${JSON.stringify(name.slice(0, 100))} must be understood, and it is not`,
      remedy: 'A newer version of the application may understand it.',
    })
  }
}

function contractOf(fields: Fields): ManifestContract {
  fields.only(['name', 'versions', 'protocols'])
  const name = fields.text('name')
  if (name === '' || name.length > 200) throw fieldFault('contract.name', 'has to have 1 to 200 characters')
  const versions = fields.list('versions').map(version => {
    if (typeof version !== 'number' || version < 0 || version > 0x7fffffff) throw fieldFault('contract.versions', 'are whole numbers')
    return version
  })
  if (versions.length === 0 || versions.some((version, i) => i > 0 && version <= (versions[i - 1] as number))) {
    throw fieldFault('contract.versions', 'are one or more, rising')
  }
  const protocols = fields.texts('protocols')
  if (
    protocols.length === 0 ||
    new Set(protocols).size !== protocols.length ||
    protocols.some(word => !/^[a-z][a-z0-9-]{0,31}$/.test(word))
  ) {
    throw fieldFault('contract.protocols', 'are one or more different words such as plugwire, grpc, netrpc')
  }
  return { name, versions, protocols }
}

function publisherOf(fields: Fields): ManifestPublisher {
  fields.only(['name', 'key'])
  const name = fields.text('name')
  if (!isPublisherName(name))
    throw fieldFault('publisher.name', 'is no name of a publisher: 1 to 100 printable characters, no space at either end')
  const key = fields.optionalText('key')
  return { name, ...(key !== undefined && { key }) }
}

/** As npm names packages: at most 214 characters. */
export const isPluginName = (name: string): boolean =>
  name.length <= 214 && /^(?:@[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\/)?[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/.test(name)

/** One to 100 characters that can be printed. No controls and no marks that turn the direction of writing: it is shown to people. */
export const isPublisherName = (name: string): boolean =>
  name.length > 0 && name.length <= 100 && name.trim() === name && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/u.test(name)

/** `2027-01-31T00:00:00Z` and nothing looser. */
export function isInstant(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return false
  const time = Date.parse(text)
  return !Number.isNaN(time) && new Date(time).toISOString() === text.replace('Z', '.000Z')
}

/** The instant as documents write it, without its milliseconds. */
export const instantOf = (date: Date): string => date.toISOString().replace(/\.\d{3}Z$/, 'Z')

/** Which of our documents these bytes claim to be, in any layout: `manifest/1`, `rotation/1`, …; undefined when it is none. */
export function documentFormat(bytes: Uint8Array): string | undefined {
  try {
    const document: Json = readJson(bytes)
    const format = isObject(document) ? document['plugwire'] : undefined
    return typeof format === 'string' ? format : undefined
  } catch (cause) {
    if (cause instanceof JsonFault) return undefined
    throw cause
  }
}

/**
 * The same document in canonical form, for one that was written by hand.
 * @throws PluginError `ERR_MANIFEST_MALFORMED` when it is no JSON as we read it.
 */
export function canonicalize(bytes: Uint8Array): Uint8Array {
  try {
    return writeCanonical(readJson(bytes))
  } catch (cause) {
    if (!(cause instanceof JsonFault)) throw cause
    throw new PluginError('ERR_MANIFEST_MALFORMED', {
      offset: cause.offset,
      reason: `the document is malformed at byte ${cause.offset}: ${cause.message}`,
      remedy: 'docs/manifest.md describes the form.',
    })
  }
}
