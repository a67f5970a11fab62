// Certificates of the tests: the core's own maker of them, by way of its build, because they are no part of what it publishes.

import type { TlsIdentity } from '../../../src/transport/seam.ts'

interface Made {
  readonly key: string
  readonly certificate: string
}

const maker = new URL('../../../../../plugwire/build/src/process/certificate.js', import.meta.url)
const { createIdentity } = (await import(maker.href)) as { createIdentity(curve?: string): Made }

/** Two sides that trust each other and nobody else. */
export function identities(): { client: TlsIdentity; server: TlsIdentity } {
  const client = createIdentity('P-521')
  const server = createIdentity()
  return {
    client: { key: client.key, cert: client.certificate, ca: server.certificate },
    server: { key: server.key, cert: server.certificate, ca: client.certificate },
  }
}
