// sift from outside: what it finds, what becomes of bad parsers, and how it ends. The plugins are real processes.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { filesUnder } from '../sift/host/sources.ts'
import { type Job, sift } from '../sift/sift.ts'

const main = fileURLToPath(new URL('../sift/main.js', import.meta.url))
let directory: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sift-'))
  await writeFile(join(directory, 'a.md'), '# Title\n\nplugins are programs\n```\nnot words\n```\n')
  await writeFile(join(directory, 'b.ts'), "// why\nimport { x } from 'node:fs'\n\nimport './local.ts'\nconst y = x\n")
  await writeFile(join(directory, 'c.json'), '{ "a": [1, { "b": "}" }], "b": ":" }\n')
  await writeFile(join(directory, 'd.log'), '2026-01-01T10:00:00 INFO up\n2026-01-01T10:30:00 ERROR down\n2026-01-01T11:00:00 INFO up\n')
  await writeFile(join(directory, 'e.jsonc'), '{\n  // a comment\n  "c": 1 }\n')
  await writeFile(join(directory, 'LICENSE'), 'do as you like\n')
})
after(() => rm(directory, { recursive: true }))

async function run(trouble: boolean, options: Partial<Job> = {}) {
  const job: Job = {
    sources: await filesUnder([directory], trouble),
    parallel: 4,
    deadlineMs: 30_000,
    outputs: [],
    top: 3,
    signal: new AbortController().signal,
    ...options,
  }
  const report = await sift(job)
  return { ...report, sums: Object.fromEntries(report.summary.map(({ label, value }) => [label, value])) }
}

test('it counts what is there, by the parser for each kind', async () => {
  const { files, sums, tops, troubles, plugins } = await run(false)
  assert.equal(files, 5)
  assert.deepEqual(troubles, [])
  assert.deepEqual(sums, {
    'lines of text': 6,
    words: 4,
    headings: 1,
    'lines of code': 3,
    'lines of comment': 1,
    'json keys': 4,
    'log lines': 3,
  })
  const ranking = (title: string) => tops.find(top => top.title === title)?.rows
  assert.deepEqual(ranking('imports'), [{ label: 'node:fs', value: 1 }])
  assert.deepEqual(ranking('json keys')?.[0], { label: 'b', value: 2 })
  assert.deepEqual(ranking('levels'), [
    { label: 'INFO', value: 2 },
    { label: 'ERROR', value: 1 },
  ])
  assert.deepEqual(ranking('busiest hours')?.[0], { label: '2026-01-01 10:00', value: 2 })
  assert.deepEqual(plugins.find(({ name }) => name === 'json')?.instances.toSorted(), ['json', 'json with comments'])
})

test('two instances of one sink write what was found, each in its format', async () => {
  const [csv, jsonl] = [join(directory, 'out.csv'), join(directory, 'out.jsonl')]
  const { findings, outputs } = await run(false, {
    outputs: [
      { path: csv, format: 'csv' },
      { path: jsonl, format: 'jsonl' },
    ],
  })
  await Promise.all([rm(csv), rm(jsonl)])
  assert.deepEqual(outputs, [
    { label: csv, value: findings },
    { label: jsonl, value: findings },
  ])
})

test('a parser that crashes is named with its last words, and its file is read in another way', async () => {
  const { files, troubles, plugins } = await run(true, {
    sources: (await filesUnder([directory], true)).filter(({ name }) => !name.endsWith('LICENSE')),
  })
  assert.equal(files, 5)
  assert.deepEqual(
    troubles.map(({ code, then }) => [code, then]),
    [
      ['ERR_PLUGIN_EXITED', 'retried'],
      ['ERR_PLUGIN_EXITED', 'read as text'],
    ],
  )
  assert.match(troubles[0]?.lastWords ?? '', /fragile: a comment in .*e\.jsonc, line 2/)
  assert.equal(new Set(plugins.filter(({ name }) => name === 'fragile').map(({ pid }) => pid)).size, 2)
})

test('a parser that hangs costs its own file only', async () => {
  const { files, troubles } = await run(true, { deadlineMs: 2_000 })
  assert.equal(files, 5)
  assert.deepEqual(
    troubles.filter(({ parser }) => parser === 'stuck').map(({ code, then }) => [code, then]),
    [['ERR_CALL_TIMEOUT', 'skipped']],
  )
})

test('an interrupted run reports what was done', async () => {
  const interrupt = new AbortController()
  const { files, interrupted } = await run(true, {
    signal: interrupt.signal,
    onProgress: progress => {
      if (progress.files === 5) interrupt.abort()
    },
  })
  assert.equal(interrupted, true)
  assert.equal(files, 5)
})

test('a sink that cannot be opened ends the run with its error', async () => {
  await assert.rejects(run(false, { outputs: [{ path: join(directory, 'no', 'such', 'directory.csv'), format: 'csv' }] }), {
    code: 'ENOENT',
  })
})

async function command(args: readonly string[], onOutput: (output: string, interrupt: () => void) => void = () => {}) {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
    onOutput(output, () => child.kill('SIGINT'))
  })
  const [stderr, code] = await Promise.all([text(child.stderr), new Promise<number | null>(resolve => child.once('close', resolve))])
  return { code, stdout: output, stderr }
}

test('the command explains itself and says what is wrong', async () => {
  const help = await command(['--help'])
  assert.equal(help.code, 0)
  assert.match(help.stdout, /^sift \[options\]/)
  assert.equal((await command(['--no-such-option'])).code, 2)
  const missing = await command([join(directory, 'missing')])
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /ENOENT/)
})

test('its report is also there as JSON, and its files as CSV and JSON lines', async () => {
  const out = join(directory, 'out')
  const { code, stdout } = await command(['--json', '--out', out, join(directory, 'a.md'), join(directory, 'd.log')])
  await using _cleanUp = { [Symbol.asyncDispose]: () => rm(out, { recursive: true }) }
  assert.equal(code, 0)
  const report = JSON.parse(stdout) as { files: number; findings: number }
  assert.equal(report.files, 2)
  const lines = (await readFile(join(out, 'findings.jsonl'), 'utf8')).trim().split('\n')
  assert.equal(lines.length, report.findings)
  assert.ok(lines.some(line => (JSON.parse(line) as { text?: string }).text === 'Title'))
  assert.equal((await readFile(join(out, 'findings.csv'), 'utf8')).trim().split('\n').length, report.findings + 1)
})

test('Ctrl-C ends it with a report', async () => {
  let interrupted = false
  const { code, stdout } = await command(['--trouble', '--deadline', '60000', directory], (output, interrupt) => {
    if (interrupted || !output.includes('read as text')) return
    interrupted = true
    interrupt()
  })
  assert.equal(code, 130)
  assert.match(stdout, /\(interrupted\)/)
})
