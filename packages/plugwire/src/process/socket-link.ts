// A link over a socket of node:net. Reads go into memory that the reader owns (`onread`), which halves the cost of a read.
// Knows nothing of what the bytes mean.

import type * as net from 'node:net'
import type { Link, LinkReader } from '../mux/link.ts'

/** What `onread` asks for; `net.Socket` accepts it, its types only in `net.connect`. */
interface OnRead {
  /** Returns undefined when the next bytes go where the last ones went: naming the same memory again costs as much as naming another. */
  buffer: () => Uint8Array | undefined
  callback: (bytes: number, memory: Uint8Array) => boolean
}

/** Where a socket comes from; the link must make the socket itself, since `onread` can be given only then. */
export type SocketSource =
  | { readonly fd: number }
  /** A connected socket whose handle is taken over; the socket given must not be used afterwards. */
  | { readonly socket: net.Socket }

/** A link that one reader can leave in the middle of what it read, for the next to go on there. */
export interface PausableLink extends Link {
  /**
   * Stops reading and keeps `bytes` (a copy), which were read but belong to the next reader. The next `open` hands them over first, in a later
   * turn, and goes on reading.
   */
  handBack(bytes: Uint8Array): void
}

/** Milliseconds that a closed link waits for its peer to close as well, so that what is under way in both directions still arrives. */
const LINGER_MS = 250
/** With this mark every write that the kernel does not take at once is followed by a 'drain'. */
const LEAST_HIGH_WATER_MARK = 1

/**
 * Opens a link over a descriptor or over a connected plain socket.
 *
 * A socket that was made by others (an accepted connection, `child.stdio[3]`) has no `onread`; its handle is moved into
 * a new socket that has. The `handle` option is not documented but stable from Node 10 to 26; where a runtime
 * has no handle to give, the link falls back to 'data' events and one copy more.
 */
export function socketLink(source: SocketSource): PausableLink {
  return new SocketLink(source)
}

/*
 * When Node asks for memory (the same from 20 to 24): once when the socket is made, then right after every callback, for the read after it. So the system
 * already holds memory of the first reader when a second one comes, and the next bytes land there; `#lent` tells whose it is.
 */
class SocketLink implements PausableLink {
  readonly #source: SocketSource
  #socket: net.Socket | undefined
  #reader: LinkReader = nobody
  /** The reader whose memory the system reads into. */
  #lent: LinkReader = nobody
  #memory: Uint8Array | undefined
  #state: 'new' | 'open' | 'paused' | 'closing' | 'closed' = 'new'
  #kept: Uint8Array[] = []
  #endedWhilePaused = false
  #referenced = true
  #waiting = false
  #failure: Error | undefined

  constructor(source: SocketSource) {
    this.#source = source
  }

