// Terraform providers: the provider registry protocol, and directories in the layout of a filesystem mirror. Source of the formats: Terraform's documentation
// "Remote Service Discovery", "Provider Registry Protocol", "Provider Installation" (filesystem mirror). They bring no manifest of ours, so one is made.

import { readdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { isVersion, readSha256Sums } from '@plugwire/trust'
import { PluginError } from 'plugwire'
import { MAX_DOCUMENT_BYTES } from '../limits.ts'
import { DirectorySource } from './directory-source.ts'
import { fieldOf, listIn, malformed, newestOf, noPlugin, objectIn, parseJson, textIn } from './failure.ts'
import { type HttpClient, shown } from './http/client.ts'
import { openWebFile } from './http/web-file.ts'
import type {
  FetchedFile,
  FetchOptions,
  Finding,
  ImportedArchive,
  ImportedAs,
  Release,
  ResolveOptions,
  Source,
  SourceFile,
} from './source.ts'

export const DEFAULT_TERRAFORM_REGISTRY = 'registry.terraform.io'

/** Checks an OpenPGP signature of `SHA256SUMS`. Resolves to who signed; throws when the signature is not valid. */
export type ChecksumsVerifier = (
  checksums: Uint8Array,
  signature: Uint8Array,
  keys: readonly string[],
) => Promise<{ readonly identity: string }>

export interface TerraformSourceOptions {
  /** Host of the registry. Default: Terraform's own. */
  readonly host?: string
  /** For registries that want one. Goes to the registry's hosts alone. */
  readonly token?: string
  /** Other hosts that archives may come from; `*` is any, since the archive's checksum is known by then. Default `*`. */
  readonly hosts?: readonly string[]
  /** Default: none; signatures are then reported as unchecked. */
  readonly verifyChecksums?: ChecksumsVerifier
}

/** go-plugin's words for what every Terraform provider serves; its protocol versions are Terraform's major ones. */
const importedAs = (namespace: string, protocols: readonly number[]): ImportedAs => ({
  type: 'program',
  publisher: namespace,
  contract: { name: 'terraform-provider', versions: protocols, protocols: ['grpc'] },
  entry: /^terraform-provider-[^/]+$/,
})

const terraformOs = new Map([
  ['win32', 'windows'],
  ['sunos', 'solaris'],
])
const terraformArch = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
])

/** `linux-x64` as Terraform writes it, `linux_amd64`. Providers are linked statically, so the C library does not count. */
function terraformPlatform(platform: string): { readonly os: string; readonly arch: string } {
  const [os = '', arch = ''] = platform.split('-')
  return { os: terraformOs.get(os) ?? os, arch: terraformArch.get(arch) ?? arch }
}

function ourPlatform(os: string, arch: string): string {
  const ours = (names: ReadonlyMap<string, string>, word: string): string => [...names].find(([, theirs]) => theirs === word)?.[0] ?? word
  return `${ours(terraformOs, os)}-${ours(terraformArch, arch)}`
}

/** `hashicorp/random` as plugins are named, `@hashicorp/random`. */
const pluginName = (name: string): string => `@${name}`

function noPlatform(subject: string, platform: string, platforms: readonly string[]): PluginError {
  const reason = `it has nothing for ${platform}, only for ${platforms.join(', ')}`
  return new PluginError('ERR_SOURCE_PLATFORM', { subject, reason, remedy: 'Ask its publisher for a build.', platforms })
}

/** Providers of a registry. */
export class TerraformSource implements Source {
  readonly id: string
  readonly #host: string
  readonly #client: HttpClient
  readonly #options: TerraformSourceOptions
  #base: Promise<URL> | undefined

  constructor(client: HttpClient, options: TerraformSourceOptions = {}) {
    this.#host = options.host ?? DEFAULT_TERRAFORM_REGISTRY
    this.id = `terraform:${this.#host}`
    this.#client = client
    this.#options = options
  }

