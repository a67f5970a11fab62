// The application without its surface: streams every source through the parser for it, and what is found into the sinks.
import { setMaxListeners } from 'node:events'
import { ReadStream } from 'node:fs'
import type { Remote } from 'plugwire'
import { isPluginError, isRemoteError, launch } from 'plugwire/host'
import { type Finding, type Row, type Sink, sinks } from './contract.ts'
import { Channel } from './host/channel.ts'
import { type Kind, lastResort } from './host/kinds.ts'
import { ParserPool, type PluginFacts } from './host/parser-pool.ts'
import type { Source } from './host/sources.ts'

/** Findings that a sink may be behind before the parsers have to wait for it. */
const ROOM = 2_000

export interface Job {
  readonly sources: readonly Source[]
  /** Files that are read at the same time. */
  readonly parallel: number
  /** Milliseconds that a parser may take for one file. */
  readonly deadlineMs: number
  /** Where every finding is written to. */
  readonly outputs: readonly { readonly path: string; readonly format: 'csv' | 'jsonl' }[]
  /** How many rows a ranking has. */
  readonly top: number
  readonly signal: AbortSignal
  readonly onProgress?: (progress: Progress) => void
  readonly onTrouble?: (trouble: Trouble) => void
}

export interface Progress {
  readonly files: number
  readonly ofFiles: number
  readonly bytes: number
  readonly ofBytes: number
  readonly now: readonly string[]
}

/** A file that did not go as planned. */
export interface Trouble {
  readonly file: string
  readonly parser: string
  /** `ERR_…`, or the name of the error that the parser threw. */
  readonly code: string
  readonly message: string
  /** What the plugin wrote before it died. */
  readonly lastWords: string
  readonly then: 'retried' | 'read as text' | 'skipped'
}

export interface Report {
  readonly files: number
  readonly bytes: number
  readonly seconds: number
  readonly findings: number
  readonly byKind: ReadonlyMap<string, { files: number; bytes: number }>
  readonly summary: readonly Row[]
  readonly tops: readonly { readonly title: string; readonly rows: readonly Row[] }[]
  readonly outputs: readonly Row[]
  readonly troubles: readonly Trouble[]
  readonly plugins: readonly PluginFacts[]
  readonly interrupted: boolean
}

const rankings = [
  { title: 'words', measure: 'word' },
  { title: 'imports', measure: 'import' },
  { title: 'json keys', measure: 'key' },
  { title: 'levels', measure: 'level' },
  { title: 'busiest hours', measure: 'hour' },
  { title: 'longest lines', measure: 'longest line' },
] as const

/**
 * Reads all sources. What a single file or parser does wrong is in the report; what sift itself cannot do without (its sinks) rejects.
 * When the signal is aborted, the report tells what was done until then.
 */
export async function sift(job: Job): Promise<Report> {
  const started = performance.now()
  // Every file under way listens to the one signal.
  setMaxListeners(0, job.signal)
  await using pool = new ParserPool()
  await using plugin = await launch(sinks, new URL('./sinks/plugin.js', import.meta.url), { name: 'sinks' })

  // One process, many sinks: each instance has its own configuration, and takes the findings through a channel of its own.
  const summary = await plugin.dispense('summary')
  const tops = await Promise.all(rankings.map(({ measure }) => plugin.dispense('top', { measure, count: job.top })))
  const outputs = await Promise.all(job.outputs.map(config => plugin.dispense('file', config)))
  const all = [summary, ...tops, ...outputs]
  const channels = all.map(() => new Channel<Finding>(ROOM))
  const consumed = Promise.all(all.map((sink, index) => sink.consume(channels[index] as Channel<Finding>)))
  consumed.catch(() => {}) // awaited below, when the files are through

  const run = new Run(job, pool, channels)
  await run.everything()
  for (const channel of channels) channel.end()
  await consumed

  const rowsOf = async (sink: Remote<Sink>): Promise<Row[]> => await sink.result()
  return {
    files: run.files,
    bytes: run.bytes,
    seconds: (performance.now() - started) / 1_000,
    findings: run.findings,
    byKind: run.byKind,
    summary: await rowsOf(summary),
    tops: await Promise.all(tops.map(async (sink, index) => ({ title: rankings[index]?.title ?? '', rows: await rowsOf(sink) }))),
    outputs: (await Promise.all(outputs.map(rowsOf))).flat(),
    troubles: run.troubles,
    plugins: [
      ...pool.facts,
      {
        name: 'sinks',
        pid: plugin.pid,
        instances: ['summary', ...rankings.map(({ title }) => title), ...job.outputs.map(({ format }) => format)],
      },
    ],
    interrupted: job.signal.aborted,
  }
}

