// What is measured. A live measure takes a slice of time of a subject that stays open for the whole run;
// a fresh one starts its own process every time.

import { setTimeout as sleep } from 'node:timers/promises'
import { inFlight, latency, megabytesPerSecond } from './harness/clock.ts'
import { importCost } from './harness/import-cost.ts'
import { memoryOf } from './harness/memory.ts'
import { build, bytesOf, type Payload, rawBytes, small } from './harness/samples.ts'
import { type Figures, isLimit, isPeer, type Open, type Peer, type Subject } from './harness/subject.ts'
import type { Row } from './rows.ts'

/**
 * 'one-core': host and plugin share one core, so waking a sleeping core costs nothing and only the work counts.
 * 'two-cores': each has its own, so one call at a time always wakes the other core; unpinned it does so at the scheduler's whim.
 * 'free': as a user runs it.
 */
export type Pin = (typeof pins)[number]
export const pins = ['one-core', 'two-cores', 'free'] as const

interface Common {
  readonly id: string
  readonly words: string
  readonly pins: readonly Pin[]
  /** Name and unit of each figure. */
  readonly figures: Readonly<Record<string, string>>
}

export interface LiveMeasure extends Common {
  /** @returns undefined when the row has no such thing. */
  readonly live: (subject: Subject, milliseconds: number) => Promise<Figures | undefined>
}

export interface FreshMeasure extends Common {
  readonly fresh: (module: RowModule, row: Row) => Promise<Figures | undefined>
}

export interface RowModule {
  readonly open: Open
  /** Time from asking an already started plugin until its first and until its second answer. */
  readonly standby?: (variant: string) => Promise<Figures>
  /** Time until a file has been verified. */
  readonly verify?: (variant: string) => Promise<Figures>
}

export type Measure = LiveMeasure | FreshMeasure

const both: readonly Pin[] = ['one-core', 'free']
const free: readonly Pin[] = ['free']
const apart: readonly Pin[] = ['two-cores']
const rate = { rate: 'calls/s', hostCpu: 'µs' }

export const measures: readonly Measure[] = [
  { id: 'start', words: 'from spawn to the first completed call', pins: free, figures: { ms: 'ms' }, fresh: start },
  {
    id: 'memory',
    words: 'the idle plugin process after one call',
    pins: free,
    figures: { rss: 'MB', pss: 'MB', private: 'MB' },
    fresh: memory,
  },
  {
    id: 'standby',
    words: 'first and second call to a plugin started before',
    pins: free,
    figures: { first: 'ms', second: 'ms' },
    fresh: async (module, row) => await module.standby?.(row.variant ?? ''),
  },
  {
    id: 'verify',
    words: 'a file verified for the first time',
    pins: free,
    figures: { ms: 'ms' },
    fresh: async (module, row) => await module.verify?.(row.variant ?? ''),
  },
  {
    id: 'imports',
    words: 'importing the library where node:net is loaded',
    pins: free,
    figures: { host: 'ms', plugin: 'ms' },
    fresh: async (_module, { imports }) => imports && { host: await importCost(imports.host), plugin: await importCost(imports.plugin) },
  },
  { id: 'latency', words: 'one small call at a time', pins, figures: { p50: 'µs', p99: 'µs' }, live: oneAtATime },
  { id: 'flight64', words: '64 small calls in flight', pins: both, figures: rate, live: together('small', 64) },
  { id: 'flight1000', words: '1 000 small calls in flight', pins: both, figures: rate, live: together('small', 1_000) },
  { id: 'record64', words: '1 KiB record echoed, 64 in flight', pins: both, figures: rate, live: together('record', 64) },
  { id: 'bytes1k', words: '1 KiB of bytes echoed, 64 in flight', pins: both, figures: rate, live: together('bytes1k', 64) },
  { id: 'bytes64k', words: '64 KiB of bytes echoed, 16 in flight', pins: both, figures: rate, live: together('bytes64k', 16) },
  { id: 'upload', words: 'one stream to the plugin, chunks borrowed', pins: free, figures: { rate: 'MB/s' }, live: streaming('upload') },
  {
    id: 'download',
    words: 'one stream from the plugin, chunks borrowed',
    pins: free,
    figures: { rate: 'MB/s' },
    live: streaming('download'),
  },
  { id: 'uploadOwned', words: 'to the plugin, chunks owned', pins: free, figures: { rate: 'MB/s' }, live: streaming('uploadOwned') },
  { id: 'downloadOwned', words: 'from the plugin, chunks owned', pins: free, figures: { rate: 'MB/s' }, live: streaming('downloadOwned') },
  { id: 'streams100', words: '100 streams at once, half of them each way', pins: free, figures: { rate: 'MB/s' }, live: hundredStreams },
  loaded('upload'),
  loaded('download'),
  {
    id: 'weights',
    words: 'two full streams weighted 3:1, then 1:3',
    pins: free,
    figures: { error: 'of what was asked' },
    live: async (subject, milliseconds) => await own(subject, 'weights')?.(milliseconds),
  },
  {
    id: 'ceiling',
    words: 'a stream with a ceiling, lowered while it runs',
    pins: free,
    figures: { error: 'of what was asked' },
    live: async (subject, milliseconds) => await own(subject, 'ceiling')?.(milliseconds),
  },
  {
    id: 'gob',
    words: '1 KiB record encoded and decoded as gob, in place of JSON',
    pins: free,
    figures: { encode: 'of JSON.stringify', decode: 'of JSON.parse' },
    live: async (subject, milliseconds) => await own(subject, 'gob')?.(milliseconds),
  },
]

