// Stands in for the process of a plugin that runs in its host's own: it has a link and an end, but no pid, no output and no signals of its own.

import type { Contract } from '../contract.ts'
import type { LastWords } from '../errors.ts'
import type { PluginProcess } from '../host/plugin.ts'
import type { Limits } from '../limits.ts'
import type { Link } from '../mux/link.ts'
import { createLogger, setLogSink, unsetLogSink } from '../plugin/logger.ts'
import { type FactoryTable, type Service, serveHost } from '../plugin/service.ts'
import type { ExitStatus } from '../process/child.ts'
import { type ClosingOptions, DEFAULT_GRACE_MS, type Ending } from '../process/closing.ts'
import type { Metadata } from '../rpc/call-context.ts'

export interface MemoryProcessOptions {
  readonly contract: Contract
  readonly version: number
  readonly factories: FactoryTable
  readonly limits: Partial<Limits> | undefined
  readonly metadata: (() => Metadata | undefined) | undefined
}

/** The process of a pair: the plugin's side of the connection, and when it ended. */
export class MemoryProcess implements PluginProcess {
  readonly name: string
  readonly pid: number = process.pid
  readonly version: number
  readonly wire = 'memory'
  readonly secure = false
  readonly link: Link
  readonly timings: undefined = undefined
  readonly stdout: undefined = undefined
  readonly stderr: undefined = undefined
  readonly record: undefined = undefined
  readonly exited: Promise<ExitStatus>
  readonly #service: Service
  readonly #pluginLink: Link
  #status: ExitStatus | undefined
  #exit: (status: ExitStatus) => void = () => {}

  /** @param hostLink What the host talks over. */
  constructor(hostLink: Link, pluginLink: Link, options: MemoryProcessOptions) {
    const { contract, version } = options
    this.name = contract.name
    this.version = version
    this.link = hostLink
    this.#pluginLink = pluginLink
    this.exited = new Promise(resolve => {
      this.#exit = status => {
        this.#status ??= status
        resolve(this.#status)
      }
    })
    const host = { link: pluginLink, version, wire: this.wire, secure: false }
    const service: Service = serveHost(host, {
      contract,
      factories: options.factories,
      logger: createLogger(undefined, {}, record => void service.logSink(record)),
      limits: options.limits,
      metadata: options.metadata,
      // The host's end decides, as a plugin would not keep its host running.
      stayAlive: false,
      onClose: () => void setImmediate(() => service.close()),
      onEnded: () => {},
    })
    this.#service = service
    // For code that uses the logger of `plugwire/plugin`: of several pairs the newest has it.
    const sink = service.logSink
    setLogSink(sink)
    void service.disposed.then(() => {
      unsetLogSink(sink)
      this.#exit({ exitCode: 0, signal: null })
    })
  }

  get status(): ExitStatus | undefined {
    return this.#status
  }

  lastWords(): LastWords {
    return { exitCode: this.#status?.exitCode ?? null, signal: this.#status?.signal ?? null, stdoutTail: '', stderrTail: '' }
  }

  async ended(): Promise<LastWords> {
    await this.exited
    return this.lastWords()
  }

  async close({ tell, graceMs = DEFAULT_GRACE_MS }: ClosingOptions): Promise<Ending> {
    if (this.#status !== undefined) return 'gone'
    if (tell !== undefined && graceMs > 0) {
      void tell()
      if (await this.#exitedWithin(graceMs)) return 'told'
    }
    return this.kill()
  }

  /** What a killed process leaves: a closed connection, and instances that nobody disposed in time to be waited for. */
  kill(): Promise<Ending> {
    this.#exit({ exitCode: null, signal: 'SIGKILL' })
    this.#pluginLink.destroy()
    this.#service.close()
    return Promise.resolve('killed')
  }

  detach(): void {}

  output(): void {}

  #exitedWithin(ms: number): Promise<boolean> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms, false)
      void this.exited.then(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }
}
