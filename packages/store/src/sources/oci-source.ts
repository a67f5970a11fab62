// Plugins as artifacts of a container registry: tags are versions, each file is a blob under its digest. Source of the formats: OCI Distribution
// Specification 1.1, OCI Image Manifest, and the Docker registry's token authentication.

import { createHash } from 'node:crypto'
import { isVersion } from '@plugwire/trust'
import { PluginError } from 'plugwire'
import { wrongContent } from '../content/store.ts'
import { MANIFEST_NAME } from '../discovery/candidate-name.ts'
import { MAX_DOCUMENT_BYTES, MAX_MANIFEST_BYTES } from '../limits.ts'
import { fieldOf, listIn, malformed, newestOf, noPlugin, objectIn, parseJson, textIn } from './failure.ts'
import { type HttpClient, type HttpDocument, isLoopback, shown, statusFailure } from './http/client.ts'
import { openWebFile } from './http/web-file.ts'
import type { FetchedFile, FetchOptions, Release, ResolveOptions, Source, SourceFile } from './source.ts'

/** What the artifact says it is. */
export const OCI_ARTIFACT_TYPE = 'application/vnd.plugwire.plugin.v1'
const TITLE = 'org.opencontainers.image.title'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

/** Pages of a list of tags, and tags that are versions. */
const MAX_PAGES = 100
const MAX_TAGS = 100_000

export interface OciSourceOptions {
  /** For registries that want them; given to the registry's own token service. */
  readonly credentials?: { readonly username: string; readonly password: string }
  /** Other hosts that blobs may come from; `*` is any, since a blob's digest is known by then. Default `*`. */
  readonly hosts?: readonly string[]
}

/** Artifacts of one registry, by host. */
export class OciSource implements Source {
  readonly id: string
  readonly #base: URL
  readonly #client: HttpClient
  readonly #options: OciSourceOptions
  /** By repository. */
  readonly #tokens = new Map<string, string>()

  constructor(host: string, client: HttpClient, options: OciSourceOptions = {}) {
    this.id = `oci:${host}`
    this.#base = new URL(`${isLoopback(host.replace(/:\d+$/, '')) ? 'http' : 'https'}://${host}/v2/`)
    this.#client = client
    this.#options = options
  }

