// files_listing: what is there.

import type { ConfiguredContext, DataSource } from '../provider/resource.ts'
import { computed, defaulted, type Given, integer, list, object, type State, schema, string } from '../provider/schema.ts'
import { digestOf, type Workspace } from './workspace.ts'

const listing = schema({
  description: 'The files below the root of the provider.',
  attributes: {
    suffix: defaulted(string, '', { description: 'Only files whose path ends so.' }),
    files: computed(list(object({ path: string, size: integer, digest: string }))),
    total: computed(integer, { description: 'Bytes of all of them.' }),
  },
})

export class Listing implements DataSource<typeof listing, Workspace> {
  readonly schema = listing

  async read({ suffix }: Given<typeof listing>, { client, signal, warn }: ConfiguredContext<Workspace>): Promise<State<typeof listing>> {
    const files = []
    let total = 0n
    for (const path of await client.list(signal)) {
      const found = path.endsWith(suffix) ? await client.read(path) : undefined
      if (found === undefined) continue
      files.push({ path, size: BigInt(found.content.length), digest: digestOf(found.content) })
      total += BigInt(found.content.length)
    }
    if (files.length === 0) warn('No files', { detail: `No path ends with ${JSON.stringify(suffix)}.`, path: ['suffix'] })
    return { suffix, files, total }
  }
}
