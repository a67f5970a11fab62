// What a protocol that is not ours has to offer, and what it is given: one driver for both roles. Types, and the way from a kind to its driver;
// the drivers themselves are packages of their own and never imported from here.

import type { Socket } from 'node:net'
import type { Kind } from '../contract.ts'
import { type LastWords, PluginError } from '../errors.ts'
import type { CallOptions, Metadata } from '../rpc/call-context.ts'
import type { PluginDescription } from '../rpc/roots.ts'
import type { Handshake } from '../wire/handshake.ts'
import type { LogLevel } from '../wire/log-record.ts'
import type { TlsIdentity } from './certificate.ts'
import type { ExitStatus } from './child.ts'

/** What `tls.connect` takes. */
export type TlsClientOptions = import('node:tls').ConnectionOptions
/** What `tls.createServer` takes. */
export type TlsServerOptions = import('node:tls').TlsOptions

/** Speaks one protocol, in both roles. */
export interface ProtocolDriver {
  /**
   * Role host: takes over when a plugin has introduced itself. May connect now or with the first use.
   *
   * @throws PluginError `ERR_CONNECT`, `ERR_TLS`, `ERR_PROTOCOL_UNSUPPORTED` (with what the handshake lacks).
   */
  converse(plugin: ForeignPlugin): Promise<Conversation>
  /** Role plugin: gets ready to serve. When it resolves hosts can connect, and the handshake line is written. */
  serve(service: ForeignService): Promise<ServedProtocol>
}

/** What `Kind.driver` holds for a kind of another protocol; its package adds what it needs. */
export interface KindDriver {
  /** Loads the protocol; asked for when a version with this kind has been agreed on, not before. */
  readonly load: () => Promise<ProtocolDriver>
}

/** Both sides' certificates of AutoMTLS. */
export interface MutualTls {
  readonly identity: TlsIdentity
  /** The one certificate that the peer may show, as PEM. */
  readonly peerCertificate: string
}

/** A listener for connections beside the main one. */
export interface SideListener {
  readonly network: 'unix' | 'tcp'
  readonly address: string
  /** Stops listening and removes the socket file. Connections stay. Twice is fine. */
  close(): void
}

/** Role host: a plugin that has introduced itself, as its driver sees it. */
export interface ForeignPlugin {
  readonly name: string
  readonly pid: number
  readonly version: number
  /** The kinds of that version. */
  readonly kinds: { readonly [kind: string]: Kind }
  /** Undefined for a plugin that was attached to. */
  readonly handshake: Handshake | undefined
  /** Both sides' certificates; undefined without AutoMTLS. */
  readonly tls: MutualTls | undefined
  /** The application's own TLS instead; what `tls.connect` takes. */
  readonly customTls: TlsClientOptions | undefined
  /** True when the host asked for brokered connections inside the main one; the handshake says whether the plugin agrees. */
  readonly multiplex: boolean
  /** One more connection to the plugin's address, in clear. Rejects with `ERR_CONNECT`. It does not hold the event loop until `ref()`. */
  connect(): Promise<Socket>
  /** One connection to another address that the plugin named (broker). Rejects with `ERR_CONNECT`. */
  connectTo(network: string, address: string): Promise<Socket>
  /** Listens for the plugin, by the rules of go-plugin hosts. */
  listen(onConnection: (socket: Socket) => void): Promise<SideListener>
  /** Output of the plugin that came over its connection. Descriptor 1 or 2. What it returns is pending while the application reads too slowly. */
  output(descriptor: 1 | 2, bytes: Uint8Array): Promise<void> | undefined
  /** Says something to the host's logger, in the name of the plugin. */
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void
  /** Metadata for every call, as the host gives it. */
  readonly metadata: (() => Metadata | undefined) | undefined
  /** Resolves when the process has ended. */
  readonly exited: Promise<ExitStatus>
  lastWords(): LastWords
  /**
   * Its conversation was lost: by `cause`, or in order. Ends the process if it still runs, and resolves to the error with which calls
   * in flight are to reject.
   */
  lost(cause: PluginError | undefined): Promise<PluginError>
}

