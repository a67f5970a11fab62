// A test's own small world: what is started in it ends with it, and when something of it is left the test fails with a list.

import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import type { AnyContract, Factories } from '../contract.ts'
import { type LaunchOptions, launchOver } from '../host/launch.ts'
import { openEndsOf, type Plugin, type PluginHandle } from '../host/plugin.ts'
import type { FactoryContext } from '../plugin/service.ts'
import type { Command } from '../process/command.ts'
import { descendantsOf, isAlive, signal } from '../process/process-tree.ts'
import { socketDirectories } from '../process/socket-directory.ts'
import { type Faults, faultyLink } from './faulty-link.ts'
import { counted } from './killing.ts'
import { type Pair, type PairOptions, pair, type Severable } from './pair.ts'

export interface WorldOptions {
  /** Milliseconds that things have to come to their end when the world ends, before they count as left. Default 5_000. */
  readonly settleMs?: number
}

export interface WorldLaunchOptions extends LaunchOptions {
  /** What goes wrong between host and plugin. */
  readonly faults?: Faults
}

/** What is started through it is watched and ended with it. */
export interface TestWorld extends AsyncDisposable {
  /** A directory for the test's files; removed at the end. */
  readonly dir: string
  /** As `launch` of `plugwire/host`; the plugin is closed at the end, when the test has not done it. */
  launch<C extends AnyContract>(contract: C, plugin: string | URL | Command, options?: WorldLaunchOptions): Promise<Plugin<C> & Severable>
  /** As `pair`; closed at the end as well. */
  pair<C extends AnyContract>(contract: C, factories: Factories<C, FactoryContext>, options?: PairOptions): Pair<C>
  /** Watches a process that the test started by other means: it must have ended when the world ends. */
  watch(pid: number): void
  /** What is left at this moment, a line each; for tests that look in the middle. */
  left(): string[]
}

/** Something outlived the test that made it. */
export class LeftoverError extends Error {
  /** What is left, a line each. */
  readonly left: readonly string[]

  constructor(left: readonly string[]) {
    super(`the test left behind:\n${left.map(line => `  ${line}`).join('\n')}`)
    this.left = left
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'LeftoverError' })
  }
}

/**
 * Begins a world; ends it with `await using world = await testWorld()`.
 *
 * At the end it closes the plugins that are still open and throws a `LeftoverError` when, after `settleMs`, anything is left that was
 * not there when it began: calls and streams of its plugins that the test did not finish, timers and other handles that keep the
 * event loop alive, descriptors, child processes with all that they started, and directories that plugwire made for sockets.
 * Descriptors and processes are looked up in /proc and so are found on Linux only. What other code of the same process starts
 * meanwhile counts, too: run such tests one after the other.
 */
export async function testWorld(options: WorldOptions = {}): Promise<TestWorld> {
  return new World(options)
}

/** Every process of a world has it in its environment, so that those whose parent has ended are found, too. */
const MARK = 'PLUGWIRE_TEST_WORLD'
const linux = process.platform === 'linux'
let worlds = 0

class World implements TestWorld {
  readonly dir: string
  readonly #settleMs: number
  readonly #mark = `${process.pid}.${++worlds}.${Math.random().toString(36).slice(2)}`
  readonly #plugins: PluginHandle[] = []
  readonly #pids = new Set<number>()
  readonly #before: Standing
  #ended: Promise<void> | undefined

