// The 12-byte yamux frame header. Source: hashicorp/yamux spec.md "Framing", const.go.
// Pure: bytes to numbers and back; which frames may come when is the session's business (src/mux).

import type { Outbox } from './outbox.ts'

export const HEADER_BYTES: number = 12
/** Bytes that each side of a new stream may send before it was granted more. Source: const.go `initialStreamWindow`. */
export const INITIAL_WINDOW_BYTES: number = 262_144

export const FrameType = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const
export type FrameType = (typeof FrameType)[keyof typeof FrameType]

export const Flag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const

export const GoAway = { normal: 0, protocolError: 1, internalError: 2 } as const

/**
 * Writes a header at the end of the outbox. The stream id is 0 for ping and go-away.
 *
 * @param length Bytes that follow (data), window delta in bytes (windowUpdate), opaque echo (ping) or reason (goAway).
 */
export function writeHeader(out: Outbox, type: FrameType, flags: number, streamId: number, length: number): void {
  out.reserve(HEADER_BYTES)
  const { view, position } = out
  view.setUint32(position, (type << 16) | flags)
  view.setUint32(position + 4, streamId)
  view.setUint32(position + 8, length)
  out.position = position + HEADER_BYTES
}
