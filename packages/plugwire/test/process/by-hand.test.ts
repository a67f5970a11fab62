import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPluginError } from '../../src/errors.ts'
import { runByHand } from '../../src/process/by-hand.ts'
import { encodeServedContract, findServedContract } from '../../src/wire/served-contract.ts'

const plugin = fileURLToPath(new URL('../fixtures/serves-two-versions.js', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'by-hand-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const script = (name: string, text: string): string => {
  writeFileSync(join(directory, `${name}.mjs`), text)
  return join(directory, `${name}.mjs`)
}

test('a plugin tells its contract when it is asked, whatever else it prints', async () => {
  const { contract, exitCode, timedOut, stdoutTail } = await runByHand(plugin)
  assert.deepEqual([exitCode, timedOut], [0, false])
  assert.match(stdoutTail, /^half a line\n/)
  assert.ok(contract)
  assert.equal(contract.name, 'two')
  assert.deepEqual(contract.cookie, { key: 'TWO', value: 'versions' })
  assert.deepEqual(contract.versions, [
    { version: 1, kinds: ['old'] },
    { version: 3, kinds: ['old', 'new'] },
  ])
  assert.match(contract.runtime, /^(node|bun|deno) /)
})

test('not asked, it says what it is and exits with 1', async () => {
  const { contract, exitCode, stderrTail } = await runByHand(plugin, { describe: false })
  assert.deepEqual([contract, exitCode], [undefined, 1])
  assert.match(stderrTail, /This program is a plugin \(two\)/)
})

test('with the cookie in its environment it is launched, not asked', async () => {
  const { contract, exitCode, stderrTail } = await runByHand(plugin, {
    env: { TWO: 'versions', PLUGIN_UNIX_SOCKET_DIR: '/no/such/directory' },
  })
  assert.equal(contract, undefined)
  assert.equal(exitCode, 1)
  assert.match(stderrTail, /cannot be reached by its host/)
})

test('what does not end is ended, with everything that it started', async () => {
  const note = join(directory, 'grandchild')
  const program = script(
    'stays',
    `import { spawn } from 'node:child_process'
    import { writeFileSync } from 'node:fs'
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    writeFileSync(${JSON.stringify(note)}, String(child.pid))
    console.error('staying')
    setInterval(() => {}, 1000)`,
  )
  const aborter = new AbortController()
  const running = runByHand(program, { signal: aborter.signal })
  while (!existsSync(note) || readFileSync(note, 'utf8') === '') await new Promise(resolve => setTimeout(resolve, 10))
  aborter.abort(new Error('enough'))
  await assert.rejects(running, cause => isPluginError(cause, 'ERR_LAUNCH_ABORTED'))
  await ended(Number(readFileSync(note, 'utf8')))

  const late = await runByHand(program, { timeoutMs: 500 })
  assert.deepEqual([late.timedOut, late.exitCode, late.signal], [true, null, null])
  await ended(Number(readFileSync(note, 'utf8')))
})

test('endless output costs bounded memory and hides no contract that came before it', async () => {
  const line = encodeServedContract({
    name: 'loud',
    cookie: { key: 'K', value: 'v' },
    versions: [{ version: 1, kinds: [] }],
    runtime: 'x',
    plugwire: '1',
  })
  const loud = script('loud', `console.log(${JSON.stringify(line)})\nfor (let n = 0; n < 3000; n++) console.log('x'.repeat(1000))`)
  const { contract, stdoutTail } = await runByHand(loud)
  assert.equal(contract?.name, 'loud')
  assert.ok(stdoutTail.length < 10_000)
})

test('what cannot be started is refused as in a launch', async () => {
  await assert.rejects(runByHand(join(directory, 'missing')), cause => isPluginError(cause, 'ERR_PLUGIN_NOT_FOUND'))
})

test('an answer that cannot be used is none', () => {
  const good = { plugwire: '1', name: 'n', cookie: { key: 'k', value: 'v' }, versions: [{ version: 2, kinds: ['a'] }], runtime: 'r' }
  const lineOf = (change: object): string => JSON.stringify({ ...good, ...change })
  assert.equal(findServedContract(`noise\n${lineOf({})}\nnoise`)?.name, 'n')
  assert.equal(findServedContract(`${lineOf({ name: 'first' })}\n${lineOf({ name: 'last', later: true })}`)?.name, 'last')
  assert.deepEqual(
    findServedContract(lineOf({ versions: [...good.versions, { version: 1, kinds: [] }] }))?.versions.map(({ version }) => version),
    [1, 2],
  )
  for (const bad of [
    '',
    '{"plugwire":',
    '{"plugwire":"1"}',
    lineOf({ name: 7 }),
    lineOf({ cookie: null }),
    lineOf({ cookie: { key: 'k' } }),
    lineOf({ versions: [] }),
    lineOf({ versions: 'all' }),
    lineOf({ versions: [null] }),
    lineOf({ versions: [{ version: '1', kinds: [] }] }),
    lineOf({ versions: [{ version: 1, kinds: [1] }] }),
  ]) {
    assert.equal(findServedContract(bad), undefined, bad)
  }
})

/** A killed process may take a moment to be gone; one that was spared runs into the time limit of the test. */
async function ended(pid: number): Promise<void> {
  while (isRunning(pid)) await new Promise(resolve => setTimeout(resolve, 10))
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A zombie that nobody has waited for yet is not running.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
