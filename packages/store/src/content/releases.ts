// What the store remembers of a release beside its content: which signatures came with a manifest. They are content themselves; the record only leads
// from the manifest's digest to theirs, and whoever changes it gains nothing, since signatures are verified each time.
//
//   releases/<sha512 of the manifest>.json   {"signatures":["<sha512>", …]}

import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MAX_SIGNATURES } from '../limits.ts'
import { storeFailure } from './failure.ts'
import { participantName } from './participant.ts'
import { type ContentStore, isMissing } from './store.ts'
import { ignoreMissing } from './turns.ts'

/** Writes a file in one step, so that it is there as a whole or as before. */
export async function writeInOneStep(store: ContentStore, path: string, text: string): Promise<void> {
  const temporary = join(store.directory, 'tmp', `put@${participantName()}`)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await unlink(temporary).catch(ignoreMissing)
    throw storeFailure(path, cause)
  }
}

const recordOf = (store: ContentStore, manifest: string): string => join(store.directory, 'releases', `${manifest}.json`)

/** Records which stored signatures belong to a stored manifest. Those that are known already stay. */
export async function rememberSignatures(store: ContentStore, manifest: string, signatures: readonly string[]): Promise<void> {
  const known = await signaturesOf(store, manifest)
  const all = [...new Set([...signatures, ...known])].slice(0, MAX_SIGNATURES)
  if (all.length === known.length && all.every(digest => known.includes(digest))) return
  await writeInOneStep(store, recordOf(store, manifest), `${JSON.stringify({ signatures: all })}\n`)
}

/** SHA-512 of the signatures that came with a manifest. Empty when the record is missing or damaged: absent signatures are for the policy to judge. */
export async function signaturesOf(store: ContentStore, manifest: string): Promise<readonly string[]> {
  try {
    const record: unknown = JSON.parse(await readFile(recordOf(store, manifest), 'utf8'))
    const { signatures } = record as { signatures?: unknown }
    if (!Array.isArray(signatures)) return []
    return signatures
      .filter((digest): digest is string => typeof digest === 'string' && /^[0-9a-f]{128}$/.test(digest))
      .slice(0, MAX_SIGNATURES)
  } catch (cause) {
    if (isMissing(cause) || cause instanceof SyntaxError) return []
    throw storeFailure(store.directory, cause)
  }
}

/** Digests of all manifests that have a record. */
export async function recordedReleases(store: ContentStore): Promise<string[]> {
  const names = await readdir(join(store.directory, 'releases')).catch((cause: unknown) => {
    if (isMissing(cause)) return []
    throw storeFailure(store.directory, cause)
  })
  return names.map(name => /^([0-9a-f]{128})\.json$/.exec(name)?.[1]).filter(digest => digest !== undefined)
}

export async function forgetRelease(store: ContentStore, manifest: string): Promise<void> {
  await unlink(recordOf(store, manifest)).catch(ignoreMissing)
}
