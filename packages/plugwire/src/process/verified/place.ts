// A place for the bytes of a verified program from which they, and only they, can be started: sealed memory, a file without a name, or at last
// a file in a private directory. Bytes are hashed as they are written, so what is there is what was verified.

import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import type { ExpectedDigest } from './digest.ts'

/** How strong a place is. From the strongest: nobody can change it; no other user can, nor this one by a name; no other user can. */
export type Rung = 'sealed-memory' | 'unnamed-file' | 'private-directory'

/** Bytes that can be started. */
export interface Place {
  readonly rung: Rung
  readonly bytes: number
  /** Open for reading; what the child inherits. */
  readonly descriptor: number
  /** The file's own path, on the rung that has one. */
  readonly path: string | undefined
  close(): void
}

/** Where the bytes come from; read once. */
export interface ByteSource {
  /** For texts. */
  readonly name: string
  /** Pieces in order; each may be used until the next but one is asked for. */
  read(): AsyncIterable<Uint8Array>
}

/** open(2) on Linux: O_TMPFILE is this bit with O_DIRECTORY. Node has no name for it. */
const TMPFILE = 0o20000000
const linux = process.platform === 'linux'

/** Why a place was no good; the next is tried. */
export class Unfit extends Error {}

/** Directories for files that are started, the likeliest first: on disk, so that they take no memory, and not mounted `noexec`. */
export function directories(own: string | undefined): string[] {
  if (own !== undefined) return [own]
  const cache = path.join(process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'plugwire', 'verified')
  return [cache, os.tmpdir(), ...(linux ? ['/var/tmp', '/dev/shm'] : [])]
}

/** @throws Unfit where a directory cannot hold such a file. */
export async function unnamedFile(directory: string, source: ByteSource, expected: ExpectedDigest): Promise<Place> {
  if (!linux) throw new Unfit(`${process.platform} has no files without a name`)
  const real = privateDirectory(directory)
  const { O_DIRECTORY, O_EXCL, O_RDWR } = fs.constants
  // With O_EXCL it can never get a name.
  const writer = attempt(() => fs.openSync(real, O_RDWR | O_EXCL | O_DIRECTORY | TMPFILE, 0o600))
  let reader: number | undefined
  try {
    const bytes = await copy(source, writer, expected)
    fs.fchmodSync(writer, 0o500)
    const own = `/proc/self/fd/${writer}`
    attempt(() => fs.accessSync(own, fs.constants.X_OK)) // A mount with noexec says no.
    reader = attempt(() => fs.openSync(own, 'r'))
    return { rung: 'unnamed-file', bytes, descriptor: reader, path: undefined, close: closing(reader) }
  } finally {
    // As long as somebody could write, nobody may start it (ETXTBSY).
    fs.closeSync(writer)
  }
}

/** Private directories of this process. */
const standing = new Set<string>()
const removeAll = (): void => {
  for (const own of standing) fs.rmSync(own, { recursive: true, force: true })
}

/** How long a directory stays whose process cannot be found: it may be in another container. */
const LEFTOVER_MS = 24 * 60 * 60 * 1000

