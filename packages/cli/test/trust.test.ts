import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { digestFile, encodeManifest, generateKey, type Manifest } from '@plugwire/trust'
import type { KeygenReport } from '../src/commands/keygen.ts'
import type { SignReport } from '../src/commands/sign.ts'
import type { TrustReport } from '../src/commands/trust.ts'
import type { VerifyReport } from '../src/commands/verify.ts'
import { bin, type Outcome, plugwire } from './command.ts'
import { noTerminal, onTerminal } from './terminal.ts'

const directory = mkdtempSync(join(tmpdir(), 'plugwire-cli-trust-'))
after(() => rmSync(directory, { recursive: true, force: true }))

/** A place of its own for each test, with its own trusted keys. */
function place(name: string): { readonly at: (path: string) => string; readonly run: (...args: readonly string[]) => Promise<Outcome> } {
  const cwd = join(directory, name)
  mkdirSync(cwd)
  return { at: path => join(cwd, path), run: (...args) => plugwire(args, { cwd, env: { XDG_CONFIG_HOME: join(cwd, 'config') } }) }
}

const report = <T>({ code, stdout, stderr }: Outcome): T => {
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout) as T
}

const refused = ({ code, stderr, stdout }: Outcome, error: string, says: RegExp, exit = 1): void => {
  assert.deepEqual([code, stdout], [exit, ''], stderr)
  assert.match(stderr, new RegExp(`^${error}: `))
  assert.match(stderr, says)
}

const program = Buffer.from('#!/bin/sh\n')
const manifest = (fields: Partial<Manifest> = {}): Uint8Array =>
  encodeManifest({
    name: '@acme/aws',
    version: '2.1.0',
    type: 'program',
    contract: { name: 'cloud', versions: [1], protocols: ['plugwire'] },
    publisher: { name: 'acme' },
    platforms: { any: { entry: 'bin/aws', files: { 'bin/aws': digestFile(program), readme: digestFile(program) } } },
    ...fields,
  })

test('from a new key to a verified manifest, as a person does it', async () => {
  const { at, run } = place('person')
  const made = await run('keygen', '--no-password')
  assert.equal(made.code, 0, made.stderr)
  const [fingerprint = ''] = /SHA256:\S+/.exec(made.stdout) ?? []
  assert.equal(statSync(at('plugwire.key')).mode & 0o777, 0o600)
  writeFileSync(at('plugin.json'), manifest())
  assert.match(
    (await run('sign', 'plugin.json', '--key', 'plugwire.key')).stdout,
    /^plugin\.json\.minisig {3}@acme\/aws 2\.1\.0, signed by SHA256:/,
  )

  refused(await run('verify', 'plugin.json'), 'ERR_TRUST_UNKNOWN_SIGNER', /no key of "acme" is trusted yet.*\n?.*plugwire trust add/)
  assert.match(
    (await run('trust', 'add', 'acme', 'plugwire.pub', '--fingerprint', fingerprint)).stdout,
    /acme is trusted for every plugin: SHA256/,
  )
  const verified = await run('verify', 'plugin.json')
  assert.match(
    verified.stdout,
    /^ok {3}@acme\/aws 2\.1\.0 by acme\n {5}signed by SHA256:\S+ \(minisign, pinned\): "timestamp:\d+\\thashed"\n$/,
  )
  assert.match((await run('trust')).stdout, /^acme {3}every plugin\n {2}SHA256:\S+ {3}configured, 20\d\d-/)
})

