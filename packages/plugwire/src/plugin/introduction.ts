// What a plugin tells somebody who has no contract of it yet: `plugwire inspect`, or whoever sets PLUGWIRE_DESCRIBE.

import type { Contract } from '../contract.ts'
import { VERSION } from '../version.ts'
import { encodeServedContract } from '../wire/served-contract.ts'
import { runtimeName } from './runtime-name.ts'
import type { FactoryTable } from './service.ts'

/** The contract with the kinds that are really served, as one line of JSON. */
export function introductionOf({ name, cookie, versions }: Contract, factories: FactoryTable): string {
  const served = versions.map(({ version }) => ({ version, kinds: [...(factories.get(version)?.keys() ?? [])] }))
  return encodeServedContract({ name, cookie, versions: served, runtime: runtimeName(), plugwire: VERSION })
}
