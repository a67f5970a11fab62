// A link over a socket of node:net. Reads go into memory that the mux owns (`onread`), which halves the cost of a read.

import * as net from 'node:net'
import type { Link, LinkReader } from '../mux/link.ts'

/** What `onread` asks for; `net.Socket` accepts it, its types only in `net.connect`. */
interface OnRead {
  buffer: () => Uint8Array
  callback: (bytes: number) => boolean
}

/** Where a socket comes from; the link must make the socket itself, since `onread` can be given only then. */
export type SocketSource =
  | { readonly fd: number }
  /** A connected socket whose handle is taken over; the socket given must not be used afterwards. */
  | { readonly socket: net.Socket }

/**
 * Opens a link over a descriptor or over a connected plain socket.
 *
 * A socket that was made by others (an accepted connection, `child.stdio[3]`) has no `onread`; its handle is wrapped in
 * a new socket that has. The `handle` option is not documented but stable from Node 10 to 26; where a runtime
 * has no handle to give, the link falls back to 'data' events and one copy more.
 */
export function socketLink(source: SocketSource): Link {
  return new SocketLink(source)
}

class SocketLink implements Link {
  readonly #source: SocketSource
  #socket: net.Socket | undefined
  #reader: LinkReader | undefined
  #closed = false
  #referenced = true
  #waiting = false

  constructor(source: SocketSource) {
    this.#source = source
  }

  open(reader: LinkReader): void {
    this.#reader = reader
    const socket = this.#connect(reader)
    this.#socket = socket
    let failure: Error | undefined
    socket.on('error', cause => {
      failure = cause
    })
    socket.on('end', () => this.#end(undefined))
    socket.on('close', () => this.#end(failure))
    if (!this.#referenced) socket.unref()
  }

  #connect(reader: LinkReader): net.Socket {
    const onread: OnRead = {
      buffer: () => reader.buffer(),
      callback: bytes => {
        reader.received(bytes)
        return true
      },
    }
    const options = { onread, allowHalfOpen: false, readable: true, writable: true }
    if ('fd' in this.#source) return new net.Socket({ fd: this.#source.fd, ...options } as net.SocketConstructorOpts).resume()
    const given = this.#source.socket
    const handle = (given as net.Socket & { _handle?: object })._handle
    if (handle && 'useUserBuffer' in handle) {
      given.pause()
      const socket = new net.Socket({ handle, ...options } as net.SocketConstructorOpts)
      return socket.resume()
    }
    return given.on('data', (chunk: Uint8Array) => feed(reader, chunk))
  }

  write(parts: readonly Uint8Array[]): boolean {
    const socket = this.#socket
    if (socket === undefined || this.#closed) return true
    const last = parts.length - 1
    if (last === 0) {
      socket.write(parts[0] as Uint8Array, this.#sent)
    } else {
      socket.cork()
      for (let index = 0; index < last; index++) socket.write(parts[index] as Uint8Array)
      socket.write(parts[last] as Uint8Array, this.#sent)
      socket.uncork()
    }
    // Zero means that the kernel took it all inside write(): the callback that still comes has nothing to tell.
    if (socket.writableLength === 0) return true
    this.#waiting = true
    return false
  }

  readonly #sent = (): void => {
    if (!this.#waiting || this.#socket?.writableLength !== 0) return
    this.#waiting = false
    this.#reader?.written()
  }

  close(): void {
    this.#socket?.end()
    this.#socket?.once('finish', () => this.#socket?.destroy())
  }

  destroy(): void {
    this.#socket?.destroy()
  }

  ref(): void {
    this.#referenced = true
    this.#socket?.ref()
  }

  unref(): void {
    this.#referenced = false
    this.#socket?.unref()
  }

  #end(cause: Error | undefined): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket?.destroy()
    this.#reader?.closed(cause)
  }
}

/** Hands over a chunk that came as an event, through the reader's own memory. */
export function feed(reader: LinkReader, chunk: Uint8Array): void {
  for (let offset = 0; offset < chunk.length; ) {
    const target = reader.buffer()
    const bytes = Math.min(target.length, chunk.length - offset)
    target.set(offset === 0 && bytes === chunk.length ? chunk : chunk.subarray(offset, offset + bytes))
    offset += bytes
    reader.received(bytes)
  }
}