  async versions(name: string, options: ResolveOptions = {}): Promise<readonly string[]> {
    return (await this.#list(name, options)).map(({ version }) => version)
  }

  async resolve(name: string, range: string, options: ResolveOptions = {}): Promise<Release> {
    const list = await this.#list(name, options)
    const version = newestOf(
      list.map(entry => entry.version),
      range,
      name,
      this.#host,
    )
    const { platforms, protocols } = list.find(entry => entry.version === version) as (typeof list)[number]
    const [namespace = ''] = name.split('/')
    const host = this.#host === DEFAULT_TERRAFORM_REGISTRY ? '' : `${this.#host}/`
    return {
      name: pluginName(name),
      version,
      address: `terraform:${host}${name}@${version}`,
      layout: {
        kind: 'import',
        as: importedAs(namespace, protocols),
        platforms,
        archive: platform => this.#archive(name, version, platform, platforms, options),
      },
      findings: [],
    }
  }

  fetch(file: SourceFile, options: FetchOptions = {}): Promise<FetchedFile> {
    const url = new URL(file.location)
    return openWebFile(this.#client, url, file, options, { allowsHost: this.#allowsHost, headers: this.#headersFor(url) })
  }

  readonly #allowsHost = (host: string): boolean => {
    const hosts = this.#options.hosts ?? ['*']
    return hosts.includes('*') || hosts.includes(host)
  }

  #headersFor({ host }: URL): Record<string, string> {
    const { token } = this.#options
    return token !== undefined && host === this.#host ? { authorization: `Bearer ${token}` } : {}
  }

