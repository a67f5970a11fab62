// What the mux stands on: one ordered, reliable connection. The mux never learns what carries it.

/** One connection between two processes, not yet cut into streams. Implemented in `src/process`. */
export interface Link {
  /** Begins to read. Called again, it hands the bytes that come from then on to another reader. */
  open(reader: LinkReader): void
  /**
   * Writes the parts in order, in one system call where the platform can.
   *
   * @returns true when every byte has left and the memory may be used again at once; false when the parts must stay
   * untouched until `reader.written()`. After false, `write` is not called again before `written`.
   */
  write(parts: readonly Uint8Array[]): boolean
  /** Lets what was written leave, then closes. Calling it twice is fine. */
  close(): void
  /** Closes at once; what was not written is lost. */
  destroy(): void
  /** While referenced the link keeps the event loop alive. A new link is referenced. */
  ref(): void
  unref(): void
}

/** The mux's side of a link: where bytes go. Its methods never throw. */
export interface LinkReader {
  /** Where the next bytes go. Asked before every read; may return the same memory again. */
  buffer(): Uint8Array
  /** That many bytes were read into what `buffer` returned. */
  received(bytes: number): void
  /** What `write` could not send at once has left. */
  written(): void
  /** The connection ended; called once. Without a cause it was closed in order. */
  closed(cause?: Error): void
}
