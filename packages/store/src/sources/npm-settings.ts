// Which npm registries this user has, as npm itself would read it: from the environment and from the user's own `.npmrc`. A project's `.npmrc` does not count:
// it may be a stranger's. Source of the format: npm's documentation "npmrc" and "scope".

import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { NpmSourceOptions } from './npm-source.ts'

export const DEFAULT_NPM_REGISTRY = 'https://registry.npmjs.org/'

/** Options for npm sources. Lines that say something else are passed over; variables such as `${NPM_TOKEN}` are filled in. */
export async function npmSettings(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<NpmSourceOptions & { readonly scopes: Readonly<Record<string, NpmSourceOptions>> }> {
  const file = env['npm_config_userconfig'] ?? env['NPM_CONFIG_USERCONFIG'] ?? join(homedir(), '.npmrc')
  const text = await readFile(file, 'utf8').catch(() => '') // Most users have none.
  const lines = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const [, key, value] = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (key !== undefined && value !== undefined) lines.set(key, filled(value, env))
  }
  const tokenOf = (registry: string): string | undefined => {
    if (!URL.canParse(registry)) return undefined
    const { host, pathname } = new URL(registry)
    return lines.get(`//${host}${pathname.endsWith('/') ? pathname : `${pathname}/`}:_authToken`) ?? lines.get(`//${host}/:_authToken`)
  }
  const tokenFor = (registry: string): NpmSourceOptions => {
    const token = tokenOf(registry)
    return token === undefined ? {} : { token }
  }
  const settingsOf = (registry: string): NpmSourceOptions => ({ registry, ...tokenFor(registry) })
  const registry = env['npm_config_registry'] ?? env['NPM_CONFIG_REGISTRY'] ?? lines.get('registry')
  const scopes: Record<string, NpmSourceOptions> = Object.create(null)
  for (const [key, value] of lines) {
    const [, scope] = /^(@[^:]+):registry$/.exec(key) ?? []
    if (scope !== undefined) scopes[scope] = settingsOf(value)
  }
  return { ...(registry === undefined ? tokenFor(DEFAULT_NPM_REGISTRY) : settingsOf(registry)), scopes }
}

function filled(value: string, env: Readonly<Record<string, string | undefined>>): string {
  const bare = value.replace(/^"(.*)"$|^'(.*)'$/, (_, double: string | undefined, single: string | undefined) => double ?? single ?? '')
  return bare.replace(/\$\{([^}]+)\}/g, (whole, name: string) => env[name] ?? whole)
}
