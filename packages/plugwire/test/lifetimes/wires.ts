// The wires on which a life must end alike.

import { setTimeout as sleep } from 'node:timers/promises'
import type { LaunchOptions } from 'plugwire/host'

export const wires: readonly (readonly [string, LaunchOptions])[] = [
  ['fd', {}],
  ['fd with TLS', { tls: true }],
  ['unix', { wire: 'unix' }],
  ['tcp', { wire: 'tcp', ports: { minPort: 0, maxPort: 0 } }],
  ['stdio', { wire: 'stdio' }],
  ['stdio with TLS', { wire: 'stdio', tls: true }],
]

export const mortalPlugin = new URL('../fixtures/mortal-plugin.js', import.meta.url)

/** Waits until it holds; the test's own timeout ends it otherwise. */
export async function until(holds: () => unknown): Promise<void> {
  while (!(await holds())) await sleep(5)
}
