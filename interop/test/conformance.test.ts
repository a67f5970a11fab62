// Plugins that are not ours, plugins of ours in Go and in TypeScript: each keeps what hosts of go-plugin rely on, by our own kit.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type GoReport, goPluginConformance } from '@plugwire/testing'
import { buildPeer, skipUnlessBuilt } from '../src/peers.ts'
import { buildReal, type RealName, realPlugins } from '../src/real.ts'
import { cookie } from '../ts/cookie.ts'

const program = (name: string): string => fileURLToPath(new URL(`../ts/${name}.js`, import.meta.url))
const real = Object.entries(realPlugins) as [RealName, (typeof realPlugins)[RealName]][]
const programs = new Map<string, string>()
const skip = await skipUnlessBuilt(async () => {
  programs.set('peer', await buildPeer('peer'))
  for (const [name] of real) programs.set(name, await buildReal(name))
})

function holds(report: GoReport, except: readonly string[] = []): void {
  const failed = report.results.filter(({ id, verdict }) => verdict === 'fail' && !except.includes(id))
  assert.deepEqual(
    failed.map(({ id, seen }) => `${id}: ${seen}`),
    [],
  )
  assert.ok(report.passed > 20, `only ${report.passed} checks passed`)
}

for (const protocol of ['grpc', 'netrpc'] as const) {
  const options = { cookie, versions: [1, 2, 3, 4], ...(protocol === 'netrpc' && { kind: 'kv' }) }
  test(`a plugin of ours over ${protocol}, in TypeScript`, async () => {
    const report = await goPluginConformance(program(`${protocol}-plugin`), options)
    assert.equal(report.protocol, protocol)
    holds(report)
  })

  test(`a plugin of ours over ${protocol}, in Go`, { skip }, async () => {
    const command = { command: programs.get('peer') as string, args: [`plugin-${protocol}`] }
    holds(await goPluginConformance(command, options))
  })
}

describe('real plugins', { skip }, () => {
  for (const [name, { contract }] of real) {
    test(name, async () => {
      const [key, value] = contract.cookie
      const environment = { ...contract.environment, VAULT_PLUGIN_AUTOMTLS_ENABLED: 'true' }
      const command = programs.get(name) as string
      holds(await goPluginConformance(command, { cookie: { key, value }, versions: contract.versions, env: environment }))
    })
  }
})