  async #document(url: URL, signal: AbortSignal | undefined, anywhere = false) {
    const allowsHost = anywhere ? this.#allowsHost : () => false
    return this.#client.document(url, MAX_DOCUMENT_BYTES, { signal, headers: this.#headersFor(url), allowsHost }, [404])
  }

  /** Where the registry's interface is. A failure is not kept. */
  #service(signal: AbortSignal | undefined): Promise<URL> {
    this.#base ??= this.#discover(signal).catch((cause: unknown) => {
      this.#base = undefined
      throw cause
    })
    return this.#base
  }

  async #discover(signal: AbortSignal | undefined): Promise<URL> {
    const scheme = /^(?:localhost|127\.[\d.]+|\[::1\])(?::|$)/.test(this.#host) ? 'http' : 'https'
    const url = new URL(`${scheme}://${this.#host}/.well-known/terraform.json`)
    const { bytes, status, url: found } = await this.#document(url, signal)
    const service = status === 200 ? fieldOf(parseJson(bytes, shown(url)), 'providers.v1') : undefined
    if (typeof service !== 'string' || !URL.canParse(service, found.href))
      throw malformed(this.#host, 'it is no registry of Terraform providers')
    return new URL(service.endsWith('/') ? service : `${service}/`, found)
  }

  async #list(name: string, { signal }: ResolveOptions) {
    const url = new URL(`${name}/versions`, await this.#service(signal))
    const { bytes, status } = await this.#document(url, signal)
    if (status !== 200) throw noPlugin(this.#host, name)
    const subject = shown(url)
    return listIn(fieldOf(parseJson(bytes, subject), 'versions'), subject, 'the list of versions').map(item => {
      const entry = objectIn(item, subject, 'a version')
      const platforms = listIn(fieldOf(entry, 'platforms') ?? [], subject, 'the platforms of a version').map(platform => {
        const { os, arch } = objectIn(platform, subject, 'a platform')
        return ourPlatform(textIn(os, subject, 'the system of a platform'), textIn(arch, subject, 'the processor of a platform'))
      })
      const protocols = listIn(fieldOf(entry, 'protocols') ?? [], subject, 'the protocols of a version').map(text => majorOf(text, subject))
      return {
        version: textIn(fieldOf(entry, 'version'), subject, 'a version'),
        platforms,
        protocols: protocols.length === 0 ? [5] : ordered(protocols),
      }
    })
  }

  async #archive(
    name: string,
    version: string,
    platform: string,
    platforms: readonly string[],
    { signal }: ResolveOptions,
  ): Promise<ImportedArchive> {
    const { os, arch } = terraformPlatform(platform)
    const url = new URL(`${name}/${encodeURIComponent(version)}/download/${os}/${arch}`, await this.#service(signal))
    const { bytes, status, url: found } = await this.#document(url, signal)
    if (status !== 200) throw noPlatform(`${name} ${version}`, platform, platforms)
    const subject = shown(url)
    const answer = parseJson(bytes, subject)
    const urlIn = (key: string): URL => {
      const given = textIn(fieldOf(answer, key), subject, key)
      if (!URL.canParse(given, found.href)) throw malformed(subject, `${key} is no address`)
      return new URL(given, found)
    }
    const fileName = textIn(fieldOf(answer, 'filename'), subject, 'filename')
    const sha256 = textIn(fieldOf(answer, 'shasum'), subject, 'shasum').toLowerCase()
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw malformed(subject, 'shasum is no SHA-256')
    const findings = await this.#checkSums(name, version, fileName, sha256, answer, urlIn, signal)
    return { file: { name: fileName, location: urlIn('download_url').href, digests: { sha256 } }, findings }
  }

  /** The registry's answer names a checksum; the publisher's signed list has to name the same. */
  async #checkSums(
    name: string,
    version: string,
    fileName: string,
    sha256: string,
    answer: Record<string, unknown>,
    urlIn: (key: string) => URL,
    signal: AbortSignal | undefined,
  ): Promise<Finding[]> {
    const subject = `${name} ${version}`
    const sumsUrl = urlIn('shasums_url')
    const { bytes: sums, status } = await this.#document(sumsUrl, signal, true)
    if (status !== 200) throw malformed(subject, 'its list of checksums is not there')
    if (readSha256Sums(sums).get(fileName) !== sha256)
      throw malformed(subject, `its list of checksums says something else of ${fileName} than the registry`)
    const valid: Finding = { what: 'checksums', state: 'valid', text: `${basename(sumsUrl.pathname)} has the checksum of ${fileName}` }
    const given = fieldOf(answer, 'shasums_signature_url')
    if (typeof given !== 'string')
      return [valid, { what: 'checksums-signature', state: 'absent', text: `the list of checksums of ${subject} is not signed` }]
    const { bytes: signature, status: found } = await this.#document(urlIn('shasums_signature_url'), signal, true)
    if (found !== 200)
      throw new PluginError('ERR_SOURCE_SIGNATURE', {
        subject,
        reason: 'the signature of its checksums is announced and not there',
        remedy: 'Do not use it.',
      })
    const { verifyChecksums } = this.#options
    if (verifyChecksums === undefined)
      return [
        valid,
        {
          what: 'checksums-signature',
          state: 'unchecked',
          text: `the checksums of ${subject} are signed with OpenPGP, which nobody here checks`,
        },
      ]
    const { identity } = await verifyChecksums(sums, signature, signingKeys(answer, subject))
    return [valid, { what: 'checksums-signature', state: 'valid', text: `the checksums of ${subject} are signed by ${identity}` }]
  }
}

function signingKeys(answer: Record<string, unknown>, subject: string): string[] {
  const keys = fieldOf(objectIn(fieldOf(answer, 'signing_keys') ?? {}, subject, 'signing_keys'), 'gpg_public_keys') ?? []
  return listIn(keys, subject, 'the list of keys').map(item =>
    textIn(fieldOf(objectIn(item, subject, 'a key'), 'ascii_armor'), subject, 'a key'),
  )
}

