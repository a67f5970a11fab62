// What host and plugin offer each other from the start, under reference 0. The order is the protocol: docs/protocol.md "Roots".

import type { MethodTable } from './method-table.ts'

export const PluginMethod = { dispense: 0, describe: 1, close: 2 } as const
export const HostMethod = { log: 0 } as const

/** What a plugin says of itself. */
export interface PluginDescription {
  readonly name: string
  /** The contract version agreed on. */
  readonly version: number
  readonly versions: readonly number[]
  /** What can be dispensed in this version. */
  readonly kinds: readonly string[]
  readonly pid: number
  /** E.g. `node 20.20.2`; empty when its protocol has no word for it. */
  readonly runtime: string
  /** The plugin's release of plugwire; empty when it speaks another protocol. */
  readonly plugwire: string
  readonly wire: string
  readonly secure: boolean
}

type Method = (...args: unknown[]) => unknown

/** The root of a plugin. */
export function pluginMethods(methods: {
  dispense(kind: string, config: unknown): unknown
  describe(): unknown
  close(): unknown
}): MethodTable {
  return {
    names: Object.keys(PluginMethod),
    functions: [(kind, config) => methods.dispense(String(kind), config), methods.describe, methods.close] as Method[],
  }
}

/** The root of a host. */
export function hostMethods(methods: {
  log(level: unknown, message: unknown, fields: unknown, time: unknown, module: unknown): void
}): MethodTable {
  return { names: Object.keys(HostMethod), functions: [methods.log as Method] }
}