test('the same for a program, with JSON', async () => {
  const { at, run } = place('program')
  const key = report<KeygenReport>(await run('keygen', '--format', 'ssh', '--out', 'release', '--json'))
  assert.deepEqual([key.format, key.secretKey, key.publicKey, key.encrypted], ['ssh', 'release.key', 'release.pub', false])
  assert.equal(readFileSync(at('release.pub'), 'utf8'), `${key.key}\n`)
  writeFileSync(at('plugin.json'), manifest({ notAfter: '2999-01-01T00:00:00Z' }))
  const signed = report<SignReport>(await run('sign', 'plugin.json', '--key', 'release.key', '--json'))
  assert.deepEqual(signed, {
    file: 'plugin.json',
    signature: 'plugin.json.sig',
    document: 'manifest/1',
    plugin: { name: '@acme/aws', version: '2.1.0' },
    fingerprint: key.fingerprint,
  })
  mkdirSync(at('files/bin'), { recursive: true })
  writeFileSync(at('files/bin/aws'), program)
  writeFileSync(at('files/readme'), program)
  const args = ['verify', 'plugin.json', '--key', 'release.pub', '--plugin', '@acme/aws', '--version', '2.1.0']
  const verified = report<VerifyReport>(await run(...args, '--files', 'files', '--json'))
  assert.deepEqual(verified, {
    file: 'plugin.json',
    plugin: '@acme/aws',
    version: '2.1.0',
    publisher: 'acme',
    basis: 'pinned',
    signers: [{ publisher: 'acme', fingerprint: key.fingerprint, format: 'ssh' }],
    manifestSha512: createHash('sha512')
      .update(readFileSync(at('plugin.json')))
      .digest('hex'),
    notAfter: '2999-01-01T00:00:00Z',
    platform: 'any',
    filesChecked: 2,
  })
  // The documents that are verified may lie there, too.
  for (const name of ['plugin.json', 'plugin.json.sig']) copyFileSync(at(name), at(`files/${name}`))
  const beside = ['verify', 'files/plugin.json', '--key', 'release.pub', '--files', 'files', '--json']
  assert.equal(report<VerifyReport>(await run(...beside)).filesChecked, 2)
  refused(await run(...args, '--files', 'files'), 'ERR_TRUST_FILE', /holds 4 files, the manifest names 2/)
  for (const name of ['plugin.json', 'plugin.json.sig']) rmSync(at(`files/${name}`))
  // The key may also be given as it is.
  report(await run('verify', 'plugin.json', '--key', key.key, '--json'))

  writeFileSync(at('files/readme'), 'changed!!\n')
  refused(await run(...args, '--files', 'files'), 'ERR_TRUST_FILE', /readme is not the file/)
  writeFileSync(at('files/more'), '')
  refused(await run(...args, '--files', 'files'), 'ERR_TRUST_FILE', /holds 3 files, the manifest names 2/)
  rmSync(at('files/more'))
  symlinkSync('bin/aws', at('files/link'))
  refused(await run(...args, '--files', 'files'), 'CLI_USAGE', /neither a file nor a directory/, 2)
  const { stderr } = await run('verify', 'plugin.json', '--key', 'release.pub', '--plugin', '@acme/azure', '--json')
  assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'ERR_TRUST_OTHER_PLUGIN')
})

test('links that lead round in circles and pipes that nobody writes to hold nothing up', {
  skip: process.platform === 'win32' ? 'there are no pipes with a name' : false,
}, async () => {
  const { at, run } = place('traps')
  const { key } = report<KeygenReport>(await run('keygen', '--no-password', '--json'))
  writeFileSync(at('plugin.json'), manifest())
  report(await run('sign', 'plugin.json', '--key', 'plugwire.key', '--json'))
  mkdirSync(at('files'))
  for (const name of ['a', 'b']) symlinkSync('.', at(`files/${name}`))
  refused(await run('verify', 'plugin.json', '--key', key, '--files', 'files'), 'CLI_USAGE', /neither a file nor a directory/, 2)
  const release = ['--name', 'a', '--version', '1.0.0', '--publisher', 'acme', '--contract', 'c', '--entry', 'x.js']
  refused(await run('pack', 'files', ...release), 'ERR_STORE_IO', /it is a link or a device/)
  refused(await run('pack', 'files', ...release, '--contract-versions', '1,'), 'CLI_USAGE', /write whole numbers/, 2)
  spawnSync('mkfifo', [at('plugin.json.sig'), at('plugwire.lock')])
  refused(await run('verify', 'plugin.json', '--key', key), 'CLI_USAGE', /plugin\.json\.sig is no file/, 2)
  rmSync(at('plugin.json.sig'))
  refused(await run('verify', 'plugin.json', '--key', key, '--lock', 'plugwire.lock'), 'ERR_LOCK_MALFORMED', /no regular file/)
  symlinkSync('/dev/zero', at('plugin.json.sig'))
  refused(await run('verify', 'plugin.json', '--key', key), 'CLI_USAGE', /plugin\.json\.sig has more than 16777216 bytes/, 2)
  rmSync(at('plugin.json.sig'))
  // A pipe that was named is read as a file is.
  const named = spawnSync('bash', ['-c', `${process.execPath} ${bin} verify plugin.json --key <(cat plugwire.pub)`], { cwd: at('.') })
  assert.equal(named.status, 0, named.stderr.toString())
})

