// What keeps the event loop alive while somebody waits for something: calls under way, dials. Idle connections do not.

interface Held {
  ref?(): unknown
  unref?(): unknown
}

/** Connections that are referenced as long as anybody holds. */
export class LoopHold {
  readonly #connections = new Set<Held>()
  #holders = 0

  /** From now on the connection is held only while somebody holds. */
  add(connection: Held): void {
    this.#connections.add(connection)
    if (this.#holders > 0) connection.ref?.()
    else connection.unref?.()
  }

  delete(connection: Held): void {
    this.#connections.delete(connection)
  }

  readonly hold = (): void => {
    if (++this.#holders === 1) for (const connection of this.#connections) connection.ref?.()
  }

  readonly release = (): void => {
    if (--this.#holders === 0) for (const connection of this.#connections) connection.unref?.()
  }

  async during<T>(work: Promise<T>): Promise<T> {
    this.hold()
    try {
      return await work
    } finally {
      this.release()
    }
  }
}
