// A connection whose incoming bytes pass a filter. What is written goes through as it is.

import { Duplex } from 'node:stream'

/** Hands bytes on, or keeps them. */
export interface ByteFilter {
  push(chunk: Buffer, pass: (bytes: Buffer) => void): void
}

/** The connection belongs to the duplex from then on: they end together. */
export class FilteredDuplex extends Duplex {
  readonly #connection: Duplex

  constructor(connection: Duplex, filter: ByteFilter) {
    super()
    this.#connection = connection
    const pass = (bytes: Buffer): void => {
      if (!this.push(bytes)) connection.pause()
    }
    connection.on('data', chunk => filter.push(chunk, pass))
    connection.on('end', () => this.push(null))
    connection.on('error', error => this.destroy(error))
    connection.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#connection.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#connection.write(chunk)) done()
    else this.#connection.once('drain', done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    const connection = this.#connection
    connection.cork()
    for (const { chunk } of chunks) connection.write(chunk)
    connection.uncork()
    if (connection.writableNeedDrain) connection.once('drain', done)
    else done()
  }

  override _final(done: () => void): void {
    this.#connection.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#connection.destroy()
    done(error)
  }
}
