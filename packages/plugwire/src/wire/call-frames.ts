// The messages of the call stream, as numbers. docs/protocol.md "Calls" is the page for them; golden bytes in the tests hold it true.
//
//   message = length u32 | type u8 | fields…        length counts what follows it; integers are big-endian

/** The largest message; what is longer travels on a stream of its own. */
export const MAX_MESSAGE_BYTES: number = 1_048_576
/** From this many bytes on, a sender moves a value to a stream of its own, where it is cut and shares the connection. */
export const INLINE_VALUE_BYTES: number = 131_072
/** Bytes of calls that may be under way unread. Both sides grant them when the call stream opens. */
export const CALL_WINDOW_BYTES: number = 4 * 1_048_576
export const LENGTH_BYTES: number = 4

export const MessageType = {
  /** call u32, target u32, method u16, flags u8, [timeout ms u32], [metadata value], arguments value | stream u32, length u32 */
  call: 1,
  /** call u32, flags u8, value | stream u32, length u32 */
  reply: 2,
  /** call u32, reason value */
  cancel: 3,
  /** reference u32, count u32 */
  release: 4,
  /** stream u32, reason value: the sender gives the stream up; its reset follows */
  abort: 5,
  /** reference u32, reason value: the signal was aborted */
  signal: 6,
  /** stream u32, weight f64 (0: unchanged), bytes per second f64 (0: unchanged, Infinity: no ceiling) */
  tune: 7,
  /** descriptor u8, raw bytes: output of the plugin that its wire could not carry */
  output: 8,
  /** reference u32: the sender will never abort this signal */
  signalGone: 9,
} as const

export const CallFlag = {
  timeout: 1,
  metadata: 2,
  /** The arguments are on a stream of their own. */
  stream: 4,
  /** No reply is wanted, and none is sent. */
  oneWay: 8,
} as const

export const ReplyFlag = {
  /** The value is what the method threw. */
  failed: 1,
  /** With `failed`: the value is `[code, facts]` of an error of plugwire's own. */
  own: 2,
  /** The value is on a stream of its own. */
  stream: 4,
} as const

/** The kinds of references inside values, and what their id and detail mean. */
export const ReferenceKind = {
  /** id: export of the sender. A function. */
  function: 1,
  /** id: export of the sender; detail: [name, [method…]]. An object with methods. */
  object: 2,
  /** id: export of the receiver, which so gets its own thing back. */
  yours: 3,
  /** id: export of the sender; detail: [reason] when it was aborted already. */
  signal: 4,
  /** id: stream. Items, produced by the sender of the reference. */
  iterable: 5,
  /** id: stream; produced by the sender of the reference. Arrives as a web stream, or as a Node stream. */
  webReadable: 6,
  nodeReadable: 7,
  /** id: stream; produced by the receiver of the reference. */
  webWritable: 8,
  nodeWritable: 9,
} as const

/** Export 0 of either side: what host and plugin offer each other from the start. */
export const ROOT: number = 0
/** Method number that disposes an object and releases every reference to it. */
export const DISPOSE_METHOD: number = 0xffff

/** First byte on a readable's stream: what its chunks are. */
export const ChunkMode = { bytes: 0, items: 1 } as const
/** First byte of each item on an item stream, after its length u32. */
export const ItemTag = { item: 0, failed: 1, returned: 2 } as const
