// How sift looks: a bar while it works, where there is a terminal; plain lines elsewhere; a report at the end.
import { styleText } from 'node:util'
import type { Progress, Report, Trouble } from '../sift.ts'

type Style = Parameters<typeof styleText>[0]

/** Writes to one stream, in colour where that is a terminal and nobody asked for none. */
export class Terminal {
  readonly #out: NodeJS.WriteStream
  readonly interactive: boolean
  #barShown = false
  #toldTenths = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.interactive = out.isTTY === true
  }

  get columns(): number {
    return this.#out.columns || (this.interactive ? 80 : 120)
  }

  style(style: Style, text: string): string {
    return this.interactive && process.env['NO_COLOR'] === undefined ? styleText(style, text) : text
  }

  line(text = ''): void {
    this.clear()
    this.#out.write(`${text}\n`)
  }

  /** Takes the bar away. */
  clear(): void {
    if (!this.#barShown) return
    this.#barShown = false
    this.#out.write('\r\x1b[K')
  }

  progress({ files, ofFiles, bytes, ofBytes, now }: Progress): void {
    const share = ofBytes === 0 ? 1 : Math.min(1, bytes / ofBytes)
    if (!this.interactive) {
      const tenths = Math.floor(share * 5)
      if (tenths <= this.#toldTenths) return
      this.#toldTenths = tenths
      this.line(`${Math.floor(share * 100)} %: ${files} of ${ofFiles} files, ${size(bytes)} of ${size(ofBytes)}`)
      return
    }
    const width = 30
    const full = Math.round(share * width)
    const bar = `${this.style('green', '█'.repeat(full))}${this.style('gray', '░'.repeat(width - full))}`
    const facts = ` ${String(Math.floor(share * 100)).padStart(3)} %  ${files}/${ofFiles} files  ${size(bytes)}  `
    const room = this.columns - width - facts.length - 1
    this.#barShown = true
    this.#out.write(`\r\x1b[K${bar}${facts}${this.style('dim', now.join(', ').slice(0, Math.max(0, room)))}`)
  }

  trouble({ file, parser, code, message, lastWords, then }: Trouble): void {
    this.line(`${this.style('yellow', `${file}: ${then}`)} (parser ${parser}, ${code}): ${message}`)
    for (const line of lastWords.split('\n').filter(Boolean)) this.line(this.style('dim', `  | ${line}`))
  }

  report({ files, bytes, seconds, findings, byKind, summary, tops, outputs, troubles, plugins, interrupted }: Report): void {
    const bold = (text: string): string => this.style('bold', text)
    this.line()
    this.line(bold(`${files} files, ${size(bytes)}, ${findings} findings in ${seconds.toFixed(2)} s${interrupted ? ' (interrupted)' : ''}`))
    this.line()
    this.table([...byKind].map(([kind, sums]) => [kind, `${sums.files} files`, size(sums.bytes)]))
    this.line()
    this.table(summary.map(({ label, value }) => [label, value.toLocaleString('en')]))
    for (const { title, rows } of tops) {
      if (rows.length === 0) continue
      this.line()
      this.line(bold(title))
      this.table(rows.map(({ label, value }) => [label, value.toLocaleString('en')]))
    }
    for (const { label, value } of outputs) this.line(`\nwrote ${value} findings to ${label}`)
    this.line()
    this.line(bold('plugins'))
    this.table(plugins.map(({ name, pid, instances }) => [name, `process ${pid}`, instances.join(', ')]))
    if (troubles.length > 0)
      this.line(
        this.style('yellow', `${troubles.length} troubles, ${troubles.filter(({ then }) => then === 'skipped').length} files skipped`),
      )
  }

  /** Columns side by side; numbers to the right. */
  table(rows: readonly (readonly string[])[]): void {
    const widths = rows.reduce<number[]>((widths, row) => row.map((cell, i) => Math.max(widths[i] ?? 0, cell.length)), [])
    for (const row of rows) {
      this.line(
        `  ${row.map((cell, i) => (/^[\d.,]+(?: \w+)?$/.test(cell) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join('  ')}`.trimEnd(),
      )
    }
  }
}

export function size(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`
  return `${(bytes / 1e9).toFixed(2)} GB`
}
