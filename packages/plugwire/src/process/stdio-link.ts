// A link over two descriptors of one direction each: the session reads descriptor 0 and writes what used to be stdout.

import type { Duplex } from 'node:stream'
import type { Link, LinkReader } from '../mux/link.ts'
import type { OriginalStdout } from './own-output.ts'
import { socketLink } from './socket-link.ts'

/** The link of the `stdio` wire. */
export function stdioLink(stdout: OriginalStdout): Link {
  return new StdioLink(stdout)
}

/** The same two descriptors as one stream, for what must stand between them and the link. */
export function stdioDuplex(stdout: OriginalStdout): Duplex {
  const { Duplex } = process.getBuiltinModule('node:stream')
  const { Socket } = process.getBuiltinModule('node:net')
  const stdin = new Socket({ fd: 0, readable: true, writable: false })
  const duplex = new Duplex({
    read: () => void stdin.resume(),
    write: (chunk: Uint8Array, _encoding, written) => void stdout.write(chunk, written),
    final(finished) {
      stdout.end()
      finished()
    },
    destroy(cause, destroyed) {
      stdin.destroy()
      stdout.destroy()
      destroyed(cause)
    },
  })
  stdin.on('data', (chunk: Uint8Array) => {
    if (!duplex.push(chunk)) stdin.pause()
  })
  stdin.on('end', () => duplex.push(null))
  stdin.on('error', cause => duplex.destroy(cause))
  stdout.on('error', cause => duplex.destroy(cause))
  return duplex
}

/**
 * Makes `process.stdin` read as ended, so that nothing in this process takes bytes of the session;
 * `fs.readFileSync(0)` and children that inherit descriptor 0 still would.
 */
export function hideStdin(): void {
  const { Readable } = process.getBuiltinModule('node:stream')
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true, writable: true })
}

/** Milliseconds that a closed link waits for the host to close as well, so that what is under way in both directions still arrives. */
const LINGER_MS = 250

class StdioLink implements Link {
  readonly #stdin: Link = socketLink({ fd: 0 })
  readonly #stdout: OriginalStdout
  #reader: LinkReader | undefined
  #failure: Error | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  #waiting = false

  constructor(stdout: OriginalStdout) {
    this.#stdout = stdout
    stdout.on('error', cause => {
      this.#failure ??= cause
      this.destroy()
    })
  }

  open(reader: LinkReader): void {
    this.#reader = reader
    this.#stdin.open({
      buffer: () => reader.buffer(),
      received: bytes => reader.received(bytes),
      // Nothing is written to descriptor 0.
      written: () => {},
      closed: cause => this.#end(cause),
    })
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== 'open') return true
    const stdout = this.#stdout
    const last = parts.length - 1
    stdout.cork()
    for (let index = 0; index < last; index++) stdout.write(parts[index] as Uint8Array)
    stdout.write(parts[last] as Uint8Array, this.#sent)
    stdout.uncork()
    if (stdout.writableLength === 0) return true
    this.#waiting = true
    return false
  }

  readonly #sent = (): void => {
    if (!this.#waiting || this.#stdout.writableLength !== 0) return
    this.#waiting = false
    this.#reader?.written()
  }

  close(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#stdout.end()
    setTimeout(() => this.#stdin.destroy(), LINGER_MS).unref()
  }

  destroy(): void {
    if (this.#state === 'open') this.#state = 'closing'
    this.#stdout.destroy()
    this.#stdin.destroy()
  }

  ref(): void {
    this.#stdin.ref()
  }

  unref(): void {
    this.#stdin.unref()
  }

  #end(cause: Error | undefined): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#stdout.destroy()
    this.#reader?.closed(this.#failure ?? cause)
  }
}
