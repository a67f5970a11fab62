// `plugwire/plugin`: what a plugin imports.

export { byRef } from '../by-ref.ts'
export { isPluginError, PluginError } from '../errors.ts'
export { type CallContext, type CallOptions, callContext, type Metadata } from '../rpc/call-context.ts'
export { type Flow, flow } from '../rpc/flow.ts'
export { isRemoteError, RemoteError } from '../rpc/remote-error.ts'
export { withOptions } from '../rpc/remote-object.ts'
export type { ReattachConfig } from '../wire/reattach-config.ts'
export { logger, type PluginLogger } from './logger.ts'
export { type ServeOptions, serve } from './serve.ts'
export type { FactoryContext } from './service.ts'
