// Who works in a directory that several processes share, told by the names of files. A name is used once and never again, so whoever finds that
// its owner is gone may remove the file: nobody else's can have taken its place. Knows no store.

import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { hostname } from 'node:os'

/** Files of a process on another machine, or in another container, are left alone for this long. Milliseconds. */
const FOREIGN_LIFE_MS = 24 * 60 * 60 * 1000

let place: string | undefined

/** Where process ids mean the same: this machine since it was started, and this container. */
function placeOfProcess(): string {
  if (place === undefined) {
    const parts = [hostname()]
    try {
      parts.push(
        readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8),
        readlinkSync('/proc/self/ns/pid').replace(/\D/g, ''),
      )
    } catch {
      // Only Linux has these; elsewhere the machine's name has to do.
    }
    place = parts
      .join('_')
      .replace(/[^A-Za-z0-9_]/g, '_')
      .slice(0, 80)
  }
  return place
}

/**
 * When a process began, in the system's own count; empty where that cannot be told. Keeps a number that was used again from passing for its predecessor.
 * One that has ended began never, also when nobody has taken note of its end: in many containers nobody ever does.
 */
function beginOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : (fields[19] ?? '')
  } catch {
    return ''
  }
}

let begin: string | undefined

/** A name that only this process ever uses, e.g. `4711.83022.box_3f2a.9c1e…`. */
export function participantName(): string {
  begin ??= beginOf(process.pid)
  return `${process.pid}.${begin}.${placeOfProcess()}.${randomBytes(8).toString('hex')}`
}

/**
 * Whether whoever made a name still runs. When that cannot be known, it does.
 * @param path The file of that name, for its age.
 * @param foreignLifeMs How long nothing has to be heard of somebody who is not on this machine, or in another container. Milliseconds, default a day.
 */
export function isPresent(name: string, path: string, foreignLifeMs: number = FOREIGN_LIFE_MS): boolean {
  const [pid = '', started = '', where = ''] = name.split('.')
  if (!/^\d+$/.test(pid)) return false
  if (where !== placeOfProcess()) {
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
    return age < foreignLifeMs
  }
  try {
    process.kill(Number(pid), 0)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return started === '' || beginOf(Number(pid)) === started
}
