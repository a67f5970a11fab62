// How our HTTP/2 sessions are set up, in both roles: for few, large and trusted connections rather than for browsers.

import type { SessionOptions, Settings } from 'node:http2'

/**
 * Bytes that a stream may receive before they are read, as in yamux; more was no faster between two processes. Only this setting is tuned: `session.setLocalWindowSize` can leave two Node processes waiting
 * for each other, and Node gives credit for the whole connection back as bytes arrive anyway.
 */
const INITIAL_WINDOW_BYTES = 256 * 1024
/** Bytes of headers or trailers of one call, in both directions: Node ends the connection of whoever sends more. grpc-js and proxies stop at 8 or 16 KiB, grpc-go at 16 MiB. */
export const MAX_HEADER_BYTES: number = 1024 * 1024
const MAX_HEADER_PAIRS = 4_096
/** MB that a session may hold. The windows limit it already; Node's default of 10 MB ends a session in the middle of a few large messages. */
const MAX_SESSION_MEMORY_MB = 1_000_000

export function sessionSettings(maxConcurrentStreams?: number): Settings {
  return {
    initialWindowSize: INITIAL_WINDOW_BYTES,
    maxHeaderListSize: MAX_HEADER_BYTES,
    enablePush: false,
    ...(maxConcurrentStreams !== undefined && { maxConcurrentStreams }),
  }
}

export function sessionOptions(settings: Settings): SessionOptions {
  return {
    settings,
    maxSessionMemory: MAX_SESSION_MEMORY_MB,
    maxHeaderListPairs: MAX_HEADER_PAIRS,
    maxSendHeaderBlockLength: MAX_HEADER_BYTES,
  }
}