test('what strangers wrote does nothing to a terminal, and JSON has it as it is', async () => {
  const { at, run } = place('escapes')
  const source = 'https://x/\u001b]0;title\u0007\u009b2J\u202e'
  const version = { manifest: 'ab'.repeat(64), platforms: {}, source }
  const plugins = { a: { highest: '1.0.0', signer: null, versions: { '1.0.0': version } } }
  writeFileSync(at('plugwire.lock'), JSON.stringify({ lockVersion: 1, plugins, requests: {} }))
  const env = { XDG_DATA_HOME: at('data') }
  const listed = await plugwire(['list'], { cwd: at('.'), env })
  assert.ok(listed.stdout.includes('https://x/\\u{1b}]0;title\\u{7}\\u{9b}2J\\u{202e}\n'), JSON.stringify(listed))
  const json = await plugwire(['list', '--json'], { cwd: at('.'), env })
  assert.ok(json.stdout.includes(JSON.stringify(source)), json.stdout)
  const strange = await run('verify', 'no\u001b[2Jfile')
  refused(strange, 'CLI_USAGE', /^CLI_USAGE: no\\u\{1b\}\[2Jfile cannot be read/, 2)
})

test('what is refused: unsigned, changed, expired, signed by another key', async () => {
  const { at, run } = place('refused')
  report(await run('keygen', '--no-password', '--out', 'a', '--json'))
  report(await run('keygen', '--no-password', '--out', 'b', '--json'))
  const verify = (): Promise<Outcome> => run('verify', 'plugin.json', '--key', 'a.pub')
  writeFileSync(at('plugin.json'), manifest())
  refused(await verify(), 'ERR_SIGNATURE_MISSING', /is not signed/)
  report(await run('sign', 'plugin.json', '--key', 'b.key', '--json'))
  refused(await verify(), 'ERR_TRUST_UNKNOWN_SIGNER', /not a key of "acme"/)
  report(await run('sign', 'plugin.json', '--key', 'a.key', '--json'))
  assert.equal((await verify()).code, 0)
  writeFileSync(at('plugin.json'), manifest({ version: '2.1.1' }))
  refused(await verify(), 'ERR_SIGNATURE_INVALID', /not of these bytes/)
  writeFileSync(at('plugin.json'), manifest({ notAfter: '2020-01-01T00:00:00Z' }))
  report(await run('sign', 'plugin.json', '--key', 'a.key', '--json'))
  refused(await verify(), 'ERR_MANIFEST_EXPIRED', /until 2020-01-01/)
})

test('a manifest that was written by hand is brought into its form when that is asked for', async () => {
  const { at, run } = place('hand')
  report(await run('keygen', '--no-password', '--json'))
  const byHand = JSON.stringify({ plugwire: 'manifest/1', ...(JSON.parse(Buffer.from(manifest()).toString()) as object) })
  writeFileSync(at('plugin.json'), byHand)
  refused(await run('sign', 'plugin.json', '--key', 'plugwire.key'), 'ERR_MANIFEST_MALFORMED', /not in canonical form/)
  assert.equal(readFileSync(at('plugin.json'), 'utf8'), byHand)
  report(await run('sign', 'plugin.json', '--key', 'plugwire.key', '--rewrite', '--json'))
  assert.deepEqual(readFileSync(at('plugin.json')), Buffer.from(manifest()))
  writeFileSync(at('other.json'), '{"name": "x"}')
  refused(await run('sign', 'other.json', '--key', 'plugwire.key'), 'CLI_USAGE', /is no manifest/, 2)
  writeFileSync(
    at('wrong.json'),
    manifest().map(byte => (byte === 0x32 ? 0x78 : byte)),
  )
  refused(await run('sign', 'wrong.json', '--key', 'plugwire.key'), 'ERR_MANIFEST_FIELD', /version/)
})

test('a key with a password, which comes from a file', async () => {
  const { at, run } = place('password')
  writeFileSync(at('password'), 'hunter2\n')
  refused(await run('keygen'), 'CLI_USAGE', /nobody to ask.*\n.*--no-password/, 2)
  const key = report<KeygenReport>(await run('keygen', '--password-file', 'password', '--json'))
  assert.equal(key.encrypted, true)
  writeFileSync(at('plugin.json'), manifest())
  refused(
    await run('sign', 'plugin.json', '--key', 'plugwire.key'),
    'CLI_USAGE',
    /has a password, and there is nobody to ask\n.*--password-file/,
    2,
  )
  report(await run('sign', 'plugin.json', '--key', 'plugwire.key', '--password-file', 'password', '--json'))
  report(await run('verify', 'plugin.json', '--key', 'plugwire.pub', '--json'))
})

test('a key is never overwritten', async () => {
  const { at, run } = place('overwrite')
  report(await run('keygen', '--no-password', '--json'))
  const before = readFileSync(at('plugwire.key'))
  refused(await run('keygen', '--no-password'), 'CLI_FILE', /plugwire\.key exists already\n.*never overwritten/)
  rmSync(at('plugwire.key'))
  refused(await run('keygen', '--no-password'), 'CLI_FILE', /plugwire\.pub exists already/)
  assert.throws(() => statSync(at('plugwire.key')), { code: 'ENOENT' })
  assert.ok(before.length > 0)
})

test('trust is given with the fingerprint, and taken away', async () => {
  const { run } = place('given')
  const key = report<KeygenReport>(await run('keygen', '--no-password', '--json'))
  refused(await run('trust', 'add', 'acme', 'plugwire.pub'), 'CLI_USAGE', /nobody to ask/, 2)
  refused(
    await run('trust', 'add', 'acme', 'plugwire.pub', '--fingerprint', `SHA256:${'x'.repeat(43)}`),
    'CLI_FINGERPRINT',
    /not SHA256:xxx/,
  )
  refused(await run('trust', 'add', 'acme', 'nowhere.pub', '--yes'), 'CLI_USAGE', /neither a file nor a public key/, 2)
  report(await run('trust', 'add', 'acme', 'plugwire.pub', '--yes', '--plugin', '@acme/*', '--plugin', 'aws', '--json'))
  const list = report<TrustReport>(await run('trust', 'list', '--json'))
  const [publisher] = list.publishers
  assert.deepEqual([publisher?.name, publisher?.plugins], ['acme', ['@acme/*', 'aws']])
  assert.deepEqual(
    [publisher?.keys[0]?.fingerprint, publisher?.keys[0]?.basis, publisher?.keys[0]?.revoked],
    [key.fingerprint, 'configured', false],
  )
  report(await run('trust', 'revoke', key.fingerprint, '--json'))
  assert.equal(report<TrustReport>(await run('trust', '--json')).publishers[0]?.keys[0]?.revoked, true)
  report(await run('trust', 'remove', 'acme', '--json'))
  refused(await run('trust', 'remove', 'acme'), 'CLI_UNKNOWN', /not trusted anyway/)
  assert.deepEqual(report<TrustReport>(await run('trust', 'list', '--json')).publishers, [])
  refused(await run('trust', 'revoke', 'everything'), 'CLI_USAGE', /neither the fingerprint/, 2)
})

test('first use is recorded as what it is', async () => {
  const { at, run } = place('first')
  const key = report<KeygenReport>(await run('keygen', '--no-password', '--json'))
  writeFileSync(at('plugin.json'), manifest({ publisher: { name: 'acme', key: key.key } }))
  report(await run('sign', 'plugin.json', '--key', 'plugwire.key', '--json'))
  refused(await run('trust', 'accept', 'plugin.json'), 'CLI_USAGE', /nobody to ask/, 2)
  report(await run('trust', 'accept', 'plugin.json', '--fingerprint', key.fingerprint, '--json'))
  const [publisher] = report<TrustReport>(await run('trust', 'list', '--json')).publishers
  assert.deepEqual([publisher?.plugins, publisher?.keys[0]?.basis], [['@acme/aws'], 'first-use'])
  assert.equal(report<VerifyReport>(await run('verify', 'plugin.json', '--json')).basis, 'pinned')
  assert.equal(report<{ changed: boolean }>(await run('trust', 'accept', 'plugin.json', '--json')).changed, false)
})

test('a publisher hands over to a new key, and disowns the old one', async () => {
  const { at, run } = place('rotate')
  const old = report<KeygenReport>(await run('keygen', '--no-password', '--out', 'old', '--json'))
  report(await run('keygen', '--no-password', '--out', 'new', '--json'))
  report(await run('trust', 'add', 'acme', 'old.pub', '--yes', '--json'))
  writeFileSync(at('plugin.json'), manifest())
  report(await run('sign', 'plugin.json', '--key', 'new.key', '--json'))
  assert.equal((await run('verify', 'plugin.json')).code, 1)

  report(await run('trust', 'rotate', 'acme', '--key', 'new.key', '--to', 'old.pub', '--out', 'wrong.json', '--json'))
  refused(await run('trust', 'import', 'wrong.json'), 'ERR_TRUST_STATEMENT', /not signed by a key that is trusted/)
  report(await run('trust', 'rotate', 'acme', '--key', 'old.key', '--to', 'new.pub', '--json'))
  report(await run('trust', 'import', 'rotation.json', '--json'))
  assert.match((await run('trust', 'import', 'rotation.json')).stdout, /known already/)
  report(await run('verify', 'plugin.json', '--json'))

  report(await run('trust', 'disown', 'acme', '--key', 'new.key', '--sequence', '1', '--revoke', old.fingerprint, '--json'))
  report(await run('trust', 'import', 'revocations.json', '--json'))
  const [publisher] = report<TrustReport>(await run('trust', '--json')).publishers
  assert.deepEqual(publisher?.keys.map(({ basis, revoked }) => [basis, revoked]).sort(), [
    ['configured', true],
    ['rotated', false],
  ])
  report(await run('verify', 'plugin.json', '--json'))
})

test('any file, with the tools that people have', {
  skip: spawnSync('sh', ['-c', 'command -v minisign']).status === 0 ? false : 'CI must not skip: minisign is not installed',
}, async () => {
  const { at, run } = place('raw')
  report(await run('keygen', '--no-password', '--json'))
  writeFileSync(at('notes.txt'), 'notes\n')
  report(await run('sign', 'notes.txt', '--raw', '--key', 'plugwire.key', '--comment', 'mine', '--json'))
  const tool = spawnSync('minisign', ['-V', '-p', at('plugwire.pub'), '-m', at('notes.txt')], { encoding: 'utf8' })
  assert.match(tool.stdout, /Trusted comment: mine/)
  assert.match((await run('verify', 'notes.txt', '--raw', '--key', 'plugwire.pub')).stdout, /"mine"/)
  refused(await run('verify', 'notes.txt', '--raw'), 'CLI_USAGE', /needs one --key/, 2)
  assert.equal((await run('verify', 'notes.txt', '--key', 'plugwire.pub')).code, 1)
})

test('at a terminal: passwords are asked for and not shown, trust is given by a yes', { skip: noTerminal }, async () => {
  const { at, run } = place('terminal')
  const type = (args: readonly string[], ...answers: readonly (readonly [string, string])[]): ReturnType<typeof onTerminal> =>
    onTerminal(args, { cwd: at('.'), env: { XDG_CONFIG_HOME: at('config') } }, answers)

  const differ = await type(['keygen'], ['password for the secret key: ', 'hunter2\r'], ['the same again: ', 'hunter3\r'])
  assert.match(differ.screen, /CLI_PASSWORD: the two passwords differ/)
  assert.doesNotMatch(differ.screen, /hunter/)
  assert.equal(differ.code, 1)
  const stopped = await type(['keygen'], ['password for the secret key: ', 'hunt\u0003'])
  assert.equal(stopped.code, 130)
  assert.throws(() => statSync(at('plugwire.key')), { code: 'ENOENT' })

  const key = generateKey('minisign')
  const pair = await key.export({ password: 'hunter2', cost: { opsLimit: 32_768, memLimit: 16_777_216 } })
  writeFileSync(at('cheap.key'), pair.secret)
  writeFileSync(at('cheap.pub'), pair.public)
  writeFileSync(at('plugin.json'), manifest())
  // With a letter too many, and taken back.
  const signed = await type(['sign', 'plugin.json', '--key', 'cheap.key'], ['password of cheap.key: ', 'hunterx\u007f2\r'])
  assert.match(signed.screen, /plugin\.json\.minisig .*signed by/)

  const add = ['trust', 'add', 'acme', 'cheap.pub']
  const no = await type(add, ['shows elsewhere? [y/N]', '\r'])
  assert.match(no.screen, /CLI_REFUSED: the key is not trusted/)
  refused(await run('verify', 'plugin.json'), 'ERR_TRUST_UNKNOWN_SIGNER', /no key of "acme"/)
  const yes = await type(add, ['shows elsewhere? [y/N]', 'y\r'])
  assert.ok(
    yes.screen.indexOf(key.publicKey.fingerprint) < yes.screen.indexOf('shows elsewhere'),
    'the fingerprint is seen before the question',
  )
  assert.equal(yes.code, 0, yes.screen)
  report(await run('verify', 'plugin.json', '--json'))
})

test('every command explains itself', async () => {
  for (const command of [
    ['keygen'],
    ['sign'],
    ['verify'],
    ['trust'],
    ['trust', 'add'],
    ['trust', 'accept'],
    ['trust', 'remove'],
    ['trust', 'revoke'],
    ['trust', 'import'],
    ['trust', 'rotate'],
    ['trust', 'disown'],
  ]) {
    const { code, stdout } = await plugwire([...command, '--help'])
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`^Usage: plugwire ${command.join(' ')}`))
    if (command.length > 1 || command[0] !== 'trust') assert.match(stdout, /Examples:/)
  }
})
