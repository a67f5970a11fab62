// What importing a library costs a process that has node:net already, as every host and plugin has.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const file = fileURLToPath(new URL('./import-cost-child.js', import.meta.url))

/** Milliseconds, in a fresh process. */
export async function importCost(specifier: string): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [file, specifier])
  return Number(stdout)
}
