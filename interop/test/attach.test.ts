// Hosts that attach to plugins in test mode, and plugins that offer both protocols.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { runBattery, type Verdict } from '../src/battery.ts'
import { buildPeer, skipUnlessBuilt } from '../src/peers.ts'
import { typescriptPlugin, typescriptPrograms } from '../src/typescript.ts'

let go = ''
const skip = await skipUnlessBuilt(async () => {
  go = await buildPeer('peer')
})

const protocols = ['grpc', 'netrpc'] as const
const hosts = {
  Go: (protocol: (typeof protocols)[number]): readonly string[] => [go, `host-${protocol}`],
  TypeScript: (protocol: (typeof protocols)[number]): readonly string[] => typescriptPrograms[protocol].host,
}
const plugins = {
  Go: (protocol: (typeof protocols)[number]): readonly string[] => [go, `plugin-${protocol}`],
  TypeScript: (protocol: (typeof protocols)[number]): readonly string[] => typescriptPrograms[protocol].plugin,
}
const languages = ['Go', 'TypeScript'] as const

const failuresOf = (verdicts: readonly Verdict[]): readonly Verdict[] => verdicts.filter(({ ok }) => !ok)

/** Starts a plugin in test mode, hands over the JSON that it prints, and ends it. */
async function attached(command: readonly string[], use: (json: string) => Promise<void>): Promise<void> {
  const [program, ...rest] = command as [string, ...string[]]
  const child = spawn(program, [...rest, '--test'], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const [json] = (await once(createInterface(child.stdout), 'line')) as [string]
    await use(json)
    assert.equal(child.exitCode, null, 'a host that goes leaves the plugin running')
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
}

describe('a plugin in test mode', { skip, concurrency: 2 }, () => {
  for (const protocol of protocols) {
    for (const plugin of languages) {
      for (const host of languages) {
        test(`${protocol}: a host in ${host} attaches to a plugin in ${plugin}`, async () => {
          await attached(plugins[plugin](protocol), async json => {
            const verdicts = await runBattery([...hosts[host](protocol), '-reattach', json])
            assert.deepEqual(failuresOf(verdicts), [])
            assert.ok(verdicts.filter(({ skip: why }) => why === undefined).length >= 14)
          })
        })
      }
    }
  }

  // A Go plugin closes its broker for good when its first host goes.
  for (const host of languages) {
    test(`grpc: the broker of a plugin in TypeScript works for the second host in ${host}, too`, async () => {
      await attached(plugins.TypeScript('grpc'), async json => {
        for (let turn = 0; turn < 2; turn++) {
          const only = 'launch,broker-to-host,broker-to-plugin,broker-mixed'
          assert.deepEqual(failuresOf(await runBattery([...hosts[host]('grpc'), '-only', only, '-reattach', json])), [])
        }
      })
    })
  }
})

describe('a plugin of both protocols', { skip, concurrency: 2 }, () => {
  const both = { Go: () => [go, 'plugin'], TypeScript: () => typescriptPlugin }
  const only = 'launch,ping,kv,about,broker-to-host,broker-to-plugin,version-none,version-highest,kill,files'
  for (const plugin of languages) {
    for (const host of languages) {
      for (const protocol of protocols) {
        test(`${protocol}: a host in ${host} runs a plugin in ${plugin}`, async () => {
          const verdicts = await runBattery([...hosts[host](protocol), '-only', only, ...both[plugin]()])
          assert.deepEqual(failuresOf(verdicts), [])
          assert.match(verdicts.find(({ check }) => check === 'launch')?.detail ?? '', new RegExp(`^${protocol} over`))
          // The host offers both, so the highest is gRPC.
          assert.equal(verdicts.find(({ check }) => check === 'version-highest')?.detail, '3 (grpc)')
        })
      }
    }
  }
})
