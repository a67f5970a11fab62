// A link whose process goes on looking for the next message for a moment after each one, instead of going to sleep: on a free core, falling asleep
// and being woken is most of the time that a call takes. Knows nothing of what the bytes mean.

import type { Link, LinkReader } from '../mux/link.ts'

/** Default of `busyPoll: true`. */
const MICROSECONDS = 50
/** More than this is not a moment any more. */
export const MAX_POLL_MICROSECONDS: number = 1_000_000

/** Microseconds of polling after a message that an option asks for; 0 for none, NaN for what cannot be. */
export function pollMicroseconds(option: boolean | { readonly microseconds: number } | undefined): number {
  if (typeof option !== 'object') return option ? MICROSECONDS : 0
  const { microseconds } = option
  return Number.isInteger(microseconds) && microseconds > 0 && microseconds <= MAX_POLL_MICROSECONDS ? microseconds : Number.NaN
}

/** The link, with this process awake for so many microseconds after each message in either direction. Use the returned one only. */
export function pollingLink(link: Link, microseconds: number): Link {
  return new PollingLink(link, microseconds)
}

class PollingLink implements Link, LinkReader {
  readonly #link: Link
  readonly #ms: number
  #reader: LinkReader | undefined
  #until = 0
  #polling = false

  constructor(link: Link, microseconds: number) {
    this.#link = link
    this.#ms = microseconds / 1_000
  }

  open(reader: LinkReader): void {
    this.#reader = reader
    this.#link.open(this)
  }

  write(parts: readonly Uint8Array[]): boolean {
    this.#stayAwake()
    return this.#link.write(parts)
  }

  close(): void {
    this.#link.close()
  }

  destroy(): void {
    this.#link.destroy()
  }

  ref(): void {
    this.#link.ref()
  }

  unref(): void {
    this.#link.unref()
  }

  buffer(): Uint8Array {
    return (this.#reader as LinkReader).buffer()
  }

  received(bytes: number): void {
    this.#stayAwake()
    this.#reader?.received(bytes)
  }

  written(): void {
    this.#reader?.written()
  }

  closed(cause?: Error): void {
    this.#until = 0
    this.#reader?.closed(cause)
  }

  #stayAwake(): void {
    this.#until = performance.now() + this.#ms
    if (this.#polling) return
    this.#polling = true
    setImmediate(this.#poll)
  }

  /** A loop that has an immediate to run looks at its descriptors without waiting for them. */
  readonly #poll = (): void => {
    if (performance.now() < this.#until) setImmediate(this.#poll)
    else this.#polling = false
  }
}
