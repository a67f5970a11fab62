// The stopwatches: one call at a time, many calls at a time, bytes per second.

import type { Figures } from './subject.ts'

const most = 2_000_000
const laps = new Float64Array(most)

/** Collects the time of each round trip until the slice is over. */
export class Laps {
  readonly #milliseconds: number
  #count = 0
  #started = 0
  #last = 0

  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds
  }

  get count(): number {
    return this.#count
  }

  start(): void {
    this.#started = this.#last = performance.now()
  }

  /** Ends one lap and begins the next. @returns false when the slice is over. */
  lap(): boolean {
    const now = performance.now()
    laps[this.#count++] = now - this.#last
    this.#last = now
    return now - this.#started < this.#milliseconds && this.#count < most
  }

  /** Microseconds. */
  figures(): Figures {
    const sorted = laps.subarray(0, this.#count).sort()
    const at = (share: number) => (sorted[Math.min(this.#count - 1, Math.floor(this.#count * share))] as number) * 1_000
    return { p50: at(0.5), p99: at(0.99) }
  }
}

/** One call after the other. */
export async function latency(call: () => Promise<unknown>, milliseconds: number): Promise<Figures> {
  const watch = new Laps(milliseconds)
  watch.start()
  do await call()
  while (watch.lap())
  return watch.figures()
}

/** `together` loops, each awaiting its own call: calls per second, and microseconds of this process's CPU per call. */
export async function inFlight(call: () => Promise<unknown>, together: number, milliseconds: number): Promise<Figures> {
  let calls = 0
  let over = false
  const before = process.cpuUsage()
  const started = performance.now()
  const loop = async () => {
    while (!over) {
      await call()
      // Asking the clock costs as much as a fast call, so not every time.
      if ((++calls & 31) === 0 && performance.now() - started > milliseconds) over = true
    }
  }
  // The first of many slow calls may end after the slice; without this the loops would never look.
  const alarm = setTimeout(() => {
    over = true
  }, milliseconds)
  await Promise.all(Array.from({ length: together }, loop))
  clearTimeout(alarm)
  const seconds = (performance.now() - started) / 1_000
  const used = process.cpuUsage(before)
  return { rate: calls / seconds, hostCpu: (used.user + used.system) / calls }
}

/** Megabytes (10^6) per second of one transfer. */
export async function megabytesPerSecond(totalBytes: number, transfer: (totalBytes: number) => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await transfer(totalBytes)
  return totalBytes / 1_000 / (performance.now() - started)
}
