import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { VERSION } from '../src/version.ts'
import { bin, fixture, plugwire, root, run, versionOf } from './command.ts'

test('the version is that of the package, and of the library', async () => {
  assert.equal(VERSION, versionOf(join(root, 'packages/cli/package.json')))
  assert.equal(VERSION, versionOf(join(root, 'packages/plugwire/package.json')))
  assert.deepEqual(await plugwire(['--version']), { code: 0, stdout: `${VERSION}\n`, stderr: '' })
})

test('help tells commands, examples and exit codes', async () => {
  const { code, stdout } = await plugwire(['--help'])
  assert.equal(code, 0)
  for (const word of ['inspect', 'call', 'doctor', 'new', 'Examples:', 'Exit codes:', '130']) assert.ok(stdout.includes(word), word)
  for (const command of ['inspect', 'call', 'doctor', 'new']) {
    const help = await plugwire([command, '--help'])
    assert.equal(help.code, 0)
    assert.match(help.stdout, /Examples:\n {2}plugwire /)
    assert.match(help.stdout, /--json/)
  }
})

test('a reader that leaves early is no failure', async () => {
  const { stderr } = await run('sh', ['-c', `'${process.execPath}' '${bin}' help call | head -1`])
  assert.equal(stderr, '')
})

test('what cannot be understood ends with 2', async () => {
  for (const args of [
    [],
    ['frobnicate'],
    ['inspect'],
    ['inspect', 'x', '--no-such-option'],
    ['inspect', 'x', '--wire', 'pigeon'],
    ['call', 'x', 'a.b', '--timeout', '-1'],
    ['inspect', 'x', '--cookie', 'novalue'],
    ['inspect', 'x', '--version', 'latest'],
  ]) {
    const { code, stdout, stderr } = await plugwire(args)
    assert.equal(code, 2, args.join(' '))
    assert.notEqual(stderr + stdout, '')
    assert.doesNotMatch(stderr, /\n\s+at /, 'a stack is shown')
  }
  const { code, stdout, stderr } = await plugwire(['inspect', 'x', '--no-such-option', '--json'])
  assert.deepEqual([code, stdout], [2, ''])
  assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'CLI_USAGE')
})

test('a failure is a code, a sentence and a remedy; a stack only on demand', async () => {
  const missing = fixture('missing.js')
  const { code, stderr } = await plugwire(['inspect', missing])
  assert.equal(code, 1)
  assert.match(stderr, /^ERR_PLUGIN_NOT_FOUND: no plugin at .*missing\.js\. /)
  assert.doesNotMatch(stderr, /\n\s+at /)
  assert.match((await plugwire(['inspect', missing, '--debug'])).stderr, /\n\s+at /)
})

test('no colours where there is no terminal, and none with NO_COLOR', async () => {
  const start = String.fromCharCode(27)
  const plain = await plugwire(['inspect', fixture('missing.js')])
  assert.ok(!plain.stderr.includes(start))
  const forced = await plugwire(['inspect', fixture('missing.js')], { env: { FORCE_COLOR: '1' } })
  assert.ok(forced.stderr.includes(start))
  const refused = await plugwire(['inspect', fixture('missing.js')], { env: { NO_COLOR: '1' } })
  assert.ok(!refused.stderr.includes(start))
})
