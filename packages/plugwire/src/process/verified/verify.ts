// From a file and the digest that somebody trustworthy told of it to a program that can be started, exactly as it was verified, as often as one likes.
// Never answers about a path: whoever can rename files would have the last word.

import * as fs from 'node:fs'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { PluginError } from '../../errors.ts'
import { MAX_SCRIPT_BYTES } from '../../limits.ts'
import { checkFormat } from '../command.ts'
import { type Digest, ExpectedDigest } from './digest.ts'
import { type ByteSource, directories, namedFile, type Place, type Rung, Unfit, unnamedFile } from './place.ts'
import { type ScriptFiles, scriptBundle, scriptsRunFromMemory } from './script.ts'
import { PROGRAM_DESCRIPTOR, type Startable, type StartPlan, startable, type VerifiedProgram, type VerifiedRung } from './start-plan.ts'

export interface VerifyOptions {
  /** For texts. Default: the file's name. */
  readonly name?: string
  /**
   * Memory that nobody can change any more, not even this user: `require` it, `prefer` it, or `off` (default). Linux only, with Node 26.1 or the package
   * koffi. It stays in memory as long as the program may be started, and security monitors tell of programs that run from memory.
   */
  readonly seal?: 'require' | 'prefer' | 'off'
  /**
   * The weakest place that will do. Default `private-directory`, which is all that other systems than Linux have; the one used is told by `rung`.
   */
  readonly atLeast?: Rung
  /** Where files go, for a place that is not in memory. It must belong to this user alone. Default: the user's cache, then the system's temporary directories. */
  readonly directory?: string
}

const PIECE_BYTES = 1024 * 1024
const strength: Record<Rung, number> = { 'private-directory': 0, 'unnamed-file': 1, 'sealed-memory': 2 }

/**
 * Verifies a program and keeps it so that exactly the verified bytes can be started: `await launch(contract, program)`.
 *
 * The file is read once; its bytes are hashed while they are copied to where it is started from. A native program is started from a file without a
 * name (Linux), sealed memory (on request) or a private directory; one in JavaScript (`.js`, `.mjs`, `.cjs`) has to be a bundle that imports nothing but
 * Node's own modules, and goes to its process through a pipe.
 *
 * @throws PluginError `ERR_CHECKSUM` when it is something else, `ERR_PLUGIN_NOT_FOUND`, `ERR_VERIFIED_PLACE` when no place is strong enough.
 */
export async function verifyProgram(
  program: string | URL | Uint8Array,
  expected: Digest,
  options: VerifyOptions = {},
): Promise<VerifiedProgram> {
  const wanted = new ExpectedDigest(expected)
  const windows = process.platform === 'win32'
  const file = program instanceof Uint8Array ? undefined : path.resolve(program instanceof URL ? fileURLToPath(program) : program)
  const name = options.name ?? (file === undefined ? 'the program' : path.basename(file))
  const source = file === undefined ? bytesSource(name, program as Uint8Array) : fileSource(file)
  const head = file === undefined ? (program as Uint8Array) : await headOf(file)
  const label = options.name ?? file ?? ''
  if (/\.[cm]?ts$/i.test(label)) {
    throw new PluginError('ERR_PLUGIN_START', {
      command: label,
      reason: 'a verified program runs as it is, and this is TypeScript',
      remedy: 'Compile it to .js, and verify that.',
    })
  }
  if (isJavaScript(label, head)) {
    // What cannot be looked at tells so when it is opened.
    if (file !== undefined) assertScriptSize((await fs.promises.stat(file).catch(() => undefined))?.size ?? 0, file, wanted)
    const bytes = await collect(source, wanted)
    if (!isJavaScript(label, bytes)) throw changed(label, wanted)
    const entry = path.extname(file ?? '') === '' ? 'plugin.js' : path.basename(file as string)
    return verifiedScript(name, new Map([[entry, bytes]]), entry, options)
  }
  const found = await findPlace(name, source, wanted, options, windows ? '.exe' : '')
  try {
    // Only now are they the bytes that will be started.
    const at = found.place.path ?? `/proc/self/fd/${found.place.descriptor}`
    if (isJavaScript(label, await headOf(at))) throw changed(label, wanted)
    if (!windows) checkFormat(at, label)
  } catch (cause) {
    found.place.close()
    throw cause
  }
  return new PlacedProgram(name, found)
}

