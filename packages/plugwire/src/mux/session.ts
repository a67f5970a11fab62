// One connection cut into many streams, exactly as hashicorp/yamux does it. Knows nothing of calls or processes.
// Source of the rules: hashicorp/yamux spec.md and session.go, at v0.1.2.

import { isPluginError, PluginError } from '../errors.ts'
import { type Mark, Outbox } from '../wire/outbox.ts'
import { Flag, FrameType, GoAway, HEADER_BYTES, INITIAL_WINDOW_BYTES, writeHeader } from '../wire/yamux.ts'
import type { Link, LinkReader } from './link.ts'
import { Scheduler } from './scheduler.ts'
import { Stream, type StreamLane, type StreamOwner } from './stream.ts'

export interface SessionOptions {
  /** The client opens streams with odd ids, the server with even ones. In go-plugin the host is the client. */
  readonly role: 'client' | 'server'
  /** Bytes a peer may send on each stream before we have read any. Default 262_144, which is also the least. */
  readonly windowBytes?: number
  /** Streams open at one time; one more of the peer's is refused with a reset. Default 2_048. */
  readonly maxStreams?: number
  /** Streams of the peer that nobody has accepted yet; one more is refused with a reset. Default 256, yamux `AcceptBacklog`. */
  readonly acceptBacklog?: number
  /** Milliseconds between pings that we send by ourselves; 0 sends none. Default 30_000, yamux `KeepAliveInterval`. */
  readonly keepAliveMs?: number
  /** Milliseconds after which an unanswered ping ends the session. Default 10_000, yamux `ConnectionWriteTimeout`. */
  readonly pingTimeoutMs?: number
  /** Takes each stream that the peer opens, instead of `accept`. Runs before any of its bytes are delivered. */
  readonly onStream?: (stream: Stream) => void
  /**
   * The session ended: in order (undefined) or because of `cause`. Called once. Whoever knows more of the end than the session does
   * returns, at once or later, the error with which open streams and pings end; they wait for it.
   */
  readonly onEnded?: (cause: PluginError | undefined) => PluginError | Promise<PluginError> | void
}

const READ_BYTES = 256 * 1024
/** Bytes that all windows of a session together may be larger than at first. */
const MAX_EXTRA_WINDOW_BYTES = 64 * 1024 * 1024
/** From this many missing bytes on, a read goes straight to where they belong. */
const DIRECT_BYTES = 4_096
/** Bytes of streams that go into one write. More would make a call that is made meanwhile wait longer. */
const BATCH_BYTES = 256 * 1024
/** The same while calls are made. */
const POLITE_BATCH_BYTES = 64 * 1024
/** Milliseconds after a call for which another is expected. */
const POLITE_MS = 1
/** Answers to pings and to new streams that may wait while a write is under way. */
const MAX_WAITING_ANSWERS = 65_536
/** Bytes of one stream that go into one frame. */
const FRAME_BYTES = 64 * 1024

/**
 * A multiplexed connection.
 *
 * Every breach of the protocol by the peer ends the session with a coded error and a go-away; the process goes on.
 * Work is linear in the bytes received, however they are cut, and what is kept per stream stays under its window.
 */
export class Session implements LinkReader, StreamOwner {
  readonly #link: Link
  readonly #client: boolean
  readonly #windowBytes: number
  readonly #maxStreams: number
  readonly #acceptBacklog: number
  readonly #pingTimeoutMs: number
  readonly #onStream: ((stream: Stream) => void) | undefined
  readonly #onEnded: SessionOptions['onEnded']
  readonly #streams = new Map<number, Stream>()
  #nextId: number
  #highestRemoteId = 0
  /** Bytes by which windows of open streams were grown. */
  #extraWindowBytes = 0
  #arrived: Stream[] = []
  #accepting: { resolve(stream: Stream): void; reject(cause: PluginError): void }[] = []
  #goneAway = false
  #peerGoneAway = false
  #ended = false
  #closing = false
  #cause: PluginError | undefined
  readonly #pings = new Map<number, { resolve(ms: number): void; reject(cause: PluginError): void; sentAt: number }>()
  #pingId = 0
  #keepAlive: ReturnType<typeof setInterval> | undefined

