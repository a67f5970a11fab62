// The measuring program's side of one host process.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Pin } from '../measures.ts'
import type { Row } from '../rows.ts'
import type { Figures } from './subject.ts'

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly failure?: string
}

/** Runs `driver.ts` for one row, on one core or on all, and passes requests to it one at a time. */
export class Host {
  readonly row: Row
  readonly #process: ChildProcess
  readonly #ready: Promise<unknown>
  #lastId = 0
  #gone = false

  /** With 'two-cores' the plugin's process is moved to the second one by the driver, once it is there. */
  constructor(row: Row, pin: Pin) {
    this.row = row
    const driver = new URL('../driver.js', import.meta.url)
    // taskset becomes the node that it starts, so the IPC channel and the pid stay.
    const pinned = pin === 'free' ? {} : { execPath: 'taskset', execArgv: ['-c', '0', process.execPath] }
    this.#process = fork(driver, [row.id, pin], { ...pinned, env: cleanEnvironment() })
    this.#process.on('exit', () => {
      this.#gone = true
    })
    this.#ready = Promise.race([once(this.#process, 'message'), once(this.#process, 'exit')])
  }

  async open(): Promise<void> {
    await this.#ask({ do: 'open' })
  }

  async check(): Promise<void> {
    await this.#ask({ do: 'check' })
  }

  /** @returns undefined when the row has no such thing. */
  async measure(measure: string, milliseconds: number): Promise<Figures | undefined> {
    return (await this.#ask({ do: 'measure', measure, milliseconds })) as Figures | undefined
  }

  async end(): Promise<void> {
    if (this.#gone) return
    await this.#ask({ do: 'close' }).catch(() => {})
    if (this.#gone) return
    this.#process.disconnect()
    await once(this.#process, 'exit')
  }

  async #ask(request: object): Promise<unknown> {
    await this.#ready
    if (this.#gone) throw new Error('its host process is gone')
    const id = ++this.#lastId
    const answer = new Promise<Answer>((resolve, reject) => {
      const settle = () => {
        clearTimeout(patience)
        this.#process.off('message', listener).off('exit', exited)
      }
      const listener = (message: Answer) => {
        if (message.id !== id) return
        settle()
        resolve(message)
      }
      const exited = (code: number | null, signal: string | null) => {
        settle()
        reject(new Error(`its host process ended with ${signal ?? code}`))
      }
      const patience = setTimeout(() => this.#process.kill('SIGKILL'), 30_000)
      this.#process.on('message', listener).on('exit', exited)
    })
    this.#process.send({ id, ...request })
    const { result, failure } = await answer
    if (failure !== undefined) throw new Error(failure)
    return result
  }
}

/** On Node 20 an extra certificate file costs every process tens of milliseconds at its start; options would change what is measured. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _certificates, NODE_OPTIONS: _options, NODE_COMPILE_CACHE: _cache, ...clean } = process.env
  return clean
}
