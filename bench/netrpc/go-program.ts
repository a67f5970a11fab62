// Builds go/main.go once for each state of its sources, outside of the tree.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Beside the sources: build/netrpc/../../netrpc/go.
const directory = fileURLToPath(new URL('../../netrpc/go', import.meta.url))

/** @throws When there is no Go here, or with what it says when it does not build. */
export function goProgram(): string {
  const hash = createHash('sha256')
  for (const file of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(directory, file)))
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'plugwire', 'bench')
  const program = join(cache, `go-netrpc-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(program)) return program
  mkdirSync(cache, { recursive: true })
  const half = `${program}.${process.pid}`
  const env = { ...process.env, GOWORK: 'off', CGO_ENABLED: '0' }
  const { status, error, stderr } = spawnSync('go', ['build', '-p', '1', '-trimpath', '-buildvcs=false', '-o', half, '.'], {
    cwd: directory,
    env,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`go build: ${error?.message ?? stderr}`)
  renameSync(half, program)
  return program
}
