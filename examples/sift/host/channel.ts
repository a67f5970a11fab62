/** Items from those who push to the one who iterates. Whoever pushes waits while `room` items have not been taken. */
export class Channel<T> implements AsyncIterable<T> {
  readonly #room: number
  #items: T[] = []
  #ended = false
  #left = false
  #arrived: (() => void) | undefined
  #taken: (() => void)[] = []

  constructor(room: number) {
    this.#room = room
  }

  async push(items: readonly T[]): Promise<void> {
    while (this.#items.length >= this.#room && !this.#left) await new Promise<void>(resolve => this.#taken.push(resolve))
    if (this.#left) return
    this.#items.push(...items)
    this.#arrived?.()
  }

  /** No more will be pushed; what is there can still be taken. */
  end(): void {
    this.#ended = true
    this.#arrived?.()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        const items = this.#items
        this.#items = []
        for (const wake of this.#taken.splice(0)) wake()
        yield* items
        if (this.#items.length > 0) continue
        if (this.#ended) return
        await new Promise<void>(resolve => {
          this.#arrived = resolve
        })
      }
    } finally {
      this.#left = true
      for (const wake of this.#taken.splice(0)) wake()
    }
  }
}
