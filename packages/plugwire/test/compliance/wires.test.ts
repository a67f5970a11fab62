// The compliance kit over real processes: every wire, in clear and encrypted, and with bytes that arrive in pieces.

import type { LaunchOptions } from 'plugwire/host'
import type { Faults } from 'plugwire/testing'
import { probeContract } from '../fixtures/probe.ts'
import { compliance, type Setup } from './kit.ts'

const probe = new URL('../fixtures/probe-plugin.js', import.meta.url)

function over(name: string, options: LaunchOptions & { faults?: Faults }, setup?: Setup): void {
  compliance(name, (world, logger) => world.launch(probeContract, probe, { ...options, logger, name: 'probe' }), setup)
}

over('fd', {})
over('fd with TLS', { tls: true })
over('fd with TLS, P-521', { tls: true, curve: 'P-521' })
over('unix in clear', { wire: 'unix', tls: false })
over('unix', { wire: 'unix' })
over('unix, P-521', { wire: 'unix', curve: 'P-521' })
over('tcp', { wire: 'tcp', ports: { minPort: 0, maxPort: 0 } })
over('tcp, P-521', { wire: 'tcp', curve: 'P-521' })
over('stdio', { wire: 'stdio' })
over('stdio with TLS', { wire: 'stdio', tls: true })
over('stdio with TLS, P-521', { wire: 'stdio', tls: true, curve: 'P-521' })
over('fd, polling', { busyPoll: true })
over('fd, a few bytes at a time', { faults: { pieceBytes: 7 } }, { largeBytes: 256 * 1024 })
over('unix, delayed', { wire: 'unix', faults: { delayMs: 1 } }, { largeBytes: 512 * 1024 })
