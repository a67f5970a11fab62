// The host's end of a session, in the hands of a test: it sends the bytes it is told to, keeps what comes back, and notes everything in
// it that docs/protocol.md does not allow. Speaks the wire by itself, with nothing of plugwire's own session underneath.

import type { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import {
  bytesOf,
  CALL_STREAM_CREDIT,
  CallFlag,
  type CallParts,
  callMessage,
  dataFrame,
  Flag,
  FrameType,
  type Hex,
  INITIAL_CREDIT,
  MAX_MESSAGE_BYTES,
  MessageType,
  ping,
  ReplyFlag,
  replyMessage,
  windowUpdate,
} from './frames.ts'
import { type Shapes, ValueFault, ValueReader } from './values.ts'

/** A frame as it came. */
export interface RawFrame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  /** Length, credit, value or code: the last four bytes of the header. */
  readonly length: number
  /** Empty unless it is a data frame. */
  readonly payload: Buffer
}

/** A message of the call stream as it came. */
export interface RawMessage {
  readonly type: number
  /** Call, reference, stream or descriptor: the first field. */
  readonly id: number
  /** Of calls and replies, else 0. */
  readonly flags: number
  /** Arguments, result or reason, decoded; undefined when there is none or it is on a stream. */
  readonly value: unknown
  readonly onStream: { readonly stream: number; readonly length: number } | undefined
  /** Type and fields. */
  readonly bytes: Buffer
}

/** The answer to a call. */
export interface Reply {
  readonly flags: number
  /** What was thrown is in `value`. */
  readonly failed: boolean
  /** The code, when it failed with an error of plugwire's own. */
  readonly ownCode: string | undefined
  /** With an own error: its facts. */
  readonly value: unknown
}

export interface RawPeerOptions {
  /** Milliseconds that each wait lasts at most. Default 5,000. */
  readonly deadlineMs?: number
  /** Sends each byte by itself. Default false. */
  readonly byByte?: boolean
  /** Answers pings, accepts streams, returns credit, ends streams that were ended. Default true; a test that does all by itself says false. */
  readonly courteous?: boolean
  /** Bytes that were read already. */
  readonly first?: Uint8Array
}

/** What was waited for did not come: the time was up, or the session ended. */
export class PeerError extends Error {
  readonly reason: 'late' | 'ended'

  constructor(reason: 'late' | 'ended', message: string) {
    super(message)
    this.reason = reason
  }
}

interface StreamState {
  /** Bytes that may still be sent. */
  credit: number
  /** Bytes that may still come. */
  granted: number
  received: Buffer[]
  receivedBytes: number
  /** They have ended their direction. */
  ended: boolean
  reset: boolean
  /** We have ended ours. */
  ending: boolean
}

const MAX_CREDIT = 2 ** 32 - 1
/** Payload of one data frame; both sides may cut as they like. */
const FRAME_BYTES = 65_536
/** What a test keeps of a plugin that never stops. */
const MAX_KEPT_FRAMES = 200_000
const DEFAULT_DEADLINE_MS = 5_000

/** The call stream. */
export const CALLS = 1

export class RawPeer {
  readonly frames: RawFrame[] = []
  /** Messages of the call stream, in order. */
  readonly messages: RawMessage[] = []
  /** What the other side did although the protocol forbids it; nothing is read after a fault that makes the rest unreadable. */
  readonly faults: string[] = []
  readonly #duplex: Duplex
  readonly #deadlineMs: number
  readonly #byByte: boolean
  readonly #courteous: boolean
  readonly #streams = new Map<number, StreamState>()
  readonly #shapes: Shapes = []
  /** Calls without a reply. */
  readonly #open = new Set<number>()
  readonly #taken = new Set<RawFrame | RawMessage>()
  #rest: Buffer = Buffer.alloc(0)
  #callRest: Buffer = Buffer.alloc(0)
  #waiting: (() => void)[] = []
  #ended = false
  #unreadable = false
  #nextCall = 0
  #nextPing = 0x5000_0000
  #writing: Promise<void> = Promise.resolve()