  constructor(options: WorldOptions) {
    this.#settleMs = options.settleMs ?? 5_000
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'pw-world-'))
    this.#before = standing()
  }

  async launch<C extends AnyContract>(
    contract: C,
    plugin: string | URL | Command,
    options: WorldLaunchOptions = {},
  ): Promise<Plugin<C> & Severable> {
    const { faults = {}, ...rest } = options
    let pid = 0
    let sever = (): void => {}
    const kill = (): void => void signal(pid, 'SIGKILL')
    const metadata = counted(rest.metadata, faults.killAtCall, kill)
    const launched = await launchOver(
      contract,
      plugin,
      { ...rest, ...(metadata !== undefined && { metadata }), env: { ...rest.env, [MARK]: this.#mark } },
      (link, startedPid) => {
        pid = startedPid
        this.#pids.add(pid)
        if (Object.values(faults).every(fault => fault === undefined)) {
          sever = () => link.destroy()
          return link
        }
        const faulty = faultyLink(link, faults, kill)
        sever = () => faulty.sever()
        return faulty
      },
    )
    return this.#keep(Object.defineProperty(launched, 'sever', { value: sever }) as Plugin<C> & Severable)
  }

  pair<C extends AnyContract>(contract: C, factories: Factories<C, FactoryContext>, options?: PairOptions): Pair<C> {
    return this.#keep(pair(contract, factories, options))
  }

  watch(pid: number): void {
    this.#pids.add(pid)
  }

  left(): string[] {
    return [...this.#openEnds(), ...this.#processes().map(describeProcess), ...sinceThen(this.#before)]
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  #keep<P extends PluginHandle>(plugin: P): P {
    this.#plugins.push(plugin)
    return plugin
  }

  async #end(): Promise<void> {
    const open = await this.#settled(() => this.#openEnds())
    await Promise.all(this.#plugins.map(plugin => plugin.close()))
    fs.rmSync(this.dir, { recursive: true, force: true })
    const left = [...open, ...(await this.#settled(() => [...this.#processes().map(describeProcess), ...sinceThen(this.#before)]))]
    for (const pid of this.#processes()) signal(pid, 'SIGKILL')
    if (left.length > 0) throw new LeftoverError(left)
  }

  /** Looks until there is nothing, or until it has lasted too long. */
  async #settled(look: () => string[]): Promise<string[]> {
    const until = performance.now() + this.#settleMs
    let pauseMs = 1
    for (;;) {
      const left = look()
      if (left.length === 0 || performance.now() > until) return left
      await new Promise(resolve => setTimeout(resolve, pauseMs))
      pauseMs = Math.min(pauseMs * 2, 50)
    }
  }

  #openEnds(): string[] {
    return this.#plugins.flatMap(plugin => {
      if (plugin.state === 'exited') return []
      const { calls, served, streams } = openEndsOf(plugin)
      const counts = [
        calls > 0 && `${calls} calls into it without an answer`,
        served > 0 && `${served} calls that it made without an answer`,
        streams > 0 && `${streams} streams`,
      ].filter(Boolean)
      return counts.length === 0 ? [] : [`plugin ${plugin.name} has open ${counts.join(', ')}`]
    })
  }

  #processes(): number[] {
    const found = new Set([...this.#pids].filter(isAlive))
    const children = new Set(this.#before.children)
    for (const { pid } of descendantsOf(process.pid)) if (!children.has(pid) && isAlive(pid)) found.add(pid)
    if (linux) for (const pid of marked(`${MARK}=${this.#mark}\0`)) found.add(pid)
    return [...found]
  }
}

/** What stands in this process. */
interface Standing {
  readonly resources: readonly string[]
  readonly descriptors: ReadonlyMap<string, string>
  readonly children: readonly number[]
  readonly directories: readonly string[]
}

function standing(): Standing {
  return {
    resources: process.getActiveResourcesInfo(),
    descriptors: descriptors(),
    children: descendantsOf(process.pid).map(({ pid }) => pid),
    directories: socketDirectories(),
  }
}

/** What stands now and did not stand before. */
function sinceThen(before: Standing): string[] {
  const now = standing()
  return [
    ...surplus(now.resources, before.resources).map(([type, count]) => `${count} × ${type} that keeps the event loop alive`),
    ...[...now.descriptors]
      .filter(([number, target]) => before.descriptors.get(number) !== target)
      .map(([number, target]) => `descriptor ${number}: ${target}`),
    ...now.directories.filter(directory => !before.directories.includes(directory)).map(directory => `directory ${directory}`),
  ]
}

/** Resources of the moment, which a test cannot leave: they are gone by the next look. */
const passing: ReadonlySet<string> = new Set(['Immediate', 'CloseReq', 'FSReqCallback', 'FSReqPromise', 'TickObject', 'Microtask'])

function surplus(now: readonly string[], before: readonly string[]): [string, number][] {
  const counts = new Map<string, number>()
  for (const type of now) counts.set(type, (counts.get(type) ?? 0) + 1)
  for (const type of before) counts.set(type, (counts.get(type) ?? 0) - 1)
  return [...counts].filter(([type, count]) => count > 0 && !passing.has(type))
}

/** Sockets, pipes and files that are open, by number; Linux only. Others (epoll, eventfd) are the runtime's own. */
function descriptors(): Map<string, string> {
  const found = new Map<string, string>()
  if (!linux) return found
  for (const number of fs.readdirSync('/proc/self/fd')) {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${number}`)
      if (target.startsWith('socket:') || target.startsWith('pipe:') || (target.startsWith('/') && !/^\/(proc|dev)\//.test(target)))
        found.set(number, target)
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return found
}

function marked(mark: string): number[] {
  return fs.readdirSync('/proc').flatMap(entry => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return []
    try {
      return fs.readFileSync(`/proc/${entry}/environ`, 'latin1').includes(mark) && isAlive(Number(entry)) ? [Number(entry)] : []
    } catch {
      return [] // Gone, or of another user.
    }
  })
}

function describeProcess(pid: number): string {
  let command = ''
  try {
    command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    // Gone meanwhile, or no /proc here.
  }
  return `process ${pid} ${command}`.trimEnd()
}
