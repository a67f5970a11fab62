import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InspectReport } from '../src/commands/inspect.ts'
import { fixture, plugwire } from './command.ts'

const shop = fixture('shop.js')
const reportOf = (text: string): InspectReport => JSON.parse(text) as InspectReport

test('a plugin tells everything without being named', async () => {
  const { code, stdout, stderr } = await plugwire(['inspect', shop, '--json'])
  assert.equal(code, 0, stderr)
  const report = reportOf(stdout)
  assert.equal(report.contract.name, 'shop')
  assert.equal(report.contract.source, 'plugin')
  assert.match(report.contract.cookie.key, /^PLUGWIRE_SHOP/)
  assert.deepEqual(report.versions, { plugin: [1, 2], offered: [1, 2], agreed: 2 })
  assert.equal(report.protocol, 'plugwire')
  assert.deepEqual([report.wire, report.secure], ['fd', false])
  assert.match(report.runtime, /^node /)
  assert.deepEqual(report.kindsByVersion, { 1: ['old'], 2: ['store', 'strict'] })
  const [store, strict] = report.kinds as [{ methods: string[] }, { name: string; error: { message: string; origin: string } }]
  assert.ok(store.methods.includes('echo') && store.methods.includes('count'))
  assert.equal(strict.name, 'strict')
  assert.equal(strict.error.message, 'a region is needed')
  assert.equal(strict.error.origin, 'plugin')
  for (const part of ['describeMs', 'spawnMs', 'handshakeMs', 'connectMs', 'firstCallMs', 'pingMs'] as const) {
    assert.ok((report.timings[part] as number) >= 0, part)
  }
})

test('for people it says the same in words', async () => {
  const { code, stdout } = await plugwire(['inspect', shop])
  assert.equal(code, 0)
  assert.match(stdout, /^shop 2 /)
  assert.match(stdout, /told by the plugin/)
  assert.match(stdout, /could not be dispensed: a region is needed\n\s+If it needs a configuration, give one with --config JSON/)
  assert.match(stdout, /version 1 has: old/)
})

test('a configuration makes the methods of a strict kind known', async () => {
  const { stdout } = await plugwire(['inspect', shop, '--json', '--config', '{"region":"eu"}'])
  assert.deepEqual(reportOf(stdout).kinds[1], { name: 'strict', methods: ['hello'] })
})

test('another version can be asked for', async () => {
  const { stdout } = await plugwire(['inspect', shop, '--json', '--version', '1'])
  assert.equal(reportOf(stdout).versions.agreed, 1)
  assert.deepEqual(reportOf(stdout).kinds, [{ name: 'old', methods: ['hello'] }])
})

test('a version that the plugin has not is refused by both names', async () => {
  const { code, stdout, stderr } = await plugwire(['inspect', shop, '--json', '--version', '7'])
  assert.deepEqual([code, stdout], [1, ''])
  const { error } = JSON.parse(stderr) as { error: { code: string; facts: { pluginVersions: number[] } } }
  assert.equal(error.code, 'ERR_VERSION_MISMATCH')
  assert.deepEqual(error.facts.pluginVersions, [1, 2])
})

for (const wire of ['unix', 'tcp', 'stdio']) {
  test(`on the wire ${wire}`, async () => {
    const { code, stdout, stderr } = await plugwire(['inspect', shop, '--json', '--no-dispense', '--wire', wire])
    assert.equal(code, 0, stderr)
    const report = reportOf(stdout)
    assert.deepEqual([report.wire, report.secure], [wire, wire !== 'stdio'])
    assert.deepEqual(report.kinds, [{ name: 'store' }, { name: 'strict' }])
  })
}

test('with a name instead of asking, the version is learnt from the plugin', async () => {
  const { stdout, stderr } = await plugwire(['inspect', shop, '--json', '--name', 'shop', '--no-dispense'])
  assert.equal(stderr, '')
  assert.deepEqual([reportOf(stdout).contract.source, reportOf(stdout).versions.agreed], ['options', 1])
})

test('with a contract of the user', async () => {
  const { stdout, stderr } = await plugwire(['inspect', shop, '--json', '--contract', `${fixture('contract.js')}#shop`, '--no-dispense'])
  assert.equal(stderr, '')
  assert.deepEqual([reportOf(stdout).contract.source, reportOf(stdout).versions.offered], ['module', [2]])
})

test('a contract that is not clear is asked for', async () => {
  const several = await plugwire(['inspect', shop, '--contract', fixture('contract.js')])
  assert.equal(several.code, 2)
  assert.match(several.stderr, /several contracts; name one: .*#other, .*#shop/)
  const none = await plugwire(['inspect', shop, '--contract', `${fixture('contract.js')}#port`])
  assert.match(none.stderr, /the export port is no contract; the module exports .*shop/)
})

test('a plugin of go-plugin shows its handshake', async () => {
  const { code, stdout } = await plugwire(['inspect', fixture('grpc-plugin.js'), '--cookie', 'BASIC_PLUGIN=hello', '--json'])
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), {
    plugin: fixture('grpc-plugin.js'),
    protocol: 'grpc',
    handshake: '1|1|unix|/tmp/nobody-listens-here|grpc',
    kinds: null,
  })
})

test('a plugin that does not tell its contract: what to do', async () => {
  const { code, stderr } = await plugwire(['inspect', fixture('grpc-plugin.js')])
  assert.equal(code, 1)
  assert.match(
    stderr,
    /CLI_CONTRACT_UNKNOWN: .*does not tell its contract when asked; it exited with code 1, and said:\n {2}\| This binary is a plugin/,
  )
  assert.match(stderr, /--name NAME .* --cookie KEY=VALUE .* --contract MODULE/)
})

test('a stray PLUGWIRE_DESCRIBE does not keep a host from its plugin', async () => {
  const { code, stderr } = await plugwire(['inspect', shop, '--json', '--name', 'shop', '--no-dispense'], {
    env: { PLUGWIRE_DESCRIBE: '1' },
  })
  assert.equal(code, 0, stderr)
})
