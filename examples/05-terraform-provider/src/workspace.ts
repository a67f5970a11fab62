// The directory that a provider was given, and what it does there. Knows nothing of Terraform but its errors.

import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, relative, sep } from 'node:path'
import { ProviderError } from '../provider/diagnostics.ts'

export interface FoundFile {
  readonly content: Buffer
  /** Permissions: `0644`. */
  readonly mode: string
}

/** Reads and writes files below one directory, named by relative paths. */
export class Workspace {
  readonly #root: string
  readonly #readOnly: boolean

  constructor(root: string, readOnly: boolean) {
    this.#root = root
    this.#readOnly = readOnly
  }

  /** Undefined when there is no such file. */
  async read(path: string): Promise<FoundFile | undefined> {
    const file = this.#locate(path)
    try {
      const { mode } = await lstat(file)
      return { content: await readFile(file), mode: modeText(mode) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw failure(`${path} cannot be read`, error)
    }
  }

  async write(path: string, content: string | Uint8Array, mode: string): Promise<void> {
    const file = this.#locate(path)
    this.#refuseIfReadOnly(path)
    try {
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, content, { mode: Number.parseInt(mode, 8) })
      // What was there already kept its permissions, and the mask of the process took some from what is new.
      await chmod(file, Number.parseInt(mode, 8))
    } catch (error) {
      throw failure(`${path} cannot be written`, error)
    }
  }

  /** Does nothing when there is no such file. */
  async remove(path: string): Promise<void> {
    this.#refuseIfReadOnly(path)
    await rm(this.#locate(path), { force: true })
  }

  /** All files, by their paths, in order. */
  async list(signal: AbortSignal): Promise<string[]> {
    const found: string[] = []
    for (const entry of await readdir(this.#root, { recursive: true, withFileTypes: true }).catch(() => [])) {
      signal.throwIfAborted()
      if (entry.isFile()) found.push(relative(this.#root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    }
    return found.sort()
  }

  #locate(path: string): string {
    const problem = pathProblem(path)
    if (problem !== undefined) throw new ProviderError('Invalid path', { detail: problem, path: ['path'] })
    return join(this.#root, path)
  }

  #refuseIfReadOnly(path: string): void {
    if (!this.#readOnly) return
    throw new ProviderError('The provider is read-only', { detail: `${path} stays as it is, since the provider has read_only = true.` })
  }
}

/** What is wrong with a path, in a sentence. */
export function pathProblem(path: string): string | undefined {
  if (path === '' || isAbsolute(path)) return `${JSON.stringify(path)} is no path relative to the root of the provider.`
  if (normalize(path).split(sep)[0] === '..') return `${JSON.stringify(path)} leads out of the root of the provider.`
  return undefined
}

/** What is wrong with permissions, in a sentence. */
export function modeProblem(mode: string): string | undefined {
  return /^0[0-7]{3}$/.test(mode) ? undefined : `${JSON.stringify(mode)} are no permissions; write them like "0644".`
}

/** `sha256-` and the hash in hexadecimal. */
export function digestOf(content: string | Uint8Array): string {
  return DIGEST_PREFIX + createHash('sha256').update(content).digest('hex')
}

export const DIGEST_PREFIX = 'sha256-'

function modeText(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0')
}

function failure(summary: string, cause: unknown): ProviderError {
  return new ProviderError(summary, { detail: cause instanceof Error ? cause.message : String(cause), cause })
}
