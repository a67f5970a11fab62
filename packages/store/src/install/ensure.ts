// The one call for programs whose plugins are fetched when they are first needed: what is installed is opened, what is not is installed first.

import { resolve } from 'node:path'
import { currentPlatform, LOCK_FILE_NAME, readLockFile } from '@plugwire/trust'
import { isPluginError } from 'plugwire'
import { ContentStore } from '../content/store.ts'
import { type InstallOptions, install } from './install.ts'
import { openPlugin, type StoredPlugin } from './stored-plugin.ts'

/**
 * Opens a plugin by its address; fetches, verifies and locks it when it is not here yet. The way that it takes when everything is here asks nobody and
 * reads only the manifest.
 *
 * @param request An address such as `npm:@acme/aws@^2`.
 * @throws PluginError as `install` and `openPlugin` do
 */
export async function ensurePlugin(
  request: string,
  options: Omit<InstallOptions, 'dryRun' | 'platforms' | 'onFailure'> = {},
): Promise<StoredPlugin> {
  const store = options.store instanceof ContentStore ? options.store : await ContentStore.open(options.store)
  const lockFile = resolve(options.lockFile ?? LOCK_FILE_NAME)
  const { policy = {}, understands } = options
  const opening = { store, policy, platform: currentPlatform(), ...(understands !== undefined && { understands }) }
  const lock = await readLockFile(lockFile)
  if (lock.requests.has(request)) {
    const opened = await openPlugin(request, { ...opening, lock }).catch((cause: unknown) => {
      if (!isPluginError(cause, 'ERR_STORE_MISSING') && !isPluginError(cause, 'ERR_STORE_CORRUPT')) throw cause
    })
    if (opened !== undefined && (await opened.isComplete())) return opened
  }
  await install([request], { ...options, store, lockFile })
  return openPlugin(request, { ...opening, lock: await readLockFile(lockFile) })
}
