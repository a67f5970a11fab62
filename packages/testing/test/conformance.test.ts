// The kit itself: plugins that keep the page pass, and each rule that is broken is found by the check that is for it.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type CheckResult, CookieUnknownError, checks, conformance, type Report } from '@plugwire/testing'

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url))
const snake = fileURLToPath(new URL('../../../plugwire/test/fixtures/protocol/plugin.py', import.meta.url))

const shown = ({ results }: Report): string =>
  results
    .filter(({ verdict }) => verdict !== 'pass')
    .map(({ id, verdict, seen }) => `${verdict} ${id}: ${seen}`)
    .join('\n')

function python(): string | undefined {
  try {
    return execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

describe('plugins that keep the page', () => {
  const options = { config: { needed: true }, environmentMethod: 'environment' }

  test('made with plugwire', async () => {
    const report = await conformance(fixture('good-plugin'), options)
    assert.equal(report.conforms, true, shown(report))
    assert.deepEqual([report.passed, report.failed, report.skipped], [checks.length, 0, 0], shown(report))
    assert.deepEqual([report.wire, report.versions], ['fd', [1, 3]])
  })

  for (const wire of ['unix', 'stdio'] as const) {
    test(`made with plugwire, on the wire ${wire}: what depends on it`, async () => {
      const only = ['launch', 'session', 'ending', 'calls.arguments-on-stream', 'breaches.frame-type', 'breaches.value-cut']
      const report = await conformance(fixture('good-plugin'), { ...options, wire, only })
      assert.equal(report.conforms, true, shown(report))
      assert.deepEqual([report.wire, report.failed, report.skipped], [wire, 0, 0], shown(report))
    })
  }

  const interpreter = python()
  test('in Python, without plugwire', { skip: interpreter === undefined && 'no python3 on this machine' }, async () => {
    const command = { command: interpreter as string, args: [snake] }
    const report = await conformance(command, { cookie: { key: 'PLUGWIRE_SNAKE', value: 'a-snake' } })
    assert.equal(report.conforms, true, shown(report))
    assert.deepEqual(
      report.results.filter(({ verdict }) => verdict === 'skipped').map(({ id }) => id),
      ['launch.environment'],
    )
  })
})

test('what cannot be looked at is skipped, and says why', async () => {
  const report = await conformance(fixture('good-plugin'), { only: ['references', 'launch.environment'] })
  assert.equal(report.conforms, false, 'nothing was seen')
  assert.deepEqual([report.passed, report.failed, report.skipped], [0, 0, 5])
  for (const { id, seen } of report.results)
    assert.match(seen, id === 'launch.environment' ? /starts no process/ : /a configuration is needed/)
})

test('results come one by one, and an abort ends the examination', async () => {
  const aborter = new AbortController()
  const seen: CheckResult[] = []
  const onResult = (result: CheckResult): void => {
    seen.push(result)
    if (seen.length === 2) aborter.abort(new Error('enough'))
  }
  await assert.rejects(conformance(fixture('good-plugin'), { only: ['launch'], onResult, signal: aborter.signal }), /enough/)
  assert.deepEqual(
    seen.map(({ id }) => id),
    ['launch.by-hand', 'launch.wrong-cookie'],
  )
})

test('a plugin that tells no cookie needs to be given one', async () => {
  await assert.rejects(
    conformance(fixture('rule-breaker')),
    cause => cause instanceof CookieUnknownError && /This is a plugin/.test(cause.message),
  )
})

test('every check has an id of its own', () => {
  assert.equal(new Set(checks.map(({ id }) => id)).size, checks.length)
})

describe('a broken rule is found', () => {
  const breaker = (rule: string, only: readonly string[]): Promise<Report> =>
    conformance(
      { command: fixture('rule-breaker'), args: [rule] },
      { cookie: { key: 'BREAKER_COOKIE', value: 'yes' }, only, deadlineMs: 700 },
    )

  test('and nothing is found where none is broken', async () => {
    const report = await breaker('none', [
      'launch',
      'session.accept',
      'session.credit-granted',
      'session.ping',
      'calls.describe',
      'ending.close',
    ])
    assert.equal(report.conforms, true, shown(report))
  })

  for (const [rule, id, seen] of [
    ['talks-by-hand', 'launch.by-hand', /on stdout: hello/],
    ['exits-with-0', 'launch.by-hand', /exit code 0/],
    ['six-fields', 'launch.handshake', /6 fields/],
    ['takes-any-version', 'launch.version-none', /it chose 1001, due is 1/],
    ['heeds-interrupts', 'launch.interrupt', /ended|did not come/],
    ['accepts-twice', 'session.accept', /2 ACKs/],
    ['grants-nothing', 'session.credit-granted', /^0 bytes/],
    ['answers-no-ping', 'session.ping', /ping 0 did not come within 700 ms/],
    ['keeps-credit', 'session.credit-returned', /credit on stream 1 did not come/],
    ['sends-junk', 'calls.describe', /a frame of type 9/],
    ['opens-odd-streams', 'calls.describe', /a number of the host's/],
    ['answers-twice', 'calls.replies', /a reply to call \d+, which waits for none/],
    ['sends-malformed-values', 'calls.describe', /no value begins with b0/],
    ['none', 'calls.unknown-method', /due is ERR_METHOD_NOT_FOUND/],
    ['none', 'calls.one-way', /waits for none/],
    ['none', 'breaches.frame-version', /the session goes on/],
    ['outlives-its-host', 'ending.orphan', /it still ran 700 ms after the end of its host/],
    ['never-introduces', 'launch.handshake', /no handshake line within/],
    ['ends-at-once', 'launch.handshake', /exit code 3/],
  ] as const) {
    test(`${rule}: ${id}`, async () => {
      const { conforms, results } = await breaker(rule, [id])
      assert.equal(conforms, false)
      assert.deepEqual(
        results.map(result => [result.id, result.verdict]),
        [[id, 'fail']],
      )
      assert.match(results[0]?.seen ?? '', seen)
    })
  }

  test('without a handshake all the rest is skipped, at once', async () => {
    const { results } = await breaker('ends-at-once', ['calls', 'breaches'])
    assert.ok(results.length > 20)
    for (const { verdict, seen } of results) assert.deepEqual([verdict, /exit code 3/.test(seen)], ['skipped', true])
  })
})
