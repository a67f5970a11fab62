// A plain class. It would run in the host just as well; only the context and the logger know that it is in a plugin.
import { EventEmitter, on } from 'node:events'
import { callContext, logger } from 'plugwire/plugin'
import type { Change, Store } from './store.ts'

/** Keys that a store holds; one more, and the oldest is evicted. */
const MAX_KEYS = 3

export class MemoryStore implements Store {
  readonly #region: string
  readonly #values = new Map<string, Uint8Array>()
  readonly #changes = new EventEmitter()
  readonly #listeners: ((key: string) => void)[] = []

  constructor({ region }: { region: string }) {
    this.#region = region
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.#values.get(key)
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    this.#values.set(key, value)
    this.#changes.emit('change', { key, value })
    const [oldest] = this.#values.keys()
    if (this.#values.size <= MAX_KEYS || oldest === undefined) return
    this.#values.delete(oldest)
    for (const listener of this.#listeners) listener(oldest)
  }

  async *watch(prefix: string): AsyncIterable<Change> {
    const signal = callContext()?.signal // aborted when the host leaves its loop, so that nothing waits for ever
    try {
      for await (const [change] of on(this.#changes, 'change', { signal }) as AsyncIterable<[Change]>) {
        if (change.key.startsWith(prefix)) yield change
      }
    } finally {
      logger.info('nobody watches any more', { region: this.#region, prefix })
    }
  }

  async load(rows: AsyncIterable<Change>): Promise<number> {
    let count = 0
    for await (const { key, value } of rows) {
      await this.put(key, value)
      count++
    }
    return count
  }

  async onEvict(listener: (key: string) => void): Promise<void> {
    this.#listeners.push(listener)
  }
}
