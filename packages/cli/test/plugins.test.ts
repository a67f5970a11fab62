import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Outcome, plugwire, root } from './command.ts'

interface World {
  readonly directory: string
  readonly publisher: string
  readonly user: string
  /** Runs a command in the user's directory. */
  readonly run: (...args: readonly string[]) => Promise<Outcome>
  /** Runs it in the publisher's, and it has to succeed. */
  readonly publish: (...args: readonly string[]) => Promise<Outcome>
}

/** A publisher and a user who share nothing but a directory of releases. */
async function worldOf(t: TestContext): Promise<World> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'plugwire-cli-plugins-')))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const [publisher, user] = ['publisher', 'user'].map(name => join(directory, name)) as [string, string]
  mkdirSync(join(publisher, 'node_modules'), { recursive: true })
  mkdirSync(user)
  symlinkSync(join(root, 'packages', 'plugwire'), join(publisher, 'node_modules', 'plugwire'))
  writeFileSync(join(publisher, 'package.json'), '{"name":"@acme/hi","version":"1.0.0","type":"module"}')
  writeFileSync(
    join(publisher, 'plugin.ts'),
    `import { contract } from 'plugwire'
import { serve } from 'plugwire/plugin'
const hi = contract<{ greeter: { hello(name: string): Promise<string> } }>({ name: 'hi', version: 1 })
await serve(hi, { greeter: () => ({ hello: async (name: string) => \`hello \${name}\` }) })
`,
  )
  const env = {
    HOME: directory,
    XDG_CONFIG_HOME: join(directory, 'config'),
    XDG_DATA_HOME: join(directory, 'data'),
    PLUGWIRE_STORE: undefined,
    npm_config_userconfig: join(directory, 'npmrc'),
  }
  const publish = async (...args: readonly string[]): Promise<Outcome> => {
    const outcome = await plugwire(args, { cwd: publisher, env })
    assert.equal(outcome.code, 0, outcome.stderr)
    return outcome
  }
  await publish('keygen', '--out', 'acme', '--no-password')
  return { directory, publisher, user, run: (...args) => plugwire(args, { cwd: user, env }), publish }
}

async function release({ publish }: World, version: string): Promise<void> {
  await publish('pack', 'plugin.ts', '--bundle', '--version', version, '--publisher', 'acme', '--key', 'acme.pub')
  await publish('sign', `release/@acme/hi/${version}/plugwire.json`, '--key', 'acme.key')
}

const json = (outcome: Outcome): never => {
  assert.equal(outcome.code, 0, outcome.stderr)
  return JSON.parse(outcome.stdout) as never
}
const errorOf = ({ code, stderr }: Outcome): { exit: number | null; code: string; message: string } => ({
  exit: code,
  ...(JSON.parse(stderr) as { error: { code: string; message: string } }).error,
})

test('from one side to the other: pack, sign, trust, install, call', async t => {
  const world = await worldOf(t)
  const { run, user, publisher } = world
  await release(world, '1.0.0')
  const address = 'file:../publisher/release/@acme/hi'

  const stranger = errorOf(await run('install', address, '--json'))
  assert.deepEqual([stranger.exit, stranger.code], [1, 'ERR_TRUST_UNKNOWN_SIGNER'])
  assert.match(stranger.message, /SHA256:/)
  assert.equal(existsSync(join(user, 'plugwire.lock')), false)
  json(await run('trust', 'add', 'acme', join(publisher, 'acme.pub'), '--yes', '--json'))

  const planned = json(await run('install', address, '--dry-run', '--json')) as { dryRun: boolean; plugins: [{ action: string }] }
  assert.deepEqual([planned.dryRun, planned.plugins[0].action, existsSync(join(user, 'plugwire.lock'))], [true, 'would-install', false])
  const installed = await run('install', address)
  assert.equal(installed.code, 0, installed.stderr)
  assert.match(
    installed.stdout,
    /^@acme\/hi 1\.0\.0 {3}installed from file:\.\.\/publisher\/release\/@acme\/hi#1\.0\.0\n {2}signed by acme SHA256:/,
  )
  assert.equal(installed.stderr, '', 'no bar where there is no terminal')

  const called = await run('call', '--installed', '@acme/hi', 'greeter.hello', '"you"')
  assert.deepEqual([called.code, called.stdout], [0, "'hello you'\n"], called.stderr)
  assert.match((await run('inspect', '--installed', address)).stdout, /@acme\/hi 1\.0\.0 \(verified, pipe\)/)
  assert.match((await run('list')).stdout, /^@acme\/hi 1\.0\.0 .* kB/)
  assert.match((await run('why', '@acme/hi')).stdout, /asked for by file:\.\.\/publisher.*\n.*\n.*signed by {4}acme SHA256:/)

  await release(world, '1.1.0')
  const [newer] = (json(await run('outdated', '--json')) as { plugins: { current: string; wanted: string }[] }).plugins
  assert.deepEqual([newer?.current, newer?.wanted], ['1.0.0', '1.1.0'])
  assert.match((await run('update')).stdout, /1\.0\.0 → 1\.1\.0 {3}installed/)
  assert.match((await run('outdated')).stdout, /newest/)
  const planning = json(await run('gc', '--dry-run', '--json')) as { removed: { objects: number } }
  assert.ok(planning.removed.objects > 0)
  assert.match((await run('gc')).stdout, /^removed \d+ objects/)
  assert.equal((await run('call', '--installed', '@acme/hi', 'greeter.hello', '"again"')).stdout, "'hello again'\n")

  // What was damaged is not started.
  const objects = join(world.directory, 'data', 'plugwire', 'store', 'objects')
  for (const name of readdirSync(objects, { recursive: true }) as string[]) {
    const path = join(objects, name)
    if (!statSync(path).isFile() || statSync(path).size < 10_000) continue
    chmodSync(path, 0o600)
    writeFileSync(path, `${readFileSync(path, 'utf8')} `)
  }
  assert.equal((await run('call', '--installed', '@acme/hi', 'greeter.hello', '"you"')).code, 1)
})

