// One of several processes at a time: a claim is a file beside the file that is to be changed. This module touches the file system.
//
// Node has no file locks, and one file that everybody creates and removes has a hole: two that find it stale remove it one after the other,
// the second one that of the first. So each claim has a name that nobody else ever uses. Whoever made one looks around, and is the owner if
// there is no other one of a living process; otherwise it takes its own back and tries again later. Two that come at the same moment both see
// at least one other, never none. A dead owner's claim can be removed by anybody at any time, since its name never means anybody else.

import { createHash, randomBytes } from 'node:crypto'
import { open, readdir, readFile, readlink, stat, unlink, utimes } from 'node:fs/promises'
import { hostname, uptime } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PluginError } from 'plugwire'

/** A claim of a process that cannot be asked (other machine, other container) counts while it was touched within this time. */
const UNKNOWN_OWNER_MS = 60_000
/** How often an owner touches its claim. */
const TOUCH_MS = 10_000
/** Stands for the start of a process that cannot be told. */
const UNKNOWN_START = '0'
export const DEFAULT_WAIT_MS = 10_000

export interface ClaimOptions {
  /** Milliseconds to wait for others. Default 10_000. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

export interface Claim {
  /** A name beside the file that is this owner's, and will be cleared away when it dies. */
  temporary(): string
  /** Whether the claim still stands; it may not after a long sleep of the machine. */
  held(): Promise<boolean>
  release(): Promise<void>
}

interface Owner {
  readonly host: string
  readonly boot: string
  readonly namespace: string
  readonly pid: number
  /** When the process started, in the system's own count; `UNKNOWN_START` where that is not known. */
  readonly started: string
}

/**
 * Waits until this caller is the only one who changes a file.
 * @param since When it began to wait, by `performance.now()`.
 * @throws PluginError `ERR_LOCK_BUSY` when others do not end in time, `ERR_LOCK_WRITE` when no claim can be made.
 */
export async function claim(path: string, options: ClaimOptions, since: number): Promise<Claim> {
  const [directory, prefix] = [dirname(path), `.${basename(path)}.`]
  const me = await self()
  const { waitMs = DEFAULT_WAIT_MS } = options
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted()
    let other = await othersClaim(directory, prefix, undefined)
    if (other === undefined) {
      const stem = `${prefix}${me.host}.${me.boot}.${me.namespace}.${me.pid}.${me.started}.${randomBytes(8).toString('hex')}`
      const file = join(directory, `${stem}.claim`)
      await touchNew(file, path)
      // Only now, with our own in place, does looking around prove anything.
      other = await othersClaim(directory, prefix, `${stem}.claim`).catch(async (cause: unknown) => {
        await remove(file)
        throw writeFault(path, cause)
      })
      if (other === undefined) return held(file, join(directory, stem))
      await remove(file)
    }
    if (performance.now() > since + waitMs) {
      throw new PluginError('ERR_LOCK_BUSY', {
        path,
        owner: join(directory, other.name),
        waitedMs: waitMs,
        reason: `${path} is being changed by ${other.known ? `process ${other.owner.pid}` : 'a process on another machine or in another container'}`,
        remedy: `Try again when it has ended; if it never does, remove ${join(directory, other.name)}.`,
      })
    }
    // Chance, and more of it each time: those who met must not meet again.
    await sleep(1 + Math.random() * Math.min(50, 4 * 2 ** Math.min(attempt, 5)), undefined, options.signal && { signal: options.signal })
  }
}

function held(file: string, stem: string): Claim {
  const timer = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => {}), TOUCH_MS) // Gone: held() will tell.
  timer.unref()
  let temporaries = 0
  return {
    temporary: () => `${stem}.${temporaries++}.tmp`,
    held: () =>
      stat(file).then(
        () => true,
        () => false,
      ),
    release: async () => {
      clearInterval(timer)
      await remove(file)
    },
  }
}

async function touchNew(file: string, path: string): Promise<void> {
  try {
    await (await open(file, 'wx', 0o600)).close()
  } catch (cause) {
    throw writeFault(path, cause)
  }
}

