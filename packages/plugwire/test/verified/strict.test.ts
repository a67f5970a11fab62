// What a plugin sees of its host where that is strict, and what a checksum changes of a launch: nothing but what is started.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { StartOptions } from '../../src/process/start.ts'
import { verifyProgram } from '../../src/process/verified/verify.ts'
import { World } from '../fixtures/started.ts'

const skip = process.platform === 'win32' ? 'Windows adds variables of its own' : false
const oddPlugin = fileURLToPath(new URL('../fixtures/odd-plugin.js', import.meta.url))
const checksum = { algorithm: 'sha512', digest: createHash('sha512').update(readFileSync(oddPlugin)).digest('hex') }

let directory: string
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'strict-'))
})
after(() => rmSync(directory, { recursive: true }))

interface Seen {
  readonly env: Record<string, string>
  readonly cwd: string
  readonly argv: readonly string[]
  readonly execArgv: readonly string[]
}

async function seen(plugin: StartOptions['plugin'], options: Partial<StartOptions> = {}): Promise<Seen> {
  await using world = new World()
  await world.start({ plugin, ...options })
  while (world.records.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  return JSON.parse(world.records.map(({ message }) => message).join('')) as Seen
}

const orders = {
  AWS_SECRET_ACCESS_KEY: 's3cret',
  NODE_PATH: '/evil',
  OPENSSL_CONF: '/nowhere',
  PLUGIN_CLIENT_CERT: 'stray',
  PATHOLOGY: 'x',
}
const plain = { PATH: process.env['PATH'] as string, HOME: '/somewhere', LC_ALL: 'C', TZ: 'UTC', XDG_CACHE_HOME: '/somewhere/.cache' }

async function withHost<T>(variables: Record<string, string>, run: () => Promise<T>): Promise<T> {
  const before = { ...process.env }
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, variables)
  try {
    return await run()
  } finally {
    for (const name of Object.keys(process.env)) delete process.env[name]
    Object.assign(process.env, before)
  }
}

const ofLaunch = ['MARK', 'ODD_PLUGIN', 'PLUGIN_MAX_PORT', 'PLUGIN_MIN_PORT', 'PLUGIN_PROTOCOL_VERSIONS', 'PLUGWIRE_HOST']
/** `World` sets it. */
const expected = [...ofLaunch, 'TMPDIR', ...Object.keys(plain)].sort()

describe('a strict environment', { skip }, () => {
  const command = { command: oddPlugin, args: ['environment'] }

  test('is who and where the user is, what was given, and the launch: nothing else', async () => {
    await withHost({ ...orders, ...plain }, async () => {
      const program = await verifyProgram(oddPlugin, checksum, { name: 'odd-plugin.mjs' })
      const verified = await seen({ command: program, args: ['environment'] }, { env: { GIVEN: 'yes' } })
      assert.deepEqual(Object.keys(verified.env).sort(), [...expected, 'GIVEN'].sort())
      const asked = await seen(command, { inheritEnv: 'strict' })
      assert.deepEqual(Object.keys(asked.env).sort(), expected)
    })
  })

  test('is not what anybody gets who does not ask for it', async () => {
    await withHost({ ...orders, ...plain }, async () => {
      const { env } = await seen(command)
      assert.equal(env['AWS_SECRET_ACCESS_KEY'], 's3cret')
      assert.ok(!('PLUGIN_CLIENT_CERT' in env))
    })
  })
})

describe('a checksum', { skip }, () => {
  test('changes nothing of arguments, directory, runtime arguments and environment', async () => {
    mkdirSync(join(directory, 'bin'))
    cpSync(oddPlugin, join(directory, 'bin', 'odd.mjs'))
    const command = { command: 'bin/odd.mjs', args: ['environment', 'a b', '--', '-e'], cwd: directory, execArgv: ['--no-warnings'] }
    const options = { env: { GIVEN: 'yes' }, inheritEnv: ['PATH', 'HOME'] }
    const [without, checked] = [await seen(command, options), await seen(command, { ...options, checksum })]
    assert.deepEqual([checked.argv, checked.cwd], [without.argv, without.cwd])
    assert.deepEqual(checked.argv, ['a b', '--', '-e'])
    assert.deepEqual(Object.keys(checked.env).sort(), Object.keys(without.env).sort())
    assert.ok(checked.execArgv.includes('--no-warnings') && !checked.execArgv.some(argument => argument.includes('createHash')))
  })

  test('finds a bare name in the PATH that the plugin gets', async () => {
    const script = `#!/bin/sh\nexec ${process.execPath} ${oddPlugin} environment\n`
    writeFileSync(join(directory, 'odd-in-path'), script, { mode: 0o755 })
    const digest = { algorithm: 'sha256', digest: createHash('sha256').update(script).digest() }
    const { env } = await seen({ command: 'odd-in-path' }, { checksum: digest, env: { PATH: `${directory}:/bin:/usr/bin` } })
    assert.equal(env['PATH'], `${directory}:/bin:/usr/bin`)
  })

  test('of what was verified already is one too many, and says so', async () => {
    await using world = new World()
    using program = await verifyProgram(oddPlugin, checksum, { name: 'odd-plugin.mjs' })
    const { facts } = await world.fails('ERR_CONTRACT', world.start({ plugin: program, checksum }))
    assert.match(facts.reason, /verified already/)
  })

  test('is checked before anything runs, and an abort meanwhile is an abort', async () => {
    await using world = new World()
    const wrong = { ...checksum, digest: 'ab'.repeat(64) }
    await world.fails('ERR_CHECKSUM', world.start({ plugin: oddPlugin, checksum: wrong }))
    const controller = new AbortController()
    const start = world.start({ plugin: oddPlugin, checksum, signal: controller.signal })
    controller.abort()
    await world.fails('ERR_LAUNCH_ABORTED', start)
  })
})
