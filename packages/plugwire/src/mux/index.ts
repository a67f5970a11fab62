// `plugwire/mux`: yamux by itself, over any duplex stream of Node or a link of your own.
export { type DuplexPair, duplexLink } from './duplex-link.ts'
export type { Link, LinkReader } from './link.ts'
export { Session, type SessionOptions } from './session.ts'
export type { ByteSink, Stream } from './stream.ts'
