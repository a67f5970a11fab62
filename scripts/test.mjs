// Runs the built tests with node:test and counts what really ran. The last line is always `N passed, N failed, N skipped`.
//
//   node --enable-source-maps scripts/test.mjs [part of a path …]     only files whose path contains one of the parts
//   --concurrency N    files at one time (default 2; a test mostly waits for other processes)
//   --dots             a dot for each test instead of its name
//
// With CI=true a test whose skip reason begins with `CI must not skip` counts as failed: there it has to run.

import { existsSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { run } from 'node:test'
import { dot, spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'
import { readWorkspaces, root } from './workspaces.mjs'

/** For one test (test-timeout.mjs); a whole file gets ten times as long. */
const TEST_TIMEOUT_MS = 60_000
const MUST_NOT_SKIP = 'CI must not skip'
const inCI = process.env.CI === 'true'

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: 'string', default: '2' }, dots: { type: 'boolean', default: false } },
})

const files = (await readWorkspaces()).flatMap(testsOf).filter(matches)
const skipped = []
const failures = []
let passed = 0

if (files.length > 0) {
  process.env.PLUGWIRE_TEST_TIMEOUT_MS ??= String(TEST_TIMEOUT_MS)
  // Node 20 hands the arguments of this process to the test files; later versions want to be told.
  process.execArgv.push(`--import=${new URL('test-timeout.mjs', import.meta.url)}`)
  const seen = new Set()
  const ended = new Set()
  const events = run({
    files,
    concurrency: Number(options.concurrency),
    timeout: Number(process.env.PLUGWIRE_TEST_TIMEOUT_MS) * 10,
    execArgv: process.execArgv,
  })
  events.on('test:pass', test => {
    if (test.details.type === 'suite') return
    if (isFile(test)) {
      if (!seen.has(test.file)) failures.push(`${label(test)}: holds no test`)
      return
    }
    seen.add(test.file)
    if (test.skip === undefined && test.todo === undefined) passed++
    else skip(test)
  })
  events.on('test:fail', test => {
    const onlyByWhatItHolds = test.details.error?.failureType === 'subtestsFailed'
    if (onlyByWhatItHolds && (!isFile(test) || seen.has(test.file))) return
    if (isFile(test) && ended.has(test.name)) return
    seen.add(test.file)
    if (test.todo === undefined) failures.push(label(test))
    else skip(test)
  })
  events.on('test:stderr', ({ file, message }) => {
    const late = /^test-timeout: (.*)$/m.exec(message)
    if (!late) return
    ended.add(file)
    failures.push(`${relative(root, file)} › ${late[1]}`)
  })
  const report = options.dots ? events.compose(dot) : events.compose(new spec())
  for await (const text of report) process.stdout.write(text)
}

if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map(({ name, reason }) => `  ${name}: ${reason}`).join('\n')}`)
if (failures.length > 0) console.log(`\nfailed:\n${failures.map(name => `  ${name}`).join('\n')}`)
if (files.length === 0) console.log(`no test file ${filters.length > 0 ? `matches ${filters.join(' or ')}` : 'was built'}`)
console.log(`${passed} passed, ${failures.length} failed, ${skipped.length} skipped`)
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0

function skip(test) {
  const reason = [test.skip, test.todo].find(value => typeof value === 'string' && value !== '') ?? 'no reason given'
  if (inCI && reason.startsWith(MUST_NOT_SKIP)) failures.push(`${label(test)}: skipped, ${reason}`)
  else skipped.push({ name: label(test), reason })
}

/** A file itself is reported like a test, by its path, when it holds no test or when it fails as a whole. */
function isFile(test) {
  return test.nesting === 0 && files.some(file => test.name === file || test.name === relative(process.cwd(), file))
}

function label(test) {
  const file = files.find(known => known === test.file) ?? test.file ?? ''
  return isFile(test) ? relative(root, file || test.name) : `${relative(root, file)} › ${test.name}`
}

/** Built test files of a workspace, as absolute paths, without those whose source is gone. */
function testsOf({ directory }) {
  const built = join(directory, 'build', 'test')
  if (!existsSync(built)) return []
  return readdirSync(built, { recursive: true })
    .filter(file => file.endsWith('.test.js') && existsSync(join(directory, 'test', file.replace(/\.js$/, '.ts'))))
    .sort()
    .map(file => join(built, file))
}

function matches(file) {
  const source = relative(root, file).replace(`build${sep}`, '').replace(/\.js$/, '.ts')
  return filters.length === 0 || filters.some(filter => source.includes(filter) || relative(root, file).includes(filter))
}
