// How go-plugin's hosts are told of a plugin that runs already: one JSON object, as in the variable TF_REATTACH_PROVIDERS. Pure.
// Source: go-plugin client.go `ReattachConfig`; terraform's JSON form of it.

/** Where a running plugin is. The names are those of the JSON. */
export interface ReattachConfig {
  /** `grpc` or `netrpc`; empty means `netrpc`. */
  readonly Protocol: string
  readonly ProtocolVersion: number
  readonly Pid: number
  /** True when a person started the plugin: its host leaves it running. */
  readonly Test: boolean
  readonly Addr: { readonly Network: string; readonly String: string }
}

/** Whether a value is one, as far as that can be seen. */
export function isReattachConfig(value: unknown): value is ReattachConfig {
  if (typeof value !== 'object' || value === null) return false
  const { Protocol, Pid, Addr } = value as Partial<ReattachConfig>
  const named = typeof Addr === 'object' && Addr !== null && typeof Addr.Network === 'string' && typeof Addr.String === 'string'
  return named && (Protocol === undefined || typeof Protocol === 'string') && Number.isSafeInteger(Pid)
}
