// One of the independent byte streams of a session. Holds its own two directions; frames and order are the session's.

import { PluginError } from '../errors.ts'
import { Outbox } from '../wire/outbox.ts'
import { Flag, INITIAL_WINDOW_BYTES } from '../wire/yamux.ts'
import { ANNOUNCED_BYTES, ReceiveWindow } from './receive-window.ts'
import { createLane, type Lane } from './scheduler.ts'

/** What a stream asks of its session. */
export interface StreamOwner {
  /** The stream has something to send: bytes, flags or credit. */
  ready(stream: Stream): void
  /** The stream needs this many bytes of credit announced. */
  credit(stream: Stream, delta: number): void
  /** Takes memory for a larger window; false when there is none left. */
  admitWindow(bytes: number): boolean
  /** Tells the peer that both directions are dead. */
  sendReset(stream: Stream): void
  /** Both directions ended; forget it. */
  forget(stream: Stream): void
  retune(stream: Stream): void
}

/** Takes the bytes of a stream where they lie. */
export interface ByteSink {
  /**
   * Bytes `[start, end)` of `bytes` arrived. They are the session's: valid until this call returns.
   * Credit for them goes back to the peer at once unless the stream is paused.
   */
  chunk(bytes: Buffer, start: number, end: number): void
  /** The peer sent everything it had. */
  end(): void
  /** The stream was reset, or its session ended. */
  fail(cause: PluginError): void
}

/** From this many unsent bytes on, `write` asks its caller to wait. */
const HIGH_WATER_BYTES = 524_288
/** Bytes of a stream that are under way at most while calls are made beside; a full socket and what its reader has not announced yet. */
const POLITE_BYTES: number = 262_144 + ANNOUNCED_BYTES

/**
 * A byte stream in both directions.
 *
 * Its two directions end separately: `end()` ends ours, the peer ends its own; `reset()` ends both at once.
 * What arrives waits, at most one window, until somebody reads; until then the peer cannot send more.
 */
export class Stream {
  readonly id: number
  /** Scheduling state. */
  readonly lane: StreamLane
  readonly window: ReceiveWindow = new ReceiveWindow()
  readonly #owner: StreamOwner

  // ---- sending
  /** Bytes the peer lets us send now. */
  sendCredit: number = INITIAL_WINDOW_BYTES
  /** The most the peer ever let us send at once: its window, as far as we know. */
  peakCredit: number = INITIAL_WINDOW_BYTES
  /** Flags (SYN, ACK) for the next frame. */
  pendingFlags: number
  /** Called once when both directions have ended. */
  onForgotten: (() => void) | undefined
  /** Sends before all others, past their weights; for the stream that carries calls. */
  set urgent(urgent: boolean) {
    this.lane.weight = urgent ? Number.POSITIVE_INFINITY : 1
  }

  #queue: Uint8Array[] = []
  #queueHead = 0
  #queueOffset = 0
  #queuedBytes = 0
  #ending = false
  #finSent = false
  #writable: (() => void) | undefined
  /** Where frames are encoded while earlier bytes of this stream still wait for credit. */
  #side: Outbox | undefined

  // ---- receiving
  #unread: Uint8Array[] = []
  #unreadBytes = 0
  /** Bytes of the unread that the window counts as read. */
  #readAhead = 0
  #sink: ByteSink | undefined
  #paused = false
  #remoteEnded = false
  #endDelivered = false
  #wantsRead: { resolve(chunk: Uint8Array | undefined): void; reject(cause: PluginError): void } | undefined
  #fill: Fill | undefined

  #failure: PluginError | undefined
  #forgotten = false

  constructor(owner: StreamOwner, id: number, pendingFlags: number) {
    this.#owner = owner
    this.id = id
    this.pendingFlags = pendingFlags
    this.lane = Object.assign(createLane(), { stream: this })
  }

  // ------------------------------------------------------------------------------------------------ tuning

