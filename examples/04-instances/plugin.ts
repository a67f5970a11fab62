// A plugin of today: serves version 2, and version 1 to hosts that have not moved on.
import { logger, serve } from 'plugwire/plugin'
import { type Counter, type CounterConfig, counters } from './counter.ts'

class HistoryCounter implements Counter {
  readonly #name: string
  readonly #values: number[]

  constructor({ name, from }: CounterConfig) {
    if (!Number.isFinite(from)) throw new RangeError(`a counter cannot begin at ${from}`)
    this.#name = name
    this.#values = [from]
  }

  async count(amount: number): Promise<number> {
    const value = (this.#values.at(-1) ?? 0) + amount
    this.#values.push(value)
    return value
  }

  async *history(): AsyncIterable<number> {
    yield* this.#values
  }

  /** Runs when the host gives the instance back, when it closes the plugin, and when it dies. */
  [Symbol.dispose](): void {
    logger.info('disposed', { counter: this.#name })
  }
}

await serve(counters, {
  1: {
    counter: config => {
      const today = new HistoryCounter(config)
      return { add: amount => today.count(amount), [Symbol.dispose]: () => today[Symbol.dispose]() }
    },
  },
  2: { counter: config => new HistoryCounter(config) },
})
