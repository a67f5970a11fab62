// The parser plugins: started when the first file needs them, replaced when they die, killed when they hang.
import type { Remote } from 'plugwire'
import { launch, type Plugin, withOptions } from 'plugwire/host'
import { type Parser, parsers } from '../contract.ts'
import type { Kind } from './kinds.ts'

interface Running {
  readonly plugin: Promise<Plugin<typeof parsers>>
  /** By the name of the kind: instances of one plugin differ in their configuration only. */
  readonly instances: Map<string, Promise<Remote<Parser>>>
}

export interface PluginFacts {
  readonly name: string
  readonly pid: number
  readonly instances: readonly string[]
}

export class ParserPool implements AsyncDisposable {
  readonly #running = new Map<string, Running>()
  readonly #facts = new Map<number, { name: string; pid: number; instances: string[] }>()

  /** Every process that was started, also those that are gone. */
  get facts(): readonly PluginFacts[] {
    return [...this.#facts.values()]
  }

  /** An instance for that kind of file, whose calls end at the deadline or when the signal says so. */
  async instance(kind: Kind, deadlineMs: number, signal: AbortSignal): Promise<Remote<Parser>> {
    const running = this.#start(kind.parser)
    let instance = running.instances.get(kind.name)
    if (instance === undefined) {
      instance = running.plugin.then(plugin => plugin.dispense('parser', kind.config))
      running.instances.set(kind.name, instance)
      void running.plugin.then(({ pid }) => this.#facts.get(pid)?.instances.push(kind.name)).catch(() => {})
    }
    return withOptions(await instance, { timeoutMs: deadlineMs, signal })
  }

  /** Ends a plugin at once; the next file that needs it gets a new process. */
  async kill(parser: string): Promise<void> {
    const running = this.#running.get(parser)
    this.#running.delete(parser)
    await (await running?.plugin)?.kill()
  }

  #start(parser: string): Running {
    const known = this.#running.get(parser)
    if (known !== undefined) return known
    const url = new URL(`../parsers/${parser}.js`, import.meta.url)
    const plugin = launch(parsers, url, { name: parser, logger: false })
    const running: Running = { plugin, instances: new Map() }
    this.#running.set(parser, running)
    const forget = (): void => {
      if (this.#running.get(parser) === running) this.#running.delete(parser)
    }
    plugin.then(({ pid, exited }) => {
      this.#facts.set(pid, { name: parser, pid, instances: [] })
      void exited.then(forget)
    }, forget)
    return running
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // They hold nothing that would need time; one that is stuck shall not delay the end.
    const plugins = [...this.#running.values()].map(async ({ plugin }) => (await plugin).close({ graceMs: 500 }))
    await Promise.allSettled(plugins)
  }
}
