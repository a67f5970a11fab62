// What a process holds, from Linux's smaps_rollup; elsewhere there is no such figure.

import { readFileSync } from 'node:fs'
import type { Figures } from './subject.ts'

/** Megabytes (2^20): resident, proportional (shared pages divided among their users) and private. */
export function memoryOf(pid: number): Figures {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  } catch {
    return {}
  }
  const megabytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024
  return { rss: megabytes('Rss'), pss: megabytes('Pss'), private: megabytes('Private_Clean') + megabytes('Private_Dirty') }
}
