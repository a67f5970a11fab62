// `plugwire/driver`: for packages that bring another protocol. Not for applications.

export { isPluginError, PluginError } from '../errors.ts'
export { duplexLink } from '../mux/duplex-link.ts'
export type { TlsIdentity } from '../process/certificate.ts'
export type {
  Conversation,
  ForeignPlugin,
  ForeignService,
  KindDriver,
  MutualTls,
  ProtocolDriver,
  ServedProtocol,
  SideListener,
} from '../process/driver.ts'
export { socketLink } from '../process/socket-link.ts'
export { secureLink } from '../process/tls.ts'
export type { CallOptions, Metadata } from '../rpc/call-context.ts'
export type { LogLevel } from '../wire/log-record.ts'
