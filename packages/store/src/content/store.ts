// The store: content under the name of its SHA-512, written once, never changed. At every instant an object is there as a whole or not at all, also
// when the machine stops. Knows neither manifests nor sources.
//
//   objects/3c/9909af…   one object: mode 0400, first two digits of its digest as a directory
//   tmp/                 what is being written, under the name of whoever writes it
//   turns/               who works here at the moment (turns.ts)
//   roots/               which lock files protect objects from being cleaned away (roots.ts)

import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat, statfs, unlink, utimes } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { PluginError } from 'plugwire'
import { storeFailure, storeFull } from './failure.ts'
import { isPresent, participantName } from './participant.ts'
import { defaultStoreDirectory } from './places.ts'
import { ignoreMissing, type Turn, takeTurn } from './turns.ts'

/** Bytes that are left free on the disk, for everybody else. */
const RESERVE_BYTES = 1024 * 1024

export interface StoredContent {
  /** 128 lower-case hexadecimal digits. */
  readonly sha512: string
  /** Bytes. */
  readonly size: number
}

/** An object that is open and was found to be what its name says, read through this very descriptor. */
export interface OpenContent extends StoredContent, AsyncDisposable {
  readonly handle: FileHandle
}

export interface PutOptions {
  /** Refuses anything else, before it gets a name. */
  readonly sha512?: string
  /** Exact bytes. Room on the disk is looked for before anything is written. */
  readonly size?: number
  /** Refuses more, while it is written. Default: `size`, else none. */
  readonly maxBytes?: number
  /** What it is, for error texts. */
  readonly name?: string
  readonly signal?: AbortSignal
}

export class ContentStore {
  /** Absolute. */
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /**
   * Opens the store and makes it when it is not there.
   * @param directory Default: `PLUGWIRE_STORE`, or `plugwire/store` among the user's data.
   * @throws PluginError `ERR_STORE_ROOT` when it belongs to somebody else or others may write to it, `ERR_STORE_IO`
   */
  static async open(directory: string = defaultStoreDirectory()): Promise<ContentStore> {
    const store = new ContentStore(resolve(directory))
    try {
      await mkdir(store.directory, { recursive: true, mode: 0o700 })
      await store.#checkOwner()
      for (const part of ['objects', 'tmp', 'turns', 'roots']) await mkdir(join(store.directory, part), { recursive: true, mode: 0o700 })
    } catch (cause) {
      throw storeFailure(store.directory, cause)
    }
    return store
  }