test('remove takes plugins out of the lock file, and gc frees the store', async t => {
  const world = await worldOf(t)
  const { run, user, publisher } = world
  await release(world, '1.0.0')
  json(await run('trust', 'add', 'acme', join(publisher, 'acme.pub'), '--yes', '--json'))
  const address = 'file:../publisher/release/@acme/hi'
  assert.equal((await run('install', address)).code, 0)
  const lockText = (): string => readFileSync(join(user, 'plugwire.lock'), 'utf8')
  const locked = lockText()

  const unknown = errorOf(await run('remove', '@acme/hi', '@acme/ho', '--json'))
  assert.deepEqual([unknown.exit, unknown.code], [1, 'ERR_SOURCE_NOT_FOUND'])
  assert.match(unknown.message, /@acme\/ho.*It has @acme\/hi\./)
  assert.match((await run('remove', '@acme/hi@2.0.0')).stderr, /no such version.*It has @acme\/hi@1\.0\.0\./)
  assert.match((await run('remove', '@acme/hi', '--dry-run')).stdout, /^@acme\/hi 1\.0\.0 {3}would be removed/)
  assert.equal(lockText(), locked, 'neither a refusal nor a dry run writes')

  // One version: who signed is remembered.
  const one = json(await run('remove', '@acme/hi@1.0.0', '--json')) as { plugins: unknown[] }
  assert.deepEqual(one.plugins, [{ name: '@acme/hi', versions: ['1.0.0'], requests: [address], forgotten: false }])
  const rest = JSON.parse(lockText()) as { plugins: Record<string, { highest: string; versions: object }>; requests: object }
  assert.deepEqual([rest.plugins['@acme/hi']?.highest, rest.plugins['@acme/hi']?.versions, rest.requests], ['1.0.0', {}, {}])
  assert.equal((await run('install', address)).code, 0)
  assert.equal(lockText(), locked)

  const removed = await run('remove', '@acme/hi')
  assert.equal(removed.code, 0, removed.stderr)
  assert.match(removed.stdout, /removed from plugwire\.lock\n {2}asked for by file:.*\n.*plugwire gc frees/)
  assert.deepEqual(JSON.parse(lockText()), { lockVersion: 1, plugins: {}, requests: {} })
  const freed = json(await run('gc', '--json')) as { removed: { objects: number }; kept: { objects: number } }
  assert.ok(freed.removed.objects > 0)
  assert.equal(freed.kept.objects, 0)
})

