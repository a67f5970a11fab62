// Frames of the session and messages of the call stream as bytes, well-formed or not. Each builder writes what it is told, also what no
// peer may send. Everything is returned as hexadecimal, like the examples of docs/protocol.md, so that it can be put together and cut.

import { encodeValue } from './values.ts'

/** Types of frames. */
export const FrameType = { data: 0, window: 1, ping: 2, goAway: 3 } as const
/** Flags of data and window-update frames, and of pings. */
export const Flag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const
/** Types of messages of the call stream. */
export const MessageType = {
  call: 1,
  reply: 2,
  cancel: 3,
  release: 4,
  abort: 5,
  signal: 6,
  tune: 7,
  output: 8,
  signalGone: 9,
} as const
/** Flags of a call. */
export const CallFlag = { timeout: 1, metadata: 2, onStream: 4, oneWay: 8 } as const
/** Flags of a reply. */
export const ReplyFlag = { failed: 1, own: 2, onStream: 4 } as const

/** The method that disposes an object. */
export const DISPOSE = 0xffff
/** Bytes of credit with which each direction of a stream begins. */
export const INITIAL_CREDIT = 262_144
/** Bytes that both sides grant beyond that on the call stream. */
export const CALL_STREAM_CREDIT = 3_932_160
/** Bytes of the longest message, without its length. */
export const MAX_MESSAGE_BYTES = 1_048_576

/** Hexadecimal in any grouping. */
export type Hex = string

const unsigned = (value: number, bytes: number): Hex => value.toString(16).padStart(bytes * 2, '0')
export const u8 = (value: number): Hex => unsigned(value, 1)
export const u16 = (value: number): Hex => unsigned(value, 2)
export const u32 = (value: number): Hex => unsigned(value, 4)

/** The bytes that hexadecimal stands for; blanks do not count. */
export function bytesOf(hex: Hex): Buffer {
  const digits = hex.replace(/\s/g, '')
  if (!/^(?:[0-9a-f]{2})*$/i.test(digits)) throw new TypeError(`no hexadecimal: ${digits.slice(0, 40)}`)
  return Buffer.from(digits, 'hex')
}

const sizeOf = (hex: Hex): number => bytesOf(hex).length

/** The 12 bytes with which every frame begins. */
export const frameHeader = (type: number, flags: number, stream: number, length: number, version = 0): Hex =>
  u8(version) + u8(type) + u16(flags) + u32(stream) + u32(length)
export const dataFrame = (stream: number, payload: Hex, flags = 0): Hex =>
  frameHeader(FrameType.data, flags, stream, sizeOf(payload)) + payload
export const windowUpdate = (stream: number, credit: number, flags = 0): Hex => frameHeader(FrameType.window, flags, stream, credit)
export const ping = (value: number, flags: number): Hex => frameHeader(FrameType.ping, flags, 0, value)
export const goAway = (code: number): Hex => frameHeader(FrameType.goAway, 0, 0, code)

/** A value that `encodeValue` takes. */
export const value = (of: unknown): Hex => encodeValue(of).toString('hex')

/** A message: its length is put in front. */
export const message = (typeAndFields: Hex): Hex => u32(sizeOf(typeAndFields)) + typeAndFields

export interface CallParts {
  /** The call's id. */
  readonly call: number
  /** 0, the root, or a reference. Default 0. */
  readonly target?: number
  readonly method: number
  /** Default none. */
  readonly args?: readonly unknown[]
  /** Milliseconds; sets its flag. */
  readonly timeoutMs?: number
  /** Names and values in turn; sets its flag. */
  readonly metadata?: readonly string[]
  /** Where the arguments are, instead of `args`; sets its flag. */
  readonly onStream?: { readonly stream: number; readonly length: number }
  readonly oneWay?: boolean
  /** More flags, which the protocol may not know. */
  readonly flags?: number
}

export function callMessage(parts: CallParts): Hex {
  const { timeoutMs, metadata, onStream } = parts
  const flags =
    (timeoutMs === undefined ? 0 : CallFlag.timeout) |
    (metadata === undefined ? 0 : CallFlag.metadata) |
    (onStream === undefined ? 0 : CallFlag.onStream) |
    (parts.oneWay === true ? CallFlag.oneWay : 0) |
    (parts.flags ?? 0)
  return message(
    u8(MessageType.call) +
      u32(parts.call) +
      u32(parts.target ?? 0) +
      u16(parts.method) +
      u8(flags) +
      (timeoutMs === undefined ? '' : u32(timeoutMs)) +
      (metadata === undefined ? '' : value(metadata)) +
      (onStream === undefined ? value(parts.args ?? []) : u32(onStream.stream) + u32(onStream.length)),
  )
}

export const replyMessage = (call: number, result: unknown, flags = 0): Hex =>
  message(u8(MessageType.reply) + u32(call) + u8(flags) + value(result))
export const cancelMessage = (call: number, reason: unknown): Hex => message(u8(MessageType.cancel) + u32(call) + value(reason))
export const releaseMessage = (reference: number, count: number): Hex => message(u8(MessageType.release) + u32(reference) + u32(count))