  /** Share of the connection relative to the other streams that are sending. Default 1; any number above 0. */
  get weight(): number {
    return this.lane.weight
  }
  set weight(weight: number) {
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY)) throw new RangeError(`a weight is a number above 0, not ${weight}`)
    this.lane.weight = weight
    this.#owner.retune(this)
  }

  /** Ceiling for what this side sends, in bytes per second. Default Infinity. */
  get maxBytesPerSecond(): number {
    return this.lane.maxBytesPerSecond
  }
  set maxBytesPerSecond(rate: number) {
    if (!(rate >= 1)) throw new RangeError(`a ceiling is a number of bytes per second of at least 1, not ${rate}`)
    this.lane.maxBytesPerSecond = rate
    this.#owner.retune(this)
  }

  /** Why the stream is dead, once it was reset or its session ended. */
  get failure(): PluginError | undefined {
    return this.#failure
  }

  // ------------------------------------------------------------------------------------------------ sending

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /**
   * Queues bytes. They must not change until they have left (`drained`).
   *
   * @returns false when enough is queued: wait for `drained()` before writing more.
   * @throws PluginError `ERR_STREAM_CLOSED` after `end()`, or the reason why the stream is dead.
   */
  write(bytes: Uint8Array): boolean {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#ending) throw new PluginError('ERR_STREAM_CLOSED', { streamId: this.id })
    if (bytes.length > 0) this.#enqueue(bytes)
    return this.#queuedBytes < HIGH_WATER_BYTES
  }

  #enqueue(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    this.#owner.ready(this)
  }

  /** Ends our direction once everything queued was sent. Calling it twice is fine. */
  end(): void {
    if (this.#ending || this.#failure !== undefined) return
    this.#ending = true
    this.#owner.ready(this)
  }

  /** Resolves when less than the high-water mark is queued; rejects when the stream dies first. */
  drained(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#queuedBytes < HIGH_WATER_BYTES) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const earlier = this.#writable
      this.#writable = () => {
        earlier?.()
        if (this.#failure !== undefined) reject(this.#failure)
        else resolve()
      }
    })
  }

  /** Calls back, once, as soon as less than the high-water mark is queued or the stream is dead. Cheaper than `drained`. */
  onceWritable(listener: () => void): void {
    if (this.#failure !== undefined || this.#queuedBytes < HIGH_WATER_BYTES) listener()
    else this.#writable = listener
  }

  /** Kills both directions at once: what was queued or unread is dropped, the peer sees a reset. */
  reset(): void {
    if (this.#failure !== undefined || this.#forgotten) return
    this.#owner.sendReset(this)
    this.fail(new PluginError('ERR_STREAM_RESET', { streamId: this.id }))
  }

  // ------------------------------------------------------------------------------------------------ receiving

  /** The next bytes, owned by the caller; undefined once the peer has ended. One read at a time. */
  read(): Promise<Uint8Array | undefined> {
    const chunk = this.#unread.shift()
    if (chunk !== undefined) {
      this.#unreadBytes -= chunk.length
      this.#consumed(chunk.length)
      return Promise.resolve(chunk)
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#remoteEnded) {
      this.#deliverEnd()
      return Promise.resolve(undefined)
    }
    return new Promise((resolve, reject) => {
      this.#wantsRead = { resolve, reject }
    })
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    let done = false
    try {
      for (;;) {
        const chunk = await this.read()
        if (chunk === undefined) break
        yield chunk
      }
      done = true
    } finally {
      if (!done) this.reset()
    }
  }

  /** Gives everything that arrives from now on to a sink, what waits unread first. */
  consume(sink: ByteSink): void {
    this.#sink = sink
    // A sink that takes the place of another hears of the end, too.
    this.#endDelivered = false
    this.#pump()
  }

  /** While paused nothing reaches the sink; at most a window waits. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#pump()
  }

  /**
   * Lets the next bytes go straight into memory of the caller, past the sink: `target[offset, target.length)`.
   * Called from inside `ByteSink.chunk`, for the bytes that follow that chunk. `done` runs when the memory is full.
   */
  fill(target: Buffer, offset: number, done: () => void): void {
    this.#fill = { target, offset, done }
  }

  /**
   * Lets the peer send so many bytes before they are read. It only grows, and only as far as the session's memory for large windows goes:
   * beyond that the stream keeps what it has.
   */
  growWindow(bytes: number): void {
    if (this.#failure !== undefined || this.#remoteEnded || !this.#owner.admitWindow(bytes - this.window.size)) return
    const delta = this.window.grow(bytes)
    if (delta > 0) this.#owner.credit(this, delta)
  }

  // ------------------------------------------------------------------------------------------------ for the session

  /** @internal Where bytes that go straight into a caller's memory belong, if they do. */
  get filling(): Fill | undefined {
    return this.#fill
  }

  /** @internal Bytes arrived in `fill.target` by themselves. */
  filled(fill: Fill, bytes: number): void {
    fill.offset += bytes
    this.#consumed(bytes)
    if (fill.offset === fill.target.length) {
      this.#fill = undefined
      fill.done()
    }
  }

  /** @internal Payload of a data frame that was admitted. */
  receive(bytes: Buffer, start: number, end: number): void {
    if (this.#failure !== undefined) return
    let from = start
    const fill = this.#fill
    if (fill !== undefined) {
      const count = Math.min(end - from, fill.target.length - fill.offset)
      bytes.copy(fill.target, fill.offset, from, from + count)
      from += count
      this.filled(fill, count)
      if (from === end) return
    }
    if (this.#sink !== undefined && !this.#paused && this.#unread.length === 0) {
      this.#sink.chunk(bytes, from, end)
      this.#consumed(end - from)
      return
    }
    const chunk = Buffer.allocUnsafeSlow(end - from)
    bytes.copy(chunk, 0, from, end)
    const reader = this.#wantsRead
    if (reader !== undefined && this.#sink === undefined) {
      this.#wantsRead = undefined
      this.#consumed(chunk.length)
      reader.resolve(chunk)
      return
    }
    this.#unread.push(chunk)
    this.#unreadBytes += chunk.length
  }

  /** Gives bytes that a sink was handed on to the sink that has taken its place meanwhile. Only from inside `ByteSink.chunk`. */
  deliver(bytes: Buffer, start: number, end: number): void {
    if (this.#paused) {
      const chunk = Buffer.allocUnsafeSlow(end - start)
      bytes.copy(chunk, 0, start, end)
      // They were counted as read already; counting again when they are would grant credit twice.
      this.#readAhead += chunk.length
      this.#unread.unshift(chunk)
      this.#unreadBytes += chunk.length
    } else this.#sink?.chunk(bytes, start, end)
  }

  /** @internal The peer's FIN, after the payload of its frame. */
  receiveEnd(): void {
    if (this.#remoteEnded) throw new PluginError('ERR_MUX_STREAM', { streamId: this.id, reason: 'ended twice by the peer' })
    this.#remoteEnded = true
    if (this.#unread.length === 0) this.#pumpEnd()
    this.#settle()
  }

  /** @internal The stream is dead: reset by either side, or the session ended. */
  fail(cause: PluginError): void {
    if (this.#failure !== undefined) return
    this.#failure = cause
    this.#queue = []
    this.#queueHead = 0
    this.#queuedBytes = 0
    this.#side = undefined
    // Once the peer has ended, what it sent is whole and stays readable.
    if (!this.#remoteEnded) {
      this.#unread = []
      this.#unreadBytes = 0
    }
    this.#fill = undefined
    const reader = this.#wantsRead
    this.#wantsRead = undefined
    reader?.reject(cause)
    if (!this.#endDelivered && this.#unread.length === 0 && this.#sink !== undefined) {
      this.#endDelivered = true
      this.#sink.fail(cause)
    }
    const writable = this.#writable
    this.#writable = undefined
    writable?.()
    this.#settle()
  }

  /** @internal Where to encode bytes of this stream while earlier ones wait for credit; undefined when none wait. */
  get side(): Outbox | undefined {
    return this.#queuedBytes > 0 ? (this.#side ??= new Outbox(16_384)) : undefined
  }

  /** @internal Bytes that were encoded aside and are not in the queue yet. */
  get sideBytes(): number {
    return this.#side?.length ?? 0
  }

  /** @internal Moves what was encoded aside to the queue. */
  collectSide(): void {
    const side = this.#side
    if (side === undefined || side.length === 0) return
    for (const part of side.take()) this.#enqueueSent(part)
    side.retire()
  }

  /** @internal Bytes that were encoded for a frame but found no credit. */
  enqueueUnsent(bytes: Uint8Array): void {
    this.#enqueueSent(bytes)
  }

  #enqueueSent(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
  }

  /** @internal Bytes that may be sent now. */
  get sendable(): number {
    return Math.min(this.#queuedBytes, this.sendCredit)
  }

  /** @internal The same while calls are made beside: what is under way would be in their way. */
  get politelySendable(): number {
    return Math.min(this.#queuedBytes, this.sendCredit, this.sendCredit - this.peakCredit + POLITE_BYTES)
  }

  /** @internal The peer grants more. */
  grant(delta: number): void {
    this.sendCredit += delta
    if (this.sendCredit > this.peakCredit) this.peakCredit = this.sendCredit
  }

  /** @internal Our direction ends after what is queued. */
  get ending(): boolean {
    return this.#ending && !this.#finSent
  }

  /** @internal True when the next frame of this stream is to carry FIN (after `taken` bytes were sent). */
  takeFin(): number {
    if (!this.#ending || this.#finSent || this.#queuedBytes > 0) return 0
    this.#finSent = true
    return Flag.fin
  }

  /** @internal FIN, SYN or ACK wait although no bytes do. */
  get hasFlags(): boolean {
    return this.pendingFlags !== 0 || (this.#ending && !this.#finSent && this.#queuedBytes === 0)
  }

  /** @internal Moves up to `bytes` queued bytes to the outbox; never more than `sendable`. */
  moveTo(out: Outbox, bytes: number): void {
    let left = bytes
    while (left > 0) {
      const head = this.#queue[this.#queueHead] as Uint8Array
      const available = head.length - this.#queueOffset
      if (available <= left) {
        out.append(this.#queueOffset === 0 ? head : head.subarray(this.#queueOffset))
        left -= available
        this.#queueOffset = 0
        // Dropped so that the memory can go; the array itself is cut when it is empty or long.
        this.#queue[this.#queueHead++] = empty
      } else {
        out.append(head.subarray(this.#queueOffset, this.#queueOffset + left))
        this.#queueOffset += left
        left = 0
      }
    }
    this.#queuedBytes -= bytes
    this.sendCredit -= bytes
    if (this.#queueHead === this.#queue.length) {
      this.#queue.length = 0
      this.#queueHead = 0
    } else if (this.#queueHead > 1_024) {
      this.#queue.splice(0, this.#queueHead)
      this.#queueHead = 0
    }
  }

  /** @internal After bytes left: lets the writer go on. */
  notifyWritable(): void {
    const listener = this.#writable
    if (listener === undefined || this.#queuedBytes >= HIGH_WATER_BYTES) return
    this.#writable = undefined
    listener()
  }

  /** @internal After FIN was sent or received. */
  settle(): void {
    this.#settle()
  }

  #settle(): void {
    if (this.#forgotten) return
    if (this.#failure !== undefined || (this.#finSent && this.#remoteEnded)) {
      this.#forgotten = true
      this.#owner.forget(this)
      this.onForgotten?.()
    }
  }

  #consumed(read: number): void {
    const known = Math.min(read, this.#readAhead)
    this.#readAhead -= known
    const bytes = read - known
    if (this.#remoteEnded || this.#failure !== undefined) return
    const delta = this.window.read(bytes)
    if (delta > 0) this.#owner.credit(this, delta)
  }

  #pump(): void {
    while (this.#sink !== undefined && !this.#paused && this.#unread.length > 0) {
      const chunk = this.#unread.shift() as Buffer
      this.#unreadBytes -= chunk.length
      let from = 0
      const fill = this.#fill
      if (fill !== undefined) {
        from = Math.min(chunk.length, fill.target.length - fill.offset)
        chunk.copy(fill.target, fill.offset, 0, from)
        this.filled(fill, from)
      }
      if (from < chunk.length) {
        this.#sink.chunk(chunk, from, chunk.length)
        this.#consumed(chunk.length - from)
      }
    }
    if (this.#unread.length === 0) this.#pumpEnd()
  }

  #pumpEnd(): void {
    if (this.#failure !== undefined && !this.#remoteEnded) {
      if (!this.#endDelivered && this.#sink !== undefined) {
        this.#endDelivered = true
        this.#sink.fail(this.#failure)
      }
      return
    }
    if (!this.#remoteEnded || this.#paused) return
    const reader = this.#wantsRead
    if (reader !== undefined) {
      this.#wantsRead = undefined
      reader.resolve(undefined)
    }
    this.#deliverEnd()
  }

  #deliverEnd(): void {
    if (this.#endDelivered) return
    if (this.#sink !== undefined) {
      this.#endDelivered = true
      this.#sink.end()
    }
  }
}

export interface Fill {
  readonly target: Buffer
  offset: number
  readonly done: () => void
}

export interface StreamLane extends Lane {
  readonly stream: Stream
}

const empty = new Uint8Array(0)
