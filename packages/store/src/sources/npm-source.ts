// npm packages as plugins: the registry's documents, its signatures, and tarballs of which nothing is ever run. Source of the formats: npm's documentation
// "Registry API", "package metadata", and "About ECDSA registry signatures".

import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { PluginError } from 'plugwire'
import semver from 'semver'
import { MAX_DOCUMENT_BYTES } from '../limits.ts'
import { fieldOf, listIn, malformed, newestOf, noPlugin, objectIn, parseJson, textIn } from './failure.ts'
import { type HttpClient, shown } from './http/client.ts'
import { openWebFile } from './http/web-file.ts'
import { DEFAULT_NPM_REGISTRY } from './npm-settings.ts'
import type { FetchedFile, FetchOptions, Finding, Release, ResolveOptions, Source, SourceFile } from './source.ts'

/** Packages that may have files for one platform. Each is asked for and fetched. */
const MAX_PLATFORM_PACKAGES = 16

/** A key of a registry. */
export interface RegistryKey {
  /** `SHA256:…` */
  readonly keyid: string
  /** DER of the public key, base64. */
  readonly key: string
  /** Instant from which on it signs nothing any more; null when there is none. */
  readonly expires: string | null
}

export interface NpmSourceOptions {
  /** Default: npm's own. */
  readonly registry?: string
  /** For registries that want one. Goes to the registry's host alone. */
  readonly token?: string
  /** Keys that are known beforehand. Default: those that the registry itself hands out, which protects from mirrors and caches but not from the registry. */
  readonly keys?: readonly RegistryKey[]
  /** Refuses packages without a valid signature of the registry. Default false: absence is reported. */
  readonly requireSignature?: boolean
  /** Other hosts that tarballs may come from. Default: none. */
  readonly hosts?: readonly string[]
}

interface NpmVersion {
  readonly tarball: string
  /** Lower-case hexadecimal digits. */
  readonly sha512: string
  readonly integrity: string
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[]
  readonly time: string | undefined
  readonly optional: ReadonlyMap<string, string>
  readonly os: readonly string[]
  readonly cpu: readonly string[]
  readonly libc: readonly string[]
}

export class NpmSource implements Source {
  readonly id: string
  readonly #registry: URL
  readonly #client: HttpClient
  readonly #options: NpmSourceOptions
  #keys: Promise<readonly RegistryKey[]> | undefined

  constructor(client: HttpClient, options: NpmSourceOptions = {}) {
    const registry = options.registry ?? DEFAULT_NPM_REGISTRY
    this.#registry = new URL(registry.endsWith('/') ? registry : `${registry}/`)
    this.id = `npm:${this.#registry.href}`
    this.#client = client
    this.#options = options
  }

