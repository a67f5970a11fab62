// Loaded into every test file: ends the file when one of its tests takes too long, because Node 20 knows a time limit only for whole
// files. test.mjs reads the line that is written here and counts that test as failed.

import { writeSync } from 'node:fs'
import { afterEach, beforeEach } from 'node:test'

const timeoutMs = Number(process.env.PLUGWIRE_TEST_TIMEOUT_MS)
delete process.env.PLUGWIRE_TEST_TIMEOUT_MS // a test looks at an environment of its own
const running = new Map()

beforeEach(test => {
  const name = test.fullName ?? test.name
  const timer = setTimeout(() => {
    writeSync(2, `test-timeout: ${name}: did not finish within ${timeoutMs} ms; the rest of the file was not run\n`)
    process.exit(1)
  }, timeoutMs)
  running.set(name, timer.unref())
})

afterEach(test => {
  const name = test.fullName ?? test.name
  clearTimeout(running.get(name))
  running.delete(name)
})