export const isLive = (measure: Measure): measure is LiveMeasure => 'live' in measure

async function start(module: RowModule, row: Row): Promise<Figures> {
  const started = performance.now()
  const subject = await module.open(row.variant ?? '')
  if (isPeer(subject)) await subject.echo(small)
  const ms = performance.now() - started
  await subject.close()
  return { ms }
}

async function memory(module: RowModule, row: Row): Promise<Figures | undefined> {
  const subject = await module.open(row.variant ?? '')
  try {
    if (isPeer(subject)) await subject.echo(small)
    if (subject.pid === undefined) return undefined
    // Long enough for what is left over from the start to be collected or not.
    await sleep(400)
    return memoryOf(subject.pid)
  } finally {
    await subject.close()
  }
}

async function oneAtATime(subject: Subject, milliseconds: number): Promise<Figures | undefined> {
  if (isLimit(subject)) return await subject.latency('small', milliseconds)
  if (isPeer(subject)) return await latency(() => subject.echo(small), milliseconds)
  return undefined
}

function together(payload: Payload, calls: number): LiveMeasure['live'] {
  return async (subject, milliseconds) => {
    if (isLimit(subject)) return await subject.inFlight(payload, calls, milliseconds)
    if (isPeer(subject)) return await inFlight(caller(subject, payload), calls, milliseconds)
    return undefined
  }
}

export function caller(peer: Peer, payload: Payload): () => Promise<unknown> {
  if (payload === 'small') return () => peer.echo(small)
  if (payload === 'record') return () => peer.echoRecord(build)
  const bytes = bytesOf(rawBytes[payload])
  return () => peer.echoBytes(bytes)
}

type Direction = 'upload' | 'download' | 'uploadOwned' | 'downloadOwned'

/** MB/s of the last transfer of each kind, to choose how much the next one carries. */
const known = new WeakMap<Subject, Map<string, number>>()

function streaming(direction: Direction): LiveMeasure['live'] {
  return async (subject, milliseconds) => {
    const transfer = transferOf(subject, direction)
    return transfer && { rate: await timed(subject, direction, milliseconds, transfer) }
  }
}

function transferOf(subject: Subject, direction: Direction): ((totalBytes: number) => Promise<void>) | undefined {
  if (isLimit(subject)) return direction === 'upload' || direction === 'download' ? subject[direction] : undefined
  return isPeer(subject) ? subject[direction]?.bind(subject) : undefined
}

/** One transfer that should take about that long. */
async function timed(
  subject: Subject,
  name: string,
  milliseconds: number,
  transfer: (totalBytes: number) => Promise<unknown>,
): Promise<number> {
  const rates = known.get(subject) ?? new Map<string, number>()
  known.set(subject, rates)
  const megabytes = await megabytesPerSecond(volume(rates.get(name) ?? 100, milliseconds), transfer)
  rates.set(name, megabytes)
  return megabytes
}

/** Bytes, in whole chunks, from 1 MiB to 2 GiB. */
function volume(megabytesPerSecond: number, milliseconds: number): number {
  const mebibytes = Math.ceil((megabytesPerSecond * milliseconds * 1_000) / 1_048_576)
  return Math.min(2_048, Math.max(1, mebibytes)) * 1_048_576
}

async function hundredStreams(subject: Subject, milliseconds: number): Promise<Figures | undefined> {
  const upload = transferOf(subject, 'upload')
  const download = transferOf(subject, 'download')
  if (isLimit(subject) || !upload || !download) return undefined
  const streams = Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? upload : download))
  const rate = await timed(subject, 'streams100', milliseconds, async totalBytes => {
    const each = Math.ceil(totalBytes / streams.length / 65_536) * 65_536
    await Promise.all(streams.map(stream => stream(each)))
  })
  return { rate }
}

/** Latency while a stream takes all that the same connection gives, each third of the slice: calls alone, stream alone, both. */
function loaded(direction: 'upload' | 'download'): LiveMeasure {
  return {
    id: direction === 'upload' ? 'loadedUp' : 'loadedDown',
    words: `small calls beside a full ${direction}`,
    pins: apart,
    figures: { p50: 'µs', p99: 'µs', slower: 'x idle', kept: 'of its rate alone' },
    live: async (subject, milliseconds) => {
      const transfer = transferOf(subject, direction)
      if (!isPeer(subject) || !transfer) return undefined
      const slice = milliseconds / 3
      const calls = () => latency(() => subject.echo(small), slice)
      const idle = await calls()
      const alone = await beside(transfer, () => sleep(slice))
      const both = await beside(transfer, calls)
      const { p50, p99 } = both.result as Figures as { p50: number; p99: number }
      return { p50, p99, slower: p50 / (idle.p50 as number), kept: both.rate / alone.rate }

      async function beside<T>(move: (totalBytes: number) => Promise<void>, work: () => Promise<T>) {
        const piece = volume(known.get(subject)?.get(direction) ?? 100, slice / 10)
        let over = false
        let moved = 0
        const started = performance.now()
        const stream = (async () => {
          while (!over) {
            await move(piece)
            moved += piece
          }
          return moved / 1_000 / (performance.now() - started)
        })()
        const result = await work()
        over = true
        return { result, rate: await stream }
      }
    },
  }
}

function own(subject: Subject, name: string): ((milliseconds: number) => Promise<Figures>) | undefined {
  return isPeer(subject) ? subject.own?.[name] : undefined
}
