// What a command has to say on stdout: for people, or as JSON. Notices when nobody reads any more.

import { inspect } from 'node:util'
import { paint } from './colour.ts'
import { isByteStream, remoteMethodsOf, toJson } from './json-values.ts'
import { visible } from './visible.ts'

export class Output {
  readonly #json: boolean
  readonly #gone: () => void
  #broken = false

  /** @param gone Called once when the reader of stdout has left (`| head`). */
  constructor(json: boolean, gone: () => void) {
    this.#json = json
    this.#gone = gone
    process.stdout.on('error', this.#fail)
  }

  /** True when the reader has left. */
  get broken(): boolean {
    return this.#broken
  }

  readonly #fail = (cause: NodeJS.ErrnoException): void => {
    if (cause.code !== 'EPIPE') throw cause
    if (this.#broken) return
    this.#broken = true
    this.#gone()
  }

  /** Writes bytes as they are and waits until there is room for more. */
  async bytes(bytes: Uint8Array | string): Promise<void> {
    if (this.#broken || process.stdout.write(bytes)) return
    await new Promise<void>(resolve => {
      const done = (): void => {
        process.stdout.off('drain', done).off('error', done).off('close', done)
        resolve()
      }
      process.stdout.on('drain', done).on('error', done).on('close', done)
    })
  }

  line(text = ''): Promise<void> {
    return this.bytes(`${visible(text)}\n`)
  }

  /** One document of JSON: one line, or indented on a terminal. */
  document(value: unknown): Promise<void> {
    return this.bytes(`${process.stdout.isTTY ? JSON.stringify(value, undefined, 2) : JSON.stringify(value)}\n`)
  }

  /** One value of the plugin: a line of JSON, or as Node shows values. */
  value(value: unknown): Promise<void> {
    return this.bytes(`${this.#json ? JSON.stringify(toJson(value)) : shown(value)}\n`)
  }
}

function shown(value: unknown): string {
  const description = describe(value)
  if (description !== undefined) return paint('cyan', `[${description}]`)
  const { stdout } = process
  return inspect(value, {
    depth: 8,
    maxArrayLength: 200,
    breakLength: stdout.isTTY ? stdout.columns : 100,
    colors: stdout.isTTY && stdout.hasColors(),
  })
}

/** What travels by reference is not shown but described. */
export function describe(value: unknown): string | undefined {
  if (typeof value === 'function') return `a function${value.name === '' ? '' : ` ${value.name}`}`
  if (typeof value !== 'object' || value === null) return undefined
  const methods = remoteMethodsOf(value)
  if (methods !== undefined) return methods.length === 0 ? 'an object to be disposed' : `an object with the methods ${methods.join(', ')}`
  if (isByteStream(value)) return 'a stream of bytes'
  return Symbol.asyncIterator in value ? 'a stream of items' : undefined
}