  // ---- reading
  readonly #readBuffer: Buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  readonly #readView: DataView = new DataView(this.#readBuffer.buffer, this.#readBuffer.byteOffset, READ_BYTES)
  /** Bytes at the start of the read buffer that are not yet a whole header. */
  #have = 0
  /** Payload bytes of the current data frame that have not come yet. */
  #left = 0
  #current: Stream | undefined
  #currentEnds = false
  /** Where the read goes when it does not go to the read buffer. */
  #reading: Stream | undefined
  #receivedBytes = 0
  #inRead = false

  // ---- writing
  readonly #out = new Outbox()
  readonly #scheduler: Scheduler<StreamLane> = new Scheduler<StreamLane>(() => this.#schedule())
  #frame: Stream | undefined
  #frameMark: Mark
  #frameView: DataView
  #framePosition = 0
  #frameStart = 0
  #scheduled = false
  #encoding = false
  #postponed: (() => void)[] = []
  /** Frames encoded in place since streams were last sent: calls. */
  #callFrames = 0
  #politeUntil = 0
  #busy = false
  /** Answers to pings and to new streams since the write under way began. */
  #waitingAnswers = 0
  #retired: Buffer[] = []
  #unsent: Stream[] = []
  #flushListeners: (() => void)[] = []
  #sideStream: Stream | undefined
  readonly #flushLater = (): void => {
    this.#scheduled = false
    this.#flush()
  }
  /** Bytes that had been encoded when it was last looked whether more come. */
  #encodedBytes = 0
  readonly #flushWhenQuiet = (): void => {
    const encoded = this.#out.length
    if (encoded === this.#encodedBytes) this.#flushLater()
    else {
      this.#encodedBytes = encoded
      settled.then(this.#flushWhenQuiet)
    }
  }

  constructor(link: Link, options: SessionOptions) {
    this.#link = link
    this.#client = options.role === 'client'
    this.#nextId = this.#client ? 1 : 2
    this.#windowBytes = Math.max(options.windowBytes ?? 0, INITIAL_WINDOW_BYTES)
    this.#maxStreams = options.maxStreams ?? 2_048
    this.#acceptBacklog = options.acceptBacklog ?? 256
    this.#pingTimeoutMs = options.pingTimeoutMs ?? 10_000
    this.#onStream = options.onStream
    this.#onEnded = options.onEnded
    this.#frameView = this.#out.view
    this.#frameMark = this.#out.mark()
    const keepAliveMs = options.keepAliveMs ?? 30_000
    if (keepAliveMs > 0) {
      this.#keepAlive = setInterval(() => void this.ping().catch(() => undefined), keepAliveMs)
      this.#keepAlive.unref?.()
    }
    link.open(this)
  }

  // ------------------------------------------------------------------------------------------------ streams

  /** Streams that are open. */
  get streamCount(): number {
    return this.#streams.size
  }

  /** True once the session has ended. */
  get ended(): boolean {
    return this.#ended
  }

  /**
   * Opens a stream; its first bytes may be written at once.
   *
   * @throws PluginError `ERR_SESSION_CLOSED`, `ERR_MUX_GO_AWAY` after the peer's go-away, `ERR_MUX_LIMIT`.
   */
  open(): Stream {
    if (this.#ended) throw this.#endedError()
    if (this.#peerGoneAway) throw new PluginError('ERR_MUX_GO_AWAY', { goAwayCode: GoAway.normal, reason: 'it takes no new streams' })
    if (this.#streams.size >= this.#maxStreams) throw new PluginError('ERR_MUX_LIMIT', { limit: 'streams', max: this.#maxStreams })
    const stream = new Stream(this, this.#nextId, Flag.syn)
    this.#nextId += 2
    this.#streams.set(stream.id, stream)
    const delta = stream.window.grow(this.#windowBytes)
    if (delta > 0) this.credit(stream, delta)
    else this.ready(stream)
    return stream
  }

  /** The open stream with this id. */
  stream(id: number): Stream | undefined {
    return this.#streams.get(id)
  }

  /** True when the peer has not yet opened a stream with this id, and may. */
  mayArrive(id: number): boolean {
    return id > this.#highestRemoteId && (id & 1) === (this.#client ? 0 : 1)
  }

  /** The next stream that the peer opens; rejects when the session ends. Not used together with `onStream`. */
  accept(): Promise<Stream> {
    const stream = this.#arrived.shift()
    if (stream !== undefined) return Promise.resolve(stream)
    if (this.#ended) return Promise.reject(this.#endedError())
    return new Promise((resolve, reject) => {
      this.#accepting.push({ resolve, reject })
    })
  }

  /** Measures a round trip, in milliseconds. Ends the session with `ERR_MUX_KEEPALIVE` when no answer comes in time. */
  ping(): Promise<number> {
    if (this.#ended) return Promise.reject(this.#endedError())
    const id = (this.#pingId = (this.#pingId + 1) >>> 0)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#fail(new PluginError('ERR_MUX_KEEPALIVE', { timeoutMs: this.#pingTimeoutMs }), GoAway.internalError),
        this.#pingTimeoutMs,
      )
      timer.unref?.()
      this.#pings.set(id, {
        resolve: ms => {
          clearTimeout(timer)
          resolve(ms)
        },
        reject: cause => {
          clearTimeout(timer)
          reject(cause)
        },
        sentAt: performance.now(),
      })
      this.#control(FrameType.ping, Flag.syn, 0, id)
    })
  }

  /** Tells the peer that no new streams are taken; open ones go on. */
  goAway(): void {
    if (this.#goneAway || this.#ended) return
    this.#goneAway = true
    this.#control(FrameType.goAway, 0, 0, GoAway.normal)
  }

  /** Sends what is queued, then closes the connection. Streams that are still open end with `ERR_SESSION_CLOSED`. */
  close(): void {
    if (this.#ended || this.#closing) return
    this.#closing = true
    this.#flush()
    if (!this.#busy) this.#end(undefined)
  }

  /** Closes the connection at once. */
  destroy(cause?: PluginError): void {
    this.#end(cause)
  }

  /** While referenced, the connection keeps the event loop alive. */
  ref(): void {
    this.#link.ref()
  }

  unref(): void {
    this.#link.unref()
  }

  // ------------------------------------------------------------------------------------------------ writing

  /** Bytes that were encoded or queued by `begin` and have not left. */
  unsentBytes(stream: Stream): number {
    return this.#out.length + stream.queuedBytes + stream.sideBytes
  }

  /**
   * Where the next bytes of `stream` are to be encoded; call `commit` after the last of them.
   * Everything encoded in one turn of the event loop leaves in one frame and one write.
   * The outbox is shared: encode synchronously, and do not keep it.
   */
  begin(stream: Stream): Outbox {
    this.#encoding = true
    const side = stream.side
    if (side !== undefined) {
      this.#sideStream = stream
      return side
    }
    if (this.#frame !== stream) {
      this.#closeFrame()
      const out = this.#out
      out.reserve(HEADER_BYTES)
      this.#frame = stream
      this.#frameMark = out.mark(this.#frameMark)
      this.#frameView = out.view
      this.#framePosition = out.position
      out.position += HEADER_BYTES
      this.#frameStart = out.length
    }
    return this.#out
  }

  /** Calls back, once, when everything encoded so far has left (or the session ended). */
  onceFlushed(listener: () => void): void {
    if (this.#ended || (!this.#busy && this.#out.length === 0)) listener()
    else this.#flushListeners.push(listener)
  }

  /** True between `begin` and `commit`: whoever runs in between (a getter of a value) must not begin anything. */
  get encoding(): boolean {
    return this.#encoding
  }

  /** Sees to it that what was encoded leaves. Called after every `begin`, also when encoding failed. */
  commit(): void {
    this.#encoding = false
    if (this.#postponed.length > 0) for (const action of this.#postponed.splice(0)) action()
    if (this.#scheduled || this.#inRead) return
    // After the last of the jobs that are queued by now and of those that go on encoding, so that all calls of a turn leave together.
    // Not by nextTick, which would do the same: one tick costs more than the rest of a flush.
    this.#scheduled = true
    this.#encodedBytes = this.#out.length
    settled.then(this.#flushWhenQuiet)
  }

  #schedule(): void {
    if (!this.#scheduled && !this.#inRead) {
      this.#scheduled = true
      process.nextTick(this.#flushLater)
    }
  }

  #closeFrame(): void {
    const stream = this.#frame
    if (stream === undefined) return
    this.#frame = undefined
    const out = this.#out
    const length = out.length - this.#frameStart
    if (length === 0) {
      out.rollback(this.#frameMark)
      return
    }
    if (stream.failure !== undefined) {
      out.rollback(this.#frameMark)
      return
    }
    if (length <= stream.sendCredit) {
      const view = this.#frameView
      const position = this.#framePosition
      view.setUint32(position, stream.pendingFlags) // type 0, data
      view.setUint32(position + 4, stream.id)
      view.setUint32(position + 8, length)
      stream.pendingFlags = 0
      stream.sendCredit -= length
      this.#callFrames++
      return
    }
    // More than the peer allows: queue all of it, the scheduler sends as credit comes.
    const bytes = out.takeSince(this.#frameMark).subarray(HEADER_BYTES)
    stream.enqueueUnsent(bytes)
    this.ready(stream)
  }

  #control(type: FrameType, flags: number, streamId: number, length: number): void {
    if (this.#ended) return
    if (this.#encoding) {
      this.#postponed.push(() => this.#control(type, flags, streamId, length))
      return
    }
    this.#closeFrame()
    writeHeader(this.#out, type, flags, streamId, length)
    this.#schedule()
  }

  ready(stream: Stream): void {
    if (stream.sendable > 0) this.#scheduler.add(stream.lane)
    else if (stream.hasFlags && !this.#unsent.includes(stream)) this.#unsent.push(stream)
    this.#schedule()
  }

  credit(stream: Stream, delta: number): void {
    this.#control(FrameType.windowUpdate, stream.pendingFlags, stream.id, delta)
    stream.pendingFlags = 0
  }

  sendReset(stream: Stream): void {
    this.#scheduler.remove(stream.lane)
    this.#control(FrameType.windowUpdate, stream.pendingFlags | Flag.rst, stream.id, 0)
    stream.pendingFlags = 0
  }

  admitWindow(bytes: number): boolean {
    if (bytes <= 0 || this.#extraWindowBytes + bytes > MAX_EXTRA_WINDOW_BYTES) return false
    this.#extraWindowBytes += bytes
    return true
  }

  forget(stream: Stream): void {
    this.#streams.delete(stream.id)
    this.#extraWindowBytes -= stream.window.size - this.#windowBytes
    this.#scheduler.remove(stream.lane)
  }

  retune(stream: Stream): void {
    this.#scheduler.changed(stream.lane)
  }

  #flush(): void {
    if (this.#busy || this.#ended) return
    const out = this.#out
    for (;;) {
      if (this.#sideStream !== undefined) {
        const stream = this.#sideStream
        this.#sideStream = undefined
        stream.collectSide()
        this.ready(stream)
      }
      this.#closeFrame()
      const moved = this.#fillBatch()
      if (out.length === 0) break
      const parts = out.take()
      if (!this.#link.write(parts)) {
        this.#busy = true
        this.#retired = out.retire()
        for (const stream of moved) stream.notifyWritable()
        return
      }
      out.recycle()
      if (moved === none) break
      for (const stream of moved) stream.notifyWritable()
    }
    if (this.#flushListeners.length > 0) for (const listener of this.#flushListeners.splice(0)) listener()
    if (this.#closing) this.#end(undefined)
  }

  /** Moves bytes of streams to the outbox, by weight, up to one batch. */
  #fillBatch(): readonly Stream[] {
    if (this.#unsent.length > 0) {
      const unsent = this.#unsent.splice(0)
      for (const stream of unsent) this.#sendFlags(stream, unsent.length > 1)
    }
    let lane = this.#scheduler.next()
    if (lane === undefined) return none
    const moved: Stream[] = []
    const out = this.#out
    const polite = this.#isPolite()
    let room = (polite ? POLITE_BATCH_BYTES : BATCH_BYTES) - out.length
    while (lane !== undefined) {
      const stream = lane.stream
      let bytes = Math.min(polite ? stream.politelySendable : stream.sendable, FRAME_BYTES, Math.max(room, HEADER_BYTES))
      if (lane.maxBytesPerSecond !== Number.POSITIVE_INFINITY) bytes = Math.min(bytes, Math.max(1, Math.floor(lane.tokens)))
      if (bytes > 0) {
        // Never FIN beside bytes: yamux in Go looks at the flags of a frame first, and a reader that waits takes the end for the end of the bytes.
        writeHeader(out, FrameType.data, stream.pendingFlags, stream.id, bytes)
        stream.pendingFlags = 0
        stream.moveTo(out, bytes)
        this.#scheduler.charge(lane, bytes)
        if (!moved.includes(stream)) moved.push(stream)
        if ((polite ? stream.politelySendable : stream.sendable) > 0) this.#scheduler.again(lane)
        else if (stream.hasFlags) this.#sendFlags(stream)
        else if (!stream.ending) this.#scheduler.await(lane)
        room -= bytes
      }
      if (room <= 0) break
      lane = this.#scheduler.next()
    }
    return moved
  }

  /** True while calls go to and fro: then bulk keeps its part of the pipe short. */
  #isPolite(): boolean {
    if (this.#callFrames === 0) return performance.now() < this.#politeUntil
    this.#callFrames = 0
    this.#politeUntil = performance.now() + POLITE_MS
    return true
  }

  #sendFlags(stream: Stream, ordered = false): void {
    if (stream.failure !== undefined) return
    if (stream.sendable > 0) {
      // Of several that were opened together the peer learns in that order, in which alone go-plugin tells its first streams apart.
      if (ordered && (stream.pendingFlags & Flag.syn) !== 0) {
        writeHeader(this.#out, FrameType.windowUpdate, stream.pendingFlags, stream.id, 0)
        stream.pendingFlags = 0
      }
      this.#scheduler.add(stream.lane)
      return
    }
    const flags = stream.pendingFlags | stream.takeFin()
    if (flags === 0) return
    stream.pendingFlags = 0
    writeHeader(this.#out, FrameType.windowUpdate, flags, stream.id, 0)
    if ((flags & Flag.fin) !== 0) stream.settle()
  }

  written(): void {
    this.#busy = false
    this.#waitingAnswers = 0
    this.#out.release(this.#retired)
    this.#retired = []
    this.#flush()
  }

  // ------------------------------------------------------------------------------------------------ reading

  buffer(): Uint8Array {
    const fill = this.#left > 0 && this.#have === 0 ? this.#current?.filling : undefined
    if (fill !== undefined && fill.target.length - fill.offset >= DIRECT_BYTES) {
      this.#reading = this.#current
      return fill.target.subarray(fill.offset, Math.min(fill.target.length, fill.offset + this.#left))
    }
    this.#reading = undefined
    return this.#have === 0 ? this.#readBuffer : this.#readBuffer.subarray(this.#have)
  }

  received(bytes: number): void {
    if (this.#ended) return
    this.#inRead = true
    try {
      const reading = this.#reading
      if (reading !== undefined) {
        this.#reading = undefined
        this.#left -= bytes
        this.#receivedBytes += bytes
        const fill = reading.filling
        // The stream may have died while its bytes were on the way; then they are dropped.
        if (fill !== undefined) reading.filled(fill, bytes)
        if (this.#left === 0) this.#endFrame()
      } else {
        this.#parse(this.#have + bytes)
      }
    } catch (cause) {
      this.#fail(
        isPluginError(cause) ? cause : new PluginError('ERR_SESSION_CLOSED', { reason: String(cause) }, { cause }),
        GoAway.protocolError,
      )
    }
    this.#inRead = false
    if (!this.#scheduled) this.#flush()
  }

  #parse(end: number): void {
    const bytes = this.#readBuffer
    const view = this.#readView
    let position = 0
    while (!this.#ended) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, end - position)
        if (count === 0) break
        this.#left -= count
        const from = position
        position += count
        this.#current?.receive(bytes, from, position)
        if (this.#left === 0) this.#endFrame()
        continue
      }
      if (end - position < HEADER_BYTES) break
      const typeAndFlags = view.getUint32(position)
      const type = typeAndFlags >>> 16
      // The version is the first byte and must be 0, so that version and type together are at most 3.
      if (type > FrameType.goAway) {
        const offset = this.#receivedBytes - this.#have + position
        const version = bytes[position] as number
        throw version === 0
          ? new PluginError('ERR_MUX_FRAME', { reason: `frame of unknown type ${type}`, offset: offset + 1 })
          : new PluginError('ERR_MUX_FRAME', { reason: `frame of version ${version}, not 0`, offset })
      }
      const flags = typeAndFlags & 0xffff
      const id = view.getUint32(position + 4)
      const length = view.getUint32(position + 8)
      position += HEADER_BYTES
      if (type === FrameType.data) this.#onData(flags, id, length, position)
      else if (type === FrameType.windowUpdate) this.#onWindowUpdate(flags, id, length, position)
      else if (type === FrameType.ping) this.#onPing(flags, length)
      else this.#onGoAway(length)
    }
    this.#receivedBytes += end - this.#have
    if (this.#ended) return
    this.#have = end - position
    if (this.#have > 0 && position > 0) bytes.copyWithin(0, position, end)
  }

  #onData(flags: number, id: number, length: number, position: number): void {
    const stream = this.#lookUp(flags, id, position)
    if (stream !== undefined) {
      stream.window.receive(id, length)
      if ((flags & Flag.rst) !== 0) this.#resetByPeer(stream)
    }
    this.#current = stream?.failure === undefined ? stream : undefined
    this.#left = length
    this.#currentEnds = (flags & Flag.fin) !== 0
    if (length === 0) this.#endFrame()
  }

  #endFrame(): void {
    if (!this.#currentEnds) return
    this.#currentEnds = false
    if (this.#current?.failure === undefined) this.#current?.receiveEnd()
  }

  #onWindowUpdate(flags: number, id: number, delta: number, position: number): void {
    const stream = this.#lookUp(flags, id, position)
    if (stream === undefined) return
    if (delta > 0) {
      stream.grant(delta)
      if (stream.sendCredit > 0xffff_ffff) {
        throw new PluginError('ERR_MUX_STREAM', {
          streamId: id,
          reason: `the peer granted ${stream.sendCredit} bytes, more than a window can hold`,
        })
      }
      if (stream.sendable > 0) this.#scheduler.add(stream.lane)
    }
    if ((flags & Flag.rst) !== 0) this.#resetByPeer(stream)
    else if ((flags & Flag.fin) !== 0) stream.receiveEnd()
  }

  /** The stream of a frame; undefined when it is gone, refused or closed, so that the frame is to be dropped. */
  #lookUp(flags: number, id: number, position: number): Stream | undefined {
    const known = this.#streams.get(id)
    if ((flags & Flag.syn) === 0) {
      if (known === undefined && this.#neverOpened(id)) {
        throw new PluginError('ERR_MUX_STREAM', {
          streamId: id,
          reason: `a frame for a stream that was never opened, at byte ${this.#receivedBytes - this.#have + position - HEADER_BYTES}`,
        })
      }
      return known
    }
    if (known !== undefined) throw new PluginError('ERR_MUX_STREAM', { streamId: id, reason: 'opened twice by the peer' })
    if (id === 0 || (id & 1) === (this.#client ? 1 : 0)) {
      throw new PluginError('ERR_MUX_STREAM', { streamId: id, reason: 'the peer opened a stream with an id that is not its to give' })
    }
    if (id > this.#highestRemoteId) this.#highestRemoteId = id
    this.#countAnswer()
    const handled = this.#onStream !== undefined || this.#accepting.length > 0
    if (
      this.#goneAway ||
      this.#closing ||
      this.#streams.size >= this.#maxStreams ||
      (!handled && this.#arrived.length >= this.#acceptBacklog)
    ) {
      this.#control(FrameType.windowUpdate, Flag.rst, id, 0)
      return undefined
    }
    const stream = new Stream(this, id, Flag.ack)
    this.#streams.set(id, stream)
    // Acknowledged at once, whatever the application does: a Go peer ends the session after 75 s without it.
    this.credit(stream, stream.window.grow(this.#windowBytes))
    if (this.#onStream !== undefined) this.#onStream(stream)
    else {
      const waiting = this.#accepting.shift()
      if (waiting !== undefined) waiting.resolve(stream)
      else this.#arrived.push(stream)
    }
    return stream
  }

  /** A peer that asks and does not read would have us keep our answers without end. */
  #countAnswer(): void {
    if (this.#busy && ++this.#waitingAnswers > MAX_WAITING_ANSWERS) {
      throw new PluginError('ERR_MUX_LIMIT', { limit: 'answers that the peer does not read', max: MAX_WAITING_ANSWERS })
    }
  }

  /** Frames of streams that ended may still be on the way and are dropped; frames of streams that never were are a breach. */
  #neverOpened(id: number): boolean {
    const ours = (id & 1) === (this.#client ? 1 : 0)
    return id === 0 || (ours ? id >= this.#nextId : id > this.#highestRemoteId)
  }

  #resetByPeer(stream: Stream): void {
    stream.fail(new PluginError('ERR_STREAM_RESET', { streamId: stream.id }))
  }

  #onPing(flags: number, value: number): void {
    if ((flags & Flag.syn) !== 0) {
      this.#countAnswer()
      this.#control(FrameType.ping, Flag.ack, 0, value)
      return
    }
    const ping = this.#pings.get(value)
    if (ping === undefined) return
    this.#pings.delete(value)
    ping.resolve(performance.now() - ping.sentAt)
  }

  #onGoAway(code: number): void {
    this.#peerGoneAway = true
    if (code === GoAway.normal) return
    const reason =
      code === GoAway.protocolError
        ? 'it saw a breach of the protocol'
        : code === GoAway.internalError
          ? 'it had an internal error'
          : 'unknown reason'
    this.#end(new PluginError('ERR_MUX_GO_AWAY', { goAwayCode: code, reason }))
  }

  // ------------------------------------------------------------------------------------------------ ending

  closed(cause?: Error): void {
    if (cause === undefined) this.#end(undefined)
    else this.#end(new PluginError('ERR_SESSION_CLOSED', { reason: cause.message }, { cause }))
  }

  #endedError(): PluginError {
    return this.#cause ?? new PluginError('ERR_SESSION_CLOSED', { reason: this.#closing ? 'it was closed' : 'the other side is gone' })
  }

  /** Ends the session because of the peer, and tells it. */
  #fail(cause: PluginError, code: number): void {
    if (this.#ended) return
    if (!this.#busy) {
      this.#frame = undefined
      const farewell = new Outbox(HEADER_BYTES)
      writeHeader(farewell, FrameType.goAway, 0, 0, code)
      this.#link.write(farewell.take())
    }
    this.#end(cause)
  }

  #end(cause: PluginError | undefined): void {
    if (this.#ended) return
    const inOrder = cause === undefined
    this.#cause = cause
    const reason = this.#endedError()
    this.#ended = true
    clearInterval(this.#keepAlive)
    this.#scheduler.close()
    this.#current = undefined
    for (const listener of this.#flushListeners.splice(0)) listener()
    for (const waiting of this.#accepting.splice(0)) waiting.reject(reason)
    if (inOrder) this.#link.close()
    else {
      // A go-away may still be on its way out: end, not destroy; destroy follows when the peer does not end in turn.
      this.#link.close()
      setTimeout(() => this.#link.destroy(), 100).unref?.()
    }
    const explained = this.#onEnded?.(cause)
    if (explained instanceof Promise)
      explained.then(
        better => this.#failAll(better),
        () => this.#failAll(reason),
      )
    else this.#failAll(explained ?? reason)
  }

  #failAll(reason: PluginError): void {
    for (const stream of [...this.#streams.values()]) stream.fail(reason)
    this.#streams.clear()
    for (const ping of this.#pings.values()) ping.reject(reason)
    this.#pings.clear()
  }
}

const none: readonly Stream[] = []
const settled = Promise.resolve()
