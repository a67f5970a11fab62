// `plugwire/driver`: for packages that bring another protocol. Not for applications.

import type { Curve, IdentityOptions, TlsIdentity } from '../process/certificate.ts'
import type { secureLink as SecureLink } from '../process/tls.ts'

export { isPluginError, PluginError } from '../errors.ts'
export { defaultLimits } from '../limits.ts'
export { duplexLink } from '../mux/duplex-link.ts'
export type { ByteSink } from '../mux/stream.ts'
export type { Curve, TlsIdentity } from '../process/certificate.ts'
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
export {
  drainToNodeWritable,
  drainToWebWritable,
  receiveNodeReadable,
  receiveWebReadable,
  type StreamSlot,
  type StreamTalk,
  sendNodeReadable,
  sendWebReadable,
} from '../rpc/byte-stream.ts'
export { type CallContext, type CallOptions, type ContextSource, type Metadata, serving } from '../rpc/call-context.ts'
export { Deadlines } from '../rpc/deadlines.ts'
export { FlowState, trackFlow } from '../rpc/flow.ts'
export { isRemoteError, RemoteError } from '../rpc/remote-error.ts'
export { type Caller, createRemoteFunction, createRemoteObject, type Held } from '../rpc/remote-object.ts'
export { DISPOSE_METHOD } from '../wire/call-frames.ts'
export type { LogLevel } from '../wire/log-record.ts'

/** Encrypts a connection and makes sure who is at its other end; see `process/tls.ts`, which is loaded by the first call. */
export const secureLink: typeof SecureLink = async (...given) => (await import('../process/tls.ts')).secureLink(...given)

/** Makes a key and its certificate for one launch; see `process/certificate.ts`, which is loaded by the first call. */
export async function createIdentity(curve?: Curve, options?: IdentityOptions): Promise<TlsIdentity> {
  return (await import('../process/certificate.ts')).createIdentity(curve, options)
}
