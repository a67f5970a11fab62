import { once } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Finding, Row, Sink } from '../contract.ts'

type Format = 'csv' | 'jsonl'

/** Writes every finding to a file. A disk that is slow slows the parsers, not the memory. */
export class FileSink implements Sink {
  readonly #path: string
  readonly #format: Format
  readonly #file: FileHandle
  #written = 0

  /** What goes wrong here, e.g. a directory that does not exist, is what the host's `dispense` rejects with. */
  static async open({ path, format }: { path: string; format: Format }): Promise<FileSink> {
    return new FileSink(path, format, await open(path, 'w'))
  }

  constructor(path: string, format: Format, file: FileHandle) {
    this.#path = path
    this.#format = format
    this.#file = file
  }

  async consume(findings: AsyncIterable<Finding>): Promise<void> {
    const out: Writable = this.#file.createWriteStream()
    if (this.#format === 'csv') out.write('file,measure,value,text\n')
    for await (const finding of findings) {
      this.#written++
      if (!out.write(this.#format === 'csv' ? csv(finding) : `${JSON.stringify(finding)}\n`)) await once(out, 'drain')
    }
    await finished(out.end())
  }

  async result(): Promise<Row[]> {
    return [{ label: this.#path, value: this.#written }]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close().catch(() => {}) // the stream has closed it already, unless the run was cut short
  }
}

function csv({ file, measure, value, text = '' }: Finding): string {
  return `${[file, measure, String(value), text].map(cell => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')}\n`
}
