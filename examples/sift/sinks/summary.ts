import type { Finding, Row, Sink } from '../contract.ts'

/** Adds up whatever has no text of its own. */
export class SummarySink implements Sink {
  readonly #sums = new Map<string, number>()

  async consume(findings: AsyncIterable<Finding>): Promise<void> {
    for await (const { measure, value, text } of findings) {
      if (text === undefined) this.#sums.set(measure, (this.#sums.get(measure) ?? 0) + value)
    }
  }

  async result(): Promise<Row[]> {
    return [...this.#sums].map(([label, value]) => ({ label, value }))
  }
}
