// Attaches to a plugin that is already running, started `detached` by this host or another. The process is no child: its life is read from its pid.

import type { Socket } from 'node:net'
import { isPluginError, PluginError } from '../errors.ts'
import type { Link } from '../mux/link.ts'
import type { Endable, ExitStatus } from './child.ts'
import type { ClosingOptions, Ending } from './closing.ts'
import { closeProcess, killProcess } from './closing.ts'
import { type Address, connectTo, reasonOf } from './connect.ts'
import type { SeenProcess } from './process-tree.ts'
import { descendantsOf, isAlive, killLeftovers, killTree, signal, startOf } from './process-tree.ts'
import { removeSocket } from './socket-directory.ts'
import { socketLink } from './socket-link.ts'
import { watchLink } from './watched-link.ts'

/** What makes it possible to attach to a running plugin. Holds a private key: whoever has it can talk to the plugin. */
export interface AttachRecord {
  readonly name: string
  readonly pid: number
  /** When the process began, in the system's own words: tells it from another that got its pid later. */
  readonly startedAt: string
  /** Default `unix`. */
  readonly network?: 'unix' | 'tcp'
  /** The path of its socket, or `host:port`. */
  readonly address: string
  /** The directory that was made for the socket; whoever ends the plugin removes it. */
  readonly directory?: string
  readonly protocol: string
  readonly version: number
  readonly versions: readonly number[]
  /** Somebody started it for a debugger: it is left running, whatever its hosts say. go-plugin's `Test`. */
  readonly test?: boolean
  /** Brokered connections travel inside the one connection. */
  readonly multiplex?: boolean
  /** Absent when the connection is not encrypted. */
  readonly tls?: { readonly key: string; readonly certificate: string; readonly pluginCertificate: string }
}

export interface AttachOptions {
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until the plugin is connected. Default 10_000. */
  readonly timeoutMs?: number | undefined
}

/** A plugin that was attached to. Nothing here holds the event loop until `hold`. */
export interface AttachedPlugin {
  readonly name: string
  readonly pid: number
  readonly version: number
  /** Not opened yet; there only for the protocol `plugwire`. Owned by the caller. */
  readonly link: Link | undefined
  /** Another connection, in clear; for other protocols. Rejects with `ERR_CONNECT`. */
  connect(): Promise<Socket>
  /** Resolves when the process has ended. How it ended is only told to its parent, so code and signal are null. Never rejects, does not hold the event loop. */
  readonly exited: Promise<ExitStatus>
  readonly status: ExitStatus | undefined
  hold(): void
  release(): void
  /** Leaves the plugin running, for the next host. */
  detach(): void
  /** Ends the plugin step by step, and everything it started. Never rejects; a second call joins the first. */
  close(options?: ClosingOptions): Promise<Ending>
  kill(): Promise<Ending>
}

const DEFAULT_TIMEOUT_MS = 10_000
/** Milliseconds between two looks at a process whose end nobody tells us; go-plugin looks every second. */
const POLL_MS = 500
/** The same while somebody waits for its end. */
const BUSY_POLL_MS = 20

/**
 * Connects to a running plugin.
 *
 * @throws PluginError `ERR_REATTACH` when there is none, or it does not answer; `ERR_LAUNCH_ABORTED`.
 */
export async function attachPlugin(record: AttachRecord, options: AttachOptions = {}): Promise<AttachedPlugin> {
  const { name, pid } = record
  const fail = (reason: string, remedy: string, cause?: unknown): PluginError =>
    new PluginError('ERR_REATTACH', { plugin: name, reason, remedy }, cause === undefined ? undefined : { cause })
  const again = 'Start it again.'
  if (options.signal?.aborted) throw new PluginError('ERR_LAUNCH_ABORTED', { plugin: name }, { cause: options.signal.reason })
  if (!Number.isInteger(pid) || pid <= 0) throw fail(`${pid} is no process`, 'Pass the record as it was handed over.')
  if (!isAlive(pid)) throw fail(`its process ${pid} has ended`, again)
  if (record.startedAt !== '' && startOf(pid) !== record.startedAt)
    throw fail(`its process has ended, and ${pid} is another one now`, again)
  let link: Link | undefined
  try {
    if (record.protocol === 'plugwire') link = await connectLink(record, options)
    // Only a look whether somebody is there, as hosts of go-plugin take it.
    else (await bounded(options, connectTo(addressOf(record)), late => late.destroy())).destroy()
  } catch (cause) {
    if (options.signal?.aborted) throw new PluginError('ERR_LAUNCH_ABORTED', { plugin: name }, { cause: options.signal.reason })
    const reason = isPluginError(cause, 'ERR_CONNECT') || isPluginError(cause, 'ERR_TLS') ? cause.facts.reason : reasonOf(cause)
    throw fail(reason, isAlive(pid) ? 'It runs, but does not take a connection: another host may be attached to it.' : again, cause)
  }
  return attached(record, link)
}

/** Waits for a step until it is aborted or takes too long; what it yields after that is handed to `discard`. */
export async function bounded<T>(options: AttachOptions, step: Promise<T>, discard: (late: T) => void): Promise<T> {
  const { promise: late, stop } = interruption(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, options.signal)
  try {
    return await Promise.race([step, late])
  } catch (cause) {
    step.then(discard, () => {})
    throw cause
  } finally {
    stop()
  }
}

