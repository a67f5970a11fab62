// The contract of the interop peers between two processes in TypeScript, and with a peer in Go where PLUGWIRE_GO_PEER names one; interop/ builds it,
// and runs the whole matrix.

import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type LaunchOptions, launch } from 'plugwire/host'
import { peerContract } from '../fixtures/peer-contract.ts'
import { peerChecks } from '../fixtures/peer-host.ts'

const peers = [
  { name: 'TypeScript', command: { command: fileURLToPath(new URL('../fixtures/peer-plugin.js', import.meta.url)) } },
  ...(process.env['PLUGWIRE_GO_PEER']
    ? [{ name: 'Go', command: { command: process.env['PLUGWIRE_GO_PEER'], args: ['plugin-grpc'] } }]
    : []),
]

const ways: readonly { name: string; options: LaunchOptions }[] = [
  { name: 'plain', options: { tls: false } },
  { name: 'AutoMTLS', options: { tls: true } },
  { name: 'plain, multiplexed', options: { tls: false, multiplex: true } },
  { name: 'AutoMTLS, multiplexed', options: { tls: true, multiplex: true } },
]

for (const peer of peers) {
  for (const way of ways) {
    test(`a plugin in ${peer.name}, ${way.name}`, async t => {
      await using plugin = await launch(peerContract, peer.command, { logger: false, stdout: 'pipe', stderr: 'pipe', ...way.options })
      const output = { stdout: '', stderr: '' }
      plugin.stdout?.on('data', chunk => {
        output.stdout += chunk
      })
      plugin.stderr?.on('data', chunk => {
        output.stderr += chunk
      })
      for (const check of peerChecks) await t.test(check.name, () => check.run(plugin, output))
    })
  }
}
