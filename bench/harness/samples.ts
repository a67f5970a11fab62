// What is sent in every measurement: the same values for every row.

/** A small object, as most calls carry. */
export interface Small {
  a: number
  b: string
}

/** One build of a made-up delivery line; about 1 KiB as JSON: numbers, booleans, null, short and long strings, a nested list. */
export interface Build {
  number: number
  branch: string
  commit: string
  startedAt: string
  seconds: number
  green: boolean
  parent: number | null
  author: { name: string; mail: string; reviewers: string[] }
  stages: Stage[]
  notes: string
}

interface Stage {
  name: string
  seconds: number
  cached: boolean
  exitCode: number
}

export const small: Small = { a: 1, b: 'hello' }

export const build: Build = {
  number: 20_417,
  branch: 'feature/shorter-handshake',
  commit: '9f2c1e07ab54d3386f0e7712c4b8d95513aa60fe',
  startedAt: '2026-02-11T06:45:09.318Z',
  seconds: 412.875,
  green: true,
  parent: null,
  author: { name: 'Ines Okafor', mail: 'ines.okafor@example.org', reviewers: ['tomasz', 'wen-li', 'aurelie'] },
  stages: ['fetch', 'install', 'compile', 'lint', 'unit', 'interop', 'package', 'sign', 'upload', 'announce'].map((name, index) => ({
    name,
    seconds: 3.25 * (index + 1),
    cached: index % 3 === 0,
    exitCode: 0,
  })),
  notes: 'Moves the version check in front of the listener, so that a plugin run by hand explains itself before it opens anything.',
}

/** The bytes that a row without structure (a limit) sends in place of each payload. */
export const rawBytes = { small: 64, record: 1024, bytes1k: 1024, bytes64k: 65_536 } as const

export type Payload = keyof typeof rawBytes

/** Byte streams are written in chunks of this size by every row. */
export const chunkBytes = 65_536

export function bytesOf(length: number): Uint8Array {
  return new Uint8Array(length).fill(7)
}
