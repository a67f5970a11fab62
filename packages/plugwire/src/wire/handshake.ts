// The one line in which a plugin says what it speaks and where. Pure: knows neither where the line was read nor who wrote it.
// Source: go-plugin server.go `Serve` (writing), client.go `Start` (reading); field 8 is ours.

/** The only core protocol version there is; go-plugin `CoreProtocolVersion`. */
export const CORE_VERSION = 1

/** How bytes travel between host and plugin. go-plugin knows `unix` and `tcp`. */
export type Network = 'fd' | 'unix' | 'tcp' | 'stdio'

/** What a plugin says of itself before anything else. */
export interface Handshake {
  readonly coreVersion: number
  /** The contract version that the plugin chose. */
  readonly version: number
  readonly network: Network
  /** `fd`: the descriptor's number; `unix`: a path; `tcp`: `host:port`, where an absent host is the loopback; `stdio`: `-`. */
  readonly address: string
  /** `plugwire`, `grpc` or `netrpc`; very old plugins write none and mean `netrpc`. */
  readonly protocol: string
  /** The plugin's one-time certificate: base64 of the DER as on the wire, that is, without `=`. */
  readonly certificate?: string
  /** Whether brokered gRPC connections share one connection; absent when the plugin says nothing readable. */
  readonly multiplex?: boolean
  /** Every contract version that the plugin serves; only `version` when it is a plugin that does not tell. */
  readonly versions: readonly number[]
}

/** Why a line is no handshake that can be used. */
export interface HandshakeFault {
  /** `core`: the line is one, but of another core protocol; `line`: the line is broken. */
  readonly fault: 'core' | 'line'
  readonly reason: string
  /** The first field as it was written. */
  readonly core: string
}

const networks: ReadonlySet<string> = new Set<Network>(['fd', 'unix', 'tcp', 'stdio'])
/** Go `strconv.ParseBool`. */
const booleans: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map(word => [word, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map(word => [word, false] as const),
])
/** A boolean as Go reads it; undefined when it is none. */
export const parseBoolean = (text: string): boolean | undefined => booleans.get(text)
/** go-plugin looks at field 6 only when it is longer; old plugins of other languages put something short there. */
const MAX_JUNK_CERTIFICATE = 50

/** Whether a line of stdout claims to be a handshake; every other line is just output. */
export const looksLikeHandshake = (line: string): boolean => /^\s*\d+\|/.test(line)

/** Encodes the line, without its newline. All eight fields are written, so it is for hosts that split at every `|`. */
export function encodeHandshake(handshake: Handshake): string {
  return [
    handshake.coreVersion,
    handshake.version,
    handshake.network,
    handshake.address,
    handshake.protocol,
    handshake.certificate ?? '',
    handshake.multiplex ?? false,
    handshake.versions.join(','),
  ].join('|')
}

/**
 * Encodes the line as Go plugins do: six fields, and a seventh only for a host that asked whether connections can be brokered inside one, since
 * go-plugin before v1.6 takes what follows the sixth for a part of it.
 */
export function encodeGoHandshake({
  coreVersion,
  version,
  network,
  address,
  protocol,
  certificate,
  multiplex,
}: Omit<Handshake, 'versions'>): string {
  const fields = [coreVersion, version, network, address, protocol, certificate ?? '']
  return [...fields, ...(multiplex === undefined ? [] : [multiplex])].join('|')
}

/** Reads a line. Fields beyond the eighth are ignored, as go-plugin ignores those beyond the seventh. */
export function parseHandshake(line: string): Handshake | HandshakeFault {
  const fields = line.trim().split('|')
  const [core = '', versionText = '', network = '', address = '', protocol = '', certificate = '', multiplexText = '', versionsText = ''] =
    fields
  const fault = (reason: string): HandshakeFault => ({ fault: 'line', reason, core })
  const coreVersion = integer(core)
  if (coreVersion === undefined) return fault('its first field is no number')
  // The core version decides what the other fields mean, so it is judged before they are.
  if (coreVersion !== CORE_VERSION) return { fault: 'core', reason: `core protocol ${core}`, core }
  if (fields.length < 4) return fault(`it has ${fields.length} of at least 4 fields`)
  const version = integer(versionText)
  if (version === undefined) return fault(`the contract version ${JSON.stringify(versionText)} is no number`)
  if (!networks.has(network)) return fault(`the network ${JSON.stringify(network)} is none of ${[...networks].join(', ')}`)
  const badAddress = addressFault(network as Network, address)
  if (badAddress !== undefined) return fault(badAddress)
  const certified = certificate.length > MAX_JUNK_CERTIFICATE
  if (certified && !/^[A-Za-z0-9+/]+={0,2}$/.test(certificate)) return fault('its certificate is not base64')
  const multiplex = parseBoolean(multiplexText)
  return {
    coreVersion,
    version,
    network: network as Network,
    address,
    protocol: protocol === '' ? 'netrpc' : protocol,
    ...(certified && { certificate }),
    ...(multiplex !== undefined && { multiplex }),
    versions: /^\d{1,9}(,\d{1,9})*$/.test(versionsText) ? versionsText.split(',').map(Number) : [version],
  }
}

/** Splits `host:port`; an absent host is the loopback, IPv6 stands in brackets. Undefined when it is none. */
export function parseTcpAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]*):(\d{1,5})$/.exec(address)
  const port = Number(match?.[2])
  if (match === null || !(port > 0 && port < 65_536)) return undefined
  return { host: match[1] === '' ? '127.0.0.1' : (match[1] as string).replace(/^\[|\]$/g, ''), port }
}

function addressFault(network: Network, address: string): string | undefined {
  if (network === 'tcp' && parseTcpAddress(address) === undefined) return `${JSON.stringify(address)} is no host:port`
  if (network === 'unix' && (address === '' || address.includes('\0'))) return 'it names no socket path'
  if (network === 'fd' && !/^\d{1,5}$/.test(address)) return `${JSON.stringify(address)} is no descriptor`
  return undefined
}

const integer = (text: string): number | undefined => (/^\d{1,9}$/.test(text) ? Number(text) : undefined)
