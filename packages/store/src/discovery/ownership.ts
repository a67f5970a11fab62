// Who could have put a file there: walks a path from the root of the file system, through every link, and looks at owners and modes. Opens nothing.

import { lstatSync, readlinkSync, type Stats } from 'node:fs'
import { basename, dirname, isAbsolute, join, parse, resolve } from 'node:path'

/** Why something is not to be run. */
export interface Refusal {
  /** For programs: these words stay as they are between versions. */
  readonly reason:
    | 'missing'
    | 'dangling-link'
    | 'link-loop'
    | 'other-owner'
    | 'others-may-write'
    | 'setuid'
    | 'not-a-file'
    | 'not-executable'
    | 'name-does-not-fit'
    | 'version-malformed'
    | 'manifest-malformed'
    | 'no-platform'
    | 'untrusted-directory'
    | 'unreadable'
    | 'other-version'
    | 'other-contract'
    | 'shadowed'
    | 'not-allowed'
    | 'not-trusted'
    | 'no-handshake'
  /** What it is about: the file itself, or a directory above it. */
  readonly path: string
  /** As half a sentence. */
  readonly text: string
  readonly remedy: string
}

/** As many as Linux follows. */
const MAX_LINKS = 40

/** One walk through the file system; what it has learnt of directories holds for all paths that are asked of it. */
export class Ownership {
  readonly #uid: number | undefined = process.getuid?.()
  /** By path as given: where it leads, or why not. */
  readonly #directories = new Map<string, { readonly real: string; readonly refusals: readonly Refusal[] }>()

  /** Where a path leads and what is there, with everything that speaks against it. `stats` is undefined when nothing is there. */
  inspect(path: string): { readonly real: string; readonly stats: Stats | undefined; readonly refusals: readonly Refusal[] } {
    const refusals: Refusal[] = []
    let current = path
    for (let links = 0; links <= MAX_LINKS; links++) {
      const parent = dirname(current)
      const above = this.#directory(parent, links)
      refusals.push(...above.refusals)
      const real = above.real === parent ? current : join(above.real, basename(current))
      let stats: Stats | undefined
      try {
        stats = lstatSync(real, { throwIfNoEntry: false })
      } catch (cause) {
        refusals.push(unreadable(real, cause))
        return { real, stats: undefined, refusals: unique(refusals) }
      }
      if (stats === undefined) {
        refusals.push(
          links === 0
            ? { reason: 'missing', path, text: 'there is no such file', remedy: 'Look at its name.' }
            : {
                reason: 'dangling-link',
                path,
                text: `it is a link to ${real}, which does not exist`,
                remedy: 'Remove the link, or mend it.',
              },
        )
        return { real, stats, refusals: unique(refusals) }
      }
      if (!stats.isSymbolicLink()) {
        refusals.push(...this.judge(real, stats))
        return { real, stats, refusals: unique(refusals) }
      }
      // A link has no mode of its own; who owns it decides where it leads.
      if (!this.#isOurs(stats)) refusals.push(otherOwner(real, stats))
      let target: string
      try {
        target = readlinkSync(real)
      } catch (cause) {
        // It is another thing by now.
        refusals.push(unreadable(real, cause))
        return { real, stats: undefined, refusals: unique(refusals) }
      }
      current = isAbsolute(target) ? target : resolve(above.real, target)
    }
    refusals.push({ reason: 'link-loop', path, text: `it leads through more than ${MAX_LINKS} links`, remedy: 'Remove the link.' })
    return { real: path, stats: undefined, refusals: unique(refusals) }
  }

  #directory(path: string, links: number): { readonly real: string; readonly refusals: readonly Refusal[] } {
    const known = this.#directories.get(path)
    if (known !== undefined) return known
    let found: { readonly real: string; readonly refusals: readonly Refusal[] }
    if (path === parse(path).root) {
      const stats = lstatSync(path)
      found = { real: path, refusals: this.judge(path, stats) }
    } else if (links > MAX_LINKS) {
      found = { real: path, refusals: [{ reason: 'link-loop', path, text: 'it leads through too many links', remedy: 'Remove the link.' }] }
    } else {
      // Until it is known, a directory that leads to itself is one.
      this.#directories.set(path, {
        real: path,
        refusals: [{ reason: 'link-loop', path, text: 'it leads to itself', remedy: 'Remove the link.' }],
      })
      found = this.inspect(path)
    }
    this.#directories.set(path, found)
    return found
  }

  /** What speaks against something that is no link, by itself. */
  judge(path: string, stats: Stats): Refusal[] {
    if (this.#uid === undefined) return []
    if (!this.#isOurs(stats)) return [otherOwner(path, stats)]
    // In a sticky directory nobody can replace what is not his own, and what lies in it is looked at by itself.
    if ((stats.mode & 0o022) === 0 || (stats.isDirectory() && (stats.mode & 0o1000) !== 0)) return []
    const who = (stats.mode & 0o002) !== 0 ? 'everybody' : `the group ${stats.gid}`
    const remedy = `If you know what is in it: chmod go-w ${quoted(path)}`
    return [{ reason: 'others-may-write', path, text: `${who} may write to ${stats.isDirectory() ? 'the directory' : 'it'}`, remedy }]
  }

  #isOurs({ uid }: Stats): boolean {
    return this.#uid === undefined || uid === 0 || uid === this.#uid
  }
}

function otherOwner(path: string, { uid }: Stats): Refusal {
  const text = `it belongs to user ${uid}, who is neither you nor root`
  return { reason: 'other-owner', path, text, remedy: `Copy it to a directory of your own if you trust that user.` }
}

export function unreadable(path: string, cause: unknown): Refusal {
  const text = `the system says ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`
  return { reason: 'unreadable', path, text, remedy: 'Look at its mode, and at that of the directories above it.' }
}

const quoted = (path: string): string => (/^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)

/** Each once: the same directory stands above several files. */
export const unique = (refusals: readonly Refusal[]): Refusal[] =>
  refusals.length < 2
    ? [...refusals]
    : refusals.filter((one, i) => refusals.findIndex(o => o.path === one.path && o.reason === one.reason) === i)
