// The program: it is small, and its commands come when they are needed.

import { commands, npmSettings } from '@plugwire/store'
import { readTrustFile, trustPolicy } from '@plugwire/trust'

const acme = commands(
  { aws: 'npm:@acme/aws-plugin@^2' },
  {
    program: 'acme',
    // Whom this user trusts. A program that has one publisher names its key here: { publishers: [{ name: 'acme', keys: [ACME_KEY] }] }.
    policy: trustPolicy(await readTrustFile()),
    // The registry of the user's npm. Only that of this example is on this machine, without TLS.
    sources: { npm: await npmSettings(), http: { allowLoopback: true } },
  },
)
process.exitCode = await acme()