async function connectLink(record: AttachRecord, options: AttachOptions): Promise<Link> {
  const { name, tls } = record
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const connect = async (): Promise<Link> => {
    const socket = await connectTo(addressOf(record))
    if (tls === undefined) return socketLink({ socket })
    const { secureLink } = await import('./tls.ts')
    return secureLink(
      socket,
      'client',
      { key: tls.key, certificate: tls.certificate, der: new Uint8Array() },
      { certificate: tls.pluginCertificate },
      { plugin: name, timeoutMs },
    )
  }
  return bounded(options, connect(), late => late.destroy())
}

function interruption(timeoutMs: number, signal: AbortSignal | undefined): { promise: Promise<never>; stop: () => void } {
  let stop = (): void => {}
  const promise = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs)
    const abort = (): void => reject(new Error('it was aborted'))
    signal?.addEventListener('abort', abort, { once: true })
    stop = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  })
  promise.catch(() => {}) // Heard through a race while the attachment lasts.
  return { promise, stop }
}

const addressOf = ({ name, network = 'unix', address, protocol }: AttachRecord): Address => ({
  plugin: name,
  network,
  address,
  anyHost: protocol !== 'plugwire',
})

function attached(record: AttachRecord, link: Link | undefined): AttachedPlugin {
  const target = new AttachedProcess(record)
  let closing: Promise<Ending> | undefined
  let detached = false
  const cleanUp = (ending: Ending): Ending => {
    link?.destroy()
    target.forget()
    removeSocket(record.network === 'tcp' ? '' : record.address, record.directory)
    return ending
  }
  const end = (go: () => Promise<Ending>): Promise<Ending> => {
    if (detached || record.test) return Promise.resolve('gone')
    target.watchClosely()
    const ending = go()
    closing ??= ending.then(cleanUp)
    return closing
  }
  link?.unref()
  return {
    name: record.name,
    pid: record.pid,
    version: record.version,
    // The end of the link is the first sign of the end of the process.
    link: link && watchLink(link, { closed: () => target.look() }),
    connect: async () => {
      const socket = await connectTo(addressOf(record))
      return socket.on('close', () => target.look())
    },
    exited: target.exited,
    get status() {
      return target.status
    },
    hold: () => target.hold(),
    release: () => {
      if (closing === undefined) target.release()
    },
    detach: () => {
      if (closing !== undefined) return
      detached = true
      link?.close()
      target.forget()
    },
    close: options => (closing === undefined ? end(() => closeProcess(target, options)) : closing),
    kill: () => end(async () => ((await killProcess(target)) ? 'killed' : 'stuck')),
  }
}

const unknownEnd: ExitStatus = { exitCode: null, signal: null }

/** A process that is no child of ours: looked at from time to time, and whenever there is a sign. */
class AttachedProcess implements Endable {
  readonly pid: number
  /** A detached plugin leads a group of its own, since it never shares its host's stdin. */
  readonly ownGroup: boolean
  readonly exited: Promise<ExitStatus>
  readonly #startedAt: string
  #status: ExitStatus | undefined
  #tellExit: (status: ExitStatus) => void = () => {}
  #poll: NodeJS.Timeout | undefined
  #held = false
  #closing = false
  #seen: readonly SeenProcess[] = []

  constructor(record: AttachRecord) {
    this.pid = record.pid
    this.#startedAt = record.startedAt === '' ? startOf(record.pid) : record.startedAt
    // No other group can have this number while the process lives.
    this.ownGroup = process.platform !== 'win32' && signal(-record.pid, 0)
    this.exited = new Promise(resolve => {
      this.#tellExit = resolve
    })
    this.#lookEvery(POLL_MS)
  }

  get status(): ExitStatus | undefined {
    return this.#status
  }

  hold(): void {
    this.#held = true
    this.#poll?.ref()
  }

  release(): void {
    this.#held = false
    this.#poll?.unref()
  }

  kill(name: NodeJS.Signals): boolean {
    return this.#lives() && signal(this.pid, name)
  }

  killTree(name: NodeJS.Signals): void {
    if (this.#lives()) killTree(this.pid, name, { ownGroup: this.ownGroup, seen: this.#seen })
  }

  lookAround(): void {
    if (this.#lives()) this.#seen = descendantsOf(this.pid)
  }

  /** It is to end: what it leaves behind ends as well, and its end is noticed soon. */
  watchClosely(): void {
    this.#closing = true
    this.lookAround()
    this.#lookEvery(BUSY_POLL_MS)
  }

  /** Nobody is interested any more. */
  forget(): void {
    clearInterval(this.#poll)
  }

  look(): void {
    if (this.#status !== undefined || this.#lives()) return
    this.#status = unknownEnd
    this.forget()
    if (this.#closing) killLeftovers(this.pid, { ownGroup: this.ownGroup, seen: this.#seen })
    this.#tellExit(unknownEnd)
  }

  #lives(): boolean {
    return this.#status === undefined && startOf(this.pid) === this.#startedAt
  }

  #lookEvery(ms: number): void {
    clearInterval(this.#poll)
    if (this.#status !== undefined) return
    this.#poll = setInterval(() => this.look(), ms)
    if (!this.#held) this.#poll.unref()
  }
}
