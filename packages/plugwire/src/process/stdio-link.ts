// A link over two descriptors of one direction each: the session reads descriptor 0 and writes what used to be stdout.

import * as net from 'node:net'
import type { Duplex } from 'node:stream'
import type { Link, LinkReader } from '../mux/link.ts'
import type { OriginalStdout } from './own-output.ts'

/**
 * The link of the `stdio` wire. From now on `process.stdin` reads as ended, so that nothing in this process takes bytes of the session;
 * `fs.readFileSync(0)` and children that inherit descriptor 0 still would.
 */
export function stdioLink(stdout: OriginalStdout): Link {
  hideStdin()
  return new StdioLink(stdout)
}

/** The same two descriptors as one stream, for what must stand between them and the link. */
export function stdioDuplex(stdout: OriginalStdout): Duplex {
  hideStdin()
  const { Duplex } = process.getBuiltinModule('node:stream')
  const stdin = new net.Socket({ fd: 0, readable: true, writable: false })
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

function hideStdin(): void {
  const { Readable } = process.getBuiltinModule('node:stream')
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true, writable: true })
}

class StdioLink implements Link {
  readonly #stdout: OriginalStdout
  #stdin: net.Socket | undefined
  #reader: LinkReader | undefined
  #referenced = true
  #waiting = false
  #closed = false
  #listening = false

  constructor(stdout: OriginalStdout) {
    this.#stdout = stdout
  }

  open(reader: LinkReader): void {
    this.#reader = reader
    if (this.#listening) return
    this.#listening = true
    let failure: Error | undefined
    const onread = {
      buffer: () => this.#reader?.buffer(),
      callback: (bytes: number) => {
        this.#reader?.received(bytes)
        return true
      },
    }
    const stdin = new net.Socket({ fd: 0, readable: true, writable: false, onread } as net.SocketConstructorOpts)
    stdin.on('error', cause => {
      failure = cause
    })
    stdin.on('close', () => this.#end(failure))
    this.#stdout.on('error', cause => this.#end(cause))
    stdin.resume()
    if (!this.#referenced) stdin.unref()
    this.#stdin = stdin
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#closed) return true
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
    if (this.#closed) return
    this.#stdout.end()
    this.#end(undefined)
  }

  destroy(): void {
    this.#stdout.destroy()
    this.#end(undefined)
  }

  ref(): void {
    this.#referenced = true
    this.#stdin?.ref()
  }

  unref(): void {
    this.#referenced = false
    this.#stdin?.unref()
  }

  #end(cause: Error | undefined): void {
    if (this.#closed) return
    this.#closed = true
    this.#stdin?.destroy()
    this.#reader?.closed(cause)
  }
}
