// Every number that protects one process from the other, in one place. docs/limits.md is checked against this file.

/** Limits that hold for one connection. Each can be changed with the `limits` option of `launch`, `serve` and `reattach`. */
export interface Limits {
  /** Bytes of one value (arguments, result, stream item). Default 64 MiB. */
  readonly maxValueBytes: number
  /** Levels of nesting in one value. Default 500. */
  readonly maxDepth: number
  /** Calls of the peer that may be unanswered at one time; one more is refused. Default 65_536. */
  readonly maxCalls: number
  /** References (functions, objects, signals) that the peer may hold of us, and we of it. Default 65_536. */
  readonly maxReferences: number
  /** Streams that may be open on one connection. Default 2_048. */
  readonly maxStreams: number
  /** Object shapes that one side may define on a connection; later ones travel with their keys. Default 4_096. */
  readonly maxShapes: number
  /** Bytes that may wait unsent for calls before incoming calls are no longer read and, once callers have given up, outgoing ones are refused. Default 16 MiB. */
  readonly maxUnsentBytes: number
}

export const defaultLimits: Limits = {
  maxValueBytes: 64 * 1024 * 1024,
  maxDepth: 500,
  maxCalls: 65_536,
  maxReferences: 65_536,
  maxStreams: 2_048,
  maxShapes: 4_096,
  maxUnsentBytes: 16 * 1024 * 1024,
}

/** Bytes of stdout and of stderr that are kept for error texts. */
export const TAIL_BYTES: number = 8 * 1024
/** Bytes of one line of a plugin's output handed to the logger; a longer line is cut into several. */
export const MAX_LOG_LINE_BYTES: number = 64 * 1024
/** Lines of one output stream that reach the logger in one second; the rest is dropped and counted. */
export const MAX_LOG_LINES_PER_SECOND: number = 10_000
/** Bytes of a piped output stream that wait for a reader; before its first read the oldest are dropped, after it the plugin waits. */
export const MAX_UNREAD_OUTPUT_BYTES: number = 1024 * 1024
/** Bytes of a handshake line. A Go AutoMTLS line has about 900. */
export const MAX_HANDSHAKE_LINE_BYTES: number = 16 * 1024
/** Bytes of stdout that may precede the handshake line. */
export const MAX_PREAMBLE_BYTES: number = 1024 * 1024
/** Bytes of a plugin's own stdout that are kept, on the `stdio` wire, until somebody takes them; what comes beyond is dropped and counted. */
export const MAX_KEPT_STDOUT_BYTES: number = 256 * 1024
/** Connections to a plugin's listener that may be open without having proved or said anything; one more is closed. */
export const MAX_PENDING_CONNECTIONS: number = 16
/** Bytes of a file in JavaScript that is verified, as it is kept in memory. A text of V8 cannot have more. */
export const MAX_SCRIPT_BYTES: number = 512 * 1024 * 1024
