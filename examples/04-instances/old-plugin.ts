// A plugin from before version 2.
import { serve } from 'plugwire/plugin'
import { type CounterV1, countersBefore } from './counter.ts'

class OldCounter implements CounterV1 {
  #value: number

  constructor(from: number) {
    this.#value = from
  }

  async add(amount: number): Promise<number> {
    this.#value += amount
    return this.#value
  }
}

await serve(countersBefore, { 1: { counter: ({ from }) => new OldCounter(from) } })
