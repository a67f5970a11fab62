// Builds Go programs into a cache outside of the tree: once for each state of their sources and each Go, one at a time on this machine,
// with little of its processor. It knows no peer and no plugin.

import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { availableParallelism, homedir, setPriority } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Where everything is kept that was built. */
export const cache: string = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'plugwire', 'interop')

const version: string | undefined = await run('go', ['version'], { env: goEnvironment() }).then(
  ({ stdout }) => stdout.trim(),
  () => undefined,
)

/** The `skip` of tests that need Go: false where it is on the path, otherwise why they cannot run. */
export const goMissing: string | false = version === undefined && 'CI must not skip: there is no go on the path'

/** The sources of a program, or of what it needs, could not be fetched. */
export class Unfetched extends Error {}

/** Builds programs, and resolves to the `skip` of the tests that need them: why they cannot be had here, false when they are there. */
export async function skipUnlessBuilt(build: () => Promise<unknown>): Promise<string | false> {
  if (goMissing) return goMissing
  try {
    await build()
    return false
  } catch (error) {
    if (error instanceof Unfetched) return `CI must not skip: ${error.message.split('\n')[0]}`
    throw error
  }
}

export interface GoBuild {
  /** Of the program, and of its folder in the cache. */
  readonly name: string
  /** Fetches what is needed and resolves to the folder where go builds. A failure counts as `Unfetched`. */
  readonly fetch: (go: Go) => Promise<string>
  /** Files whose contents decide whether it is built again. */
  readonly sources?: readonly string[]
  /** Anything else that decides so. */
  readonly state?: readonly string[]
  /** Flags of `go build`. */
  readonly arguments?: readonly string[]
  /** What is built. Default `.`. */
  readonly package?: string
}

/** Runs go at low priority, in a folder; resolves to its stdout. */
export type Go = (directory: string, ...command: string[]) => Promise<string>

/**
 * Builds a program, unless it is there already.
 *
 * @returns Its path.
 * @throws When there is no Go, or with what go said when it does not build.
 */
export async function buildGo(build: GoBuild): Promise<string> {
  if (version === undefined) throw new Error(`${build.name} is written in Go, and there is no go on the path`)
  const hash = createHash('sha256')
  for (const part of [version, process.arch, ...(build.arguments ?? []), build.package ?? '.', ...(build.state ?? [])])
    hash.update(`${part}\0`)
  for (const file of build.sources ?? []) hash.update(`${basename(file)}\0`).update(await readFile(file))
  const program = join(cache, `${build.name}-${hash.digest('hex').slice(0, 16)}`, build.name)
  if (existsSync(program)) return program
  await mkdir(dirname(program), { recursive: true })
  // One for all programs: two builds at once would need twice the memory and no less time.
  const unlock = await lock(join(cache, 'building'), build.name)
  try {
    if (existsSync(program)) return program
    const began = Date.now()
    console.error(`interop: building ${build.name} with ${version}; the first time it also fetches modules`)
    const go: Go = (directory, ...command) => politely(command, directory, build.name)
    const directory = await build.fetch(go).catch(error => {
      throw new Unfetched(`${build.name} could not be fetched\n${error.message}`)
    })
    const unfinished = `${program}.${process.pid}`
    // A developer's machine has other things to do.
    const flags = [
      '-p',
      process.env['CI'] === 'true' ? String(availableParallelism()) : '1',
      '-trimpath',
      '-mod=readonly',
      ...(build.arguments ?? []),
    ]
    await go(directory, 'build', ...flags, '-o', unfinished, build.package ?? '.')
    await rename(unfinished, program)
    console.error(`interop: built ${build.name} in ${((Date.now() - began) / 1000).toFixed(1)} s`)
    return program
  } finally {
    await unlock()
  }
}

/** Runs go at low priority. Resolves to what it wrote to stdout. */
async function politely(command: readonly string[], directory: string, name: string): Promise<string> {
  const child = spawn('go', command, { cwd: directory, env: goEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  if (child.pid !== undefined) setPriority(child.pid, 15)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`go ${command.join(' ')} (for ${name}, in ${directory}) ended with ${code}:\n${stderr.slice(-4000)}`)
  return stdout
}

/** Flags of the surroundings stay, but no workspace of a parent folder and no C. */
function goEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, GOWORK: 'off', CGO_ENABLED: '0', GOFLAGS: `${process.env['GOFLAGS'] ?? ''} -buildvcs=false`.trim() }
}

/** All files below a folder, sorted, without tests of Go. */
export function goSources(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return files.map(entry => join(entry.parentPath, entry.name)).sort()
}

/** Waits for another builder, on this machine, that has the same lock. */
async function lock(path: string, name: string): Promise<() => Promise<void>> {
  for (let told = false; ; told = true) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => '0'))
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now())
    if (owner > 0 ? !isAlive(owner) : age > 10_000) await rm(path, { force: true })
    else if (!told) console.error(`interop: ${name} waits for another build (process ${owner}, ${path})`)
    await setTimeout(200)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
