// From what was typed to the arguments of a call. Knows no plugin.

import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type CommandFailure, usage } from './failure.ts'
import { bytesOf, fromJson } from './json-values.ts'

/** What arguments may refer to beside their own text. */
export interface ArgumentSources {
  readonly stdin: Readable
  /** Called for each call of a function that was passed as `callback:`. */
  readonly called: (args: readonly unknown[]) => void
  /** Called when a source that is read during the call fails. The failure travels to the plugin and may come back as the plugin's own. */
  readonly failed?: (failure: CommandFailure) => void
}

/** For `--help` of commands that take values. */
export const argumentHelp = `A value is JSON: 42, '"a text"', '{"region":"eu"}', null. What JSON cannot say is written as docs/cli.md lists, e.g. '{"$date":"2026-01-31T12:00:00Z"}'.
Beside JSON:
  @FILE, @-            JSON from a file, or from stdin
  bytes:TEXT           the bytes of a text (UTF-8); bytes:@FILE and bytes:@- those of a file, or of stdin
  base64:…, hex:…      bytes
  stream:@FILE         a stream of bytes, read as the plugin reads it; stream:@- from stdin
  items:@FILE          a stream of values, one JSON value a line; items:@- from stdin
  callback:            a function; each call of it is printed, until Ctrl-C; callback:JSON is one that answers that value`

/** Reads one argument. @throws CommandFailure with exit code 2 when it cannot be understood. */
export async function readArgument(given: string, sources: ArgumentSources): Promise<unknown> {
  if (given.startsWith('@')) return readJson((await readAll(given, sources)).toString('utf8'), given)
  const [, scheme, rest = ''] = /^(bytes|base64|hex|stream|items|callback):(.*)$/s.exec(given) ?? []
  switch (scheme) {
    case 'bytes':
      return new Uint8Array(rest.startsWith('@') ? await readAll(rest, sources) : Buffer.from(rest, 'utf8'))
    case 'base64':
      return attempt(given, () => bytesOf(rest))
    case 'hex':
      if (!/^([0-9a-f]{2})*$/i.test(rest)) throw usage(`${given}: hex is pairs of the digits 0 to 9 and a to f`)
      return new Uint8Array(Buffer.from(rest, 'hex'))
    case 'stream':
      return Readable.toWeb(await open(given, rest, sources))
    case 'items':
      return items(given, await open(given, rest, sources), sources)
    case 'callback': {
      const answer = rest === '' ? undefined : readJson(rest, given)
      return (...args: unknown[]): unknown => {
        sources.called(args)
        return answer
      }
    }
    default:
      return readJson(given, undefined)
  }
}

function readJson(text: string, source: string | undefined): unknown {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const why = (cause as Error).message
    if (source !== undefined) throw usage(`${source} holds no JSON: ${why}`)
    throw usage(
      `${text} is no JSON: ${why}`,
      isBare(text) ? `A text needs its own quotes, and those need the shell's: ${quoted(text)}` : undefined,
    )
  }
  return attempt(source ?? text, () => fromJson(json))
}

/** Whether it was most likely meant as a text. */
const isBare = (text: string): boolean => !/^[\s]*[[{"]/.test(text)

function quoted(text: string): string {
  const json = JSON.stringify(text)
  if (process.platform === 'win32') return `"${json.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
  return `'${json.replaceAll("'", "'\\''")}'`
}

function attempt<T>(given: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw usage(`${given}: ${(cause as Error).message}`)
  }
}

async function readAll(given: string, { stdin }: ArgumentSources): Promise<Buffer> {
  const path = given.slice(1)
  if (path === '-') return buffer(stdin)
  return readFile(path).catch((cause: unknown) => {
    throw usage(`${given} cannot be read: ${(cause as Error).message}`)
  })
}

async function open(given: string, place: string, { stdin, failed }: ArgumentSources): Promise<Readable> {
  if (!place.startsWith('@')) throw usage(`${given}: a stream is read from a file (@FILE) or from stdin (@-)`)
  const cannot = (cause: Error): CommandFailure => usage(`${given} cannot be read: ${cause.message}`)
  if (place === '@-') return stdin.on('error', cause => failed?.(cannot(cause)))
  const stream = createReadStream(place.slice(1))
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve()).once('error', cause => reject(cannot(cause)))
  })
  stream.on('error', cause => failed?.(cannot(cause))) // A directory can be opened; only reading it fails.
  return stream
}

async function* items(given: string, source: Readable, { failed }: ArgumentSources): AsyncGenerator<unknown> {
  let number = 0
  for await (const line of createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++
    if (line.trim() === '') continue
    let item: unknown
    try {
      item = readJson(line, `line ${number} of ${given}`)
    } catch (cause) {
      failed?.(cause as CommandFailure)
      throw cause
    }
    yield item
  }
}
