// What one gob stream may cost its reader. Every number is checked before anything is allocated for it.

export interface GobLimits {
  /** Bytes of one value with the definitions that come with it, as claimed and as received. Default 64 MiB. */
  readonly maxValueBytes: number
  /** Levels of nesting in a value; a type may be deeper. Default 500, at most 1_000: the stack of the runtime ends somewhere. */
  readonly maxDepth: number
  /**
   * Elements, entries and fields in one value, the zero ones of absent fields included; a map, `[]byte` or value with bytes of its own counts
   * as four more. Default 16_777_216.
   */
  readonly maxItems: number
  /** Types that one stream may define. Default 4_096. */
  readonly maxTypes: number
  /** Bytes of all type definitions of one stream. Default 1 MiB. */
  readonly maxTypeBytes: number
}

export const defaultGobLimits: GobLimits = {
  maxValueBytes: 64 * 1024 * 1024,
  maxDepth: 500,
  maxItems: 16 * 1024 * 1024,
  maxTypes: 4_096,
  maxTypeBytes: 1024 * 1024,
}

const MOST_LEVELS = 1_000

export function gobLimits(given: Partial<GobLimits> = {}): GobLimits {
  const limits = { ...defaultGobLimits, ...given }
  return { ...limits, maxDepth: Math.min(limits.maxDepth, MOST_LEVELS) }
}

/** Items that a `Map` or a `Uint8Array` counts as beside its place: the runtime takes 200 bytes for an empty one, of which the wire has one or none. */
export const OBJECT_ITEMS = 4

/** Bytes of the name of a type in an interface value. Source: decode.go decodeInterface. */
export const MAX_NAME_BYTES = 1024
