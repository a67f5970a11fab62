// What is installed, and why: reads the lock file and the store, asks nobody.

import { resolve } from 'node:path'
import { currentPlatform, LOCK_FILE_NAME, type LockedSigner, readLockFile, readManifest, selectPlatform } from '@plugwire/trust'
import { isPluginError, PluginError } from 'plugwire'
import { ContentStore } from '../content/store.ts'
import { MAX_MANIFEST_BYTES } from '../limits.ts'
import type { InstallOptions } from './install.ts'

export interface ListedPlugin {
  readonly name: string
  readonly version: string
  readonly source: string
  readonly signer: LockedSigner | null
  /** The highest version that was ever accepted. */
  readonly highest: string
  /** Addresses that lead to this version. */
  readonly requests: readonly string[]
  readonly manifest: string
  /** Platforms that the lock file has digests for. */
  readonly platforms: readonly string[]
  /** Whether everything for this machine is in the store; looked up, not read through. */
  readonly stored: boolean
  /** Bytes for this machine; undefined when the manifest is not in the store. */
  readonly bytes: number | undefined
  readonly contract: { readonly name: string; readonly versions: readonly number[]; readonly protocols: readonly string[] } | undefined
}

type ListOptions = Pick<InstallOptions, 'lockFile' | 'store' | 'platforms'>

/** Every version of every plugin that the lock file has. */
export async function list(options: ListOptions = {}): Promise<ListedPlugin[]> {
  const store = options.store instanceof ContentStore ? options.store : await ContentStore.open(options.store)
  const lock = await readLockFile(resolve(options.lockFile ?? LOCK_FILE_NAME))
  const [platform = currentPlatform()] = options.platforms ?? []
  const listed: ListedPlugin[] = []
  for (const [name, { versions, signer, highest }] of lock.plugins) {
    for (const [version, { manifest, source, platforms }] of versions) {
      const requests = [...lock.requests].filter(([, to]) => to.plugin === name && to.version === version).map(([request]) => request)
      const rest = { name, version, source, signer, highest, requests, manifest, platforms: [...platforms.keys()] }
      listed.push({ ...rest, ...(await storedPart(store, manifest, platform)) })
    }
  }
  return listed
}

async function storedPart(
  store: ContentStore,
  digest: string,
  platform: string,
): Promise<Pick<ListedPlugin, 'stored' | 'bytes' | 'contract'>> {
  try {
    const manifest = readManifest(await store.read(digest, MAX_MANIFEST_BYTES), { understands: [] })
    const { contract } = manifest
    try {
      const files = Object.values(selectPlatform(manifest, platform).files)
      const sizes = await Promise.all(files.map(({ sha512 }) => store.sizeOf(sha512)))
      const stored = sizes.every((size, i) => size === files[i]?.size)
      return { stored, bytes: files.reduce((sum, { size }) => sum + size, 0), contract }
    } catch (cause) {
      if (!isPluginError(cause, 'ERR_MANIFEST_PLATFORM')) throw cause
      return { stored: false, bytes: undefined, contract }
    }
  } catch (cause) {
    if (!isPluginError(cause)) throw cause
    return { stored: false, bytes: undefined, contract: undefined }
  }
}

/**
 * Why a plugin is here: what asked for it, where it came from, who signed it.
 * @throws PluginError `ERR_SOURCE_NOT_FOUND`
 */
export async function why(name: string, options: ListOptions = {}): Promise<ListedPlugin[]> {
  const found = (await list(options)).filter(plugin => plugin.name === name || plugin.requests.includes(name))
  if (found.length > 0) return found
  throw new PluginError('ERR_SOURCE_NOT_FOUND', {
    subject: name,
    reason: 'the lock file knows no such plugin',
    remedy: '`plugwire list` shows those it knows.',
    versions: [],
  })
}
