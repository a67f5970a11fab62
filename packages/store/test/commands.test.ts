// Commands that are plugins, from outside: what a user of such a program sees.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readLock, updateLockFile } from '@plugwire/trust'
import { commands } from '../src/command/commands.ts'
import { ContentStore } from '../src/content/store.ts'
import { bundle } from '../src/publish/bundle.ts'
import { pack } from '../src/publish/pack.ts'
import { acme, mallory, publish } from './releases.ts'
import { breaking, serve, type TestServer } from './server.ts'

const program = fileURLToPath(new URL('fixtures/acme.js', import.meta.url))
const plugin = await bundle(fileURLToPath(new URL('fixtures/command-plugin.js', import.meta.url)))
const { public: key } = await acme.export()

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Setting {
  readonly server: TestServer
  readonly home: string
  readonly release: (version: string, signer?: typeof acme, contract?: string) => Promise<string>
  readonly run: (
    args: readonly string[],
    more?: { input?: string; interruptAt?: readonly string[]; env?: NodeJS.ProcessEnv },
  ) => Promise<Outcome>
}

async function setting(t: TestContext): Promise<Setting> {
  const server = await serve()
  t.after(() => server[Symbol.asyncDispose]())
  const home = mkdtempSync(join(tmpdir(), 'plugwire-commands-'))
  t.after(() => rmSync(home, { recursive: true, force: true }))
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, ACME_INDEX: server.url, ACME_KEY: key, ACME_HOME: home }
  return {
    server,
    home,
    release: async (version, signer = acme, contract = 'plugwire-command') => {
      mkdirSync(join(home, 'build', version), { recursive: true })
      const path = join(home, 'build', version, 'plugin.js')
      writeFileSync(path, `${Buffer.from(plugin).toString()}\n// ${version}\n`)
      const { manifestPath } = await pack({
        name: 'hi',
        version,
        contract: { name: contract, versions: [1], protocols: ['plugwire'] },
        publisher: { name: 'Acme' },
        builds: { any: { path } },
        out: join(home, 'release'),
      })
      writeFileSync(`${manifestPath}.minisig`, signer.sign(readFileSync(manifestPath)))
      publish(server, join(home, 'release'))
      return manifestPath
    },
    run: (args, { input = '', interruptAt = [], env: more } = {}) =>
      new Promise((resolve, reject) => {
        const child = spawn(process.execPath, [program, ...args], { env: { ...env, ...more } })
        const left = [...interruptAt]
        let stdout = ''
        let stderr = ''
        child.stdout.setEncoding('utf8').on('data', (part: string) => {
          stdout += part
          while (left[0] !== undefined && stdout.includes(left[0])) {
            left.shift()
            child.kill('SIGINT')
          }
        })
        child.stderr.setEncoding('utf8').on('data', (part: string) => {
          stderr += part
        })
        child.stdin.on('error', () => {}).end(input)
        child.on('error', reject).on('close', code => resolve({ code, stdout, stderr }))
      }),
  }
}

test('a command is fetched when it is first used, with one line about it, and never again', async t => {
  const { server, home, release, run } = await setting(t)
  await release('1.0.0')
  const dry = await run(['--dry-run', 'hi'])
  assert.equal(dry.code, 0, dry.stderr)
  assert.match(dry.stdout, /^acme hi would run hi 1\.0\.0, to be fetched from http:\S+\/hi@1\.0\.0, signed by Acme SHA256:\S+\n$/)
  assert.ok(!existsSync(join(home, 'lock')))

  const offline = await run(['--offline', 'hi'])
  assert.equal(offline.code, 1)
  assert.match(offline.stderr, /^acme hi: .*\(ERR_SOURCE_OFFLINE\)\n$/s)

  const first = await run(['hi', 'a', '--dry-run', 'b c'])
  assert.equal(first.code, 0, first.stderr)
  assert.match(first.stderr, /^acme hi: fetched hi 1\.0\.0 from http:\S+, signed by Acme SHA256:\S+\n$/)
  const { pid, ...said } = JSON.parse(first.stdout) as { pid: number }
  assert.ok(pid > 0)
  assert.deepEqual(said, { name: 'acme hi', args: ['a', '--dry-run', 'b c'], terminal: false })
  const lock = readLock(readFileSync(join(home, 'lock', 'plugwire.lock')))
  assert.deepEqual(lock.requests.get(`${server.url}/hi@^1`), { plugin: 'hi', version: '1.0.0' })

  // A newer release changes nothing: the lock file decides.
  await release('1.1.0')
  const asked = server.log.length
  const second = await run(['--offline', 'hi', 'again'])
  assert.equal(second.stderr, '')
  assert.deepEqual((JSON.parse(second.stdout) as { args: string[] }).args, ['again'])
  assert.match((await run(['--dry-run', 'hi'])).stdout, /hi 1\.0\.0, which is here, signed by Acme/)
  assert.equal(server.log.length, asked)
})

