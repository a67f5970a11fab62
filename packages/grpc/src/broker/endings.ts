// What one line has served and dialled, so that it ends with the line and what ended before is forgotten.

import { isPluginError, PluginError } from 'plugwire/driver'
import type { Channel, GrpcServer } from '../transport/seam.ts'
import type { BrokeredService } from './line.ts'

/** From this many dialled channels on it is looked which of them have been closed since. */
const FIRST_SWEEP = 64

/** Channels that were dialled and not closed yet. */
export class Dialled {
  readonly #channels = new Set<Channel>()
  #sweepAt = FIRST_SWEEP

  /**
   * Connects before anybody gets the channel: a dial that succeeds says that somebody is there.
   *
   * @throws PluginError What the dialling threw, else `ERR_BROKER_REFUSED`.
   */
  async connect(id: number, channel: Channel, signal: AbortSignal | undefined): Promise<Channel> {
    if (this.#channels.size >= this.#sweepAt) {
      for (const each of this.#channels) if (each.state === 'closed') this.#channels.delete(each)
      this.#sweepAt = Math.max(FIRST_SWEEP, this.#channels.size * 2)
    }
    this.#channels.add(channel)
    const abort = (): void => channel.destroy(signal?.reason)
    signal?.addEventListener('abort', abort)
    try {
      await channel.connect()
      return channel
    } catch (error) {
      this.#channels.delete(channel)
      channel.destroy()
      signal?.throwIfAborted()
      const cause = error instanceof Error && isPluginError(error.cause) ? error.cause : undefined
      if (cause !== undefined) throw cause
      throw new PluginError('ERR_BROKER_REFUSED', { brokerId: id, reason: 'the connection came to nothing' }, { cause: error })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  destroyAll(cause: Error): void {
    for (const channel of this.#channels) channel.destroy(cause)
    this.#channels.clear()
  }
}

/** A server under an id, and what else ends with it. */
export class Served implements BrokeredService {
  readonly id: number
  readonly server: GrpcServer
  readonly closed: Promise<void>
  #ended = false
  readonly #onEnd: () => void
  readonly #resolve: () => void

  /** @param onEnd Called once, first of all: stops new connections. */
  constructor(id: number, server: GrpcServer, onEnd: () => void) {
    this.id = id
    this.server = server
    this.#onEnd = onEnd
    let resolve = (): void => {}
    this.closed = new Promise(settle => (resolve = settle))
    this.#resolve = resolve
  }

  get ended(): boolean {
    return this.#ended
  }

  async close(graceMs = 0): Promise<void> {
    if (this.#ended) return this.closed
    this.#ended = true
    this.#onEnd()
    await this.server.close(graceMs)
    this.#resolve()
  }

  destroy(): void {
    if (!this.#ended) {
      this.#ended = true
      this.#onEnd()
    }
    this.server.destroy()
    this.#resolve()
  }
}
