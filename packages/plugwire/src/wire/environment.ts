// What a host tells its plugin through environment variables, and the choice of a contract version. Pure: reads and sets no environment.
// Source: go-plugin client.go `Start`, server.go `protocolVersion`; PLUGWIRE_HOST is ours.

import type { Network } from './handshake.ts'

/** Names of the variables, beside the magic cookie that every contract names itself. */
export const Variable = {
  minPort: 'PLUGIN_MIN_PORT',
  maxPort: 'PLUGIN_MAX_PORT',
  /** Contract versions that the host understands: decimal, comma separated, in no order. */
  versions: 'PLUGIN_PROTOCOL_VERSIONS',
  /** The host's one-time certificate as PEM; present means that the plugin must encrypt. */
  clientCertificate: 'PLUGIN_CLIENT_CERT',
  multiplexGrpc: 'PLUGIN_MULTIPLEX_GRPC',
  socketDir: 'PLUGIN_UNIX_SOCKET_DIR',
  socketGroup: 'PLUGIN_UNIX_SOCKET_GROUP',
  /** What a plugwire host offers beyond go-plugin: `HostVariable`. */
  host: 'PLUGWIRE_HOST',
  /** Without a cookie: the plugin prints its contract as one line of JSON (`ServedContract`) and exits. */
  describe: 'PLUGWIRE_DESCRIBE',
} as const

/**
 * Variables that concern one launch only. A host removes them from what its child inherits, since it may be a plugin itself (a stray
 * PLUGIN_CLIENT_CERT makes a Go plugin encrypt and its host crash); a plugin removes them from its own environment once read.
 */
export const scrubbedNames: readonly string[] = Object.values(Variable)

/** go-plugin's default port range, client.go `NewClient`. */
export const defaultPorts: PortRange = { minPort: 10_000, maxPort: 25_000 }

export interface PortRange {
  readonly minPort: number
  readonly maxPort: number
}

/** The content of PLUGWIRE_HOST. */
export interface HostVariable {
  readonly coreVersions: readonly number[]
  /** The wire that the host asks for. */
  readonly wire: Network
  /** `fd`: the descriptor's number; `unix`: the directory for the socket; `tcp`: a port range; `stdio`: `-`. */
  readonly address: string
  /** Protocols understood on that wire, e.g. `plugwire`. */
  readonly protocols: readonly string[]
  /** A descriptor that carries nothing and ends when the host does. Absent where the session's own end tells it, or when detached. */
  readonly guard?: number
  /** The plugin outlives its host and serves one host after the other. */
  readonly detached: boolean
  /** Microseconds for which both sides poll after each message before they sleep. Absent: not at all. */
  readonly pollMicroseconds?: number
}

/** Encodes the value of PLUGWIRE_HOST. */
export function encodeHostVariable(variable: HostVariable): string {
  const fields = [variable.coreVersions.join(','), variable.wire, variable.address, variable.protocols.join(','), variable.guard ?? '']
  if (variable.detached) fields.push('detached')
  if (variable.pollMicroseconds !== undefined) fields.push(`poll=${variable.pollMicroseconds}`)
  return fields.join('|')
}

/** Reads the value of PLUGWIRE_HOST. Words after the fifth field that are not known are ignored, so that later hosts may add some. */
export function parseHostVariable(text: string): HostVariable | { readonly reason: string } {
  const fields = text.split('|')
  const [cores = '', wire = '', address = '', protocols = '', guard = ''] = fields
  if (fields.length < 5) return { reason: `it has ${fields.length} of at least 5 fields` }
  if (!/^\d{1,9}(,\d{1,9})*$/.test(cores)) return { reason: `${JSON.stringify(cores)} is no list of core versions` }
  if (wire !== 'fd' && wire !== 'unix' && wire !== 'tcp' && wire !== 'stdio')
    return { reason: `the wire ${JSON.stringify(wire)} is not known` }
  if (wire === 'fd' && !/^\d{1,5}$/.test(address)) return { reason: `${JSON.stringify(address)} is no descriptor` }
  if (wire === 'tcp' && parsePortRange(address) === undefined) return { reason: `${JSON.stringify(address)} is no port range` }
  if (wire === 'unix' && address === '') return { reason: 'it names no directory' }
  if (!/^\d{0,5}$/.test(guard)) return { reason: `${JSON.stringify(guard)} is no descriptor` }
  const words = fields.slice(5)
  const poll = words.map(word => /^poll=([1-9]\d{0,6})$/.exec(word)?.[1]).find(digits => digits !== undefined)
  return {
    coreVersions: cores.split(',').map(Number),
    wire,
    address,
    protocols: protocols.split(',').filter(Boolean),
    ...(guard !== '' && { guard: Number(guard) }),
    detached: words.includes('detached'),
    ...(poll !== undefined && { pollMicroseconds: Number(poll) }),
  }
}

/** Reads `min-max`; `0-0` lets the system choose. Undefined when it is none, or min is above max. */
export function parsePortRange(text: string): PortRange | undefined {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text)
  const [minPort, maxPort] = [Number(match?.[1]), Number(match?.[2])]
  return match !== null && minPort <= maxPort && maxPort < 65_536 ? { minPort, maxPort } : undefined
}

/** Reads PLUGIN_PROTOCOL_VERSIONS; items that are no numbers are skipped and returned beside. */
export function parseVersions(text: string): { readonly versions: readonly number[]; readonly skipped: readonly string[] } {
  const items = text
    .split(',')
    .map(item => item.trim())
    .filter(Boolean)
  const isNumber = (item: string): boolean => /^\d{1,9}$/.test(item)
  return { versions: items.filter(isNumber).map(Number), skipped: items.filter(item => !isNumber(item)) }
}

/**
 * Chooses the contract version: the highest that both sides know; without a common one the plugin's lowest, which the plugin still announces so that its
 * host can say what does not fit. A host that sends no list gets the lowest too.
 *
 * @param pluginVersions At least one.
 */
export function negotiate(pluginVersions: readonly number[], hostVersions: readonly number[]): number {
  const common = pluginVersions.filter(version => hostVersions.includes(version))
  return common.length > 0 ? Math.max(...common) : Math.min(...pluginVersions)
}
