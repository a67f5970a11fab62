// The peers of the interop tests: hosts and plugins of ours in Go, with the newest go-plugin and with old ones.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildGo, type Go, goSources } from './go.ts'

export { goMissing, skipUnlessBuilt } from './go.ts'

/** `peer` has the newest go-plugin; the old ones know key-value, broker and stdio only. */
export type PeerName = 'peer' | 'old-1.0' | 'old-1.4'

const tree = fileURLToPath(new URL('../..', import.meta.url))

const modfiles: { readonly [Name in PeerName]: string } = { peer: 'go/go.mod', 'old-1.0': 'old/go-1.0.mod', 'old-1.4': 'old/go.mod' }

const built = new Map<PeerName, Promise<string>>()

/**
 * Builds one of our Go programs, or takes it from the cache. What it does: the comment at the top of its main.go.
 *
 * @returns The path of the program.
 */
export function buildPeer(name: PeerName): Promise<string> {
  const path = built.get(name) ?? build(name)
  built.set(name, path)
  return path
}

function build(name: PeerName): Promise<string> {
  const directory = join(tree, name === 'peer' ? 'go' : 'old')
  const sources = [...goSources(directory), ...goSources(join(tree, 'go', 'pb'))]
  // Beside the old peer's go.mod lies the one for a still older go-plugin.
  const flags = name === 'old-1.0' ? ['-modfile=go-1.0.mod'] : []
  const fetch = async (go: Go): Promise<string> => {
    await go(directory, 'mod', 'download', ...flags)
    return directory
  }
  return buildGo({ name, fetch, sources, arguments: flags })
}

/** Which go-plugin a peer was built with, as its go.mod says, without the `v`. */
export function goPluginVersion(name: PeerName): string {
  const version = /hashicorp\/go-plugin v(\S+)/.exec(readFileSync(join(tree, modfiles[name]), 'utf8'))?.[1]
  if (version === undefined) throw new Error(`${modfiles[name]} does not name go-plugin`)
  return version
}
