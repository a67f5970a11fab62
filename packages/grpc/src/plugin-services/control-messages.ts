// The messages of go-plugin's own services, by hand: five of them are no reason to load a protobuf library. Source: go-plugin
// internal/plugin/*.proto, package `plugin`.

import { GrpcError } from '../transport/grpc-error.ts'
import { FieldWriter, readFields } from './proto-fields.ts'

/** `plugin.Empty` and `google.protobuf.Empty`. What a newer peer may have put into one is ignored. */
export interface Empty {
  readonly [none: string]: never
}

export const empty: Empty = Object.freeze({})
export const encodeEmpty = (_message: Empty): Buffer => Buffer.alloc(0)
export const decodeEmpty = (_bytes: Buffer): Empty => empty

/** `plugin.ConnInfo.Knock`: asks to open a stream for an id, or answers that. */
export interface Knock {
  readonly knock: boolean
  readonly ack: boolean
  /** Why a stream may not be opened; empty when it may. */
  readonly error: string
}

/** `plugin.ConnInfo`: what the brokers of both sides tell each other. */
export interface ConnInfo {
  readonly serviceId: number
  /** `unix` or `tcp`; empty in a knock. */
  readonly network: string
  readonly address: string
  readonly knock: Knock | undefined
}

/** Bytes of a text in a `ConnInfo`; no address and no reason is longer. */
const MAX_TEXT_BYTES = 4_096

export function encodeConnInfo({ serviceId, network, address, knock }: ConnInfo): Buffer {
  const fields = new FieldWriter().varint(1, serviceId).text(2, network).text(3, address)
  if (knock !== undefined) {
    fields.message(4, new FieldWriter().bool(1, knock.knock).bool(2, knock.ack).text(3, knock.error).finish())
  }
  return fields.finish()
}

/** @throws GrpcError INTERNAL when the bytes are no such message, or a text in it is longer than any has reason to be. */
export function decodeConnInfo(bytes: Buffer): ConnInfo {
  const info = { serviceId: 0, network: '', address: '', knock: undefined as Knock | undefined }
  readFields(bytes, {
    varint(field, value) {
      if (field === 1) info.serviceId = value
    },
    bytes(field, value) {
      if (field === 2) info.network = shortText(value)
      else if (field === 3) info.address = shortText(value)
      else if (field === 4) info.knock = decodeKnock(value)
    },
  })
  return info
}

function decodeKnock(bytes: Buffer): Knock {
  const knock = { knock: false, ack: false, error: '' }
  readFields(bytes, {
    varint(field, value) {
      if (field === 1) knock.knock = value !== 0
      else if (field === 2) knock.ack = value !== 0
    },
    bytes(field, value) {
      if (field === 3) knock.error = shortText(value)
    },
  })
  return knock
}

function shortText(bytes: Buffer): string {
  if (bytes.length > MAX_TEXT_BYTES) throw new GrpcError('INTERNAL', `a text of ${bytes.length} bytes, at most ${MAX_TEXT_BYTES} are taken`)
  return bytes.toString()
}

/** `plugin.StdioData.Channel`. */
export const StdioChannel = { stdout: 1, stderr: 2 } as const

/** `plugin.StdioData`: a piece of what the plugin printed. It may begin and end in the middle of a character. */
export interface StdioData {
  /** One of `StdioChannel`; other numbers are to be ignored. */
  readonly channel: number
  readonly data: Uint8Array
}

const noBytes: Uint8Array = new Uint8Array(0)

export function encodeStdioData({ channel, data }: StdioData): Buffer {
  return new FieldWriter().varint(1, channel).bytes(2, data).finish()
}

/** The data is a part of `bytes`. */
export function decodeStdioData(bytes: Buffer): StdioData {
  const message = { channel: 0, data: noBytes }
  readFields(bytes, {
    varint(field, value) {
      if (field === 1) message.channel = value
    },
    bytes(field, value) {
      if (field === 2) message.data = value
    },
  })
  return message
}