test('what a server says does nothing to a terminal', async t => {
  const { server, run } = await setting(t)
  server.files.set('/hi/index.json', JSON.stringify({ plugwire: '\u009b2J\u202e' }))
  const { code, stderr } = await run(['hi'])
  assert.equal(code, 1)
  assert.match(stderr, /it is " 2J ", not index\/1.*\(ERR_SOURCE_MALFORMED\)\n$/)
})

test('what is tried again is told', async t => {
  const { server, release, run } = await setting(t)
  await release('1.0.0')
  const [path, bytes] = [...server.files].find(([path]) => path.endsWith('/plugin.js')) as [string, Uint8Array]
  server.files.set(path, breaking(Buffer.from(bytes), Math.ceil(bytes.length / 2)))
  const { code, stderr } = await run(['hi'])
  assert.equal(code, 0, stderr)
  assert.match(stderr, /^acme hi: plugin\.js: the connection broke; trying again in \d+\.\d s\n(.*again in.*\n)?acme hi: fetched hi/)
})

test("the command has the user's stdin, and its exit code is the program's, however it ends", async t => {
  const { release, run } = await setting(t)
  await release('1.0.0')
  assert.equal((await run(['hi', 'upper'], { input: 'from a pipe' })).stdout, 'FROM A PIPE')
  assert.equal((await run(['hi', 'much', '5000000'])).stdout.length, 5_000_000)
  assert.equal((await run(['hi', 'return', '5'])).code, 5)
  assert.equal((await run(['hi', 'return', '500'])).code, 1)
  assert.deepEqual(await run(['hi', 'exit', '6']), { code: 6, stdout: '', stderr: '' })
  assert.deepEqual(await run(['hi', 'exit', '0']), { code: 0, stdout: '', stderr: '' })
  assert.deepEqual(await run(['hi', 'kill']), { code: 137, stdout: '', stderr: 'acme hi: it was ended by SIGKILL\n' })
  const thrown = await run(['hi', 'throw'])
  assert.equal(thrown.code, 1)
  assert.match(thrown.stderr, /^acme hi: .*no such bucket/)
})

test('Ctrl-C asks the command to stop, a second one ends it', async t => {
  const { release, run } = await setting(t)
  await release('1.0.0')
  assert.deepEqual(await run(['hi', 'wait'], { interruptAt: ['waiting'] }).then(({ code, stdout }) => ({ code, stdout })), {
    code: 7,
    stdout: 'waiting\nstopping\n',
  })
  assert.equal((await run(['hi', 'ignore'], { interruptAt: ['waiting', 'not now'] })).code, 130)
})

test('a release that was tampered with, or is signed by another, is refused and nothing of it is run or locked', async t => {
  const { server, home, release, run } = await setting(t)
  const manifest = await release('1.0.0')
  const file = [...server.files.keys()].find(path => path.endsWith('.js')) as string
  const good = server.files.get(file) as Uint8Array
  server.files.set(file, Buffer.concat([good.subarray(0, -2), Buffer.from('!\n')]))
  const tampered = await run(['hi'])
  assert.equal(tampered.code, 1)
  assert.equal(tampered.stdout, '')
  assert.match(tampered.stderr, /\(ERR_SOURCE_DIGEST\)\n$/)

  server.files.set(file, good)
  server.files.set('/hi/1.0.0/plugwire.json.minisig', mallory.sign(readFileSync(manifest)))
  const foreign = await run(['hi'])
  assert.equal(foreign.code, 1)
  assert.match(foreign.stderr, /\(ERR_TRUST_UNKNOWN_SIGNER\)\n$/)
  assert.ok(!existsSync(join(home, 'lock', 'plugwire.lock')))
})