const changed = (what: string, { hex }: ExpectedDigest): PluginError =>
  new PluginError('ERR_CHECKSUM', { reason: `${what} changed while it was read`, remedy: 'Verify it again.', expected: hex, actual: '' })

/**
 * The same for a program of several files, each with its digest: packages whose modules import each other, and what lies in their `node_modules`.
 *
 * @param files By path relative to the package's root, with `/`: the bytes, and what they are expected to be.
 * @param entry Which of them is started.
 */
export async function verifyScript(
  name: string,
  files: ReadonlyMap<string, { readonly bytes: Uint8Array; readonly digest: Digest }>,
  entry: string,
  options: VerifyOptions = {},
): Promise<VerifiedProgram> {
  const verified = new Map<string, Uint8Array>()
  for (const [file, { bytes, digest }] of files) {
    verified.set(file, await collect(bytesSource(`${name}/${file}`, bytes), new ExpectedDigest(digest)))
  }
  return verifiedScript(name, verified, entry, options)
}

function verifiedScript(name: string, files: ScriptFiles, entry: string, options: VerifyOptions): VerifiedProgram {
  if (!scriptsRunFromMemory()) {
    throw placeError(name, ['this runtime loads modules from files only'], 'Run the host under Node, or launch the plugin from its files.')
  }
  const { args, pieces, bytes } = scriptBundle(options.name ?? name, files, entry, PROGRAM_DESCRIPTOR)
  let open = true
  const plan: StartPlan = { file: process.execPath, args, inherit: undefined, pipe: pieces, check: () => assertOpen(open, name) }
  const close = (): void => {
    open = false
  }
  const program: VerifiedProgram = { name, rung: 'pipe', bytes, passedOver: [], close, [Symbol.dispose]: close }
  // Not to be seen when the program is printed: it holds the whole loader.
  return Object.defineProperty(program, startable, { value: plan }) as Startable
}

class PlacedProgram implements Startable {
  readonly name: string
  readonly passedOver: readonly string[]
  readonly #place: Place
  #open = true

  constructor(name: string, found: { readonly place: Place; readonly passedOver: readonly string[] }) {
    this.name = name
    this.#place = found.place
    this.passedOver = found.passedOver
  }

  get rung(): VerifiedRung {
    return this.#place.rung
  }

  get bytes(): number {
    return this.#place.bytes
  }

  get [startable](): StartPlan {
    const { descriptor, path: named } = this.#place
    return {
      file: named ?? `/proc/self/fd/${PROGRAM_DESCRIPTOR}`,
      args: [],
      inherit: named === undefined ? descriptor : undefined,
      pipe: undefined,
      check: () => assertOpen(this.#open, this.name),
    }
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#place.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function assertOpen(open: boolean, name: string): void {
  if (!open) throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: name, remedy: 'The verified program was closed; verify it again.' })
}

