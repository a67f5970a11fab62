// Builds the Go half once, into the cache of this user.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The code by which `npm run examples` knows that something is missing here. */
const NEEDS_MORE = 77

/** The program's path. Ends this process when there is no Go. */
export function greeterInGo(): string {
  const sources = fileURLToPath(new URL('../../07-netrpc-greeter/go/', import.meta.url))
  const hash = createHash('sha256')
  for (const file of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(sources, file)))
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'plugwire', 'examples')
  const program = join(cache, `greeter-${hash.digest('hex').slice(0, 16)}${process.platform === 'win32' ? '.exe' : ''}`)
  if (existsSync(program)) return program
  mkdirSync(cache, { recursive: true })
  const half = `${program}.${process.pid}`
  const env = { ...process.env, GOWORK: 'off', CGO_ENABLED: '0' }
  const flags = ['build', '-p', '1', '-trimpath', '-buildvcs=false', '-mod=readonly', '-o', half, '.']
  const { status, error, stderr } = spawnSync('go', flags, { cwd: sources, env, encoding: 'utf8' })
  if (error !== undefined) {
    console.log('this example needs Go on the path')
    process.exit(NEEDS_MORE)
  }
  if (status !== 0) throw new Error(`go build: ${stderr}`)
  renameSync(half, program)
  return program
}
