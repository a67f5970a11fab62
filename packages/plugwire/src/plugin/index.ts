// `plugwire/plugin`: what a plugin imports.
export { callContext, type CallContext, type CallOptions, type Metadata } from '../rpc/call-context.ts'
export { type Flow, flow } from '../rpc/flow.ts'
export { RemoteError, isRemoteError } from '../rpc/remote-error.ts'
export { withOptions } from '../rpc/remote-object.ts'
export { byRef } from '../by-ref.ts'
export { PluginError, isPluginError } from '../errors.ts'
export { type PluginLogger, logger } from './logger.ts'
export { type FactoryContext, type ServeOptions, serve } from './serve.ts'
