// A static index: files on any web server. docs/index-format.md is its specification.

import { SIGNATURE_SUFFIXES } from '../discovery/candidate-name.ts'
import { MAX_DOCUMENT_BYTES } from '../limits.ts'
import { fieldOf, listIn, malformed, newestOf, noPlugin, objectIn, parseJson, textIn } from './failure.ts'
import { type HttpClient, shown } from './http/client.ts'
import { openWebFile } from './http/web-file.ts'
import type { FetchedFile, FetchOptions, Release, ResolveOptions, Source, SourceFile } from './source.ts'

/** What lies beside the versions of a plugin. */
export const INDEX_NAME = 'index.json'
export const INDEX_FORMAT = 'index/1'

/** One version in an index. */
export interface IndexVersion {
  readonly version: string
  /** Path of the manifest, from the index on. */
  readonly manifest: string
  /** Paths of its signatures, from the index on. Where the index says nothing, the usual endings are tried. */
  readonly signatures: readonly string[] | undefined
}

/**
 * Reads the index of one plugin.
 * @throws PluginError `ERR_SOURCE_MALFORMED`
 */
export function readIndex(bytes: Uint8Array, subject: string): { readonly name: string; readonly versions: readonly IndexVersion[] } {
  const document = parseJson(bytes, subject)
  const format = fieldOf(document, 'plugwire')
  if (format !== INDEX_FORMAT) throw malformed(subject, `it is ${JSON.stringify(String(format).slice(0, 40))}, not ${INDEX_FORMAT}`)
  const name = textIn(fieldOf(document, 'name'), subject, 'its name')
  const seen = new Set<string>()
  const versions = listIn(fieldOf(document, 'versions'), subject, 'its list of versions').map((item, i) => {
    const entry = objectIn(item, subject, `version ${i} of the list`)
    const version = textIn(fieldOf(entry, 'version'), subject, `the version at ${i}`)
    if (seen.has(version)) throw malformed(subject, `it has version ${version.slice(0, 100)} twice`)
    seen.add(version)
    const signatures = fieldOf(entry, 'signatures')
    return {
      version,
      manifest: pathIn(fieldOf(entry, 'manifest'), subject, version),
      signatures:
        signatures === undefined
          ? undefined
          : listIn(signatures, subject, `the signatures of ${version}`).map(path => pathIn(path, subject, version)),
    }
  })
  return { name, versions }
}

/** Relative, downwards, and the same in every address. */
function pathIn(value: unknown, subject: string, version: string): string {
  const path = textIn(value, subject, `a path of ${version.slice(0, 100)}`)
  if (!isPlainPath(path)) throw malformed(subject, `version ${version.slice(0, 100)} has the path ${JSON.stringify(path.slice(0, 200))}`)
  return path
}

export const isPlainPath = (path: string): boolean =>
  path.length <= 512 && /^[A-Za-z0-9@_][A-Za-z0-9._@+-]*(?:\/[A-Za-z0-9@_][A-Za-z0-9._@+-]*)*$/.test(path)

export interface IndexSourceOptions {
  /** Other hosts that the server may redirect to, e.g. one that keeps the archives. Default: none. */
  readonly hosts?: readonly string[]
}

/** Plugins of an index at a base address, which ends in `/`. */
export class IndexSource implements Source {
  readonly id: string
  readonly #base: URL
  readonly #client: HttpClient
  readonly #hosts: readonly string[]

  constructor(base: string, client: HttpClient, options: IndexSourceOptions = {}) {
    this.#base = new URL(base.endsWith('/') ? base : `${base}/`)
    this.id = this.#base.href
    this.#client = client
    this.#hosts = options.hosts ?? []
  }

  async versions(name: string, options: ResolveOptions = {}): Promise<readonly string[]> {
    return (await this.#read(name, options)).versions.map(({ version }) => version)
  }

  async resolve(name: string, range: string, options: ResolveOptions = {}): Promise<Release> {
    const { versions } = await this.#read(name, options)
    const version = newestOf(
      versions.map(entry => entry.version),
      range,
      name,
      this.id,
    )
    const { manifest, signatures } = versions.find(entry => entry.version === version) as IndexVersion
    const directory = new URL('.', new URL(manifest, this.#of(name)))
    const file = (url: URL): SourceFile => ({ name: url.pathname.slice(url.pathname.lastIndexOf('/') + 1), location: url.href })
    const manifestUrl = new URL(manifest, this.#of(name))
    return {
      name,
      version,
      address: `${this.#base.href}${name}@${version}`,
      layout: {
        kind: 'files',
        manifest: file(manifestUrl),
        signatures: (signatures ?? SIGNATURE_SUFFIXES.map(suffix => `${manifest}${suffix}`)).map(path =>
          file(new URL(path, this.#of(name))),
        ),
        file: path => (isPlainPath(path) ? file(new URL(path, directory)) : undefined),
      },
      findings: [],
    }
  }

  fetch(file: SourceFile, options: FetchOptions = {}): Promise<FetchedFile> {
    return openWebFile(this.#client, new URL(file.location), file, options, { allowsHost: this.#allowsHost })
  }

  readonly #allowsHost = (host: string): boolean => this.#hosts.includes(host)

  readonly #of = (name: string): URL => new URL(`${name}/`, this.#base)

  async #read(name: string, { signal }: ResolveOptions) {
    const url = new URL(INDEX_NAME, this.#of(name))
    const { bytes, status } = await this.#client.document(url, MAX_DOCUMENT_BYTES, { signal, allowsHost: this.#allowsHost }, [404, 410])
    if (status !== 200) throw noPlugin(this.id, name)
    const index = readIndex(bytes, shown(url))
    if (index.name !== name) throw malformed(shown(url), `it is the index of ${JSON.stringify(index.name.slice(0, 200))}`)
    return index
  }
}
