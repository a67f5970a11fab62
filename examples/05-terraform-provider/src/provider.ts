// The provider `files`: text files, documents, and a listing of what is there, all below one directory.

import { resolve } from 'node:path'
import { Unknown } from '../provider/cty/value.ts'
import { ProviderError } from '../provider/diagnostics.ts'
import type { Provider } from '../provider/resource.ts'
import { bool, optional, required, schema, string } from '../provider/schema.ts'
import { DocumentFile } from './document.ts'
import { Listing } from './listing.ts'
import { TextFile } from './text.ts'
import { Workspace } from './workspace.ts'

const configuration = schema({
  description: 'Files below one directory.',
  attributes: {
    root: required(string, { description: 'The directory. It need not exist yet.' }),
    read_only: optional(bool, { description: 'Refuse every change.' }),
  },
})

export const files: Provider<typeof configuration, Workspace> = {
  schema: configuration,
  configure({ root, read_only }) {
    if (root instanceof Unknown || read_only instanceof Unknown) {
      throw new ProviderError('The root is not known yet', { detail: 'Apply what it depends on first, with -target.', path: ['root'] })
    }
    return new Workspace(resolve(root), read_only ?? false)
  },
  resources: { files_text: new TextFile(), files_document: new DocumentFile() },
  dataSources: { files_listing: new Listing() },
}
