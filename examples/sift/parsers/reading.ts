// What the parsers share: lines out of bytes, and findings into batches.
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { Finding } from '../contract.ts'

const BATCH = 200

/** The lines of a stream, without their ends; in memory is one chunk and the line that is not yet complete. */
export async function* linesOf(bytes: Readable): AsyncIterable<string> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line
  }
  rest += decoder.end()
  if (rest !== '') yield rest
}

/** Collects the findings of one file. */
export class Findings {
  readonly #file: string
  readonly #report: (batch: Finding[]) => Promise<void>
  #batch: Finding[] = []

  constructor(file: string, report: (batch: Finding[]) => Promise<void>) {
    this.#file = file
    this.#report = report
  }

  /** Resolves when there is room for the next one. */
  async add(measure: string, value: number, text?: string): Promise<void> {
    this.#batch.push({ file: this.#file, measure, value, ...(text !== undefined && { text }) })
    if (this.#batch.length >= BATCH) await this.flush()
  }

  async addAll(measure: string, values: ReadonlyMap<string, number>): Promise<void> {
    for (const [text, value] of values) await this.add(measure, value, text)
  }

  async flush(): Promise<void> {
    if (this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    await this.#report(batch)
  }
}

export function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