/** Removes what processes of this user that were killed could not take along. */
function sweep(directory: string): void {
  for (const name of attempt(() => fs.readdirSync(directory))) {
    const pid = /^run-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    const left = path.join(directory, name)
    try {
      const { uid, mtimeMs } = fs.lstatSync(left)
      if (uid === (process.getuid?.() ?? uid) && Date.now() - mtimeMs > LEFTOVER_MS) fs.rmSync(left, { recursive: true, force: true })
    } catch {
      // Somebody else was quicker, or has it open.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** @throws Unfit where a directory cannot hold such a file. */
export async function namedFile(directory: string, source: ByteSource, expected: ExpectedDigest, suffix: string): Promise<Place> {
  const real = privateDirectory(directory)
  for (let above = path.dirname(real); above !== path.dirname(above); above = path.dirname(above)) assertUnmoved(above)
  sweep(real)
  const own = attempt(() => fs.mkdtempSync(path.join(real, `run-${process.pid}-`)))
  standing.add(own)
  // One listener for all of them: Node warns of many.
  if (standing.size === 1) process.on('exit', removeAll)
  const forget = (): void => {
    standing.delete(own)
    if (standing.size === 0) process.removeListener('exit', removeAll)
    fs.rmSync(own, { recursive: true, force: true })
  }
  try {
    fs.chmodSync(own, 0o700)
    const file = path.join(own, `plugin${suffix}`)
    const writer = attempt(() => fs.openSync(file, 'wx+', 0o600))
    let bytes: number
    try {
      bytes = await copy(source, writer, expected)
      fs.fchmodSync(writer, 0o500)
    } finally {
      fs.closeSync(writer)
    }
    attempt(() => fs.accessSync(file, fs.constants.X_OK))
    const reader = attempt(() => fs.openSync(file, 'r'))
    const close = closing(reader)
    return {
      rung: 'private-directory',
      bytes,
      descriptor: reader,
      path: file,
      close() {
        close()
        forget()
      },
    }
  } catch (cause) {
    forget()
    throw cause
  }
}

/** Copies and hashes in one go: while a piece is hashed here, other threads write it and read the next. */
export async function copy(source: ByteSource, descriptor: number, expected: ExpectedDigest): Promise<number> {
  const { promisify } = process.getBuiltinModule('node:util')
  const write = promisify(fs.write) as (
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ) => Promise<{ bytesWritten: number }>
  const hash = expected.hash()
  let bytes = 0
  const writeAll = async (piece: Uint8Array, at: number): Promise<void> => {
    for (let done = 0; done < piece.length; ) {
      try {
        done += (await write(descriptor, piece, done, piece.length - done, at + done)).bytesWritten
      } catch (cause) {
        throw new Unfit((cause as Error).message, { cause }) // The disk is full, say: another may not be.
      }
    }
  }
  const pieces = source.read()[Symbol.asyncIterator]()
  try {
    for (let reading = pieces.next(); ; ) {
      const { done, value: piece } = await reading
      if (done) break
      const writing = writeAll(piece, bytes)
      reading = pieces.next()
      reading.catch(() => undefined) // Told of when its turn comes: the write has to end first.
      hash.update(piece)
      bytes += piece.length
      await writing
    }
  } finally {
    await pieces.return?.()
  }
  expected.check(hash, source.name)
  return bytes
}

/**
 * Made when it is not there; taken only when nobody else can put something into it, unless names do not matter in it (sticky). Returns its own path,
 * without links on the way to it.
 */
function privateDirectory(directory: string): string {
  attempt(() => fs.mkdirSync(directory, { recursive: true, mode: 0o700 }))
  const real = attempt(() => fs.realpathSync(directory))
  const { mode, uid } = attempt(() => fs.statSync(real))
  const me = process.getuid?.()
  if (me === undefined) return real
  const sticky = (mode & 0o1000) !== 0
  if (uid !== me && !(sticky && uid === 0)) throw new Unfit(`${directory} belongs to another user`)
  if ((mode & 0o022) !== 0 && !sticky) throw new Unfit(`others may write to ${directory}`)
  return real
}

/** Whoever may write to a directory on the way can put another one in its place. */
function assertUnmoved(above: string): void {
  const { mode, uid } = attempt(() => fs.statSync(above))
  const me = process.getuid?.()
  if (me === undefined) return
  if (uid !== me && uid !== 0) throw new Unfit(`${above} belongs to another user`)
  if ((mode & 0o022) !== 0 && (mode & 0o1000) === 0) throw new Unfit(`others may write to ${above}`)
}

function attempt<T>(step: () => T): T {
  try {
    return step()
  } catch (cause) {
    throw new Unfit((cause as Error).message, { cause })
  }
}

function closing(descriptor: number): () => void {
  let open = true
  return () => {
    if (open) fs.closeSync(descriptor)
    open = false
  }
}
