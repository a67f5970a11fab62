// The kit for plugins of go-plugin: one that keeps every rule passes, and each rule that is broken is found by the check that is for it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type GoReport, goPluginConformance, protocolForGo } from '@plugwire/testing'

const fixture = fileURLToPath(new URL('fixtures/go-style-plugin.js', import.meta.url))
const options = { cookie: { key: 'GO_STYLE', value: 'yes' }, versions: [1, 2], deadlineMs: 3_000 }
const broken = (rule: string) => ({ command: fixture, args: [rule] })

const notPassed = ({ results }: GoReport): string =>
  results
    .filter(({ verdict }) => verdict !== 'pass')
    .map(({ id, verdict, seen }) => `${verdict} ${id}: ${seen}`)
    .join('\n')

test('a plugin that keeps every rule passes', async () => {
  const report = await goPluginConformance(fixture, options)
  assert.equal(report.failed, 0, notPassed(report))
  assert.deepEqual([report.conforms, report.protocol, report.version], [true, 'grpc', 2])
  const skipped = report.results.filter(({ verdict }) => verdict === 'skipped').map(({ id }) => id)
  assert.deepEqual(skipped, ['grpc.multiplex', 'grpc.multiplex-shutdown'], 'it says that it cannot multiplex')
  assert.equal(await protocolForGo(fixture, options), 'grpc')
})

describe('a rule that is broken is found by its check', () => {
  const rules: Record<string, readonly string[]> = {
    'by-hand': ['launch.by-hand', 'launch.wrong-cookie'],
    stdout: ['launch.line'],
    seventh: ['launch.six-fields'],
    group: ['launch.socket-group'],
    time: ['launch.logs'],
    message: ['launch.logs'],
    interrupt: ['launch.interrupt'],
    padding: ['tls.certificate'],
    strangers: ['tls.refuses-strangers'],
    health: ['grpc.health'],
    unknown: ['grpc.unknown-method'],
    stdio: ['grpc.stdio'],
    shutdown: ['grpc.shutdown'],
    socket: ['grpc.leaves-nothing'],
  }
  for (const [rule, expected] of Object.entries(rules)) {
    test(rule, async () => {
      const report = await goPluginConformance(broken(rule), { ...options, only: expected })
      const failed = report.results.filter(({ verdict }) => verdict === 'fail').map(({ id }) => id)
      assert.deepEqual(failed, expected, notPassed(report))
      assert.equal(report.conforms, false)
    })
  }
})

test('a script that starts the plugin ends with it', { skip: process.platform === 'win32' && 'there is no sh' }, async () => {
  const script = `"${process.execPath}" "${fixture}"; echo never >&2`
  const report = await goPluginConformance({ command: 'sh', args: ['-c', script] }, { ...options, only: ['launch.line'] })
  assert.equal(report.failed, 0, notPassed(report))
})

test('what cannot be looked at is skipped, and says why', async () => {
  const report = await goPluginConformance(broken('stdout'), { ...options, only: ['grpc'] })
  assert.equal(report.conforms, false)
  assert.equal(report.passed + report.failed, 0)
  assert.match(report.results[0]?.seen ?? '', /the first line on stdout is no handshake: Starting up/)
})
