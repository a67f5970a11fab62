// `@plugwire/testing`: for those who write a plugin of plugwire's own protocol without plugwire, or the protocol itself.

export type { Check, Instance, Subject } from './check.ts'
export {
  type CheckResult,
  type ConformanceOptions,
  CookieUnknownError,
  checks,
  conformance,
  type Report,
  type Verdict,
} from './conformance.ts'
export {
  bytesOf,
  CALL_STREAM_CREDIT,
  CallFlag,
  type CallParts,
  callMessage,
  cancelMessage,
  DISPOSE,
  dataFrame,
  Flag,
  FrameType,
  frameHeader,
  goAway,
  type Hex,
  INITIAL_CREDIT,
  MAX_MESSAGE_BYTES,
  MessageType,
  message,
  ping,
  ReplyFlag,
  releaseMessage,
  replyMessage,
  u8,
  u16,
  u32,
  value,
  windowUpdate,
} from './frames.ts'
export type { GoCheck, GoSubject } from './go-plugin/check.ts'
export {
  type GoCheckResult,
  type GoConformanceOptions,
  type GoReport,
  goPluginChecks,
  goPluginConformance,
  knownHosts,
  protocolForGo,
} from './go-plugin/conformance.ts'
export { type GoExit, type GoLaunchOptions, GoPeer, GoPeerError } from './go-plugin/go-peer.ts'
export { type RawAnswer, type RawCall, RawGrpc } from './go-plugin/raw-grpc.ts'
export { type LaunchedPeer, launchPeer, launchVariables, type PeerExit, type PeerLaunchOptions, type PeerWire } from './launched-peer.ts'
export { CALLS, PeerError, type RawFrame, type RawMessage, RawPeer, type RawPeerOptions, type Reply } from './raw-peer.ts'
export { encodeValue, isReferenceValue, type ReferenceValue, referenceValue, type Shapes, ValueFault, ValueReader } from './values.ts'
