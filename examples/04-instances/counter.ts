// The contract, in the two versions it has by now. Old plugins know the first only; the host works with either.
import { contract, kind } from 'plugwire'

export interface CounterV1 {
  add(amount: number): Promise<number>
}

/** Version 2 renamed the method and can tell the past; both sides agree on the highest version that both have. */
export interface Counter {
  count(amount: number): Promise<number>
  history(): AsyncIterable<number>
}

export interface CounterConfig {
  name: string
  from: number
}

export const counters = contract({
  name: 'counters',
  versions: {
    1: { counter: kind<CounterV1, CounterConfig>() },
    2: { counter: kind<Counter, CounterConfig>() },
  },
})

/** What the contract was before version 2 came: the old plugin was built with this. */
export const countersBefore = contract({ name: 'counters', versions: { 1: { counter: kind<CounterV1, CounterConfig>() } } })
