// The numbers of the value codec. Source: docs/protocol-values.md, whose tables a test compares with this file.

/** First byte of a value that is not a small integer (00-7f), short string (80-9f), short array (a0-af) or low shape (e0-ff). */
export const Tag = {
  null: 0xc0,
  undefined: 0xc1,
  false: 0xc2,
  true: 0xc3,
  int32: 0xc4,
  float64: 0xc5,
  latin1: 0xc6,
  utf8: 0xc7,
  bytes: 0xc8,
  array: 0xc9,
  shape: 0xca,
  shapeDefinition: 0xcb,
  map: 0xcc,
  set: 0xcd,
  object: 0xce,
  date: 0xcf,
  bigint: 0xd0,
  regexp: 0xd1,
  error: 0xd2,
  typedArray: 0xd3,
  arrayBuffer: 0xd4,
  url: 0xd5,
  hole: 0xd6,
  utf16: 0xd7,
  reference: 0xd8,
} as const

export const SHORT_STRING = 0x80
/** Code units of the longest string that has its length in the tag. */
export const MAX_SHORT_STRING = 31
export const SHORT_ARRAY = 0xa0
/** Items of the longest array that has its length in the tag. */
export const MAX_SHORT_ARRAY = 15
export const LOW_SHAPE = 0xe0
/** The highest shape id that fits into the tag. */
export const MAX_LOW_SHAPE = 31

/** Keys of the largest shape. An object with more is taken for a dictionary and travels with its keys. */
export const MAX_SHAPE_KEYS = 64
/** Code units of all keys of one shape together: a receiver keeps them as long as the connection lives. */
export const MAX_SHAPE_KEY_UNITS = 1024

/** Which parts of an error follow its name and message, in this order. */
export const ErrorPart = { stack: 1, cause: 2, errors: 4, data: 8 } as const
export const ALL_ERROR_PARTS = 15

/** Names of the element types by their number in tag `typedArray`. `Uint8Array` has its own tag, `bytes`. */
export const VIEW_KINDS: readonly string[] = [
  'Int8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'DataView',
  'Float16Array',
]

/**
 * Containers (arrays, objects, maps, entries of maps and sets, ...) allowed in a value of at most `maxValueBytes`.
 *
 * One byte may stand for an object that takes fifty in memory, so bytes alone do not protect the receiver.
 */
export const maxContainers = (maxValueBytes: number): number => Math.max(1024, Math.floor(maxValueBytes / 16))

/** As many containers an error counts: making one takes longer than making anything else. */
export const ERROR_WEIGHT = 16

/** `DataView` among them: bytes without an order. */
export const DATA_VIEW: number = VIEW_KINDS.indexOf('DataView')

/** Properties of an error that travel in places of their own, not with its data. */
export const ERROR_KEYS: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'cause', 'errors'])
