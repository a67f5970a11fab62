// What there is to read: files that were named, files of the repository, and the repository's own history as a log.
import { execFile } from 'node:child_process'
import { createReadStream, type ReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { type Kind, kindOf, lastResort } from './kinds.ts'

const run = promisify(execFile)
const ignored = new Set(['.git', 'build', 'dist', 'node_modules'])

export interface Source {
  /** For people: the path as it was found. */
  readonly name: string
  readonly kind: Kind
  readonly bytes: number
  /** A fresh stream from the beginning; a second attempt needs a second one. */
  open(): ReadStream | Readable
}

/**
 * The files under the given paths that sift can read, in order of their names.
 *
 * @throws When a path does not exist.
 */
export async function filesUnder(paths: readonly string[], trouble: boolean): Promise<Source[]> {
  const sources: Source[] = []
  for (const path of paths) {
    const found = await stat(path)
    const files = found.isDirectory() ? await filesIn(path) : [path]
    for (const file of files) {
      // A file that was named is read even when its name tells nothing.
      const kind = kindOf(file, trouble) ?? (found.isDirectory() ? undefined : lastResort)
      if (kind === undefined) continue
      const { size } = file === path ? found : await stat(file)
      sources.push({ name: relative('.', file) || file, kind, bytes: size, open: () => createReadStream(file) })
    }
  }
  return sources
}

/** Git knows best which files are somebody's work; elsewhere all files count that are not in the usual places of machines. */
async function filesIn(directory: string): Promise<string[]> {
  try {
    const { stdout } = await run('git', ['-C', directory, 'ls-files', '-z', '--cached'], { maxBuffer: 1 << 26 })
    const listed = stdout.split('\0').filter(Boolean)
    const existing = await Promise.all(
      listed.map(file =>
        stat(join(directory, file)).then(
          found => found.isFile(),
          () => false,
        ),
      ),
    )
    if (listed.length > 0) return listed.filter((_, index) => existing[index]).map(file => join(directory, file))
  } catch {
    // no git, or no repository
  }
  const files: string[] = []
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory() && !ignored.has(entry.name)) files.push(...(await filesIn(path)))
    else if (entry.isFile()) files.push(path)
  }
  return files.sort()
}

/** The commits as a log, a line for each with its files; undefined where there is no repository. */
export async function history(directory: string): Promise<Source | undefined> {
  try {
    const format = '--format=%aI INFO %h %s'
    const { stdout } = await run('git', ['-C', directory, 'log', '--max-count=5000', format], { maxBuffer: 1 << 26, encoding: 'buffer' })
    const kind = kindOf('git.log', false)
    if (stdout.length === 0 || kind === undefined) return undefined
    return { name: 'git log', kind, bytes: stdout.length, open: () => Readable.from([stdout], { objectMode: false }) }
  } catch {
    return undefined
  }
}
