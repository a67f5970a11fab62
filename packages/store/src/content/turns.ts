// Who may work in the store at one time: any number of writers, or one cleaner. Each says so with a file of its own in `turns/`; whoever has gone
// without a word is recognised and swept away. Knows nothing of what is written.

import { readdir, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isPresent, participantName } from './participant.ts'

type Role = 'write' | 'clean'

/** Whoever works says so this often. Milliseconds. */
const BEAT_MS = 60_000
/** Whoever works elsewhere, where we cannot look, and has not said so for this long is gone: in a container that was killed, for example. */
const SILENCE_MS = 15 * 60_000

/** A place among those who work in the store. Hand it back with `end`. */
export interface Turn {
  readonly name: string
  end(): Promise<void>
}

/**
 * Waits until it is this process's turn.
 *
 * Each first puts its own file down and then looks for others, so of two that come at once at least one sees the other. A writer gives way to a
 * cleaner that it sees; a cleaner gives way to another cleaner, and waits with its file in place until the last writer is done.
 */
export async function takeTurn(directory: string, role: Role, signal?: AbortSignal): Promise<Turn> {
  for (;;) {
    signal?.throwIfAborted()
    const name = participantName()
    const path = join(directory, `${role}-${name}`)
    await writeFile(path, '', { flag: 'wx', mode: 0o600 })
    const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), BEAT_MS).unref() // The next one may succeed.
    const end = async (): Promise<void> => {
      clearInterval(beat)
      await unlink(path).catch(ignoreMissing)
    }
    try {
      if (!(await isTaken(directory, 'clean', name))) {
        if (role === 'clean') while (await isTaken(directory, 'write', name)) await sleep(20, undefined, signal && { signal })
        return { name, end }
      }
    } catch (cause) {
      await end()
      throw cause
    }
    await end()
    // Not all at once again.
    await sleep(10 + Math.random() * 40, undefined, signal && { signal })
  }
}

async function isTaken(directory: string, role: Role, own: string): Promise<boolean> {
  let taken = false
  for (const file of await readdir(directory)) {
    const name = file.slice(role.length + 1)
    if (!file.startsWith(`${role}-`) || name === own) continue
    if (isPresent(name, join(directory, file), SILENCE_MS)) taken = true
    else await unlink(join(directory, file)).catch(ignoreMissing)
  }
  return taken
}

export function ignoreMissing(cause: unknown): void {
  if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
}