async function findPlace(
  name: string,
  source: ByteSource,
  expected: ExpectedDigest,
  options: VerifyOptions,
  suffix: string,
): Promise<{ place: Place; passedOver: string[] }> {
  const { seal = 'off', atLeast = 'private-directory' } = options
  const passedOver: string[] = []
  const lowest = seal === 'require' ? 'sealed-memory' : atLeast
  const attempt = async (rung: Rung, step: () => Promise<Place>): Promise<Place | undefined> => {
    if (strength[rung] < strength[lowest]) return undefined
    try {
      return await step()
    } catch (cause) {
      if (!(cause instanceof Unfit)) throw cause
      passedOver.push(`${rung}: ${cause.message}`)
      return undefined
    }
  }
  if (seal !== 'off' || atLeast === 'sealed-memory') {
    const { sealedMemory } = await import('./sealed-memory.ts')
    const place = await attempt('sealed-memory', () => sealedMemory(source, expected))
    if (place !== undefined) return { place, passedOver }
  }
  for (const directory of directories(options.directory)) {
    const place = await attempt('unnamed-file', () => unnamedFile(directory, source, expected))
    if (place !== undefined) return { place, passedOver }
  }
  for (const directory of directories(options.directory)) {
    const place = await attempt('private-directory', () => namedFile(directory, source, expected, suffix))
    if (place !== undefined) return { place, passedOver }
  }
  throw placeError(name, passedOver, remedyFor(lowest))
}

function remedyFor(lowest: Rung): string {
  if (lowest === 'sealed-memory') return 'Use Node 26.1 or later or install koffi, or ask for less.'
  if (lowest === 'unnamed-file') return 'Name a directory on a file system of this machine that is not mounted noexec, or ask for less.'
  return 'Name a directory that belongs to this user alone and is not mounted noexec.'
}

function placeError(name: string, tried: readonly string[], remedy: string): PluginError {
  return new PluginError('ERR_VERIFIED_PLACE', {
    plugin: name,
    reason: `there is no place to start ${name} from (${tried.join('; ')})`,
    remedy,
  })
}

// ---- bytes

function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    async *read() {
      // Copies: what is written must be what is hashed, whatever the caller does with its bytes meanwhile.
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield Uint8Array.from(bytes.subarray(at, at + PIECE_BYTES))
    },
  }
}

function fileSource(file: string): ByteSource {
  return {
    name: file,
    async *read() {
      const handle = await openFile(file)
      try {
        // Two, as one is still being written when the next is read.
        const buffers = [Buffer.allocUnsafe(PIECE_BYTES), Buffer.allocUnsafe(PIECE_BYTES)] as const
        for (let turn = 0; ; turn++) {
          const { bytesRead, buffer } = await handle.read(buffers[turn % 2] as Buffer, 0, PIECE_BYTES, null)
          if (bytesRead === 0) return
          yield buffer.subarray(0, bytesRead)
        }
      } finally {
        await handle.close()
      }
    },
  }
}

async function openFile(file: string): Promise<fs.promises.FileHandle> {
  try {
    const handle = await fs.promises.open(file, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0))
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
  } catch (cause) {
    throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: file, remedy: `Reading it failed: ${(cause as Error).message}.` }, { cause })
  }
  throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: file, remedy: 'It is no regular file.' })
}

/** Only to tell a program in JavaScript from others; what is started is decided by the digest. */
async function headOf(file: string): Promise<Uint8Array> {
  const handle = await openFile(file)
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(256), 0, 256, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

function isJavaScript(name: string, head: Uint8Array): boolean {
  if (/\.[cm]?js$/i.test(name)) return true
  const line = Buffer.from(head).toString('latin1').split('\n', 1)[0] as string
  return /^#!.*\bnode\b/.test(line)
}

function assertScriptSize(bytes: number, name: string, { hex }: ExpectedDigest): void {
  if (bytes <= MAX_SCRIPT_BYTES) return
  throw new PluginError('ERR_CHECKSUM', {
    reason: `${name} has more than ${MAX_SCRIPT_BYTES} bytes, which no program in JavaScript can have`,
    remedy: 'It was changed; get it again from its source.',
    expected: hex,
    actual: '',
  })
}

async function collect(source: ByteSource, expected: ExpectedDigest): Promise<Uint8Array> {
  const hash = expected.hash()
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of source.read()) {
    assertScriptSize((bytes += piece.length), source.name, expected)
    const own = Uint8Array.from(piece)
    hash.update(own)
    pieces.push(own)
  }
  expected.check(hash, source.name)
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
}
