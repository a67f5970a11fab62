// Ends a process with everything it started. Also used by a plugin on itself, so node:child_process is only fetched where it is needed.
// Linux is read from /proc, other Unixes from ps; Windows has a command that does the whole.

import * as fs from 'node:fs'

/** A process as it was seen: its number may be given to another one later, its start cannot. */
export interface SeenProcess {
  readonly pid: number
  readonly startedAt: string
}

const windows = process.platform === 'win32'
const linux = process.platform === 'linux'

/** Sends a signal; false when there is no such process or group (any more). Signal 0 only asks. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch (cause) {
    // EPERM: it lives, but became someone else's (setuid); it counts as alive.
    return (cause as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * Signals a process and all that descends from it.
 *
 * @param options.ownGroup The process leads a group of its own, which then gets the signal as a whole, orphans included.
 * @param options.seen Descendants as they were found earlier, since those of a process that has ended can no longer be found through it.
 */
export function killTree(
  pid: number,
  name: NodeJS.Signals,
  options: { readonly ownGroup: boolean; readonly seen?: readonly SeenProcess[] },
): void {
  if (windows) {
    // Windows knows no signals: anything but an immediate end is the plugin's own business over the connection.
    endWindowsTree(pid)
    return
  }
  const targets = [...(options.seen ?? []), ...descendantsOf(pid)]
  if (options.ownGroup) signal(-pid, name)
  else signal(pid, name)
  const done = new Set<number>([pid])
  for (const { pid: target, startedAt } of targets) {
    if (done.has(target)) continue
    done.add(target)
    if (startOf(target) === startedAt) signal(target, name)
  }
}

/** Ends what is left of the group and of the descendants of a process that has itself ended. */
export function killLeftovers(pid: number, options: { readonly ownGroup: boolean; readonly seen?: readonly SeenProcess[] }): void {
  if (windows) return
  if (options.ownGroup) signal(-pid, 'SIGKILL')
  for (const { pid: target, startedAt } of options.seen ?? []) if (startOf(target) === startedAt) signal(target, 'SIGKILL')
}

/** Everything that descends from a process at this moment, children first. Empty on Windows. */
export function descendantsOf(pid: number): SeenProcess[] {
  const found: SeenProcess[] = []
  const known = new Set<number>([pid])
  const childrenOf = linux ? linuxChildren() : psChildren()
  for (const queue = [pid]; queue.length > 0; ) {
    for (const child of childrenOf(queue.shift() as number)) {
      if (known.has(child)) continue
      known.add(child)
      queue.push(child)
      found.push({ pid: child, startedAt: startOf(child) })
    }
  }
  return found
}

/**
 * For a plugin that has lost its host: ends everything it started, and, where it leads a group of its own, itself with it.
 * Returns only when this process is no group leader; the caller then exits.
 */
export function endOwnTree(): void {
  if (windows) {
    endWindowsTree(process.pid)
    return
  }
  for (const { pid } of descendantsOf(process.pid)) signal(pid, 'SIGKILL')
  // No group bears this number unless this process leads it.
  signal(-process.pid, 'SIGKILL')
}

type ChildrenOf = (pid: number) => readonly number[]

function linuxChildren(): ChildrenOf {
  let scanned: ChildrenOf | undefined
  return pid => {
    try {
      // One file per thread, as any thread may have forked. Not there in kernels built without CONFIG_PROC_CHILDREN.
      const threads = fs.readdirSync(`/proc/${pid}/task`)
      return threads.flatMap(thread =>
        fs.readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
      )
    } catch {
      scanned ??= scanProc()
      return scanned(pid)
    }
  }
}

function scanProc(): ChildrenOf {
  const pairs: [number, number][] = []
  for (const entry of fs.existsSync('/proc') ? fs.readdirSync('/proc') : []) {
    if (!/^\d+$/.test(entry)) continue
    const parent = statFields(Number(entry))?.[1]
    if (parent !== undefined) pairs.push([Number(entry), Number(parent)])
  }
  return byParent(pairs)
}

/** Fields of /proc/<pid>/stat from the third on (state, parent, group, …); the second, the name, may hold anything, even blanks. */
function statFields(pid: number): string[] | undefined {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // It has ended.
  }
}

function psChildren(): ChildrenOf {
  const lines = run('ps', ['-A', '-o', 'pid=,ppid=']).split('\n')
  return byParent(lines.map(line => line.trim().split(/\s+/).map(Number) as [number, number]))
}

function byParent(pairs: readonly (readonly [number, number])[]): ChildrenOf {
  const children = new Map<number, number[]>()
  for (const [pid, parent] of pairs) {
    const known = children.get(parent)
    if (known === undefined) children.set(parent, [pid])
    else known.push(pid)
  }
  return pid => children.get(pid) ?? []
}

/** When a process began, in the system's own words; empty when it has ended, or is a zombie, which no signal reaches. */
export function startOf(pid: number): string {
  // Windows tells it only at the price of a PowerShell; there a process counts as the same while its number is alive.
  if (windows) return signal(pid, 0) ? 'alive' : ''
  if (!linux) return run('ps', ['-o', 'lstart=', '-p', String(pid)]).trim()
  const fields = statFields(pid)
  return fields === undefined || fields[0] === 'Z' ? '' : (fields[19] ?? '')
}

/** Whether a process runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  return linux ? startOf(pid) !== '' : signal(pid, 0)
}

function endWindowsTree(pid: number): void {
  run('taskkill', ['/PID', String(pid), '/T', '/F'])
}

function run(command: string, args: readonly string[]): string {
  const result = process
    .getBuiltinModule('node:child_process')
    .spawnSync(command, args, { encoding: 'utf8', timeout: 2_000, windowsHide: true })
  return result.error === undefined ? result.stdout : ''
}