/** `ERR_LOCK_WRITE` from what the system said. */
export function writeFault(path: string, cause: unknown): PluginError<'ERR_LOCK_WRITE'> {
  const { code, message } = cause as NodeJS.ErrnoException
  return new PluginError(
    'ERR_LOCK_WRITE',
    {
      path,
      reason: `${path} could not be written: ${code ?? message}`,
      remedy: code === 'ENOSPC' ? 'The disk is full; what was there before is untouched.' : 'What was there before is untouched.',
    },
    { cause },
  )
}

interface OtherClaim {
  readonly name: string
  readonly owner: Owner
  /** Whether the owner is a process that we could ask. */
  readonly known: boolean
}

const claimPattern = /^([0-9a-f]{12})\.([0-9a-f]{12})\.([0-9a-f]{12})\.(\d{1,10})\.(\d{1,20})\.[0-9a-f]{16}\.(claim|\d{1,6}\.tmp)$/

/**
 * A claim of another living owner, if there is one. Clears away what dead ones left.
 * @param own Our own claim, once it is there: then not to see the others is an error, not the absence of others.
 */
async function othersClaim(directory: string, prefix: string, own: string | undefined): Promise<OtherClaim | undefined> {
  let found: OtherClaim | undefined
  const names = await readdir(directory).catch((cause: unknown) => {
    if (own === undefined) return []
    throw cause
  })
  for (const name of names) {
    if (name === own || !name.startsWith(prefix)) continue
    const match = claimPattern.exec(name.slice(prefix.length))
    if (match === null) continue
    const [, host, boot, namespace, pid, started, ending] = match as unknown as [string, string, string, string, string, string, string]
    const owner: Owner = { host, boot, namespace, pid: Number(pid), started }
    const state = await stateOf(owner)
    const stale = state === 'dead' || (state === 'unknown' && (await untouchedMs(join(directory, name))) > patienceMs(owner, await self()))
    if (stale)
      await remove(join(directory, name)).catch(() => {}) // Of another user; a dead owner's claim does not count anyway.
    else if (ending === 'claim') found = { name, owner, known: state === 'alive' }
  }
  return found
}

/** Machines made from one image may bear one name. What was not touched since this one started is of an earlier start of it. */
const patienceMs = (owner: Owner, me: Owner): number =>
  owner.host === me.host && owner.boot !== me.boot ? Math.min(UNKNOWN_OWNER_MS, uptime() * 1000) : UNKNOWN_OWNER_MS

async function untouchedMs(file: string): Promise<number> {
  const found = await stat(file).catch(() => undefined)
  return found === undefined ? Number.POSITIVE_INFINITY : Date.now() - found.mtimeMs
}

async function stateOf(owner: Owner): Promise<'alive' | 'dead' | 'unknown'> {
  const me = await self()
  if (owner.host !== me.host || owner.boot !== me.boot || owner.namespace !== me.namespace) return 'unknown'
  try {
    process.kill(owner.pid, 0)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return 'dead'
  }
  // A number is given to a new process some day; the time it started is not. Of other users it may be hidden.
  const started = await startOf(owner.pid)
  return started === owner.started || started === UNKNOWN_START ? 'alive' : 'dead'
}

let me: Promise<Owner> | undefined

function self(): Promise<Owner> {
  me ??= (async () => {
    const text = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '') // Not on this system.
    return {
      host: short(hostname() + (await text('/etc/machine-id'))),
      boot: short(await text('/proc/sys/kernel/random/boot_id')),
      namespace: short(await readlink('/proc/self/ns/pid').catch(() => '')),
      pid: process.pid,
      started: await startOf(process.pid),
    }
  })()
  return me
}

const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12)

/** Field 22 of /proc/PID/stat; the second one is a name in brackets that may hold anything. */
async function startOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? UNKNOWN_START
}

async function remove(file: string): Promise<void> {
  await unlink(file).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause
  })
}
