// When calls time out: a number for each, and one timer for all.

/** Deadlines by call id. Setting and deleting one costs a few nanoseconds; a timer of its own for each call would cost half a microsecond. */
export class Deadlines {
  readonly #due = new Map<number, { readonly at: number; readonly timeoutMs: number }>()
  readonly #expire: (id: number, timeoutMs: number) => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #timerAt = Number.POSITIVE_INFINITY

  constructor(expire: (id: number, timeoutMs: number) => void) {
    this.#expire = expire
  }

  get size(): number {
    return this.#due.size
  }

  set(id: number, timeoutMs: number): void {
    const at = performance.now() + timeoutMs
    this.#due.set(id, { at, timeoutMs })
    if (at < this.#timerAt) this.#arm(at)
  }

  delete(id: number): void {
    this.#due.delete(id)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#due.clear()
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  #arm(at: number): void {
    clearTimeout(this.#timer)
    this.#timerAt = at
    // setTimeout takes no more than 2^31-1; a longer wait is armed again.
    this.#timer = setTimeout(() => this.#sweep(), Math.min(Math.max(0, at - performance.now()), 0x7fff_ffff))
    this.#timer.unref?.()
  }

  #sweep(): void {
    const now = performance.now()
    this.#timerAt = Number.POSITIVE_INFINITY
    let next = Number.POSITIVE_INFINITY
    for (const [id, { at, timeoutMs }] of this.#due) {
      if (at <= now + 0.5) {
        this.#due.delete(id)
        this.#expire(id, timeoutMs)
      } else if (at < next) next = at
    }
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next)
  }
}