  async #checkOwner(): Promise<void> {
    if (process.platform === 'win32') return
    const { uid, mode } = await stat(this.directory)
    const reason = uid !== process.getuid?.() ? `it belongs to user ${uid}` : (mode & 0o022) !== 0 ? 'others may write to it' : undefined
    if (reason === undefined) return
    const remedy = `Make it your own and private (chmod 700), or set PLUGWIRE_STORE to another directory.`
    throw new PluginError('ERR_STORE_ROOT', { subject: this.directory, reason, remedy })
  }

  /** Where an object lies, or would. Whoever runs from there runs what is there then: `open` is for verified bytes. */
  pathOf(sha512: string): string {
    if (!/^[0-9a-f]{128}$/.test(sha512)) throw new TypeError(`${JSON.stringify(sha512)} is no SHA-512`)
    return join(this.directory, 'objects', sha512.slice(0, 2), sha512.slice(2))
  }

  /** Bytes of an object; undefined when it is not there. Its content is not looked at. */
  async sizeOf(sha512: string): Promise<number | undefined> {
    try {
      const found = await lstat(this.pathOf(sha512))
      return found.isFile() ? found.size : undefined
    } catch (cause) {
      if (isMissing(cause)) return undefined
      throw storeFailure(this.directory, cause)
    }
  }

  /** Announces that objects will be put and then protected by a root. Until `end`, nothing is cleaned away. */
  async beginWriting(signal?: AbortSignal): Promise<Turn> {
    try {
      return await takeTurn(join(this.directory, 'turns'), 'write', signal)
    } catch (cause) {
      throw storeFailure(this.directory, cause)
    }
  }

  /** Waits until nobody writes, and keeps everybody from it until `end`. */
  async beginCleaning(signal?: AbortSignal): Promise<Turn> {
    try {
      return await takeTurn(join(this.directory, 'turns'), 'clean', signal)
    } catch (cause) {
      throw storeFailure(this.directory, cause)
    }
  }

  /**
   * Writes content and gives it its name: to a file of its own, down to the disk, checked, and only then renamed.
   * @throws PluginError `ERR_SOURCE_DIGEST`, `ERR_SOURCE_LIMIT`, `ERR_STORE_FULL`, `ERR_STORE_IO`; whatever the source throws
   */
  async put(content: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<StoredContent> {
    if (options.size !== undefined) await this.reserve(options.size)
    const draft = await this.draft()
    try {
      for await (const chunk of content instanceof Uint8Array ? [content] : content) {
        options.signal?.throwIfAborted()
        draft.checkRoom(chunk.length, options)
        await draft.write(chunk)
      }
      return await draft.keep(options)
    } catch (cause) {
      await draft.drop()
      throw storeFailure(this.directory, cause)
    }
  }

  /** @throws PluginError `ERR_STORE_FULL` when the disk has no room for that many bytes more. */
  async reserve(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.directory).catch((cause: unknown) => {
      throw storeFailure(this.directory, cause)
    })
    const free = bavail * bsize
    // Small ones are tried: a disk may be small as a whole.
    if (bytes > free || (bytes > RESERVE_BYTES && bytes + RESERVE_BYTES > free))
      throw storeFull(this.directory, `${bytes} bytes are needed and ${free} are free`)
  }

  /** A file in `tmp/` that becomes an object when it is kept. For downloads, which want to go on where they ended. */
  async draft(label = 'put'): Promise<Draft> {
    return Draft.open(this, join(this.directory, 'tmp', `${label}@${participantName()}`))
  }

  /**
   * What another process, or this one, left behind of a download under that label and no longer works on; renamed to be ours, and to be
   * continued at its end. Undefined when there is none.
   */
  async adopt(label: string): Promise<Draft | undefined> {
    const tmp = join(this.directory, 'tmp')
    for (const file of await readdir(tmp)) {
      if (!file.startsWith(`${label}@`)) continue
      const name = file.slice(label.length + 1)
      if (name !== 'left' && isPresent(name, join(tmp, file))) continue
      const path = join(tmp, `${label}@${participantName()}`)
      try {
        await rename(join(tmp, file), path)
        // Who was killed right before giving it its name has left it read-only.
        await chmod(path, 0o600)
      } catch (cause) {
        if (isMissing(cause)) continue // Somebody else was faster.
        throw storeFailure(this.directory, cause)
      }
      return Draft.open(this, path)
    }
    return undefined
  }

  /**
   * The bytes of an object, found to be what its name says.
   * @param maxBytes Refuses larger ones before they are read.
   * @throws PluginError `ERR_STORE_MISSING`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`
   */
  async read(sha512: string, maxBytes: number): Promise<Uint8Array> {
    const handle = await this.#openObject(sha512)
    try {
      const { size } = await handle.stat()
      if (size > maxBytes) throw this.#corrupt(sha512, `it has ${size} bytes, at most ${maxBytes} were expected`)
      const bytes = await handle.readFile()
      if (createHash('sha512').update(bytes).digest('hex') !== sha512) throw this.#corrupt(sha512, 'its content is not what its name says')
      return bytes
    } catch (cause) {
      throw storeFailure(this.pathOf(sha512), cause)
    } finally {
      await handle.close()
    }
  }

  /**
   * Opens an object and reads it once through, so that the descriptor is known to lead to that content. Copy from the descriptor while hashing
   * again, or to a file that nobody else reaches, if others of the same user are not trusted.
   * @throws PluginError `ERR_STORE_MISSING`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`
   */
  async open(sha512: string): Promise<OpenContent> {
    const handle = await this.#openObject(sha512)
    try {
      const { digest, size } = await digestOf(handle)
      if (digest !== sha512) throw this.#corrupt(sha512, 'its content is not what its name says')
      return { handle, size, sha512, [Symbol.asyncDispose]: () => handle.close() }
    } catch (cause) {
      await handle.close()
      throw storeFailure(this.pathOf(sha512), cause)
    }
  }

  async #openObject(sha512: string): Promise<FileHandle> {
    try {
      const handle = await open(this.pathOf(sha512), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      if ((await handle.stat()).isFile()) return handle
      await handle.close()
      throw this.#corrupt(sha512, 'it is no file')
    } catch (cause) {
      if (errnoOf(cause) === 'ELOOP') throw this.#corrupt(sha512, 'it is a link')
      if (!isMissing(cause)) throw storeFailure(this.pathOf(sha512), cause)
      throw new PluginError('ERR_STORE_MISSING', {
        subject: `sha512:${sha512.slice(0, 16)}…`,
        digest: sha512,
        reason: `the store ${this.directory} does not have it`,
        remedy: 'Run `plugwire install`.',
      })
    }
  }

  #corrupt(sha512: string, reason: string): PluginError {
    return new PluginError('ERR_STORE_CORRUPT', {
      subject: this.pathOf(sha512),
      digest: sha512,
      reason,
      remedy: 'Do not use it. Run `plugwire install`, which puts the right content there; if it happens again, look at the disk.',
    })
  }

  /** Whether an object is there and is what its name says. */
  async holds(sha512: string): Promise<boolean> {
    try {
      await (await this.open(sha512))[Symbol.asyncDispose]()
      return true
    } catch (cause) {
      if (cause instanceof PluginError && (cause.code === 'ERR_STORE_MISSING' || cause.code === 'ERR_STORE_CORRUPT')) return false
      throw cause
    }
  }

  /** Digests of all objects. */
  async *objects(): AsyncGenerator<StoredContent> {
    const objects = join(this.directory, 'objects')
    for (const prefix of await readdir(objects)) {
      if (!/^[0-9a-f]{2}$/.test(prefix)) continue
      for (const rest of await readdir(join(objects, prefix))) {
        const size = /^[0-9a-f]{126}$/.test(rest) ? await this.sizeOf(prefix + rest) : undefined
        if (size !== undefined) yield { sha512: prefix + rest, size }
      }
    }
  }
}

