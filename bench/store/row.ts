// What discovery costs: a directory of a thousand candidates, each with a manifest.

import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { discover } from '@plugwire/store'
import { currentPlatform } from '@plugwire/trust'
import type { Figures, Started } from '../harness/subject.ts'

const CANDIDATES = 1_000
const directory = join(tmpdir(), `plugwire-bench-${process.pid}`, 'candidates')
let made = false

export function open(): Promise<Started> {
  return Promise.reject(new Error('only discovery is measured here'))
}

/** CPU time of one look, of this thread and those that read files for it. */
export async function verify(): Promise<Figures> {
  if (!made) make()
  const before = process.cpuUsage()
  const { candidates } = await discover({ application: 'bench', directories: [directory], places: [] })
  const { user, system } = process.cpuUsage(before)
  if (candidates.filter(({ refusals }) => refusals.length === 0).length !== CANDIDATES) throw new Error('candidates were refused')
  return { ms: (user + system) / 1_000 }
}

function make(): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  const platforms = { [currentPlatform()]: { entry: 'plugin', files: {} } }
  for (let index = 0; index < CANDIDATES; index++) {
    const file = join(directory, `bench-plugin-p${index}_v1.0.${index}`)
    const manifest = {
      plugwire: 'manifest/1',
      name: `p${index}`,
      version: `1.0.${index}`,
      type: 'program',
      publisher: { name: 'Bench' },
      contract: { name: 'bench', versions: [1], protocols: ['plugwire'] },
      platforms,
    }
    writeFileSync(file, '', { mode: 0o755 })
    writeFileSync(`${file}.plugwire.json`, JSON.stringify(manifest))
  }
  made = true
}
