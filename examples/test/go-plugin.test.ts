// Plugins that others wrote in Go, under example 06's host.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPluginError } from 'plugwire'
import { launch } from 'plugwire/host'
import { buildReal, skipUnlessBuilt } from 'plugwire-interop/real'
import { isKnown, Unknown } from '../05-terraform-provider/provider/cty/value.ts'
import { Refused, TerraformProvider } from '../06-run-a-go-plugin/provider.ts'
import { environment, vault } from '../06-run-a-go-plugin/secrets-engine.ts'

let time = ''
let secrets = ''
const skip = await skipUnlessBuilt(async () => {
  time = await buildReal('terraform-provider-time')
  secrets = await buildReal('vault-plugin-secrets-kv')
})

test("a Terraform provider's resource is planned, made, changed, replaced and removed", { skip }, async () => {
  await using provider = await TerraformProvider.launch(time)
  await provider.configure({})
  assert.ok('time_static' in provider.schema.resourceSchemas!)
  const config = { rfc3339: '2026-02-28T12:00:00Z', triggers: { a: 'b' } }
  const plan = await provider.plan('time_static', config)
  assert.ok(plan.state!.unix instanceof Unknown || plan.state!.unix === 1_772_280_000)
  const made = await provider.apply(plan)
  assert.ok(isKnown(made.state))
  assert.equal(made.state!.unix, 1_772_280_000)

  const same = await provider.plan('time_static', config, made)
  assert.deepEqual(same.state, made.state)
  assert.deepEqual((await provider.plan('time_static', { ...config, triggers: { a: 'c' } }, made)).replaces, ['triggers'])
  assert.equal((await provider.apply(await provider.plan('time_static', null, made))).state, null)
  await assert.rejects(
    provider.plan('time_static', { rfc3339: 'no time' }),
    error => error instanceof Refused && /\(rfc3339\)/.test(error.message),
  )
})

test('a secrets engine of Vault keeps its secrets with the host, through the broker', { skip }, async () => {
  await using plugin = await launch(vault, secrets, { env: environment, logger: false })
  const engine = await plugin.dispense('backend')
  const values = new Map<string, Uint8Array>()
  await engine.setup(values)
  await Promise.all(Array.from({ length: 20 }, (_, i) => engine.request('create', `box/${i}`, { i })))
  assert.equal(values.size, 20)
  assert.equal(new Set((await engine.request('list', 'box/'))?.keys as string[]).size, 20)
  assert.deepEqual(await engine.request('read', 'box/7'), { i: 7 })
  assert.equal(await engine.request('read', 'box/none'), undefined)
  await engine.request('delete', 'box/7')
  assert.equal(values.size, 19)
  await engine.cleanup()
})

test('a Go plugin that was killed fails what is asked of it, and says so', { skip }, async () => {
  await using provider = await TerraformProvider.launch(time)
  process.kill(provider.plugin.pid, 'SIGKILL')
  await assert.rejects(
    (async () => {
      for (;;) await provider.configure({})
    })(),
    error => isPluginError(error, 'ERR_PLUGIN_EXITED') && error.facts.signal === 'SIGKILL',
  )
})
