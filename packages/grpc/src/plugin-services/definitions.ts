// The services that go-plugin has in every plugin, as the transport knows them. Source: go-plugin internal/plugin/*.proto.

import type { MethodDefinition } from '../transport/definition.ts'
import {
  type ConnInfo,
  decodeConnInfo,
  decodeEmpty,
  decodeStdioData,
  type Empty,
  encodeConnInfo,
  encodeEmpty,
  encodeStdioData,
  type StdioData,
} from './control-messages.ts'

/** Both brokers' conversation, for as long as the connection lasts. */
export const startStream: MethodDefinition<ConnInfo, ConnInfo> = {
  path: '/plugin.GRPCBroker/StartStream',
  requestStream: true,
  responseStream: true,
  requestSerialize: encodeConnInfo,
  requestDeserialize: decodeConnInfo,
  responseSerialize: encodeConnInfo,
  responseDeserialize: decodeConnInfo,
}

/** The host tells the plugin to end. */
export const shutdown: MethodDefinition<Empty, Empty> = {
  path: '/plugin.GRPCController/Shutdown',
  requestStream: false,
  responseStream: false,
  requestSerialize: encodeEmpty,
  requestDeserialize: decodeEmpty,
  responseSerialize: encodeEmpty,
  responseDeserialize: decodeEmpty,
}

/** What the plugin prints. The request is a `google.protobuf.Empty`. */
export const streamStdio: MethodDefinition<Empty, StdioData> = {
  path: '/plugin.GRPCStdio/StreamStdio',
  requestStream: false,
  responseStream: true,
  requestSerialize: encodeEmpty,
  requestDeserialize: decodeEmpty,
  responseSerialize: encodeStdioData,
  responseDeserialize: decodeStdioData,
}
