import type { Finding, Row, Sink } from '../contract.ts'

/** The texts of one measure, those with the highest sums first. */
export class TopSink implements Sink {
  readonly #measure: string
  readonly #count: number
  readonly #sums = new Map<string, number>()

  constructor({ measure, count }: { measure: string; count: number }) {
    this.#measure = measure
    this.#count = count
  }

  async consume(findings: AsyncIterable<Finding>): Promise<void> {
    for await (const { measure, value, text } of findings) {
      if (measure === this.#measure && text !== undefined) this.#sums.set(text, (this.#sums.get(text) ?? 0) + value)
    }
  }

  async result(): Promise<Row[]> {
    const sorted = [...this.#sums].sort(([a, x], [b, y]) => y - x || a.localeCompare(b))
    return sorted.slice(0, this.#count).map(([label, value]) => ({ label, value }))
  }
}
