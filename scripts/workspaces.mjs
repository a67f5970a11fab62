// The workspaces of this repository, as its package.json lists them.

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Directory of the repository, without a slash at the end. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** All workspaces: `{ path, directory, manifest }`, path relative to the root. */
export async function readWorkspaces() {
  const { workspaces } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const found = []
  for (const path of workspaces) {
    const file = join(root, path, 'package.json')
    if (existsSync(file)) found.push({ path, directory: join(root, path), manifest: JSON.parse(await readFile(file, 'utf8')) })
  }
  return found
}

/** Every file that a package's `exports` and `bin` name, each once. */
export function targetsOf(manifest) {
  const targets = new Set()
  const visit = value => {
    if (typeof value === 'string') targets.add(value)
    else if (value && typeof value === 'object') for (const child of Object.values(value)) visit(child)
  }
  visit(manifest.exports)
  visit(manifest.bin)
  return [...targets].map(target => (target.startsWith('./') ? target : `./${target}`))
}
