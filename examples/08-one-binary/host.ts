// Runs the same program three times: as modules, as one file, and as an executable that needs no Node. Ends with code 77 where none can be made.

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { bundle, executable, noExecutable } from './build.ts'

const directory = await mkdtemp(join(tmpdir(), 'one-binary-'))
try {
  const missing = await noExecutable()
  const shown = [
    await say('modules', process.execPath, fileURLToPath(new URL('program.js', import.meta.url))),
    await say('one file', process.execPath, await bundle(directory)),
    missing === undefined ? await say('one executable', await executable(directory)) : undefined,
  ]
  console.log(missing ?? shown.join('\n'))
  if (missing !== undefined) process.exitCode = 77
} finally {
  await rm(directory, { recursive: true })
}

async function say(what: string, program: string, ...args: readonly string[]): Promise<string> {
  // Nothing of ours lies in that directory: what runs is in the file.
  const { stdout, stderr } = await promisify(execFile)(program, [...args, 'one', 'two', 'three'], { cwd: tmpdir() })
  return `${what}:\n${(stdout + stderr).trimEnd().replace(/^/gm, '  ')}`
}
