// Go's own encoding/gob, for comparison: builds interop/gob once per version of its sources, outside the tree, and talks to it.

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const sources = fileURLToPath(new URL('../../../../../interop/gob/', import.meta.url))

/** Why tests against Go cannot run here; undefined when they can. In CI they always must. */
export function whyNoGo(): string | undefined {
  if (spawnSync('go', ['version']).status === 0) return undefined
  if (process.env['CI'] === 'true') throw new Error('go is not on the path, and in CI the tests against Go may not be skipped')
  return 'go is not on the path'
}

/** Path of the program. */
export function buildGoSide(): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(sources).sort()) hash.update(name).update(readFileSync(join(sources, name)))
  const directory = join(tmpdir(), 'plugwire-interop')
  const program = join(directory, `gob-${hash.digest('hex').slice(0, 16)}${process.platform === 'win32' ? '.exe' : ''}`)
  if (existsSync(program)) return program
  mkdirSync(directory, { recursive: true })
  const half = `${program}.${process.pid}`
  const built = spawnSync('go', ['build', '-p', '1', '-o', half, '.'], { cwd: sources, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`go build: ${built.stderr}`)
  renameSync(half, program)
  return program
}

export interface GoAnswer {
  readonly error?: string
  readonly value?: unknown
  readonly hex?: string
}

/** Asks one question after the other. */
export class GoSide {
  readonly #child = spawn(buildGoSide(), ['serve'], { stdio: ['pipe', 'pipe', 'inherit'] })
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()

  async ask(question: object): Promise<GoAnswer> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('the Go side ended')
    return JSON.parse(value as string)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end()
    if (this.#child.exitCode === null) await new Promise(resolve => this.#child.once('exit', resolve))
  }
}
