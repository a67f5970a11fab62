// Starting the other process of a row.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** Starts `file` (a URL of a built module) under this Node. What the child inherits of the environment was cleaned by `run.ts`. */
export function startNode(file: URL, stdio: StdioOptions, args: readonly string[] = [], ownGroup = false): ChildProcess {
  return spawn(process.execPath, [fileURLToPath(file), ...args], { stdio, detached: ownGroup })
}

/** The socketpair that an extra `'pipe'` in `stdio` makes. */
export function descriptor3(child: ChildProcess): Duplex {
  return child.stdio[3] as Duplex
}

export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

export async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await ended(child)
}

/** A path for a unix socket in a directory of its own, and how to remove both. */
export function socketPath(): { path: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-bench-'))
  return { path: join(directory, 's'), remove: () => rmSync(directory, { recursive: true, force: true }) }
}
