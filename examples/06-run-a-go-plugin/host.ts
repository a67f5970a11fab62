// Runs two plugins that others wrote in Go: a provider of Terraform and a secrets engine of Vault. Ends with code 77 where there is no Go to build them.

import { launch } from 'plugwire/host'
import { buildReal, goMissing } from 'plugwire-interop/real'
import { type CtyRecord, Unknown } from '../05-terraform-provider/provider/cty/value.ts'
import { type Refused, TerraformProvider } from './provider.ts'
import { environment, vault } from './secrets-engine.ts'

if (goMissing) {
  console.log('there is no go on the path')
  process.exit(77)
}

{
  await using provider = await TerraformProvider.launch(await buildReal('terraform-provider-time'))
  await provider.configure({})
  console.log(
    `terraform-provider-time speaks protocol ${provider.plugin.version} and has`,
    Object.keys(provider.schema.resourceSchemas ?? {})
      .sort()
      .join(' '),
  )

  const plan = await provider.plan('time_offset', { base_rfc3339: '2026-02-28T12:00:00Z', offset_days: 1 })
  console.log('planned: ', show(plan.state))
  const week = await provider.apply(plan)
  console.log('applied: ', show(week.state))
  const change = await provider.plan('time_offset', { base_rfc3339: '2026-02-28T12:00:00Z', offset_days: 2 }, week)
  console.log('changed: ', show((await provider.apply(change)).state))
  await provider.plan('time_offset', { base_rfc3339: 'yesterday', offset_days: 1 }).catch((error: Refused) => {
    console.log('refused: ', error.message.split('\n')[0])
  })
  console.log('removed: ', (await provider.apply(await provider.plan('time_offset', null, week))).state)
}

{
  await using plugin = await launch(vault, await buildReal('vault-plugin-secrets-kv'), { env: environment, logger: false })
  const engine = await plugin.dispense('backend')
  const values = new Map<string, Uint8Array>()
  await engine.setup(values)
  await engine.request('create', 'pets/cat', { name: 'Tom', lives: 9 })
  await engine.request('create', 'pets/dog', { name: 'Rex' })
  console.log('vault-plugin-secrets-kv put', [...values.keys()].join(' and '), 'into our storage')
  console.log('listed:  ', (await engine.request('list', 'pets/'))?.keys)
  console.log('read:    ', await engine.request('read', 'pets/cat'))
  await engine.request('delete', 'pets/cat')
  console.log('deleted, ', values.size, 'left')
  await engine.cleanup()
}

function show(state: CtyRecord | null): string {
  const known = Object.entries(state ?? {}).filter(([name, value]) => value !== null && ['offset_days', 'rfc3339', 'day'].includes(name))
  return known.map(([name, value]) => `${name}=${value instanceof Unknown ? '(known after apply)' : value}`).join(' ')
}