  async versions(name: string, options: ResolveOptions = {}): Promise<readonly string[]> {
    return [...(await this.#tags(name, options)).keys()]
  }

  async resolve(name: string, range: string, options: ResolveOptions = {}): Promise<Release> {
    const tags = await this.#tags(name, options)
    const version = newestOf([...tags.keys()], range, name, this.#base.host)
    const layers = await this.#layers(name, tags.get(version) as string, options)
    const file = (title: string): SourceFile | undefined => layers.get(title)
    const manifest = file(MANIFEST_NAME)
    if (manifest === undefined) throw malformed(`${name}:${version}`, `the artifact has no ${MANIFEST_NAME}, so it is no plugin`)
    return {
      name,
      version,
      address: `oci:${this.#base.host}/${name}@${version}`,
      layout: {
        kind: 'files',
        manifest,
        signatures: [...layers].filter(([title]) => title.startsWith(`${MANIFEST_NAME}.`)).map(([, layer]) => layer),
        file,
      },
      findings: [{ what: 'digest', state: 'valid', text: `${this.#base.host} names every file of ${name} ${version} by its digest` }],
    }
  }

  async fetch(file: SourceFile, options: FetchOptions = {}): Promise<FetchedFile> {
    const url = new URL(file.location)
    const repository = /\/v2\/(.+)\/blobs\//.exec(url.pathname)?.[1] ?? ''
    const attempt = (): Promise<FetchedFile> =>
      openWebFile(this.#client, url, file, options, { allowsHost: this.#allowsHost, headers: this.#authorization(repository) })
    try {
      return await attempt()
    } catch (cause) {
      // A token lives shorter than some downloads take.
      if (
        !(
          cause instanceof PluginError &&
          cause.code === 'ERR_SOURCE_UNREACHABLE' &&
          (cause.facts as { status: number | null }).status === 401
        )
      )
        throw cause
      await this.#document(new URL(`${repository}/tags/list?n=1`, this.#base), repository, '*/*', options.signal)
      return attempt()
    }
  }

  readonly #allowsHost = (host: string): boolean => {
    const hosts = this.#options.hosts ?? ['*']
    return hosts.includes('*') || hosts.includes(host)
  }

  #authorization(repository: string): Record<string, string> {
    const token = this.#tokens.get(repository)
    return token === undefined ? {} : { authorization: token }
  }

  /** Version to tag: `v1.2.0` is version 1.2.0, and since a tag has no `+`, `1.2.0_build` is 1.2.0+build. */
  async #tags(name: string, { signal }: ResolveOptions): Promise<ReadonlyMap<string, string>> {
    const tags = new Map<string, string>()
    let url: URL | undefined = new URL(`${name}/tags/list`, this.#base)
    for (let page = 0; url !== undefined; page++) {
      if (page === MAX_PAGES) throw malformed(shown(url), 'its list of tags has no end')
      const { bytes, status, headers } = await this.#document(url, name, 'application/json', signal)
      if (status === 404) throw noPlugin(this.#base.host, name)
      const list = fieldOf(parseJson(bytes, shown(url)), 'tags') ?? []
      for (const tag of listIn(list, shown(url), 'the list of tags')) {
        const text = textIn(tag, shown(url), 'a tag')
        const version = text.replace(/^v(?=\d)/, '').replace('_', '+')
        if (/^[A-Za-z0-9_][\w.-]{0,127}$/.test(text) && isVersion(version)) tags.set(version, text)
        if (tags.size > MAX_TAGS) throw malformed(shown(url), `it has more than ${MAX_TAGS} versions`)
      }
      url = this.#nextPage(url, headers['link'])
    }
    return tags
  }

  #nextPage(url: URL, link: string | string[] | undefined): URL | undefined {
    const [, target] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(link ?? '')) ?? []
    if (target === undefined || !URL.canParse(target, url.href)) return undefined
    const next = new URL(target, url)
    if (next.host !== this.#base.host) throw malformed(shown(url), 'its list of tags goes on at another host')
    return next
  }

  /** Files by their titles. */
  async #layers(name: string, tag: string, { signal }: ResolveOptions): Promise<ReadonlyMap<string, SourceFile>> {
    const url = new URL(`${name}/manifests/${tag}`, this.#base)
    const { bytes, status, headers } = await this.#document(url, name, MANIFEST_TYPE, signal, MAX_MANIFEST_BYTES)
    if (status !== 200) throw noPlugin(this.#base.host, `${name}:${tag}`)
    const told = headers['docker-content-digest']
    const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    if (typeof told === 'string' && told.startsWith('sha256:') && told !== found) throw wrongContent(`${name}:${tag}`, told, found)
    const document = parseJson(bytes, shown(url))
    if (fieldOf(document, 'schemaVersion') !== 2 || fieldOf(document, 'artifactType') !== OCI_ARTIFACT_TYPE)
      throw malformed(shown(url), `it is no plugin: an artifact of the type ${OCI_ARTIFACT_TYPE} was expected`)
    const layers = new Map<string, SourceFile>()
    for (const item of listIn(fieldOf(document, 'layers'), shown(url), 'its list of layers')) {
      const layer = objectIn(item, shown(url), 'a layer')
      const annotations = objectIn(fieldOf(layer, 'annotations') ?? {}, shown(url), 'the annotations of a layer')
      const title = textIn(fieldOf(annotations, TITLE), shown(url), 'the title of a layer')
      const [, sha256] = /^sha256:([0-9a-f]{64})$/.exec(textIn(fieldOf(layer, 'digest'), shown(url), 'the digest of a layer')) ?? []
      const size = fieldOf(layer, 'size')
      if (sha256 === undefined) throw malformed(shown(url), `the layer ${title.slice(0, 100)} has no sha256 digest`)
      if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
        throw malformed(shown(url), `the layer ${title.slice(0, 100)} has no size`)
      if (layers.has(title)) throw malformed(shown(url), `it has the file ${title.slice(0, 100)} twice`)
      layers.set(title, { name: title, location: new URL(`${name}/blobs/sha256:${sha256}`, this.#base).href, size, digests: { sha256 } })
    }
    return layers
  }

  /** A document of the registry; the first refusal tells where to get a token. */
  async #document(
    url: URL,
    repository: string,
    accept: string,
    signal: AbortSignal | undefined,
    maxBytes = MAX_DOCUMENT_BYTES,
  ): Promise<HttpDocument> {
    const ask = (): Promise<HttpDocument> =>
      this.#client.document(url, maxBytes, { signal, headers: { accept, ...this.#authorization(repository) } }, [401, 404])
    const first = await ask()
    if (first.status !== 401) return first
    await this.#authenticate(repository, String(first.headers['www-authenticate'] ?? ''), signal)
    const second = await ask()
    if (second.status === 401) throw statusFailure(url, 401, second.headers)
    return second
  }

  async #authenticate(repository: string, challenge: string, signal: AbortSignal | undefined): Promise<void> {
    const { credentials } = this.#options
    const basic = credentials && `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
    const [, scheme = '', rest = ''] = /^(\w+)\s+(.*)$/s.exec(challenge) ?? []
    if (scheme.toLowerCase() === 'basic') {
      if (basic !== undefined) this.#tokens.set(repository, basic)
      return
    }
    const parameters = new Map([...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [String(key), String(value)]))
    const realm = parameters.get('realm')
    if (scheme.toLowerCase() !== 'bearer' || realm === undefined || !URL.canParse(realm))
      throw malformed(this.#base.host, 'it asks for credentials of an unknown kind')
    const url = new URL(realm)
    // The password goes where the registry says, and no farther than the registry's own domain.
    if (basic !== undefined && !isSameSite(url.hostname, this.#base.hostname)) {
      const reason = `it sends whoever has a password to another domain, ${url.host}`
      throw new PluginError('ERR_SOURCE_REDIRECT', {
        subject: this.#base.host,
        reason,
        remedy: 'Ask whoever runs the registry.',
        to: realm.slice(0, 500),
      })
    }
    const service = parameters.get('service')
    if (service !== undefined) url.searchParams.set('service', service)
    url.searchParams.set('scope', `repository:${repository}:pull`)
    const { bytes, status, headers } = await this.#client.document(
      url,
      MAX_MANIFEST_BYTES,
      { signal, headers: basic === undefined ? {} : { authorization: basic } },
      [401, 403],
    )
    if (status !== 200) throw statusFailure(url, status, headers)
    const answer = parseJson(bytes, shown(url))
    const token = textIn(fieldOf(answer, 'token') ?? fieldOf(answer, 'access_token'), shown(url), 'the token')
    if (!/^[\x21-\x7e]{1,16384}$/.test(token)) throw malformed(shown(url), 'its token cannot be sent')
    this.#tokens.set(repository, `Bearer ${token}`)
  }
}

/** The same host, or both below the same two last names, e.g. auth.example.com for registry.example.com. */
function isSameSite(one: string, other: string): boolean {
  if (one === other) return true
  const site = (host: string): string => host.split('.').slice(-2).join('.')
  return site(one) === site(other) && site(one).includes('.') && !/^[\d.]+$/.test(one)
}
