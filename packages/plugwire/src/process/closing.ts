// The bounded way from "please stop" to "gone": tell, wait, SIGTERM, wait, SIGKILL for the whole tree, wait. No step can hang.

import type { Endable } from './child.ts'

export interface ClosingOptions {
  /** Tells the plugin to stop, over its connection. May hang or fail; neither delays anything beyond `graceMs`. */
  readonly tell?: (() => unknown) | undefined
  /** Milliseconds that the plugin has for it. Default 2_000, as in go-plugin client.go `Kill`. */
  readonly graceMs?: number | undefined
  /** Milliseconds between SIGTERM and SIGKILL. Default 1_000. go-plugin sends no SIGTERM. */
  readonly terminateMs?: number | undefined
}

/** By which step it ended; `stuck` when not even SIGKILL ended it in time (a process that waits inside the kernel). */
export type Ending = 'gone' | 'told' | 'terminated' | 'killed' | 'stuck'

export const DEFAULT_GRACE_MS = 2_000
export const DEFAULT_TERMINATE_MS = 1_000
/** Milliseconds that a killed process has to disappear. */
const KILL_MS = 2_000

/** Goes down the ladder. Never rejects. Holds the event loop until it is done. */
export async function closeProcess(target: Endable, options: ClosingOptions = {}): Promise<Ending> {
  if (target.status !== undefined || target.pid === 0) return 'gone'
  target.hold()
  // Those of a plugin without a group of its own cannot be found any more once it has ended.
  if (!target.ownGroup) target.lookAround()
  const graceMs = options.graceMs ?? DEFAULT_GRACE_MS
  if (options.tell !== undefined && graceMs > 0) {
    call(options.tell)
    if (await exitedWithin(target, graceMs)) return 'told'
  }
  const terminateMs = options.terminateMs ?? DEFAULT_TERMINATE_MS
  // Windows has no SIGTERM: it would end the process at once, and leave what it started.
  if (terminateMs > 0 && process.platform !== 'win32') {
    target.lookAround()
    target.kill('SIGTERM')
    if (await exitedWithin(target, terminateMs)) return 'terminated'
  }
  return (await killProcess(target)) ? 'killed' : 'stuck'
}

/** Kills at once and waits for the end, a bounded time. */
export async function killProcess(target: Endable): Promise<boolean> {
  target.hold()
  target.killTree('SIGKILL')
  return exitedWithin(target, KILL_MS)
}

function call(tell: () => unknown): void {
  try {
    Promise.resolve(tell()).catch(() => {})
  } catch {
    // What cannot be told over the connection is told by a signal.
  }
}

function exitedWithin(target: Endable, ms: number): Promise<boolean> {
  if (target.pid === 0) return Promise.resolve(true)
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms, false)
    void target.exited.then(() => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