/** The files of one job on their way. */
class Run {
  readonly #job: Job
  readonly #pool: ParserPool
  readonly #channels: readonly Channel<Finding>[]
  readonly #now = new Map<Source, { bytesRead?: number }>()
  readonly byKind = new Map<string, { files: number; bytes: number }>()
  readonly troubles: Trouble[] = []
  files = 0
  bytes = 0
  findings = 0

  constructor(job: Job, pool: ParserPool, channels: readonly Channel<Finding>[]) {
    this.#job = job
    this.#pool = pool
    this.#channels = channels
  }

  async everything(): Promise<void> {
    const waiting = [...this.#job.sources]
    const ticking = setInterval(() => this.#progress(), 80)
    const worker = async (): Promise<void> => {
      for (let source = waiting.shift(); source !== undefined && !this.#job.signal.aborted; source = waiting.shift())
        await this.#file(source)
    }
    try {
      await Promise.all(Array.from({ length: this.#job.parallel }, worker))
    } finally {
      clearInterval(ticking)
      this.#progress()
    }
  }

  /** One file: with its own parser, once more when that died, and as plain text when it died again. */
  async #file(source: Source): Promise<void> {
    const attempts: readonly Kind[] = [source.kind, source.kind, lastResort]
    const taken = new Map(attempts.map(kind => [kind, { findings: 0 }]))
    for (const [attempt, kind] of attempts.entries()) {
      try {
        await this.#parse(source, kind, taken.get(kind) ?? { findings: 0 })
        this.#done(source, kind)
        return
      } catch (error) {
        if (this.#job.signal.aborted) return
        const died = isPluginError(error, 'ERR_PLUGIN_EXITED')
        const then = !died || attempt === 2 ? 'skipped' : attempt === 0 ? 'retried' : 'read as text'
        this.#trouble(source, kind, error, then)
        // A plugin that missed its deadline may be stuck for good: the next file gets a new process.
        if (isPluginError(error, 'ERR_CALL_TIMEOUT')) await this.#pool.kill(kind.parser)
        if (then === 'skipped') return
      }
    }
  }

  /** @param taken What an earlier attempt with the same parser had reported before it failed: it is not counted again. */
  async #parse(source: Source, kind: Kind, taken: { findings: number }): Promise<void> {
    const { deadlineMs, signal } = this.#job
    const bytes = source.open()
    this.#now.set(source, bytes instanceof ReadStream ? bytes : {})
    let seen = 0
    try {
      const parser = await this.#pool.instance(kind, deadlineMs, signal)
      await parser.parse(source.name, bytes, async batch => {
        const fresh = batch.slice(Math.max(0, taken.findings - seen))
        seen += batch.length
        taken.findings += fresh.length
        this.findings += fresh.length
        await Promise.all(this.#channels.map(channel => channel.push(fresh)))
      })
    } finally {
      bytes.destroy()
      this.#now.delete(source)
    }
  }

  #done(source: Source, kind: Kind): void {
    this.files++
    this.bytes += source.bytes
    const sums = this.byKind.get(kind.name) ?? { files: 0, bytes: 0 }
    this.byKind.set(kind.name, { files: sums.files + 1, bytes: sums.bytes + source.bytes })
  }

  #trouble(source: Source, kind: Kind, error: unknown, then: Trouble['then']): void {
    const trouble: Trouble = {
      file: source.name,
      parser: kind.parser,
      code: isPluginError(error) ? error.code : isRemoteError(error) ? error.name : 'error',
      message: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
      lastWords: isPluginError(error, 'ERR_PLUGIN_EXITED') ? error.facts.stderrTail.trim() : '',
      then,
    }
    this.troubles.push(trouble)
    this.#job.onTrouble?.(trouble)
  }

  #progress(): void {
    let bytes = this.bytes
    for (const { bytesRead = 0 } of this.#now.values()) bytes += bytesRead
    this.#job.onProgress?.({
      files: this.files,
      ofFiles: this.#job.sources.length,
      bytes,
      ofBytes: this.#job.sources.reduce((sum, source) => sum + source.bytes, 0),
      now: [...this.#now.keys()].map(({ name }) => name),
    })
  }
}