function majorOf(text: unknown, subject: string): number {
  const [, major] = /^(\d{1,4})(?:\.\d+)*$/.exec(textIn(text, subject, 'a protocol')) ?? []
  if (major === undefined) throw malformed(subject, 'a protocol of a version is no number')
  return Number(major)
}

const ordered = (numbers: readonly number[]): number[] => [...new Set(numbers)].sort((a, b) => a - b)

/** What is no directory, or cannot be read, has no builds in it. */
const namesIn = (directory: string): Promise<string[]> => readdir(directory).catch(() => [])

/**
 * Providers in a directory in the layout of a filesystem mirror, packed (`host/namespace/type/terraform-provider-type_version_os_arch.zip`) or unpacked
 * (`host/namespace/type/version/os_arch/`). There are no checksums in it: the lock file pins what was first found.
 */
export class TerraformMirrorSource implements Source {
  readonly id: string
  readonly #directory: string
  readonly #host: string
  readonly #files: DirectorySource

  constructor(directory: string, host: string = DEFAULT_TERRAFORM_REGISTRY) {
    this.#directory = resolve(directory)
    this.#host = host
    this.id = `terraform-mirror:${this.#directory}`
    this.#files = new DirectorySource(this.#directory)
  }

  async versions(name: string): Promise<readonly string[]> {
    return [...new Set((await this.#builds(name)).map(({ version }) => version))]
  }

  async resolve(name: string, range: string): Promise<Release> {
    const builds = await this.#builds(name)
    const version = newestOf([...new Set(builds.map(build => build.version))], range, name, this.#directory)
    const platforms = builds.filter(build => build.version === version).map(({ platform }) => platform)
    const [namespace = ''] = name.split('/')
    const host = this.#host === DEFAULT_TERRAFORM_REGISTRY ? '' : `${this.#host}/`
    return {
      name: pluginName(name),
      version,
      address: `terraform:${host}${name}@${version}`,
      layout: {
        kind: 'import',
        as: importedAs(namespace, [5]),
        platforms,
        archive: async platform => {
          const { os, arch } = terraformPlatform(platform)
          const build = builds.find(candidate => candidate.version === version && candidate.platform === ourPlatform(os, arch))
          if (build === undefined) throw noPlatform(`${name} ${version}`, platform, platforms)
          return {
            file: { name: basename(build.path), location: build.path },
            findings: [{ what: 'checksums', state: 'absent', text: `${this.#directory} has no checksums` }],
          }
        },
      },
      findings: [],
    }
  }

  fetch(file: SourceFile, options?: FetchOptions): Promise<FetchedFile> {
    return this.#files.fetch(file, options)
  }

  async #builds(name: string): Promise<{ readonly version: string; readonly platform: string; readonly path: string }[]> {
    const directory = join(this.#directory, this.#host, ...name.split('/'))
    const names = await readdir(directory).catch(() => undefined)
    if (names === undefined) throw noPlugin(this.#directory, name)
    const type = name.split('/')[1] as string
    const builds: { version: string; platform: string; path: string }[] = []
    for (const entry of names) {
      const path = join(directory, entry)
      const packed = /^(.+)_([^_]+)_([a-z0-9]+)_([a-z0-9]+)\.zip$/.exec(entry)
      if (packed !== null) {
        const [, prefix, version, os, arch] = packed as unknown as [string, string, string, string, string]
        if (prefix === `terraform-provider-${type}` && isVersion(version)) builds.push({ version, platform: ourPlatform(os, arch), path })
      } else if (isVersion(entry)) {
        for (const target of await namesIn(path)) {
          const [, os, arch] = /^([a-z0-9]+)_([a-z0-9]+)$/.exec(target) ?? []
          if (os === undefined || arch === undefined) continue
          const file = (await namesIn(join(path, target))).find(candidate => candidate.startsWith(`terraform-provider-${type}`))
          if (file !== undefined) builds.push({ version: entry, platform: ourPlatform(os, arch), path: join(path, target, file) })
        }
      }
    }
    return builds
  }
}