test('what was damaged on the disk is fetched again', async t => {
  const { home, release, run } = await setting(t)
  const manifest = await release('1.0.0')
  assert.equal((await run(['hi'])).code, 0)
  const { platforms } = JSON.parse(readFileSync(manifest, 'utf8')) as { platforms: { any: { files: Record<string, { sha512: string }> } } }
  const object = (await ContentStore.open(join(home, 'store'))).pathOf(platforms.any.files['plugin.js']!.sha512)
  const bytes = readFileSync(object)
  bytes.write('!', bytes.length - 3)
  chmodSync(object, 0o600)
  writeFileSync(object, bytes)
  const offline = await run(['--offline', 'hi'])
  assert.equal(offline.code, 1)
  assert.match(offline.stderr, /\(ERR_SOURCE_OFFLINE\)\n$/)
  const online = await run(['hi'])
  assert.equal(online.code, 0, online.stderr)
  assert.match(online.stderr, /^acme hi: fetched hi 1\.0\.0/)
})

test('a lock file that says it all is read and not written, as where a program was released with one', async t => {
  const { home, release, run } = await setting(t)
  await release('1.0.0')
  assert.equal((await run(['hi'])).code, 0)
  await release('1.1.0')
  rmSync(join(home, 'store'), { recursive: true })
  const lockFile = join(home, 'lock', 'plugwire.lock')
  // As long as somebody else has it, nobody can write it.
  let finish: () => void = () => {}
  const released = new Promise<void>(resolve => {
    finish = resolve
  })
  const changing = updateLockFile(lockFile, async lock => {
    await released
    return lock
  })
  const { code, stderr } = await run(['hi'])
  finish()
  await changing
  assert.equal(code, 0, stderr)
  assert.match(stderr, /fetched hi 1\.0\.0/)
})

test('what is not a command is told, with those that are', async t => {
  const { run } = await setting(t)
  for (const args of [[], ['--dry-run'], ['ho'], ['--faster', 'hi'], ['__proto__']]) {
    const { code, stderr } = await run(args)
    assert.equal(code, 2, args.join(' '))
    assert.match(stderr, /commands: hi\n$/)
  }
  assert.match((await run(['ho'])).stderr, /^acme: there is no command ho\n/)
  assert.equal((await run(['--help'])).code, 0)
  assert.equal((await run(['hi'])).code, 1) // There is no release.
  assert.throws(() => commands({}, { program: '../acme' }), TypeError)
})

test('a plugin that is no command is not started', async t => {
  const { release, run } = await setting(t)
  await release('1.0.0', acme, 'hello')
  const { code, stdout, stderr } = await run(['hi'])
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(
    stderr,
    /\nacme hi: hi 1\.0\.0 serves the contract hello, and a command has to serve plugwire-command\. .*\(ERR_TRUST_OTHER_PLUGIN\)\n$/,
  )
})

test('an application starts plugins of its own contract by itself', async t => {
  const { release, run } = await setting(t)
  await release('1.0.0')
  const { code, stdout } = await run(['hi', 'x', 'y'], { env: { ACME_OWN: '1' } })
  assert.deepEqual([code, stdout], [3, 'acme hi x y: 1.0.0, pipe\n'])
})

const noTerminal =
  process.platform !== 'linux' || spawnSync('script', ['--version']).error !== undefined
    ? 'CI must not skip: there is no script(1) of util-linux to make a terminal with'
    : false

test('on a terminal the command has it, and one line changes while it is fetched', { skip: noTerminal }, async t => {
  const { server, home, release } = await setting(t)
  await release('1.0.0')
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, ACME_INDEX: server.url, ACME_KEY: key, ACME_HOME: home, SHELL: '/bin/sh' }
  const child = spawn('script', ['-qec', `exec '${process.execPath}' '${program}' hi there`, '/dev/null'], { env })
  let screen = ''
  for await (const part of child.stdout.setEncoding('utf8')) screen += part as string
  const [progress = '', said = ''] = screen.split(/\r?\n/)
  const drawn = progress.split('\r\u001b[K').slice(1)
  assert.ok(drawn.length > 1)
  for (const line of drawn.slice(0, -1)) assert.match(line, /^acme hi: fetching hi 1\.0\.0|^$/)
  assert.match(drawn.at(-1) ?? '', /^acme hi: fetched hi 1\.0\.0/)
  assert.equal((JSON.parse(said) as { terminal: boolean }).terminal, true)
})
