// From a source into the store: goes on where it ended, in this process and the next, and holds the whole against every digest that is known.

import { createHash } from 'node:crypto'
import { readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PluginError } from 'plugwire'
import { storeFailure } from '../content/failure.ts'
import { type ContentStore, type Draft, type StoredContent, wrongContent } from '../content/store.ts'
import { MAX_FILE_BYTES } from '../limits.ts'
import { tooLarge } from './failure.ts'
import { closeBody, type HttpClient, unreachable } from './http/client.ts'
import { type FetchOptions, Interruption, type Source, type SourceFile } from './source.ts'

export interface DownloadOptions {
  /** Bytes of the file. Default `MAX_FILE_BYTES`. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
  readonly onProgress?: FetchOptions['onProgress']
}

/** What a download has led to. */
export interface Downloaded extends StoredContent {
  /** Whether the store did not have it before. */
  readonly isNew: boolean
}

/** Tries in a row that came to nothing, or to less than a line that still counts as one would bring. The others do not count. */
type Patience = Pick<HttpClient, 'attempts' | 'pause' | 'minBytesPerSecond'>

/**
 * Fetches a file and puts it into the store. Does nothing when an object of its SHA-512 is there and sound.
 *
 * What was received when it fails or is killed stays, and the next call for the same file goes on from there.
 * @throws PluginError `ERR_SOURCE_…`, `ERR_STORE_…`
 */
export async function download(
  store: ContentStore,
  source: Source,
  file: SourceFile,
  patience: Patience,
  options: DownloadOptions = {},
): Promise<Downloaded> {
  const { digests = {}, size } = file
  const { signal, maxBytes = MAX_FILE_BYTES } = options
  if (size !== undefined && size > maxBytes) throw tooLarge(file.name, 'maxBytes', maxBytes)
  if (digests.sha512 !== undefined && (await store.holds(digests.sha512)))
    return { sha512: digests.sha512, size: (await store.sizeOf(digests.sha512)) ?? 0, isNew: false }
  const label = `get-${createHash('sha256')
    .update(JSON.stringify([source.id, file.location, digests, size]))
    .digest('hex')
    .slice(0, 40)}`
  let draft = (await store.adopt(label)) ?? (await store.draft(label))
  const validators = new ValidatorNote(join(store.directory, 'tmp', `${label}.etag@left`))
  let isContinued = draft.size > 0
  try {
    if (size !== undefined) {
      if (draft.size > size) await draft.restart()
      await store.reserve(size - draft.size)
    }
    let validator = draft.size > 0 ? await validators.read() : undefined
    let began = performance.now()
    for (let attempts = 1; ; ) {
      const before = draft.size
      try {
        if (size === undefined || draft.size < size)
          validator = await receive(source, file, draft, validators, validator, options, maxBytes)
        const stored = await settle(store, draft, file)
        await validators.drop()
        return stored
      } catch (cause) {
        if (cause instanceof PluginError && cause.code === 'ERR_SOURCE_DIGEST') {
          // The first part may have been of another file: once more from the beginning, and then it is final.
          if (!isContinued) throw cause
          isContinued = false
          await draft.drop()
          draft = await store.draft(label)
          validator = undefined
          continue
        }
        if (!(cause instanceof Interruption)) throw cause
        // A byte for each try would never end either.
        if (draft.size - before > ((performance.now() - began) / 1_000) * patience.minBytesPerSecond) attempts = 0
        if (attempts >= patience.attempts) throw unreachable(file.name, cause, attempts)
        began = performance.now()
        await patience.pause(file.name, Math.max(attempts, 1), cause, signal)
        attempts++
        isContinued = draft.size > 0
      }
    }
  } catch (cause) {
    const isWrong = cause instanceof PluginError && ['ERR_SOURCE_DIGEST', 'ERR_SOURCE_LIMIT', 'ERR_SOURCE_MALFORMED'].includes(cause.code)
    if (isWrong || draft.size === 0 || (cause instanceof PluginError && cause.code === 'ERR_STORE_FULL') || isFull(cause)) {
      await draft.drop()
      await validators.drop()
    } else await draft.leave()
    throw storeFailure(store.directory, cause)
  }
}

const isFull = (cause: unknown): boolean => ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((cause as NodeJS.ErrnoException).code ?? '')

/** One try. @returns The validator for the next. */
async function receive(
  source: Source,
  file: SourceFile,
  draft: Draft,
  validators: ValidatorNote,
  validator: string | undefined,
  { signal, onProgress }: DownloadOptions,
  maxBytes: number,
): Promise<string | undefined> {
  // With nothing to tell whether it is still the same file, it begins again.
  const isKnown = validator !== undefined || Object.keys(file.digests ?? {}).length > 0
  const fetched = await source.fetch(file, {
    offset: isKnown ? draft.size : 0,
    ...(validator !== undefined && { validator }),
    ...(signal !== undefined && { signal }),
    ...(onProgress !== undefined && { onProgress }),
  })
  // Before anything is written: what the server announces has to be what was announced by whoever named the file.
  if (file.size !== undefined && fetched.size !== undefined && fetched.size !== file.size) {
    await closeBody(fetched.body)
    throw wrongContent(file.name, `${file.size} bytes`, `${fetched.size} bytes`)
  }
  if (fetched.size !== undefined && fetched.size > maxBytes) {
    await closeBody(fetched.body)
    throw tooLarge(file.name, 'maxBytes', maxBytes)
  }
  if (fetched.offset !== draft.size) await draft.restart()
  if (fetched.validator !== validator) await validators.write(fetched.validator)
  const max = { name: file.name, maxBytes: file.size ?? maxBytes, ...(file.size !== undefined && { size: file.size }) }
  for await (const chunk of fetched.body) {
    draft.checkRoom(chunk.length, max)
    await draft.write(chunk)
  }
  // A server that said how much was to come was cut off; one that did not has sent all it has.
  if (fetched.size !== undefined && draft.size < fetched.size)
    throw new Interruption(`it ended after ${draft.size} of ${fetched.size} bytes`)
  return fetched.validator
}

async function settle(store: ContentStore, draft: Draft, { name, size, digests = {} }: SourceFile): Promise<Downloaded> {
  if (digests.sha256 !== undefined) {
    const found = await draft.digest('sha256')
    if (found !== digests.sha256) throw wrongContent(name, `sha256:${digests.sha256}`, `sha256:${found}`)
  }
  const isNew = (await store.sizeOf(draft.sha512)) === undefined
  const kept = await draft.keep({
    name,
    ...(size !== undefined && { size }),
    ...(digests.sha512 !== undefined && { sha512: digests.sha512 }),
  })
  return { ...kept, isNew }
}

/** What a server said a file's content is called, beside what there is of it. Lost or wrong it does no harm: the digest decides. */
class ValidatorNote {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async read(): Promise<string | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined) // Without it the digest finds out.
    return text !== undefined && /^"[\x21\x23-\x7e]{0,510}"$/.test(text) ? text : undefined
  }

  async write(validator: string | undefined): Promise<void> {
    if (validator === undefined) return this.drop()
    await writeFile(this.#path, validator, { mode: 0o600 }).catch(() => {}) // Nothing depends on it.
  }

  async drop(): Promise<void> {
    await unlink(this.#path).catch(() => {}) // Usually there is none.
  }
}