  async versions(name: string, options: ResolveOptions = {}): Promise<readonly string[]> {
    return Object.keys(objectIn(fieldOf(await this.#packument(name, options), 'versions'), name, 'its list of versions'))
  }

  async resolve(name: string, range: string, options: ResolveOptions = {}): Promise<Release> {
    const packument = await this.#packument(name, options)
    const versions = objectIn(fieldOf(packument, 'versions'), name, 'its list of versions')
    const version = newestOf(Object.keys(versions), range, name, this.#registry.host)
    const entry = this.#read(name, version, packument)
    const findings = [await this.#checkSignature(name, version, entry, options)]
    return {
      name,
      version,
      address: `npm:${name}@${version}`,
      layout: {
        kind: 'packages',
        packages: [this.#fileOf(name, version, entry)],
        forPlatform: platform => this.#platformPackages(entry, platform, options),
        inside: 'package',
      },
      findings,
    }
  }

  fetch(file: SourceFile, options: FetchOptions = {}): Promise<FetchedFile> {
    const url = new URL(file.location)
    return openWebFile(this.#client, url, file, options, { headers: this.#headersFor(url), allowsHost: this.#allowsHost })
  }

  readonly #allowsHost = (host: string): boolean => this.#options.hosts?.includes(host) ?? false

  #headersFor(url: URL): Record<string, string> {
    const { token } = this.#options
    return token !== undefined && url.host === this.#registry.host ? { authorization: `Bearer ${token}` } : {}
  }

  async #packument(name: string, { signal }: ResolveOptions): Promise<Record<string, unknown>> {
    const url = new URL(name.replace('/', '%2f'), this.#registry)
    const request = { headers: { accept: 'application/json', ...this.#headersFor(url) }, signal, allowsHost: this.#allowsHost }
    const { bytes, status } = await this.#client.document(url, MAX_DOCUMENT_BYTES, request, [404])
    if (status === 404) throw noPlugin(this.#registry.host, name)
    const packument = parseJson(bytes, shown(url))
    if (fieldOf(packument, 'name') !== name)
      throw malformed(shown(url), `it is the document of ${JSON.stringify(String(packument['name']).slice(0, 200))}`)
    return packument
  }

  #read(name: string, version: string, packument: Record<string, unknown>): NpmVersion {
    const subject = `${name}@${version}`
    const entry = objectIn(
      fieldOf(objectIn(fieldOf(packument, 'versions'), subject, 'the list of versions'), version),
      subject,
      'its entry',
    )
    if (fieldOf(entry, 'name') !== name || fieldOf(entry, 'version') !== version)
      throw malformed(subject, 'its entry has another name or version')
    const dist = objectIn(fieldOf(entry, 'dist'), subject, 'its dist')
    const integrity = textIn(fieldOf(dist, 'integrity'), subject, 'its integrity')
    const time = fieldOf(packument, 'time')
    const published = typeof time === 'object' && time !== null ? fieldOf(time as Record<string, unknown>, version) : undefined
    return {
      tarball: textIn(fieldOf(dist, 'tarball'), subject, 'the address of its tarball'),
      sha512: sha512Of(integrity, subject),
      integrity,
      signatures: listIn(fieldOf(dist, 'signatures') ?? [], subject, 'its list of signatures').map(item => {
        const signature = objectIn(item, subject, 'a signature')
        return {
          keyid: textIn(fieldOf(signature, 'keyid'), subject, 'a key of a signature'),
          sig: textIn(fieldOf(signature, 'sig'), subject, 'a signature'),
        }
      }),
      time: typeof published === 'string' ? published : undefined,
      optional: new Map(
        Object.entries((fieldOf(entry, 'optionalDependencies') as Record<string, unknown> | undefined) ?? {}).map(([other, range]) => [
          other,
          String(range),
        ]),
      ),
      os: textsIn(fieldOf(entry, 'os')),
      cpu: textsIn(fieldOf(entry, 'cpu')),
      libc: textsIn(fieldOf(entry, 'libc')),
    }
  }

  #fileOf(name: string, version: string, { tarball, sha512 }: NpmVersion): SourceFile {
    const subject = `${name}@${version}`
    if (!URL.canParse(tarball)) throw malformed(subject, 'the address of its tarball is none')
    let url = new URL(tarball)
    // Mirrors often hand out the addresses of npm's own registry, whose paths they have too; npm itself goes to the mirror then.
    if (url.host === new URL(DEFAULT_NPM_REGISTRY).host && url.host !== this.#registry.host) url = new URL(url.pathname, this.#registry)
    if (url.host !== this.#registry.host && !this.#allowsHost(url.host)) {
      throw new PluginError('ERR_SOURCE_REDIRECT', {
        subject,
        reason: `its tarball lies on another host, ${url.host}`,
        remedy: 'If that is right, allow the source that host.',
        to: tarball.slice(0, 500),
      })
    }
    return { name: `${name.replace('/', '-').replace('@', '')}-${version}.tgz`, location: url.href, digests: { sha512 } }
  }

  /** The usual way of npm to ship binaries: a package for each platform among the optional dependencies, told by their `os`, `cpu` and `libc`. */
  async #platformPackages({ optional }: NpmVersion, platform: string, options: ResolveOptions): Promise<readonly SourceFile[]> {
    const [os = '', cpu = '', libc = os === 'linux' ? 'glibc' : ''] = platform.split('-')
    const found: SourceFile[] = []
    let asked = 0
    for (const [name, range] of optional) {
      // Its name says it already in every case known; so not every package has to be asked for.
      if (!name.includes(os) || !name.includes(cpu)) continue
      if (semver.valid(range) === null) continue // Only an exact version belongs to this release.
      if (++asked > MAX_PLATFORM_PACKAGES) throw malformed(platform, `it has more than ${MAX_PLATFORM_PACKAGES} packages for this platform`)
      const packument = await this.#packument(name, options)
      const entry = this.#read(name, range, packument)
      const fits = (list: readonly string[], value: string): boolean => list.length === 0 || list.includes(value)
      if (!fits(entry.os, os) || !fits(entry.cpu, cpu) || !fits(entry.libc, libc)) continue
      await this.#checkSignature(name, range, entry, options)
      found.push(this.#fileOf(name, range, entry))
    }
    return found
  }

  async #checkSignature(name: string, version: string, entry: NpmVersion, options: ResolveOptions): Promise<Finding> {
    const subject = `${name}@${version}`
    const refuse = (reason: string): PluginError =>
      new PluginError('ERR_SOURCE_SIGNATURE', {
        subject,
        reason,
        remedy: 'Do not use this release; look at the registry, or at what lies between it and you.',
      })
    if (entry.signatures.length === 0) {
      if (this.#options.requireSignature) throw refuse('the registry has not signed it')
      return { what: 'registry-signature', state: 'absent', text: `${this.#registry.host} has not signed ${subject}` }
    }
    const keys = this.#options.keys ?? (await (this.#keys ??= this.#fetchKeys(options)))
    const known = entry.signatures.filter(({ keyid }) => keys.some(key => key.keyid === keyid))
    if (known.length === 0) {
      if (this.#options.requireSignature || keys.length > 0) throw refuse('it is signed by a key that the registry does not have')
      return {
        what: 'registry-signature',
        state: 'unchecked',
        text: `${this.#registry.host} hands out no keys to check its signature of ${subject}`,
      }
    }
    for (const { keyid, sig } of known) {
      const key = keys.find(candidate => candidate.keyid === keyid) as RegistryKey
      // Without a time it cannot be told whether the key was still good; a key that has expired proves nothing then.
      if (key.expires !== null && !(entry.time !== undefined && Date.parse(entry.time) < Date.parse(key.expires)))
        throw refuse(`it is signed by the key ${keyid}, which was no longer good`)
      const message = Buffer.from(`${name}@${version}:${entry.integrity}`)
      if (!verify('sha256', message, keyOf(key, subject), Buffer.from(sig, 'base64')))
        throw refuse(`the signature by the key ${keyid} does not fit`)
    }
    const ids = known.map(({ keyid }) => keyid).join(', ')
    return { what: 'registry-signature', state: 'valid', text: `${this.#registry.host} has signed ${subject} with the key ${ids}` }
  }

  async #fetchKeys({ signal }: ResolveOptions): Promise<readonly RegistryKey[]> {
    const url = new URL('-/npm/v1/keys', this.#registry)
    const request = { headers: this.#headersFor(url), signal, allowsHost: this.#allowsHost }
    const { bytes, status } = await this.#client.document(url, MAX_DOCUMENT_BYTES, request, [404, 403, 405])
    if (status !== 200) return []
    return listIn(fieldOf(parseJson(bytes, shown(url)), 'keys'), shown(url), 'the list of keys').map(item => {
      const key = objectIn(item, shown(url), 'a key')
      const expires = fieldOf(key, 'expires')
      return {
        keyid: textIn(fieldOf(key, 'keyid'), shown(url), 'the id of a key'),
        key: textIn(fieldOf(key, 'key'), shown(url), 'a key'),
        expires: expires === null || expires === undefined ? null : textIn(expires, shown(url), 'the end of a key'),
      }
    })
  }
}

function keyOf({ key, keyid }: RegistryKey, subject: string): KeyObject {
  try {
    const found = createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' })
    if (found.asymmetricKeyType === 'ec' && found.asymmetricKeyDetails?.namedCurve === 'prime256v1') return found
  } catch (cause) {
    throw malformed(subject, `the key ${keyid.slice(0, 100)} of the registry cannot be read`, cause)
  }
  throw malformed(subject, `the key ${keyid.slice(0, 100)} of the registry is of another kind than ECDSA P-256`)
}

/** Weaker digests beside it do not count, and without it nothing does. Source: W3C Subresource Integrity. */
function sha512Of(integrity: string, subject: string): string {
  for (const item of integrity.split(/\s+/)) {
    const [, base64] = /^sha512-([A-Za-z0-9+/]{86}==)(?:\?.*)?$/.exec(item) ?? []
    if (base64 !== undefined) return Buffer.from(base64, 'base64').toString('hex')
  }
  throw malformed(subject, `its integrity ${JSON.stringify(integrity.slice(0, 100))} has no sha512`)
}

const textsIn = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : [])
