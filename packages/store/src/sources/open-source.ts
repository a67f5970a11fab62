// From an address to the source it names. The only place that knows all sources; each is loaded when it is first named.

import type { PluginAddress } from './address.ts'
import { badAddress } from './failure.ts'
import { HttpClient, type HttpOptions, httpRemedy } from './http/client.ts'
import { IndexSource, type IndexSourceOptions } from './index-source.ts'
import type { NpmSourceOptions } from './npm-source.ts'
import type { OciSourceOptions } from './oci-source.ts'
import type { Source } from './source.ts'
import type { TerraformSourceOptions } from './terraform-source.ts'

export interface SourcesOptions {
  readonly http?: HttpOptions
  /** `scopes`: other registries for packages of a scope, by the scope with its `@`. `npmSettings` reads both from the user's npm configuration. */
  readonly npm?: NpmSourceOptions & { readonly scopes?: Readonly<Record<string, NpmSourceOptions>> }
  readonly index?: IndexSourceOptions
  readonly oci?: OciSourceOptions
  /** `mirror`: a directory in the layout of a filesystem mirror, asked instead of the registries. */
  readonly terraform?: Omit<TerraformSourceOptions, 'host'> & { readonly mirror?: string }
  /** What relative paths of `file:` start from. Default: the current directory. */
  readonly workingDirectory?: string
  /** Sources of the application's own, asked first. */
  readonly custom?: (address: PluginAddress) => Source | undefined
}

/** All sources of one program: one client, one source for each server. Close it when done. */
export class Sources implements Disposable {
  readonly client: HttpClient
  readonly #options: SourcesOptions
  readonly #open = new Map<string, Promise<Source>>()

  constructor(options: SourcesOptions = {}) {
    this.#options = options
    this.client = new HttpClient(options.http)
  }

  /** @throws PluginError `ERR_SOURCE_ADDRESS` */
  async of(address: PluginAddress): Promise<Source> {
    const own = this.#options.custom?.(address)
    if (own !== undefined) return own
    const scope = address.kind === 'npm' ? scopeOf(address.name) : ''
    const key = `${address.kind}:${address.at}${scope}`
    let source = this.#open.get(key)
    if (source === undefined) {
      source = this.#make(address)
      this.#open.set(key, source)
    }
    return source
  }

  async #make({ kind, at, name }: PluginAddress): Promise<Source> {
    const { npm, index, oci, terraform, http, workingDirectory = process.cwd() } = this.#options
    switch (kind) {
      case 'npm':
        return new (await import('./npm-source.ts')).NpmSource(this.client, npmOptions(npm, scopeOf(name)))
      case 'http':
        if (http?.allowLoopback !== true) throw badAddress(at, 'http is not taken', httpRemedy(new URL(at).hostname))
        return new IndexSource(at, this.client, index)
      case 'https':
        return new IndexSource(at, this.client, index)
      case 'file': {
        const { resolve } = await import('node:path')
        return new (await import('./directory-source.ts')).DirectorySource(resolve(workingDirectory, at), at)
      }
      case 'oci':
        return new (await import('./oci-source.ts')).OciSource(at, this.client, oci)
      case 'terraform': {
        const { TerraformSource, TerraformMirrorSource } = await import('./terraform-source.ts')
        if (terraform?.mirror !== undefined) return new TerraformMirrorSource(terraform.mirror, at || undefined)
        return new TerraformSource(this.client, { ...terraform, ...(at !== '' && { host: at }) })
      }
    }
  }

  [Symbol.dispose](): void {
    this.client.close()
  }
}

/** Another registry for a scope gets neither the token of the first one nor its keys. */
function npmOptions(npm: SourcesOptions['npm'] = {}, scope: string): NpmSourceOptions {
  const { scopes = {}, ...general } = npm
  const own = Object.hasOwn(scopes, scope) ? scopes[scope] : undefined
  if (own?.registry === undefined || own.registry === general.registry) return { ...general, ...own }
  const { token: _token, keys: _keys, ...rest } = general
  return { ...rest, ...own }
}

const scopeOf = (name: string): string => (name.startsWith('@') ? (name.split('/')[0] as string) : '')
