// What anyone writes by hand on top of a channel that only carries messages: an id per call and a map of open calls.

import type { Build, Small } from '../harness/samples.ts'

interface Answer {
  id: number
  result: unknown
}

export class Calls {
  readonly #post: (message: object) => void
  readonly #open = new Map<number, (result: unknown) => void>()
  #lastId = 0

  constructor(post: (message: object) => void) {
    this.#post = post
  }

  readonly answered = (message: unknown): void => {
    const { id, result } = message as Answer
    this.#open.get(id)?.(result)
    this.#open.delete(id)
  }

  call<T>(method: string, argument: unknown): Promise<T> {
    return new Promise(resolve => {
      const id = ++this.#lastId
      this.#open.set(id, resolve as (result: unknown) => void)
      this.#post({ id, method, argument })
    })
  }

  asPeer({ base64 }: { base64: boolean }) {
    return callsOf((method, argument) => this.call(method, argument), base64)
  }
}

/** The three echoes through one function `call`; with `base64` for channels that carry only JSON. */
export function callsOf(call: (method: string, argument: unknown) => Promise<unknown>, base64: boolean) {
  return {
    echo: (value: Small) => call('echo', value) as Promise<Small>,
    echoRecord: (value: Build) => call('echo', value) as Promise<Build>,
    echoBytes: async (bytes: Uint8Array): Promise<Uint8Array> => {
      if (!base64) return (await call('echo', bytes)) as Uint8Array
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
      return Buffer.from((await call('echo64', text)) as string, 'base64')
    },
  }
}
