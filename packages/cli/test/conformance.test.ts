import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConformanceReport, GoConformanceReport } from '../src/commands/conformance.ts'
import { fixture, plugwire } from './command.ts'

test('a plugin that keeps the protocol conforms, and says so in words', async () => {
  const { code, stdout, stderr } = await plugwire(['conformance', fixture('shop.js'), '--only', 'calls', '--only', 'ending.close'])
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^calls\n {2}✓ describe +describe returns what it is\n/)
  assert.match(stdout, /\n\nending\n {2}✓ close /)
  assert.match(stdout, /It conforms: \d+ passed, 0 failed, 0 skipped\.\n$/)
})

test('with --json it is one document', async () => {
  const { code, stdout } = await plugwire(['conformance', fixture('shop.js'), '--json', '--only', 'references', '--kind', 'store'])
  assert.equal(code, 0)
  const report = JSON.parse(stdout) as ConformanceReport
  assert.deepEqual([report.conforms, report.passed, report.failed, report.skipped], [true, 4, 0, 0])
  assert.deepEqual([report.plugin, report.versions], [[fixture('shop.js')], [1, 2]])
  assert.equal(report.results[0]?.id, 'references.dispense')
})

test('one that breaks a rule is told which, by what was seen and where it is written', async () => {
  const { code, stdout } = await plugwire(['conformance', fixture('talks-by-hand.js'), '--cookie', 'TALKER=1', '--only', 'launch'])
  assert.equal(code, 1)
  assert.match(stdout, /✗ by-hand .*\n +seen: on stdout: I am a plugin\n +docs\/protocol\.md, Launch\n/)
  assert.match(stdout, /✗ handshake .*\n +seen: 7 fields/)
  assert.match(stdout, /It does not conform: \d+ passed, [2-9] failed, \d+ skipped\.\n$/)
})

test('arguments of the plugin follow it', async () => {
  const args = ['conformance', process.execPath, fixture('shop.js'), '--name', 'shop', '--only', 'launch.handshake', '--json']
  const { code, stdout } = await plugwire(args)
  assert.equal(code, 0, stdout)
  assert.deepEqual((JSON.parse(stdout) as ConformanceReport).plugin, [process.execPath, fixture('shop.js')])
})

test('without a cookie, and with a check that is not there, it says what to do', async () => {
  const silent = await plugwire(['conformance', fixture('talks-by-hand.js')])
  assert.equal(silent.code, 1)
  assert.match(silent.stderr, /CLI_CONTRACT_UNKNOWN.*\n {2}\| and say so\n.*--cookie KEY=VALUE/)
  const misspelt = await plugwire(['conformance', fixture('shop.js'), '--only', 'call'])
  assert.equal(misspelt.code, 2)
  assert.match(misspelt.stderr, /--only call: there is no such check; there are launch\.by-hand/)
})

test('one of go-plugin that tells its contract needs no cookie, and is held to what Go hosts rely on', async () => {
  const { code, stdout } = await plugwire(['conformance', fixture('grpc-plugin.js'), 'tells', '--only', 'launch.line', '--json'])
  assert.equal(code, 0, stdout)
  assert.deepEqual(
    (JSON.parse(stdout) as GoConformanceReport).results.map(({ id, verdict }) => [id, verdict]),
    [['launch.line', 'pass']],
  )
})