test('of several plugins the others come when one fails, and that is said', async t => {
  const world = await worldOf(t)
  const { run, publish, publisher } = world
  await release(world, '1.0.0')
  await publish('pack', 'plugin.ts', '--bundle', '--name', '@acme/ho', '--version', '1.0.0', '--publisher', 'acme', '--key', 'acme.pub')
  await publish('sign', 'release/@acme/ho/1.0.0/plugwire.json', '--key', 'acme.key')
  json(await run('trust', 'add', 'acme', join(publisher, 'acme.pub'), '--yes', '--json'))
  const [hi, ho] = ['hi', 'ho'].map(name => `file:../publisher/release/@acme/${name}`) as [string, string]
  assert.equal((await run('install', hi, ho)).code, 0)
  rmSync(join(publisher, 'release', '@acme', 'hi'), { recursive: true })

  const shown = await run('install', '--store', '../fresh')
  assert.equal(shown.code, 1)
  assert.match(shown.stdout, /^@acme\/ho 1\.0\.0 {3}installed/)
  assert.match(shown.stderr, /^ERR_SOURCE_NOT_FOUND: .*\n1 of 2 could not be installed: file:.*\/hi\n$/)
  const named = await run('install', hi, ho, '--store', '../named')
  assert.deepEqual([named.code, named.stdout.split(' ')[0]], [1, '@acme/ho'])
  assert.match(named.stderr, /1 of 2 could not be installed/)
  const updated = await run('update', '--store', '../updated')
  assert.deepEqual([updated.code, updated.stdout.split(' ')[0]], [1, '@acme/ho'])
  const alone = await run('install', hi, '--store', '../alone')
  assert.deepEqual([alone.code, alone.stdout], [1, ''])
  assert.doesNotMatch(alone.stderr, / of 1 /)
  await publish('pack', 'plugin.ts', '--bundle', '--name', '@acme/ho', '--version', '1.1.0', '--publisher', 'acme', '--key', 'acme.pub')
  const newer = await run('outdated')
  assert.deepEqual([newer.code, newer.stdout], [1, '@acme/ho 1.0.0   1.1.0 by plugwire update\n'])
  assert.match(newer.stderr, /^ERR_SOURCE_NOT_FOUND: /)
  assert.equal((JSON.parse((await run('outdated', '--json')).stdout) as { failed: unknown[] }).failed.length, 1)
  const told = await run('install', '--store', '../fresher', '--json')
  const report = JSON.parse(told.stdout) as {
    plugins: { request: string; action: string }[]
    failed: { request: string; error: { code: string } }[]
  }
  assert.deepEqual([told.code, report.plugins.map(({ request, action }) => [request, action])], [1, [[ho, 'installed']]])
  assert.deepEqual(
    report.failed.map(({ request, error }) => [request, error.code]),
    [[hi, 'ERR_SOURCE_NOT_FOUND']],
  )
  assert.equal(errorOf(told).code, 'ERR_SOURCE_NOT_FOUND')
})

