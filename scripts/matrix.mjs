// Runs the smoke programs under every runtime that plugwire promises to work on. Runtimes come from npm, as plain binaries without install
// scripts, into a cache outside the repository (PLUGWIRE_RUNTIMES, else ~/.cache/plugwire/runtimes).
//
//   node scripts/matrix.mjs [part of a runtime's name …]
//
// A smoke program is a built file of packages/*/test/smoke/: it exits 0 when all is well, 77 when it cannot run here (the last line it
// prints is the reason), anything else is a failure. It uses no test runner, because not every runtime has one that we could share.

import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { performance } from 'node:perf_hooks'
import { readWorkspaces, root } from './workspaces.mjs'

const PROGRAM_TIMEOUT_MS = 60_000
const SKIPPED = 77
const arch = process.arch
const system = process.platform
const node = version => ({ name: `node ${version}`, spec: `node-${system}-${arch}@${version}`, binary: 'bin/node', args: [] })

/** The one this program runs under is always there; it stands for the oldest that is supported. */
const runtimes = [
  { name: `node ${process.versions.node} (this one)`, binary: process.execPath, args: [] },
  node('22.23.3'),
  node('24.21.0'),
  node('26.10.0'),
  { name: 'bun 1.4.5', spec: `@oven/bun-${system}-${arch === 'arm64' ? 'aarch64' : arch}@1.4.5`, binary: 'bin/bun', args: [] },
  {
    name: 'deno 2.9.6',
    spec: `@deno/${system}-${arch}${system === 'linux' ? '-glibc' : ''}@2.9.6`,
    binary: 'deno',
    args: ['run', '--allow-all', '--no-lock', '--node-modules-dir=manual'],
  },
]

const cache = process.env.PLUGWIRE_RUNTIMES ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'plugwire', 'runtimes')
const filters = process.argv.slice(2)
const programs = (await readWorkspaces()).flatMap(smokePrograms)
const rows = []
const count = { passed: 0, failed: 0, skipped: 0 }

for (const runtime of runtimes.filter(({ name }) => filters.length === 0 || filters.some(filter => name.includes(filter)))) {
  const binary = await fetchRuntime(runtime)
  for (const program of programs) {
    const { outcome, reason, ms } = binary.path
      ? await runProgram(binary.path, runtime.args, program)
      : { outcome: 'skipped', reason: binary.reason, ms: 0 }
    count[outcome]++
    rows.push([runtime.name, relative(root, program).replace('build/test/', ''), outcome, `${ms} ms`, reason])
  }
}

const widths = [0, 1, 2, 3].map(column => Math.max(...rows.map(row => row[column].length)))
for (const [runtime, program, outcome, ms, reason] of rows) {
  const cells = [runtime.padEnd(widths[0]), program.padEnd(widths[1]), outcome.padEnd(widths[2]), ms.padStart(widths[3])]
  console.log(`${cells.join('  ')}${reason ? `  ${reason.replace(/\n/g, `\n    `)}` : ''}`)
}
if (programs.length === 0) console.log('no smoke program was built: run `npm run build` first')
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exitCode = count.failed > 0 || count.passed === 0 ? 1 : 0

/** Resolves to `{ path }` of the runtime's binary, or to `{ reason }` when npm does not serve it for this machine. */
async function fetchRuntime({ spec, binary }) {
  if (spec === undefined) return { path: binary }
  const directory = join(cache, spec.replaceAll('/', '+'))
  const path = join(directory, 'node_modules', spec.slice(0, spec.lastIndexOf('@')), binary)
  if (existsSync(path)) return { path }
  const temporary = `${directory}.${process.pid}`
  await mkdir(temporary, { recursive: true })
  const args = [
    'install',
    '--prefix',
    temporary,
    '--ignore-scripts',
    '--no-save',
    '--no-package-lock',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const { code, stdout, stderr } = await run('npm', [...args, spec], { cwd: temporary })
  if (code !== 0) {
    await rm(temporary, { recursive: true, force: true })
    return { reason: `npm does not serve ${spec}: ${`${stdout}${stderr}`.trim().split('\n')[0]}` }
  }
  await rm(directory, { recursive: true, force: true })
  await rename(temporary, directory)
  return existsSync(path) ? { path } : { reason: `${spec} holds no ${binary}` }
}

async function runProgram(binary, args, program) {
  const started = performance.now()
  const { code, stdout, stderr } = await run(binary, [...args, program], { timeout: PROGRAM_TIMEOUT_MS, killSignal: 'SIGKILL' })
  const ms = Math.round(performance.now() - started)
  if (code === 0) return { outcome: 'passed', reason: '', ms }
  if (code === SKIPPED) return { outcome: 'skipped', reason: stdout.trim().split('\n').at(-1) || 'no reason given', ms }
  return { outcome: 'failed', reason: `exit ${code}\n${`${stdout}${stderr}`.trim()}`, ms }
}

function run(command, args, options) {
  return new Promise(resolve => {
    const child = execFile(
      command,
      args,
      { maxBuffer: 1 << 24, env: { ...process.env, NO_COLOR: '1' }, ...options },
      (error, stdout, stderr) => {
        resolve({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr })
      },
    )
    child.stdin?.end()
  })
}

function smokePrograms({ directory }) {
  const built = join(directory, 'build', 'test', 'smoke')
  if (!existsSync(built)) return []
  return readdirSync(built)
    .filter(file => file.endsWith('.js') && existsSync(join(directory, 'test', 'smoke', `${basename(file, '.js')}.ts`)))
    .sort()
    .map(file => join(built, file))
}
