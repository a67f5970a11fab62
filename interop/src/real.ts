// Real plugins written in Go that are not ours, and a program that runs some: fetched from the Go module proxy in fixed versions, built once,
// and kept outside of the tree. Nothing of them is part of this repository.

import { buildGo, cache, type Go } from './go.ts'

export { goMissing, skipUnlessBuilt } from './go.ts'

/** Where a program comes from. */
interface Origin {
  readonly module: string
  readonly version: string
  /** Within the module. */
  readonly package: string
}

/** What a host has to say and may expect, as far as it is the same for every version of a plugin's family. */
export interface RealContract {
  /** The magic cookie: name and value of a variable. */
  readonly cookie: readonly [key: string, value: string]
  /** Versions of the application's protocol that the plugin offers. */
  readonly versions: readonly number[]
  /** Full names of the gRPC services of the highest version. */
  readonly services: readonly string[]
  /** Other variables that its host sets. */
  readonly environment?: { readonly [name: string]: string }
}

const terraform: RealContract = {
  cookie: ['TF_PLUGIN_MAGIC_COOKIE', 'd602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2'],
  versions: [5],
  services: ['tfplugin5.Provider'],
}

/** All the plugins that can be built, the quickest first. */
export const realPlugins: { readonly [Name in RealName]: Origin & { readonly contract: RealContract } } = {
  'terraform-provider-time': {
    module: 'github.com/hashicorp/terraform-provider-time',
    version: 'v0.14.2',
    package: '.',
    contract: terraform,
  },
  'vault-plugin-database-redis': {
    module: 'github.com/hashicorp/vault-plugin-database-redis',
    version: 'v0.7.0',
    package: './cmd/vault-plugin-database-redis',
    contract: {
      cookie: ['VAULT_DATABASE_PLUGIN', '926a0820-aea2-be28-51d6-83cdf00e8edb'],
      versions: [5],
      services: ['dbplugin.v5.Database', 'logical.PluginVersion'],
      environment: { VAULT_VERSION: '1.20.0' },
    },
  },
  'vault-plugin-secrets-kv': {
    module: 'github.com/hashicorp/vault-plugin-secrets-kv',
    version: 'v0.25.0',
    package: './cmd/vault-plugin-secrets-kv',
    contract: {
      cookie: ['VAULT_BACKEND_PLUGIN', '6669da05-b1c8-4f49-97d9-c8e5bed98e20'],
      versions: [3, 4, 5],
      services: ['pb.Backend', 'logical.PluginVersion', 'pluginutil.multiplexing.PluginMultiplexing'],
      // Without it the plugin fetches a certificate over the API of a Vault that does not run here.
      environment: { VAULT_PLUGIN_AUTOMTLS_ENABLED: 'true', VAULT_VERSION: '1.20.0' },
    },
  },
}
export type RealName = 'terraform-provider-time' | 'vault-plugin-database-redis' | 'vault-plugin-secrets-kv'

const openTofu: Origin = { module: 'github.com/opentofu/opentofu', version: 'v1.12.6', package: './cmd/tofu' }

/** Builds a plugin, or takes it from the cache. @returns The path of the program. */
export function buildReal(name: RealName): Promise<string> {
  return buildOrigin(name, realPlugins[name])
}

/** Builds OpenTofu, or takes it from the cache. @returns The path of `tofu`. */
export function buildOpenTofu(): Promise<string> {
  return buildOrigin('tofu', openTofu)
}

function buildOrigin(name: string, { module, version, package: path }: Origin): Promise<string> {
  // In the folder of the module itself: so its own go.sum and its own replacements hold, which `go install` refuses.
  const fetch = async (go: Go): Promise<string> => {
    const { Dir } = JSON.parse(await go(cache, 'mod', 'download', '-json', `${module}@${version}`)) as { readonly Dir: string }
    return Dir
  }
  return buildGo({ name, fetch, state: [`${module}@${version}`], package: path, arguments: ['-ldflags=-s -w'] })
}
