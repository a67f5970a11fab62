// Takes away what no lock file needs any more. The roots are lock files: each that was ever written with this store is remembered, and what they lock is
// followed through the manifests to every file. Runs only while nobody writes.

import { createHash } from 'node:crypto'
import { readdir, readFile, rmdir, stat, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Lock, readLock } from '@plugwire/trust'
import { isPluginError, PluginError } from 'plugwire'
import { MAX_MANIFEST_BYTES } from '../limits.ts'
import { storeFailure } from './failure.ts'
import { isPresent } from './participant.ts'
import { forgetRelease, recordedReleases, signaturesOf, writeInOneStep } from './releases.ts'
import { type ContentStore, isMissing } from './store.ts'
import { ignoreMissing } from './turns.ts'

/** How long a download that was broken off may be continued. Milliseconds. */
const KEEP_DOWNLOADS_MS = 24 * 60 * 60 * 1000

export interface GarbageOptions {
  /** Only tells what would go. Default false. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

export interface GarbageReport {
  /** Lock files whose plugins were kept. */
  readonly locks: readonly string[]
  /** Lock files that are gone; they protect nothing any more. */
  readonly forgotten: readonly string[]
  readonly kept: { readonly objects: number; readonly bytes: number }
  readonly removed: { readonly objects: number; readonly bytes: number }
  /** Unfinished writes and old downloads. */
  readonly leftovers: number
  /** Plugins that are locked while their manifest is not in the store: their files cannot be told from others. `plugwire install` fetches them. */
  readonly unknown: readonly string[]
}

const rootOf = (store: ContentStore, lock: string): string =>
  join(store.directory, 'roots', `${createHash('sha256').update(lock).digest('hex')}.json`)

/** Protects everything that a lock file names, now and later, as long as the file is there. */
export async function addRoot(store: ContentStore, lockFile: string): Promise<void> {
  const lock = resolve(lockFile)
  const path = rootOf(store, lock)
  const known = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (!isMissing(cause)) throw storeFailure(path, cause)
  })
  const text = `${JSON.stringify({ lock })}\n`
  if (known !== text) await writeInOneStep(store, path, text)
}

interface Root {
  readonly file: string
  readonly lockFile: string
  /** Undefined when the file is gone. */
  readonly lock: Lock | undefined
}

/** @throws PluginError `ERR_STORE_ROOT` when one of them cannot be read: nothing is taken away on a guess. */
async function readRoots(store: ContentStore): Promise<Root[]> {
  const directory = join(store.directory, 'roots')
  const roots: Root[] = []
  for (const name of await readdir(directory)) {
    const file = join(directory, name)
    const cannot = (subject: string, cause: unknown): PluginError =>
      new PluginError(
        'ERR_STORE_ROOT',
        {
          subject,
          reason: `it protects plugins and cannot be read: ${(cause as Error).message.replace(/\.$/, '')}`,
          remedy: `Nothing was removed. Repair it, or remove ${file} if it is no longer of use.`,
        },
        { cause },
      )
    let lockFile: string
    try {
      lockFile = (JSON.parse(await readFile(file, 'utf8')) as { lock: string }).lock
      if (typeof lockFile !== 'string') throw new SyntaxError('it names no lock file')
    } catch (cause) {
      throw cannot(file, cause)
    }
    try {
      roots.push({ file, lockFile, lock: readLock(await readFile(lockFile), lockFile) })
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw cannot(lockFile, cause)
      roots.push({ file, lockFile, lock: undefined })
    }
  }
  return roots
}

/**
 * Removes objects that no lock file leads to, unfinished writes, and downloads that nobody continued for a day.
 *
 * Killed at any instant it leaves a store that is in order: objects go first, what leads to them last.
 * @throws PluginError `ERR_STORE_ROOT`, `ERR_STORE_IO`
 */
export async function collectGarbage(store: ContentStore, options: GarbageOptions = {}): Promise<GarbageReport> {
  const { dryRun = false, signal } = options
  const turn = await store.beginCleaning(signal)
  try {
    const roots = await readRoots(store)
    const { keep, manifests, unknown } = await reachable(store, roots)
    const kept = { objects: 0, bytes: 0 }
    const removed = { objects: 0, bytes: 0 }
    for await (const { sha512, size } of store.objects()) {
      signal?.throwIfAborted()
      const side = keep.has(sha512) ? kept : removed
      side.objects++
      side.bytes += size
      if (side === removed && !dryRun) await unlink(store.pathOf(sha512)).catch(ignoreMissing)
    }
    const leftovers = await sweep(store, dryRun)
    const forgotten = roots.filter(({ lock }) => lock === undefined)
    if (!dryRun) {
      for (const { file } of forgotten) await unlink(file).catch(ignoreMissing)
      for (const manifest of await recordedReleases(store)) if (!manifests.has(manifest)) await forgetRelease(store, manifest)
      const objects = join(store.directory, 'objects')
      for (const prefix of await readdir(objects)) await rmdir(join(objects, prefix)).catch(() => {}) // Those that are not empty stay.
    }
    return {
      locks: roots.filter(({ lock }) => lock !== undefined).map(({ lockFile }) => lockFile),
      forgotten: forgotten.map(({ lockFile }) => lockFile),
      kept,
      removed,
      leftovers,
      unknown,
    }
  } catch (cause) {
    throw storeFailure(store.directory, cause)
  } finally {
    await turn.end()
  }
}

async function reachable(store: ContentStore, roots: readonly Root[]) {
  const keep = new Set<string>()
  const manifests = new Set<string>()
  const unknown: string[] = []
  for (const { lock } of roots) {
    for (const [name, { versions }] of lock?.plugins ?? []) {
      for (const [version, { manifest }] of versions) {
        if (manifests.has(manifest)) continue
        manifests.add(manifest)
        keep.add(manifest)
        for (const signature of await signaturesOf(store, manifest)) keep.add(signature)
        try {
          for (const digest of filesOf(await store.read(manifest, MAX_MANIFEST_BYTES))) keep.add(digest)
        } catch (cause) {
          if (!isPluginError(cause)) throw cause
          unknown.push(`${name} ${version}`)
        }
      }
    }
  }
  return { keep, manifests, unknown }
}

/** Without reading it as a manifest: one that only a newer version understands protects its files too. Its archives are not kept. */
function filesOf(manifest: Uint8Array): string[] {
  const { platforms } = JSON.parse(Buffer.from(manifest).toString('utf8')) as {
    platforms?: Record<string, { files?: Record<string, { sha512?: unknown }> }>
  }
  return Object.values(platforms ?? {})
    .flatMap(platform => Object.values(platform?.files ?? {}))
    .map(file => String(file?.sha512))
}

async function sweep(store: ContentStore, dryRun: boolean): Promise<number> {
  const tmp = join(store.directory, 'tmp')
  let leftovers = 0
  for (const file of await readdir(tmp)) {
    const path = join(tmp, file)
    const [label = '', name = ''] = file.split(/@(?=[^@]*$)/)
    if (name !== 'left' && isPresent(name, path)) continue
    const age =
      Date.now() -
      (await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ))
    if (label.startsWith('get') && age < KEEP_DOWNLOADS_MS) continue
    leftovers++
    if (!dryRun) await unlink(path).catch(ignoreMissing)
  }
  return leftovers
}