test('what is tried again has its line, also where there is no terminal', async t => {
  const world = await worldOf(t)
  const { run, publisher } = world
  await release(world, '1.0.0')
  json(await run('trust', 'add', 'acme', join(publisher, 'acme.pub'), '--yes', '--json'))
  const asked = new Set<string>()
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    const isFirst = !asked.has(path)
    asked.add(path)
    const file = join(publisher, 'release', path)
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end()
    const bytes = readFileSync(file)
    if (!isFirst || /plugwire\.json|sig$/.test(path)) return void response.end(bytes)
    if (path.endsWith('.json')) return void response.writeHead(503).end()
    response.writeHead(200, { 'content-length': bytes.length })
    response.write(bytes.subarray(0, bytes.length / 2), () => setImmediate(() => response.destroy()))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/@acme/hi`
  const installed = await run('install', address, '--loopback')
  assert.equal(installed.code, 0, installed.stderr)
  const lines = installed.stderr.trimEnd().split('\n')
  assert.match(lines[0] ?? '', /^http:.*\.json: the server answered 503; trying again in \d+\.\d s$/)
  assert.match(lines[1] ?? '', /: the connection broke; trying again in \d+\.\d s$/)
  asked.clear()
  const outdated = await run('outdated', '--loopback', '--json')
  assert.equal(outdated.code, 0, outdated.stderr)
  assert.equal((JSON.parse(outdated.stderr) as { retry: { reason: string } }).retry.reason, 'the server answered 503')
})

test('the first use of a publisher wants its fingerprint', async t => {
  const world = await worldOf(t)
  const { run } = world
  await release(world, '1.0.0')
  const address = 'file:../publisher/release/@acme/hi'
  const asked = errorOf(await run('install', address, '--first-use', '--json'))
  assert.deepEqual([asked.exit, asked.code], [1, 'CLI_FINGERPRINT'])
  const [fingerprint = ''] = /SHA256:\S+/.exec(asked.message) ?? []
  assert.equal(
    errorOf(await run('install', address, '--first-use', '--fingerprint', `${fingerprint.slice(0, -1)}~`, '--json')).code,
    'ERR_TRUST_UNKNOWN_SIGNER',
  )
  assert.equal((await run('install', address, '--fingerprint', fingerprint)).code, 2)
  assert.equal((await run('install', address, '--first-use', '--fingerprint', fingerprint)).code, 0)
  // From now on it is known, for this plugin.
  await release(world, '1.1.0')
  assert.equal((await run('update')).code, 0)
})

test('refusals and mistakes have their exit codes', async t => {
  const { run, publish, directory, user, publisher } = await worldOf(t)
  assert.match((await run('install')).stdout, /asks for no plugin/)
  const cases: readonly [args: readonly string[], exit: number, code: string][] = [
    [['install', 'nonsense'], 1, 'ERR_SOURCE_ADDRESS'],
    [['install', 'http://example.com/aws'], 1, 'ERR_SOURCE_ADDRESS'],
    [['install', 'file:nowhere'], 1, 'ERR_SOURCE_NOT_FOUND'],
    [['install', 'https://127.0.0.1:1/aws', '--offline'], 1, 'ERR_SOURCE_OFFLINE'],
    [['update', 'nobody'], 1, 'ERR_SOURCE_NOT_FOUND'],
    [['why', 'nobody'], 1, 'ERR_SOURCE_NOT_FOUND'],
    [['remove', 'nobody'], 1, 'ERR_SOURCE_NOT_FOUND'],
    [['remove'], 2, 'CLI_USAGE'],
    [['call', '--installed', 'nobody', 'a.b'], 1, 'ERR_STORE_MISSING'],
    [['pack'], 2, 'CLI_USAGE'],
    [['pack', 'x.js', '--name', 'x', '--version', '1.0.0'], 2, 'CLI_USAGE'],
    [['pack', 'x.js', '--name', 'x', '--version', '1.0.0', '--publisher', 'acme', '--contract', 'x'], 1, 'ERR_STORE_IO'],
    [['discover'], 2, 'CLI_USAGE'],
    [['install', '--frobnicate'], 2, 'CLI_USAGE'],
  ]
  for (const [args, exit, code] of cases) {
    const error = errorOf(await run(...args, '--json'))
    assert.deepEqual([error.exit, error.code], [exit, code], `${args.join(' ')}: ${error.message}`)
  }
  for (const command of ['discover', 'install', 'update', 'outdated', 'list', 'why', 'remove', 'gc', 'pack'])
    assert.match((await run(command, '--help')).stdout, /--json/, command)
  // One that cannot say what it serves has to be told; a program for one platform, without asking it.
  writeFileSync(join(publisher, 'mute'), '#!/bin/sh\nexit 3\n', { mode: 0o755 })
  const packed = await publish(
    'pack',
    '--platform',
    'linux-arm64=mute',
    '--publisher',
    'acme',
    '--contract',
    'hi',
    '--contract-versions',
    '2,1',
    '--protocol',
    'grpc',
    '--json',
  )
  assert.equal((JSON.parse(packed.stdout) as { type: string }).type, 'program')
  const dry = await publish('pack', 'plugin.ts', '--bundle', '--version', '9.0.0', '--publisher', 'acme', '--dry-run')
  assert.match(dry.stdout, /would write/)
  assert.equal(existsSync(join(publisher, 'release', '@acme', 'hi', '9.0.0')), false)
  assert.ok(directory.length > 0 && user.length > 0)
})

test('discover lists, explains and trusts', async t => {
  const { run, user, directory } = await worldOf(t)
  const put = (path: string, mode: number): void => {
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, '')
    chmodSync(path, mode)
  }
  put(join(directory, 'data', 'acme', 'plugins', 'acme-plugin-aws_v1.0.0'), 0o755)
  put(join(directory, 'data', 'acme', 'plugins', 'acme-plugin-aws_v2.0.0'), 0o777)
  put(join(directory, 'data', 'acme', 'plugins', 'notes.txt'), 0o644)
  put(join(user, 'acme-plugin-here'), 0o755)
  put(join(user, 'acme-plugin-\u001b[32mx\nok safe 1.0.0'), 0o755)
  const found = (await run('discover', 'acme')).stdout
  assert.match(found, /no aws 2\.0\.0 .*\n {3}everybody may write to it\. If you know what is in it: chmod go-w/)
  assert.match(found, /ok aws 1\.0\.0/)
  assert.match(found, /^no \\u\{1b\}\[32mx\\u\{a\}ok safe 1\.0\.0 /m)
  assert.doesNotMatch(found, /^ok safe/m)
  assert.match(found, /no here .*\n.*stranger's.*plugwire discover --trust/)
  assert.match(found, /notes\.txt: its name does not fit acme-plugin-\*/)
  assert.equal((await run('discover', '--trust', '.')).code, 0)
  const report = json(await run('discover', 'acme', '--plugin', 'here', '--json')) as { candidates: { runnable: boolean }[] }
  assert.deepEqual(
    report.candidates.map(({ runnable }) => runnable),
    [true],
  )
  assert.equal((await run('discover', '--distrust', '.')).code, 0)
  assert.match((await run('discover', 'acme', '--plugin', 'here')).stdout, /^no here/)
  assert.match((await run('discover', 'acme', '--plugin', 'aws', '--range', '^2', '--json')).stdout, /"other-version"/)
})
