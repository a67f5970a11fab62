// What go-plugin is known to get wrong, with a Go peer on the other side: none of it happens to ours.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { AnyContract } from 'plugwire'
import { launch } from 'plugwire/host'
import { runBattery } from '../src/battery.ts'
import { buildPeer, skipUnlessBuilt } from '../src/peers.ts'
import { typescriptPrograms } from '../src/typescript.ts'
import { grpcContract } from '../ts/grpc-contract.ts'
import { netrpcContract } from '../ts/netrpc-contract.ts'

const run = promisify(execFile)

let go = ''
const skip = await skipUnlessBuilt(async () => {
  go = await buildPeer('peer')
})

const contracts: { readonly [Protocol in 'grpc' | 'netrpc']: AnyContract } = { grpc: grpcContract, netrpc: netrpcContract }
const protocols = ['grpc', 'netrpc'] as const

describe('weaknesses of go-plugin that are not ours', { skip }, () => {
  for (const protocol of protocols) {
    test(`${protocol}: variables that a host inherited do not reach its plugin`, async () => {
      const strays = {
        PLUGIN_CLIENT_CERT: 'a certificate of another launch',
        PLUGIN_MULTIPLEX_GRPC: 'true',
        PLUGIN_UNIX_SOCKET_GROUP: 'nobody',
      }
      const verdicts = await runBattery([...typescriptPrograms[protocol].host, '-only', 'ping,about', go, `plugin-${protocol}`], strays)
      assert.deepEqual(
        verdicts.filter(({ ok }) => !ok),
        [],
      )
      const about = verdicts.find(({ check }) => check === 'about')?.detail ?? ''
      for (const name of ['PLUGIN_CLIENT_CERT', 'PLUGIN_MULTIPLEX_GRPC', 'PLUGIN_UNIX_SOCKET_GROUP'])
        assert.ok(!about.includes(name), about)
    })

    test(`${protocol}: closing a Go plugin that does not move any more is bounded`, async () => {
      const plugin = await launch(contracts[protocol], { command: go, args: [`plugin-${protocol}`] }, { logger: false })
      await plugin.ping()
      process.kill(plugin.pid, 'SIGSTOP')
      assert.equal(await plugin.close(), 'killed')
      assert.equal((await plugin.exited).signal, 'SIGKILL')
    })

    test(`${protocol}: a plugin does not outlive a Go host that was killed`, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'peer-'))
      // The host launches the plugin and waits long before its first connection.
      const host = spawn(go, [`host-${protocol}`, '-v', '-lazy', '5m', ...typescriptPrograms[protocol].plugin], {
        env: { ...process.env, TMPDIR: directory },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      const lines = createInterface(host.stderr)
      for await (const line of lines) if (line.includes('using plugin')) break
      const { stdout } = await run('pgrep', ['-P', String(host.pid)])
      const plugin = Number(stdout.trim())
      assert.ok(isAlive(plugin))
      host.kill('SIGKILL')
      await once(host, 'exit')
      while (isAlive(plugin)) await setTimeout(20)
      rmSync(directory, { recursive: true })
    })
  }

  test('grpc: a host that takes its time before it connects finds a multiplexed plugin', async () => {
    const command = [go, 'host-grpc', '-mux', '-lazy', '6s', '-only', 'ping,about,broker-to-host', ...typescriptPrograms.grpc.plugin]
    const verdicts = await runBattery(command)
    assert.deepEqual(
      verdicts.filter(({ ok }) => !ok),
      [],
    )
    assert.equal(verdicts.length, 4)
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