/** Role host: what a running plugin needs of the protocol it speaks. */
export interface Conversation {
  /** Calls into the plugin without an answer. */
  readonly callsInFlight: number
  /** Calls that the plugin made. */
  readonly callsServed: number
  /** Streams, beside the one of the calls. */
  readonly streamCount: number
  /** An instance of a kind. The kind is known to the contract. */
  dispense(kind: string, config: unknown): Promise<object>
  /** A round trip in milliseconds. */
  ping(): Promise<number>
  /** What the plugin says of itself; undefined where the protocol has no word for it. */
  describe(options?: CallOptions): Promise<PluginDescription> | undefined
  /** Tells the plugin to end. Resolves when it has heard; never rejects. Whoever calls bounds it in time. */
  tellToEnd(): Promise<unknown>
  /** No new calls from now on; they reject with `reason`. */
  refuseCalls(reason: PluginError): void
  /** Leaves the plugin running: lets what was said leave, then ends the connection. */
  close(): void
  /** Ends it at once: all that is open rejects with `reason`. */
  destroy(reason: PluginError): void
}

/** Role plugin: what a driver needs to serve. */
export interface ForeignService {
  /** The contract's name. */
  readonly name: string
  readonly version: number
  /** The kinds of that version. */
  readonly kinds: { readonly [kind: string]: Kind }
  /** Makes an instance of a kind with the application's factory. Rejects with what the factory throws. */
  make(kind: string, config: unknown): Promise<object>
  /** Listens by the rules of go-plugin plugins: where the environment says. For the main listener and for the broker's. */
  listen(onConnection: (socket: Socket) => void): Promise<SideListener>
  /** One connection to an address that the host named (broker). Rejects with `ERR_CONNECT`. */
  connectTo(network: string, address: string): Promise<Socket>
  /** Both sides' certificates; undefined without AutoMTLS. Field 6 of the line is not the driver's matter. */
  readonly tls: MutualTls | undefined
  /** The application's own TLS instead; what `tls.createServer` takes. */
  readonly customTls: TlsServerOptions | undefined
  /** True when the host asked for brokered connections inside the main one. */
  readonly multiplex: boolean
  /** Calls `sink` with what this process writes to stdout (1) and stderr (2); what was kept so far comes first. The last sink wins; undefined: keep again, within bounds. */
  onOutput(sink: ((descriptor: 1 | 2, bytes: Uint8Array) => void) | undefined): void
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void
  /** Metadata for every call into the host. */
  readonly metadata: (() => Metadata | undefined) | undefined
  /** The host says that the plugin is to end. The answer is to be sent by then. */
  end(): void
  /** A host has connected, or the last one has left: a plugin that serves one host only ends with it. */
  hostCame(): void
  hostLeft(): void
}

/** Role plugin: what came of it. */
export interface ServedProtocol {
  readonly network: 'unix' | 'tcp'
  /** A path, or `127.0.0.1:port`. */
  readonly address: string
  /** Field 7 of the handshake line; undefined leaves it out. */
  readonly multiplex: boolean | undefined
  /** Lets answers leave, ends every connection, and disposes the instances. Never rejects. */
  close(): Promise<void>
}

/**
 * The driver of a version's kinds; all of them travel by one protocol.
 *
 * @throws PluginError `ERR_CONTRACT` when a kind brings none.
 */
export function loadDriver(kinds: { readonly [kind: string]: Kind }): Promise<ProtocolDriver> {
  const [kind] = Object.values(kinds)
  const driver = kind?.driver as Partial<KindDriver> | undefined
  if (typeof driver?.load !== 'function') {
    throw new PluginError('ERR_CONTRACT', { reason: `the kinds of the protocol ${kind?.protocol} bring no driver for it` })
  }
  return driver.load()
}
