// How much one peer may still send on one stream. Source of the rules: hashicorp/yamux stream.go `sendWindowUpdate`.

import { PluginError } from '../errors.ts'
import { INITIAL_WINDOW_BYTES } from '../wire/yamux.ts'

/** Credit is announced when a quarter of the window was read (Go waits for a half), ... */
const ANNOUNCED_SHARE = 4
/** ... and after this many bytes at the latest, so that a sender may keep less under way than the window allows. */
export const ANNOUNCED_BYTES: number = 131_072

/**
 * The credit of the peer on one stream.
 *
 * Credit comes back when the application reads, never when bytes merely arrive: a slow reader slows its sender,
 * and what waits unread stays under `size` bytes.
 */
export class ReceiveWindow {
  #size: number = INITIAL_WINDOW_BYTES
  #allowed: number = INITIAL_WINDOW_BYTES
  #readSinceUpdate = 0

  /** Bytes that may wait unread. */
  get size(): number {
    return this.#size
  }

  /** Counts an incoming data frame; called with its header, before a byte of it is stored. */
  receive(streamId: number, bytes: number): void {
    if (bytes > this.#allowed) {
      throw new PluginError('ERR_MUX_WINDOW', { streamId, allowedBytes: this.#allowed, receivedBytes: bytes })
    }
    this.#allowed -= bytes
  }

  /** Counts bytes that the application took. Returns the credit to announce now, or 0. */
  read(bytes: number): number {
    this.#readSinceUpdate += bytes
    if (this.#readSinceUpdate < ANNOUNCED_BYTES && this.#readSinceUpdate * ANNOUNCED_SHARE < this.#size) return 0
    const delta = this.#readSinceUpdate
    this.#readSinceUpdate = 0
    this.#allowed += delta
    return delta
  }

  /** Makes the window larger; a smaller size changes nothing. Returns the credit to announce. */
  grow(size: number): number {
    const delta = Math.max(0, size - this.#size)
    this.#size += delta
    this.#allowed += delta
    return delta
  }
}
