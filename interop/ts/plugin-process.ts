// What the plugins of both protocols have in common: their options, and faults of the process itself.

import { readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { ServeOptions } from 'plugwire/plugin'

/** `--test` serves without a host and prints the JSON to reattach by; `--tls` takes the certificate from the directory PEER_TLS. */
export function serveOptions(): ServeOptions {
  const certificates = process.env['PEER_TLS']
  const lingerMs = Number(process.env['PEER_LINGER_MS'] ?? 0)
  return {
    onClose: () => setTimeout(lingerMs),
    ...(process.argv.includes('--tls') &&
      certificates !== undefined && {
        tlsOptions: { cert: readFileSync(join(certificates, 'cert.pem')), key: readFileSync(join(certificates, 'key.pem')) },
      }),
    ...(process.argv.includes('--test') && { debug: { onReattach: config => process.stdout.write(`${JSON.stringify(config)}\n`) } }),
  }
}

/** Names of what the host told in the environment, read before anything can change it. */
export const pluginEnvironment: string[] = Object.keys(process.env)
  .filter(name => name.startsWith('PLUGIN_'))
  .sort()

/** Writes to what the program knows as its outputs, and to the real descriptor 2. */
export function print({ stdout = '', stderr = '', raw = '' }: { stdout?: string; stderr?: string; raw?: string }): void {
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  for (let rest = Buffer.from(raw); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(2, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error // a pipe that is full for a moment
    }
  }
}

/** Throws where nobody catches. The call that asked for it is never answered. */
export function crash(text: string): Promise<never> {
  setImmediate(() => {
    throw new Error(text)
  })
  return new Promise(() => {})
}
