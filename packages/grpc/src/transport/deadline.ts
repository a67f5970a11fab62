// Until when a call may take, as a header and as a timer. Source: grpc/grpc doc/PROTOCOL-HTTP2.md "Timeout".

const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }
const MAX_DIGITS = 99_999_999
/** What a timer of Node can be set to at most. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Writes `grpc-timeout`: at most eight digits and a unit, rounded up so that the server never gives up first. */
export function formatTimeout(ms: number): string {
  for (const unit of ['m', 'S', 'M'] as const) {
    const value = Math.max(0, Math.ceil(ms / (units[unit] as number)))
    if (value <= MAX_DIGITS) return `${value}${unit}`
  }
  return `${Math.min(MAX_DIGITS, Math.ceil(ms / 3_600_000))}H`
}

/** Reads `grpc-timeout`, in milliseconds; undefined when it is malformed. */
export function parseTimeout(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text)
  return match === null ? undefined : Number(match[1]) * (units[match[2] as string] as number)
}

/** Calls back once at a point in time, however far away. */
export class DeadlineTimer {
  readonly #atMs: number
  readonly #expired: () => void
  #timer: NodeJS.Timeout

  /** @param atMs As `Date.now()` counts. */
  constructor(atMs: number, expired: () => void) {
    this.#atMs = atMs
    this.#expired = expired
    this.#timer = this.#arm()
  }

  cancel(): void {
    clearTimeout(this.#timer)
  }

  #arm(): NodeJS.Timeout {
    const ms = Math.max(0, this.#atMs - Date.now())
    return setTimeout(
      () => {
        // Timers may fire a little early, and long waits are cut into pieces.
        if (Date.now() >= this.#atMs) this.#expired()
        else this.#timer = this.#arm()
      },
      Math.min(ms, MAX_TIMER_MS),
    )
  }
}