  open(reader: LinkReader): void {
    if (this.#state === 'closing' || this.#state === 'closed') {
      queueMicrotask(() => reader.closed(this.#failure))
      return
    }
    this.#reader = reader
    if (this.#state === 'new') this.#connect()
    else if (this.#state === 'paused') queueMicrotask(this.#resume)
  }

  handBack(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#kept.push(Buffer.from(bytes))
    this.#reader = nobody
    if (this.#state === 'open') this.#pause()
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state === 'new') {
      this.#connect()
      this.#pause()
    }
    const socket = this.#socket
    if (socket === undefined || this.#state === 'closing' || this.#state === 'closed') return true
    const last = parts.length - 1
    if (last === 0) {
      socket.write(parts[0] as Uint8Array, this.#onWritten)
    } else {
      socket.cork()
      for (let index = 0; index < last; index++) socket.write(parts[index] as Uint8Array)
      socket.write(parts[last] as Uint8Array, this.#onWritten)
      socket.uncork()
    }
    // Zero means that the kernel took it all inside write(): whatever is still called back has nothing to tell.
    if (socket.writableLength === 0) return true
    this.#waiting = true
    return false
  }

  close(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (this.#state === 'new') this.#connect()
    this.#state = 'closing'
    const socket = this.#socket as net.Socket
    // Destroyed right away, bytes of the peer that were not read yet would turn its side's orderly end into ECONNRESET.
    const linger = (): void => {
      if (!socket.destroyed) setTimeout(() => socket.destroy(), LINGER_MS).unref()
    }
    socket.once('finish', linger).end()
    socket.resume()
  }

  destroy(): void {
    if (this.#state === 'new') this.#connect()
    if (this.#state !== 'closed') this.#state = 'closing'
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

  #connect(): void {
    this.#state = 'open'
    this.#lent = this.#reader
    const onread: OnRead = {
      buffer: () => {
        this.#lent = this.#reader
        const memory = this.#reader.buffer()
        if (memory === this.#memory) return undefined
        this.#memory = memory
        return memory
      },
      callback: (bytes, memory) => {
        if (this.#state !== 'open') {
          // Closing: nobody wants it. Paused: Node stopped reading, so at most this one read was under way.
          if (this.#state === 'paused') this.#kept.push(Buffer.from(memory.subarray(0, bytes)))
        } else if (this.#lent === this.#reader) {
          this.#reader.received(bytes)
        } else {
          this.#deliver(Buffer.from(memory.subarray(0, bytes)))
        }
        return this.#state !== 'paused'
      },
    }
    const socket = this.#makeSocket(onread)
    this.#socket = socket
    socket.on('error', cause => {
      this.#failure = cause
    })
    // A callback makes Node run one more tick for each write, 'drain' only for those that the kernel did not take at once.
    if (socket.writableHighWaterMark === LEAST_HIGH_WATER_MARK) socket.on('drain', this.#sent)
    else this.#onWritten = this.#sent
    socket.on('end', () => this.#end())
    socket.on('close', () => this.#end())
    if (!this.#referenced) socket.unref()
  }

  #makeSocket(onread: OnRead): net.Socket {
    // Only now: a plugin introduces itself before it loads what it needs for more.
    const { Socket, connect } = process.getBuiltinModule('node:net')
    const options = { onread, allowHalfOpen: false, readable: true, writable: true, writableHighWaterMark: LEAST_HIGH_WATER_MARK }
    // resume() makes the end of the stream seen; the bytes themselves never pass through the stream.
    if ('fd' in this.#source && process.versions['bun'] === undefined) {
      return new Socket({ fd: this.#source.fd, ...options } as net.SocketConstructorOpts).resume()
    }
    // Bun (1.4) reads a descriptor only through `connect`, and has no `onread` there.
    const given: net.Socket & { _handle?: object | null } =
      'fd' in this.#source ? connect({ fd: this.#source.fd } as object as net.NetConnectOpts) : this.#source.socket
    const handle = given._handle
    if (handle && 'useUserBuffer' in handle) {
      given.pause()
      const early: unknown = given.read()
      if (early instanceof Uint8Array) queueMicrotask(() => this.#deliver(early))
      // Emptied and destroyed, the old socket can never touch the handle again (child_process resumes it when the child exits).
      given._handle = null
      given.on('error', () => {}).destroy()
      return new Socket({ handle, ...options } as net.SocketConstructorOpts).resume()
    }
    const listen = (chunk: Uint8Array): void => {
      if (this.#state === 'paused') this.#kept.push(chunk)
      else if (this.#state === 'open') this.#deliver(chunk)
    }
    return given.on('data', listen).resume()
  }

  /** What a write calls back, where 'drain' does not tell. */
  #onWritten: (() => void) | undefined

  readonly #sent = (): void => {
    if (!this.#waiting || this.#socket?.writableLength !== 0) return
    this.#waiting = false
    this.#reader.written()
  }

  #pause(): void {
    this.#state = 'paused'
    this.#socket?.pause()
  }

  readonly #resume = (): void => {
    if (this.#state !== 'paused') return
    this.#state = 'open'
    const kept = this.#kept.length === 1 ? (this.#kept[0] as Uint8Array) : Buffer.concat(this.#kept)
    this.#kept = []
    this.#deliver(kept)
    if (this.#paused()) return
    if (this.#endedWhilePaused) this.#end()
    else this.#socket?.resume()
  }

  /** Hands over bytes that lie in other memory than the reader's. The reader may change, or stop reading, in the middle. */
  #deliver(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; ) {
      if (this.#state === 'closing' || this.#state === 'closed') return
      if (this.#paused()) {
        this.#kept.push(Buffer.from(chunk.subarray(offset)))
        return
      }
      offset += fill(this.#reader, chunk, offset)
    }
  }

  #paused(): boolean {
    return this.#state === 'paused'
  }

  #end(): void {
    if (this.#state === 'closed') return
    if (this.#state === 'paused') {
      // The next reader is still owed what was kept for it, and then the end.
      this.#endedWhilePaused = true
      return
    }
    this.#state = 'closed'
    this.#socket?.destroy()
    this.#reader.closed(this.#failure)
  }
}

/** Stands in while no reader is there. */
const nobody: LinkReader = {
  buffer: () => Buffer.allocUnsafeSlow(16 * 1024),
  received: () => {},
  written: () => {},
  closed: () => {},
}

/** Hands over a chunk that came as an event, through the reader's own memory. */
export function feed(reader: LinkReader, chunk: Uint8Array): void {
  for (let offset = 0; offset < chunk.length; ) offset += fill(reader, chunk, offset)
}

/** Fills one buffer of the reader with the chunk from `offset` on; returns the bytes that fitted. */
function fill(reader: LinkReader, chunk: Uint8Array, offset: number): number {
  const target = reader.buffer()
  const bytes = Math.min(target.length, chunk.length - offset)
  target.set(offset === 0 && bytes === chunk.length ? chunk : chunk.subarray(offset, offset + bytes))
  reader.received(bytes)
  return bytes
}
