// `plugwire.lock` as a file: read, and changed by one process at a time. This module touches the file system.

import { PluginError } from 'plugwire'
import { readWhole, updateFile } from '../files/durable-file.ts'
import { MAX_STATE_BYTES } from '../limits.ts'
import { readManifest } from '../manifest/manifest.ts'
import type { Verdict, VerifyRequest } from '../policy/verdict.ts'
import { verify } from '../policy/verify.ts'
import { emptyLock, encodeLock, type Lock, type LockEntry, lockPlugin, readLock } from './lock.ts'

export const LOCK_FILE_NAME = 'plugwire.lock'

/**
 * Reads a lock file; an empty lock when there is none.
 * @throws PluginError `ERR_LOCK_MALFORMED`
 */
export async function readLockFile(path: string): Promise<Lock> {
  const bytes = await readBytes(path)
  return bytes === undefined ? emptyLock : readLock(bytes, path)
}

async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readWhole(path, MAX_STATE_BYTES)
  } catch (cause) {
    throw new PluginError(
      'ERR_LOCK_MALFORMED',
      { path, reason: `${path} cannot be read: ${(cause as Error).message}`, remedy: 'It has to be a file that you may read.' },
      { cause },
    )
  }
}

export interface UpdateLockOptions {
  /** Milliseconds to wait for other processes that write it. Default 10_000. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

/**
 * Changes a lock file while no other process does. A crash at any instant leaves the old file or the new one.
 *
 * Others wait meanwhile: fetch and verify before, then call this, and look in `change` whether what you were going to do is still right.
 * @param change Is given what the file says now and returns what it should say; the same value leaves the file alone.
 * @returns What the file says then.
 * @throws PluginError `ERR_LOCK_MALFORMED`, `ERR_LOCK_BUSY`, `ERR_LOCK_WRITE`
 */
export async function updateLockFile(
  path: string,
  change: (lock: Lock) => Lock | Promise<Lock>,
  options: UpdateLockOptions = {},
): Promise<Lock> {
  let result = emptyLock
  await updateFile(path, { ...options, mode: 0o644, read: readBytes }, async bytes => {
    const before = bytes === undefined ? emptyLock : readLock(bytes, path)
    result = await change(before)
    return result === before ? undefined : encodeLock(result)
  })
  return result
}

/**
 * Verifies a manifest against what a lock file says at this moment, and records it there in the same step: two that install at once cannot
 * overtake each other. A plugin that is recorded already leaves the file alone; where nothing is installed, only started, `verify` with the
 * entry of `readLockFile` does without the step.
 * @throws PluginError what `verify` and `updateLockFile` throw. Nothing is recorded then.
 */
export async function verifyAndLock(
  path: string,
  request: Omit<VerifyRequest, 'locked'>,
  entry: LockEntry,
  options: UpdateLockOptions = {},
): Promise<Verdict> {
  const name = request.plugin ?? readManifest(request.manifest, { understands: request.understands ?? [] }).name
  let verdict: Verdict | undefined
  await updateLockFile(
    path,
    async lock => {
      verdict = await verify({ ...request, locked: lock.plugins.get(name) })
      return lockPlugin(lock, verdict, entry)
    },
    options,
  )
  return verdict as Verdict
}