  constructor(duplex: Duplex, options: RawPeerOptions = {}) {
    this.#duplex = duplex
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS
    this.#byByte = options.byByte ?? false
    this.#courteous = options.courteous ?? true
    duplex.on('error', () => {}) // Its close follows, and tells.
    for (const event of ['end', 'close']) {
      duplex.on(event, () => {
        this.#ended = true
        this.#wake()
      })
    }
    duplex.on('data', (chunk: Buffer) => this.#received(chunk))
    if (options.first !== undefined && options.first.length > 0) this.#received(Buffer.from(options.first))
    duplex.resume() // It may have been paused while the handshake was read.
  }

  /** The connection has ended. */
  get ended(): boolean {
    return this.#ended
  }

  /** The code of the last go-away that came. */
  get goneAway(): number | undefined {
    return this.frames.findLast(frame => frame.type === FrameType.goAway)?.length
  }

  // ---- sending

  /** Sends bytes as they are; what they mean is not looked at. */
  send(...hex: Hex[]): void {
    this.sendBytes(bytesOf(hex.join('')))
  }

  sendBytes(bytes: Uint8Array): void {
    if (this.#byByte) this.#writing = this.#writing.then(() => this.#trickle(bytes))
    else if (this.#duplex.writable) this.#duplex.write(bytes)
  }

  /** Opens the call stream as a host does, with its credit. */
  openCalls(): void {
    this.open(CALLS, CALL_STREAM_CREDIT)
  }

  /** Opens a stream. */
  open(stream: number, credit = 0): void {
    this.#streams.set(stream, freshStream(credit))
    this.send(windowUpdate(stream, credit, Flag.syn))
  }

  /** Sends on a stream, in frames, as far and as fast as there is credit. */
  async write(stream: number, payload: Uint8Array, end = false): Promise<void> {
    const state = this.#stateOf(stream)
    for (let at = 0; at < payload.length; ) {
      await this.until(() => state.credit > 0, `credit on stream ${stream}`)
      const part = payload.subarray(at, at + Math.min(state.credit, FRAME_BYTES))
      state.credit -= part.length
      at += part.length
      this.send(dataFrame(stream, Buffer.from(part).toString('hex')))
    }
    if (end) this.end(stream)
  }

  /** Ends our direction of a stream. */
  end(stream: number): void {
    this.#stateOf(stream).ending = true
    this.send(windowUpdate(stream, 0, Flag.fin))
  }

  /** Sends messages on the call stream; calls among them are known to be open. */
  async sendMessages(...hex: Hex[]): Promise<void> {
    const bytes = bytesOf(hex.join(''))
    for (let at = 0; at + 12 < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
      const isCall = bytes[at + 4] === MessageType.call
      if (isCall && ((bytes[at + 15] as number) & CallFlag.oneWay) === 0) this.expectReply(bytes.readUInt32BE(at + 5))
    }
    await this.write(CALLS, bytes)
  }

  /** Says that a call was sent by other means, so that its reply is not taken for a fault. */
  expectReply(call: number): void {
    this.#open.add(call)
  }

  /** A call id that was not used before. */
  nextCall(): number {
    return this.#nextCall++
  }

  /** Calls and waits for the answer. */
  async call(parts: Omit<CallParts, 'call'>): Promise<Reply> {
    const call = this.nextCall()
    await this.sendMessages(callMessage({ ...parts, call }))
    return this.reply(call)
  }

  // ---- waiting

  /** The next frame that fits and was not taken yet. */
  async frame(fits: (frame: RawFrame) => boolean, what = 'a frame'): Promise<RawFrame> {
    return this.#next(() => this.frames.find(frame => !this.#taken.has(frame) && fits(frame)), what)
  }

  /** The next message that fits and was not taken yet. */
  async message(fits: (message: RawMessage) => boolean, what = 'a message'): Promise<RawMessage> {
    return this.#next(() => this.messages.find(message => !this.#taken.has(message) && fits(message)), what)
  }

  /** The answer to a call, also when its result comes on a stream. */
  async reply(call: number): Promise<Reply> {
    const found = await this.message(({ type, id }) => type === MessageType.reply && id === call, `the reply to call ${call}`)
    const value = found.onStream === undefined ? found.value : await this.#valueOn(found.onStream)
    const failed = (found.flags & ReplyFlag.failed) !== 0
    if ((found.flags & ReplyFlag.own) === 0) return { flags: found.flags, failed, ownCode: undefined, value }
    const [code, facts] = Array.isArray(value) ? (value as unknown[]) : []
    return { flags: found.flags, failed, ownCode: String(code), value: facts }
  }

  /** Resolves when everything sent so far was read over there, and everything sent from there until then has come. */
  async roundTrip(): Promise<void> {
    const value = this.#nextPing++
    this.send(ping(value, Flag.syn))
    await this.frame(({ type, flags, length }) => type === FrameType.ping && flags === Flag.ack && length === value, 'the answer to a ping')
  }

  /** Resolves when a condition holds, which is looked at whenever something comes. */
  async until(holds: () => boolean, what: string): Promise<void> {
    await this.#next(() => holds() || undefined, what)
  }

  /** Resolves when the connection has ended. */
  async closed(): Promise<void> {
    await this.#wait(() => this.#ended || undefined, 'the end of the connection', false)
  }

  /** Bytes that came on a stream so far. */
  receivedOn(stream: number): Buffer {
    return Buffer.concat(this.#streams.get(stream)?.received ?? [])
  }

  /** Closes the connection. */
  destroy(): void {
    this.#duplex.destroy()
  }

  #next<T extends RawFrame | RawMessage | true>(find: () => T | undefined, what: string): Promise<T> {
    return this.#wait(find, what, true)
  }

  async #wait<T extends RawFrame | RawMessage | true>(find: () => T | undefined, what: string, endsIt: boolean): Promise<T> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.#wake()
    }, this.#deadlineMs)
    try {
      for (;;) {
        const found = find()
        if (found !== undefined) {
          if (found !== true) this.#taken.add(found)
          return found
        }
        if (endsIt && this.#ended) throw new PeerError('ended', `the connection ended instead of ${what}${this.#lastWords()}`)
        if (late) throw new PeerError('late', `${what} did not come within ${this.#deadlineMs} ms${this.#lastWords()}`)
        await new Promise<void>(resolve => this.#waiting.push(resolve))
      }
    } finally {
      clearTimeout(timer)
    }
  }

  #lastWords(): string {
    const last = this.frames.at(-1)
    const seen =
      last === undefined
        ? 'no frame came'
        : `last came a frame of type ${last.type}, flags ${last.flags}, stream ${last.stream}, length ${last.length}`
    return ` (${[seen, ...this.faults].join('; ')})`
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async #trickle(bytes: Uint8Array): Promise<void> {
    for (const byte of bytes) {
      if (!this.#duplex.writable) return
      this.#duplex.write(Uint8Array.of(byte))
      await turn()
    }
  }

  // ---- receiving

  #received(chunk: Buffer): void {
    if (this.#unreadable) return
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (!this.#unreadable && this.#rest.length >= 12) {
      const [version, type] = [this.#rest.readUInt8(0), this.#rest.readUInt8(1)]
      const [flags, stream, length] = [this.#rest.readUInt16BE(2), this.#rest.readUInt32BE(4), this.#rest.readUInt32BE(8)]
      if (version !== 0) this.#break(`a frame of version ${version}`)
      else if (type > FrameType.goAway) this.#break(`a frame of type ${type}`)
      else if (type === FrameType.data && length > (this.#streams.get(stream)?.granted ?? INITIAL_CREDIT))
        this.#break(`${length} bytes on stream ${stream}, which is more than there was credit for`)
      else if (this.frames.length >= MAX_KEPT_FRAMES) this.#break(`more than ${MAX_KEPT_FRAMES} frames`)
      else {
        const end = 12 + (type === FrameType.data ? length : 0)
        if (this.#rest.length < end) break
        const payload = Buffer.from(this.#rest.subarray(12, end))
        this.#rest = this.#rest.subarray(end)
        this.#take({ type, flags, stream, length, payload })
      }
    }
    this.#wake()
  }

  /** Notes a fault after which nothing can be read. */
  #break(fault: string): void {
    this.faults.push(fault)
    this.#unreadable = true
  }

  #take(frame: RawFrame): void {
    this.frames.push(frame)
    if (frame.type === FrameType.ping || frame.type === FrameType.goAway) {
      if (frame.stream !== 0) this.faults.push(`a frame of type ${frame.type} on stream ${frame.stream}`)
      const asks = frame.type === FrameType.ping && frame.flags === Flag.syn
      if (asks && this.#courteous) this.send(ping(frame.length, Flag.ack))
      return
    }
    const { stream: id, flags } = frame
    let state = this.#streams.get(id)
    if ((flags & Flag.syn) !== 0) {
      if (id % 2 === 1 || id === 0) this.faults.push(`it opened stream ${id}, a number of the host's`)
      else if (state !== undefined) this.faults.push(`it opened stream ${id} a second time`)
      else {
        state = freshStream(0)
        this.#streams.set(id, state)
        if (this.#courteous) this.send(windowUpdate(id, 0, Flag.ack))
      }
    }
    if (state === undefined) {
      this.faults.push(`a frame for stream ${id}, which was never opened`)
      return
    }
    if (state.ended && ((flags & Flag.fin) !== 0 || frame.payload.length > 0)) {
      this.faults.push(`${frame.payload.length > 0 ? 'bytes' : 'an end'} on stream ${id} after its end`)
    }
    if (frame.type === FrameType.window) {
      state.credit += frame.length
      if (state.credit > MAX_CREDIT) this.faults.push(`more credit on stream ${id} than can be`)
    } else if ((flags & Flag.rst) === 0) this.#takePayload(id, state, frame.payload)
    if ((flags & Flag.rst) !== 0) {
      state.reset = state.ended = true
    } else if ((flags & Flag.fin) !== 0) {
      state.ended = true
      if (this.#courteous && !state.ending && id !== CALLS) this.end(id)
    }
  }

  #takePayload(id: number, state: StreamState, payload: Buffer): void {
    state.granted -= payload.length
    if (id === CALLS) this.#takeMessages(payload)
    else {
      state.received.push(payload)
      state.receivedBytes += payload.length
    }
    if (!this.#courteous || payload.length === 0) return
    state.granted += payload.length
    this.send(windowUpdate(id, payload.length))
  }

  #takeMessages(payload: Buffer): void {
    let rest = this.#callRest.length === 0 ? payload : Buffer.concat([this.#callRest, payload])
    while (rest.length >= 4) {
      const length = rest.readUInt32BE(0)
      if (length > MAX_MESSAGE_BYTES) return this.#break(`a message of ${length} bytes`)
      if (rest.length < 4 + length) break
      try {
        this.#takeMessage(rest.subarray(4, 4 + length))
      } catch (cause) {
        if (!(cause instanceof ValueFault) && !(cause instanceof RangeError)) throw cause
        return this.#break(
          `a message that cannot be read (${cause.message}): ${rest.subarray(4, 4 + Math.min(length, 40)).toString('hex')}`,
        )
      }
      rest = rest.subarray(4 + length)
    }
    this.#callRest = rest
  }

  /** Every value is decoded at once, for the shapes that it may define. */
  #takeMessage(bytes: Buffer): void {
    const type = bytes.readUInt8(0)
    const id = type === MessageType.output ? bytes.readUInt8(1) : bytes.readUInt32BE(1)
    let flags = 0
    let value: unknown
    let onStream: RawMessage['onStream']
    const read = (at: number): ValueReader => new ValueReader(bytes, at, this.#shapes)
    const placed = (at: number): RawMessage['onStream'] => ({ stream: bytes.readUInt32BE(at), length: bytes.readUInt32BE(at + 4) })
    if (type === MessageType.call) {
      flags = bytes.readUInt8(11)
      if (flags > 15) this.faults.push(`a call with the flags ${flags}`)
      const reader = read(12 + ((flags & CallFlag.timeout) !== 0 ? 4 : 0))
      if ((flags & CallFlag.metadata) !== 0) reader.value()
      if ((flags & CallFlag.onStream) !== 0) onStream = placed(bytes.length - 8)
      else {
        value = reader.value()
        reader.end()
      }
    } else if (type === MessageType.reply) {
      flags = bytes.readUInt8(5)
      if (flags > 7) this.faults.push(`a reply with the flags ${flags}`)
      if (!this.#open.delete(id)) this.faults.push(`a reply to call ${id}, which waits for none`)
      if ((flags & ReplyFlag.onStream) !== 0) onStream = placed(6)
      else value = readWhole(read(6))
    } else if (type === MessageType.cancel || type === MessageType.abort || type === MessageType.signal) value = readWhole(read(5))
    else if (type < MessageType.call || type > MessageType.signalGone) this.faults.push(`a message of type ${type}`)
    this.messages.push({ type, id, flags, value, onStream, bytes })
    if (type === MessageType.call && this.#courteous) this.#answer(id, bytes, flags)
  }

  /** A host has one method, `log`, which wants no reply. */
  #answer(call: number, bytes: Buffer, flags: number): void {
    if ((flags & CallFlag.oneWay) !== 0) return
    const method = `#${bytes.readUInt16BE(9)}`
    const answer = replyMessage(
      call,
      ['ERR_METHOD_NOT_FOUND', { method, kind: 'host', methods: ['log'] }],
      ReplyFlag.failed | ReplyFlag.own,
    )
    void this.sendMessages(answer).catch(() => {}) // The session may be over; who waits for something hears of it.
  }

  async #valueOn({ stream, length }: { readonly stream: number; readonly length: number }): Promise<unknown> {
    await this.until(() => {
      const state = this.#streams.get(stream)
      return state !== undefined && (state.receivedBytes >= length || state.ended)
    }, `the value on stream ${stream}`)
    const bytes = this.receivedOn(stream)
    if (bytes.length !== length) throw new PeerError('late', `a value of ${bytes.length} instead of ${length} bytes on stream ${stream}`)
    return readWhole(new ValueReader(bytes, 0, []))
  }

  #stateOf(stream: number): StreamState {
    const state = this.#streams.get(stream)
    if (state === undefined) throw new TypeError(`stream ${stream} is not open`)
    return state
  }
}

const freshStream = (moreCredit: number): StreamState => ({
  credit: INITIAL_CREDIT,
  granted: INITIAL_CREDIT + moreCredit,
  received: [],
  receivedBytes: 0,
  ended: false,
  reset: false,
  ending: false,
})

function readWhole(reader: ValueReader): unknown {
  const value = reader.value()
  reader.end()
  return value
}
