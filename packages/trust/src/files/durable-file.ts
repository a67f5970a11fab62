// A small file that several processes change and that a crash at any instant leaves as it was or as it should be. This module touches the
// file system.
//
// New content goes to a temporary file, is flushed to the disk, takes the place of the old file in one step, and then that step is flushed.

import { constants, type Stats } from 'node:fs'
import { open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Claim, type ClaimOptions, claim, DEFAULT_WAIT_MS, writeFault } from './claim.ts'

/**
 * The bytes of a file; undefined when there is none.
 * @param inspect Is shown the file that was opened, and throws when it must not be read.
 * @throws RangeError when it has more than `maxBytes`, TypeError when it is no regular file.
 */
export async function readWhole(path: string, maxBytes: number, inspect?: (file: Stats) => void): Promise<Uint8Array | undefined> {
  // A pipe that lies there is not waited for.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (file === undefined) return undefined
  try {
    // The size first: a file that has no end is not read to its end. One byte more than allowed, since it may grow meanwhile.
    const found = await file.stat()
    inspect?.(found)
    if (!found.isFile()) throw new TypeError('it is no regular file')
    const { size } = found
    if (size > maxBytes) throw new RangeError(`${path} has ${size} bytes, at most ${maxBytes} are read`)
    const parts: Buffer[] = []
    let length = 0
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.max(1, Math.min(65_536, maxBytes + 1 - length))))
      if (bytesRead === 0) break
      parts.push(buffer.subarray(0, bytesRead))
      length += bytesRead
      if (length > maxBytes) throw new RangeError(`${path} has more than ${maxBytes} bytes`)
    }
    return new Uint8Array(Buffer.concat(parts))
  } finally {
    await file.close()
  }
}

export interface UpdateOptions extends ClaimOptions {
  /** Mode of a file that is made; one that is there keeps its own. */
  readonly mode: number
  /** How the file is read: within its limit, and with the errors of its kind. */
  readonly read: (path: string) => Promise<Uint8Array | undefined>
}

/** Those of this process wait here, so that they do not compete by files. */
const queues = new Map<string, Promise<unknown>>()

/**
 * Changes a file while nobody else does.
 * @param change Is given what is there and returns what should be there; undefined leaves it.
 * @throws PluginError `ERR_LOCK_BUSY`, `ERR_LOCK_WRITE`; what `change` throws. The file is untouched then.
 */
export async function updateFile(
  given: string,
  options: UpdateOptions,
  change: (before: Uint8Array | undefined) => Promise<Uint8Array | undefined>,
): Promise<void> {
  // Through links: it is the file that is changed, not the name.
  const path = await realpath(given).catch(() => resolve(given))
  const before = queues.get(path)
  const since = performance.now()
  const mine = (async () => {
    if (before !== undefined) await turn(before, options)
    const held = await claim(path, options, since)
    try {
      const content = await change(await options.read(path))
      if (content !== undefined) await replace(path, content, options.mode, held)
    } finally {
      await held.release()
    }
  })()
  queues.set(path, mine)
  try {
    await mine
  } finally {
    if (queues.get(path) === mine) queues.delete(path)
  }
}

/** Waits for the one before, but no longer than for other processes: it may be waiting for us. The claim tells then that the file is not free. */
async function turn(before: Promise<unknown>, { waitMs = DEFAULT_WAIT_MS, signal }: ClaimOptions): Promise<void> {
  const over = new AbortController()
  const end = (): void => over.abort()
  signal?.throwIfAborted()
  signal?.addEventListener('abort', end, { once: true })
  const tired = sleep(waitMs, undefined, { signal: over.signal }).catch(() => {})
  await Promise.race([tired, before.catch(() => {})]) // Its caller has heard of it.
  signal?.removeEventListener('abort', end)
  end()
}

async function replace(path: string, content: Uint8Array, mode: number, held: Claim): Promise<void> {
  const temporary = held.temporary()
  try {
    const kept = await stat(path).then(
      found => found.mode & 0o777,
      () => undefined,
    )
    const file = await open(temporary, 'wx', kept ?? mode)
    try {
      if (kept !== undefined) await file.chmod(kept)
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    // A machine that slept may have lost its claim to somebody who has written since.
    if (!(await held.held())) throw Object.assign(new Error('the claim was lost'), { code: 'ESTALE' })
    await rename(temporary, path)
  } catch (cause) {
    await unlink(temporary).catch(() => {}) // Was never made, or has become the file.
    throw writeFault(path, cause)
  }
  await flushDirectory(dirname(path))
}

/** So that the new name survives a loss of power. Windows cannot, and need not. */
async function flushDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
