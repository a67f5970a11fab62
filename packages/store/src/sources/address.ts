// How a plugin and where it comes from are written in one word, e.g. `npm:@acme/aws-plugin@^2`. Knows the words, not the sources.

import semver from 'semver'
import { badAddress } from './failure.ts'

export type SourceKind = 'npm' | 'https' | 'http' | 'file' | 'terraform' | 'oci'

/** An address, taken apart. */
export interface PluginAddress {
  readonly kind: SourceKind
  /** What the source is: a base address, a host, a path. Empty for the default one. */
  readonly at: string
  /** What the plugin is called there. Empty where `at` is the plugin itself. */
  readonly name: string
  /** Semver range. Default `*`. */
  readonly range: string
}

/** For texts that say what an address may look like. */
export const addressForms = `npm:@acme/aws@^2                     an npm package
https://plugins.example.com/aws@^2   a plugin of a static index
file:./plugins/aws                   a directory or an archive; file:./plugins/aws#^2 for a version
oci:registry.example.com/acme/aws@^2 an artifact of a container registry
terraform:hashicorp/random@~3.6      a Terraform provider; terraform:host/namespace/type@range elsewhere`

const npmName = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/
const segment = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i
const hostName = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::\d{1,5})?$/i

/** @throws PluginError `ERR_SOURCE_ADDRESS` */
export function parseAddress(text: string): PluginAddress {
  const refuse = (reason: string): never => {
    throw badAddress(text.slice(0, 200), reason, `Write one of:\n${addressForms}`)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an address is shown to people and kept in files
  if (text.length > 2_000 || /[\u0000-\u001f\u007f]/.test(text)) return refuse('it is too long, or has control characters')
  if (/^[a-z]+:\/\/[^/?#]*:[^/?#]*@/.test(text))
    throw badAddress(
      text.replace(/\/\/.*@/, '//…@'),
      'it holds a password',
      'Give credentials to the source: addresses are shown and recorded.',
    )
  const [, kind = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? []
  const ranged = (given: string): { what: string; range: string } => {
    const at = given.lastIndexOf('@')
    const isScope = at === 0 || (at > 0 && given[at - 1] === '/')
    const [what, range] = at < 0 || isScope ? [given, '*'] : [given.slice(0, at), given.slice(at + 1)]
    if (semver.validRange(range) === null || range === '') refuse(`${JSON.stringify(range)} is no semver range`)
    return { what, range }
  }
  switch (kind) {
    case 'npm': {
      const { what, range } = ranged(rest)
      if (!npmName.test(what) || what.length > 214) return refuse(`${JSON.stringify(what)} is no name of a package`)
      return { kind, at: '', name: what, range }
    }
    case 'http':
    case 'https': {
      const { what, range } = ranged(`${kind}:${rest}`)
      const [, at = '', name = ''] = /^(https?:\/\/[^/?#]+(?:\/[^?#]*?)??\/)((?:@[^/?#@]+\/)?[^/?#@]+)$/.exec(what) ?? []
      if (!URL.canParse(at) || !npmName.test(name)) return refuse('behind the address of the index has to stand the name of a plugin')
      return { kind, at: new URL(at).href, name, range }
    }
    case 'file': {
      const [, path = '', range = '*'] = /^([^#]+)(?:#(.+))?$/s.exec(rest) ?? []
      if (path === '') return refuse('it names no path')
      if (semver.validRange(range) === null) return refuse(`${JSON.stringify(range)} is no semver range`)
      return { kind, at: path, name: '', range }
    }
    case 'terraform': {
      const { what, range } = ranged(rest)
      const parts = what.split('/')
      const host = parts.length === 3 ? (parts.shift() as string) : ''
      if (parts.length !== 2 || !parts.every(part => segment.test(part)) || (host !== '' && !hostName.test(host)))
        return refuse('a provider is namespace/type or host/namespace/type')
      return { kind, at: host.toLowerCase(), name: parts.join('/').toLowerCase(), range }
    }
    case 'oci': {
      const { what, range } = ranged(rest)
      const [, host = '', name = ''] = /^([^/]+)\/(.+)$/.exec(what) ?? []
      if (!hostName.test(host) || !/^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$/.test(name) || name.length > 255)
        return refuse('an artifact is host/repository')
      return { kind, at: host.toLowerCase(), name, range }
    }
    default:
      return refuse('it does not begin with a kind of source')
  }
}

/** The address of a plugin, as `parseAddress` reads it. */
export function formatAddress({ kind, at, name, range }: PluginAddress): string {
  const suffix = range === '*' ? '' : `@${range}`
  switch (kind) {
    case 'npm':
      return `npm:${name}${suffix}`
    case 'http':
    case 'https':
      return `${at}${name}${suffix}`
    case 'file':
      return `file:${at}${range === '*' ? '' : `#${range}`}`
    case 'terraform':
      return `terraform:${at === '' ? '' : `${at}/`}${name}${suffix}`
    case 'oci':
      return `oci:${at}/${name}${suffix}`
  }
}
