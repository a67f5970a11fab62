// The real plugins can be built, and they start as a host of theirs starts them.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { buildReal, type RealName, realPlugins, skipUnlessBuilt } from '../src/real.ts'

const programs = new Map<RealName, string>()
// Before all tests, since one of them may take a minute at most and a first build takes longer.
const skip = await skipUnlessBuilt(async () => {
  for (const name of Object.keys(realPlugins) as RealName[]) programs.set(name, await buildReal(name))
})

describe('real plugins', { skip }, () => {
  for (const [name, { contract }] of Object.entries(realPlugins) as [RealName, (typeof realPlugins)[RealName]][]) {
    test(`${name} shakes hands`, async () => {
      const [key, value] = contract.cookie
      const child = spawn(programs.get(name) as string, [], {
        env: { ...process.env, [key]: value, PLUGIN_PROTOCOL_VERSIONS: contract.versions.join(','), ...contract.environment },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      try {
        const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
        const [core, version, network, , protocol] = line.split('|')
        assert.deepEqual([core, network, protocol], ['1', 'unix', 'grpc'])
        assert.ok(contract.versions.includes(Number(version)), `version ${version}`)
      } finally {
        child.kill('SIGKILL')
      }
    })
  }
})
