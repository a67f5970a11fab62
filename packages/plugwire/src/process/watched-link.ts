// A link that tells one more party when it first receives something and when it ends. Knows nothing of what the bytes mean.

import type { Link, LinkReader } from '../mux/link.ts'

export interface LinkWatcher {
  /** The first bytes arrived; called before the reader gets them. */
  readonly received?: () => void
  /** The link ended; called after the reader was told, once. */
  readonly closed?: (cause?: Error) => void
  /** Puts the cause of an end into words that the reader can use. */
  readonly explain?: (cause: Error) => Error
}

/** The link, watched. Use the returned one only. */
export function watchLink(link: Link, watcher: LinkWatcher): Link {
  return new WatchedLink(link, watcher)
}

class WatchedLink implements Link {
  readonly #link: Link
  readonly #watcher: LinkWatcher
  #silent: boolean

  constructor(link: Link, watcher: LinkWatcher) {
    this.#link = link
    this.#watcher = watcher
    this.#silent = watcher.received !== undefined
  }

  open(reader: LinkReader): void {
    this.#link.open({
      buffer: () => reader.buffer(),
      received: bytes => {
        if (this.#silent) {
          this.#silent = false
          this.#watcher.received?.()
        }
        reader.received(bytes)
      },
      written: () => reader.written(),
      closed: raw => {
        const cause = raw && (this.#watcher.explain?.(raw) ?? raw)
        reader.closed(cause)
        this.#watcher.closed?.(cause)
      },
    })
  }

  write(parts: readonly Uint8Array[]): boolean {
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
}
