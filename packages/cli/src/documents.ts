// Files that the commands about trust read and write: documents, signatures, keys. Nothing in here decides anything.

import { createReadStream } from 'node:fs'
import { lstat, open, rm, stat, writeFile } from 'node:fs/promises'
import { PluginError } from 'plugwire'
import { askSecret, canAsk } from './ask.ts'
import { CommandFailure, ExitCode, usage } from './failure.ts'

/** More than any document, signature or key may have; what has less is refused by whoever reads it. */
const MAX_BYTES = 16 * 1024 * 1024

/** @throws CommandFailure with exit code 2 when it cannot be read. */
export async function readDocument(path: string): Promise<Uint8Array> {
  try {
    const parts: Buffer[] = []
    let size = 0
    // No further than that, whatever the size is said to be: it may be a pipe, or a device that never ends.
    for await (const part of createReadStream(path, { end: MAX_BYTES }) as AsyncIterable<Buffer>) {
      parts.push(part)
      size += part.byteLength
    }
    if (size > MAX_BYTES) throw usage(`${path} has more than ${MAX_BYTES} bytes, which is no document, signature or key`)
    return new Uint8Array(Buffer.concat(parts))
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause
    throw usage(`${path} cannot be read: ${(cause as Error).message}`)
  }
}

/** A public key: a file's content if there is such a file, otherwise the text itself. */
export async function readKeyArgument(given: string): Promise<string> {
  const { readPublicKey } = await import('@plugwire/trust')
  const isFile = await stat(given).then(
    found => found.isFile() || found.isFIFO(),
    () => false,
  )
  const text = isFile ? Buffer.from(await readDocument(given)).toString('utf8') : given
  try {
    return readPublicKey(text).text
  } catch (cause) {
    if (isFile || !(cause instanceof PluginError)) throw cause
    throw usage(
      `${given} is neither a file nor a public key`,
      'Give the public key itself, or a file that holds it (minisign .pub, OpenSSH .pub).',
    )
  }
}

export interface FoundSignature {
  readonly path: string
  readonly bytes: Uint8Array
}

/** The signatures that were named, otherwise those that lie beside the document. */
export async function readSignatures(document: string, named: readonly string[] | undefined): Promise<readonly FoundSignature[]> {
  if (named !== undefined) return Promise.all(named.map(async path => ({ path, bytes: await readDocument(path) })))
  const found: FoundSignature[] = []
  for (const ending of ['.minisig', '.sig']) {
    const path = `${document}${ending}`
    // Nobody named it: a pipe that somebody left there would be waited for.
    const there = await stat(path).catch(() => lstat(path).catch(() => undefined))
    if (there?.isFIFO()) throw usage(`${path} is no file`)
    if (there !== undefined) found.push({ path, bytes: await readDocument(path) })
  }
  return found
}

export interface PasswordOptions {
  readonly passwordFile?: string
}

/** The first line of `--password-file`; undefined when that was not given. */
export async function readPasswordFile({ passwordFile }: PasswordOptions): Promise<string | undefined> {
  if (passwordFile === undefined) return undefined
  const [line = ''] = Buffer.from(await readDocument(passwordFile))
    .toString('utf8')
    .split(/\r?\n/)
  if (line === '') throw usage(`${passwordFile} has no password in its first line`)
  return line
}

/** Opens a secret key; its password comes from `--password-file` or from the terminal. */
export async function openKey(path: string, options: PasswordOptions, signal: AbortSignal): Promise<import('@plugwire/trust').SecretKey> {
  const { readSecretKey } = await import('@plugwire/trust')
  return readSecretKey(await readDocument(path), async () => {
    const given = await readPasswordFile(options)
    if (given !== undefined) return given
    if (!canAsk()) throw usage(`${path} has a password, and there is nobody to ask`, 'Give it with --password-file.')
    return askSecret(`password of ${path}`, signal)
  })
}

/** Writes a file that does not exist yet. */
export async function writeNew(path: string, content: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch((cause: NodeJS.ErrnoException) => {
    const exists = cause.code === 'EEXIST'
    throw new CommandFailure(
      'CLI_FILE',
      exists ? `${path} exists already` : `${path} cannot be written: ${cause.message}`,
      ExitCode.failed,
      exists ? 'A key is never overwritten: move it away first, or name another file with --out.' : undefined,
    )
  })
  try {
    await file.writeFile(content)
  } catch (cause) {
    await rm(path, { force: true }) // Half a key is none, and would be in the way of the next one.
    throw new CommandFailure('CLI_FILE', `${path} cannot be written: ${(cause as Error).message}`, ExitCode.failed)
  } finally {
    await file.close()
  }
}

/** Writes a file, whatever was there before. */
export async function write(path: string, content: Uint8Array): Promise<void> {
  await writeFile(path, content).catch((cause: Error) => {
    throw new CommandFailure('CLI_FILE', `${path} cannot be written: ${cause.message}`, ExitCode.failed)
  })
}

export const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]