/** Content on its way into the store. */
export class Draft {
  readonly #store: ContentStore
  readonly #handle: FileHandle
  #path: string
  #hash: Hash = createHash('sha512')
  #size = 0

  private constructor(store: ContentStore, path: string, handle: FileHandle) {
    this.#store = store
    this.#path = path
    this.#handle = handle
  }

  /** Opens it, new or to be continued; in the second case what is there already is read once for its digest. */
  static async open(store: ContentStore, path: string): Promise<Draft> {
    try {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
      const draft = new Draft(store, path, handle)
      draft.#size = await readInto(handle, draft.#hash)
      return draft
    } catch (cause) {
      throw storeFailure(path, cause)
    }
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size
  }

  /** A digest of what is there so far, by another algorithm; reads it all. */
  async digest(algorithm: string): Promise<string> {
    const hash = createHash(algorithm)
    await readInto(this.#handle, hash)
    return hash.digest('hex')
  }

  get sha512(): string {
    return this.#hash.copy().digest('hex')
  }

  /** @throws PluginError `ERR_SOURCE_LIMIT` when that many bytes more would be too many. */
  checkRoom(bytes: number, { size, maxBytes = size, name = 'the content' }: PutOptions): void {
    if (maxBytes === undefined || this.#size + bytes <= maxBytes) return
    throw new PluginError('ERR_SOURCE_LIMIT', {
      subject: name,
      reason: `it has more than ${maxBytes} bytes, which is ${size === maxBytes ? 'what was announced' : 'the limit'}`,
      remedy: 'Nothing of it is kept. Try again; if it stays so, tell whoever runs the source.',
      limit: size === maxBytes ? 'size' : 'maxBytes',
      max: maxBytes,
    })
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let written = 0; written < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, written, chunk.length - written, this.#size + written)
      written += bytesWritten
    }
    this.#hash.update(chunk)
    this.#size += chunk.length
  }

  /** Begins again with nothing. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0)
    this.#hash = createHash('sha512')
    this.#size = 0
  }

  /** Makes it an object. An object that is there already is replaced by its like: it might be damaged. */
  async keep({ sha512, size, name = 'the content' }: PutOptions = {}): Promise<StoredContent> {
    const found = this.sha512
    const differs =
      size !== undefined && size !== this.#size
        ? { expected: `${size} bytes`, actual: `${this.#size} bytes` }
        : sha512 !== undefined && sha512 !== found
          ? { expected: `sha512:${sha512}`, actual: `sha512:${found}` }
          : undefined
    if (differs !== undefined) throw wrongContent(name, differs.expected, differs.actual)
    try {
      await this.#handle.sync()
      await this.#handle.chmod(0o400)
      await this.#handle.close()
      const path = this.#store.pathOf(found)
      if ((await mkdir(dirname(path), { recursive: true, mode: 0o700 })) !== undefined) await syncDirectory(dirname(dirname(path)))
      await rename(this.#path, path).catch(async (cause: unknown) => {
        // Something that is no file has taken the name.
        if (errnoOf(cause) !== 'EISDIR') throw cause
        await rm(path, { recursive: true })
        await rename(this.#path, path)
      })
      await syncDirectory(dirname(path))
    } catch (cause) {
      throw storeFailure(this.#store.directory, cause)
    }
    return { sha512: found, size: this.#size }
  }

  /** Removes it. */
  async drop(): Promise<void> {
    await this.#handle.close().catch(() => {}) // It may be closed already.
    await unlink(this.#path).catch(ignoreMissing)
  }

  /** Leaves it to whoever tries again. */
  async leave(): Promise<void> {
    await this.#handle.close()
    const left = this.#path.replace(/@.*$/, '@left')
    await rename(this.#path, left).catch(ignoreMissing)
    await utimes(left, new Date(), new Date()).catch(ignoreMissing)
  }
}

export function wrongContent(subject: string, expected: string, actual: string): PluginError {
  return new PluginError('ERR_SOURCE_DIGEST', {
    subject,
    reason: `it is not what was announced: expected ${shortened(expected)}, got ${shortened(actual)}`,
    remedy: 'Nothing of it is kept. Try again; if it stays so, do not use this source and tell the publisher.',
    expected,
    actual,
  })
}

const shortened = (digest: string): string => (digest.length > 64 ? `${digest.slice(0, 40)}…` : digest)

/** A rename lasts only when the directory is on the disk too. Windows cannot and need not. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function digestOf(handle: FileHandle): Promise<{ digest: string; size: number }> {
  const hash = createHash('sha512')
  const size = await readInto(handle, hash)
  return { digest: hash.digest('hex'), size }
}

async function readInto(handle: FileHandle, hash: Hash): Promise<number> {
  const buffer = new Uint8Array(256 * 1024)
  for (let offset = 0; ; ) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
    if (bytesRead === 0) return offset
    hash.update(buffer.subarray(0, bytesRead))
    offset += bytesRead
  }
}

const errnoOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException).code

export const isMissing = (cause: unknown): boolean => errnoOf(cause) === 'ENOENT'
