// Runs every example and holds its output against the one in its README: the text has to be the same, and where the page has a number
// any number will do. `npm run examples`; arguments choose by name, `--fix` writes what the programs say into the pages.

import { spawn } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** For one example; each needs some seconds, but those that run programs in Go build them first, once. */
const LIMIT_MS = 300_000

/** With this code an example ends that needs a program which is not there. What it prints says which. In CI all have to be there. */
const NEEDS_MORE = 77

class Missing {
  readonly what: string

  constructor(what: string) {
    this.what = what
  }

  toString(): string {
    return `CI must not skip: ${this.what}`
  }
}

const here = fileURLToPath(new URL('..', import.meta.url))
const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { fix: { type: 'boolean', default: false } },
})
const numbered = (await readdir(here)).filter(name => /^\d\d-/.test(name)).sort()
const names = [...numbered, 'sift'].filter(name => wanted.length === 0 || wanted.some(part => name.includes(part)))
let failed = 0
let skipped = 0

for (const name of names) {
  const started = performance.now()
  const problem = await run(name)
  const seconds = ((performance.now() - started) / 1_000).toFixed(1)
  if (problem instanceof Missing && process.env['CI'] !== 'true') {
    skipped++
    console.log(`skipped ${name}: ${problem.what}`)
    continue
  }
  console.log(`${problem === undefined ? 'ok    ' : 'FAILED'} ${name}, ${seconds} s`)
  if (problem === undefined) continue
  failed++
  console.log(String(problem).replace(/^/gm, '  | '))
}
console.log(`${names.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed > 0 || names.length === 0 ? 1 : 0

/** Resolves to what is wrong, or missing. */
async function run(name: string): Promise<string | Missing | undefined> {
  const page = await readFile(`${here}/${name}/README.md`, 'utf8')
  const expected = /^```text output\n([\s\S]*?)^```$/m.exec(page)?.[1]
  const program = name === 'sift' ? 'main.js' : 'host.js'
  const child = spawn(process.execPath, [`${here}/build/${name}/${program}`], { stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_MS })
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<[number | null, string | null]>(resolve => child.once('close', (code, signal) => resolve([code, signal]))),
  ])
  if (code === NEEDS_MORE) return new Missing(stdout.trim())
  if (code !== 0) return `ended with ${signal ?? `code ${code}`}\n${stdout}${stderr}`
  // What sift says depends on what it reads; its tests hold it to that.
  if (name === 'sift') return /^\d+ files, .* findings in/m.test(stdout) ? undefined : `no report in\n${stdout}`
  if (expected === undefined) return 'its README has no ```text output block'
  if (plain(stdout) !== plain(expected) && options.fix) {
    await writeFile(
      `${here}/${name}/README.md`,
      page.replace(expected, () => stdout),
    )
    return undefined
  }
  return plain(stdout) === plain(expected) ? undefined : `README.md says\n${expected}\nthe program said\n${stdout}${stderr}`
}

function plain(output: string): string {
  return output.replace(/\d+(?:\.\d+)?/g, 'N').trim()
}
