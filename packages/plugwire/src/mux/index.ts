// `plugwire/mux`: yamux by itself, over any link or Node duplex.
export type { Link, LinkReader } from './link.ts'
export { Session, type SessionOptions } from './session.ts'
export { type ByteSink, Stream } from './stream.ts'
