// A provider as a program.

import { serve } from 'plugwire/plugin'
import { protocol5 } from './adapter/protocol5.ts'
import { ProviderServer } from './adapter/provider-server.ts'
import { terraform } from './contract.ts'
import type { AnyProvider } from './resource.ts'

/**
 * Serves a provider to Terraform. Started with `--debug` it waits for any Terraform instead, under whatever debugger, and prints the variable that
 * tells Terraform where it is.
 *
 * @param address As in `required_providers`, with the host: `registry.terraform.io/acme/files`.
 */
export function serveProvider(address: string, provider: AnyProvider): Promise<void> {
  const server = new ProviderServer(provider)
  const onReattach = (config: object) => {
    console.log(
      `Set this where Terraform runs; Ctrl-C ends the provider.\n\nTF_REATTACH_PROVIDERS='${JSON.stringify({ [address]: config })}'`,
    )
  }
  return serve(
    terraform,
    { 5: { provider: () => protocol5(server) }, 6: { provider: () => server } },
    process.argv.includes('--debug') ? { debug: { onReattach } } : {},
  )
}
