// Lets hosts in at a listener: one for most plugins, one after the other for those that outlive their host. Decides which connection is a
// host: with TLS the one that proves it, without TLS the one that says something.

import type { Socket } from 'node:net'
import { isPluginError } from '../errors.ts'
import { MAX_PENDING_CONNECTIONS } from '../limits.ts'
import type { Link } from '../mux/link.ts'
import { listen } from './listen.ts'
import { socketLink } from './socket-link.ts'
import { watchLink } from './watched-link.ts'

export interface ReceiveOptions {
  /** The plugin's name, for texts. */
  readonly name: string
  readonly wire: 'unix' | 'tcp'
  /** `unix`: a directory, or empty; `tcp`: a port range. */
  readonly where: string
  readonly socketName: string | undefined
  readonly socketGroup: string | undefined
  /** The host's certificate as PEM; present means TLS. */
  readonly clientCertificate: string | undefined
  /** Goes on listening after the first host has come. */
  readonly persistent: boolean
  /** Nothing else tells that the host is gone, so look whether it is still the parent. */
  readonly watchParent: boolean
  readonly onLink: (link: Link, secure: boolean) => void
  readonly onLost: (cause: Error | undefined) => void
  /** Where a person reads it. */
  readonly say: (text: string) => void
}

export interface Reception {
  readonly address: string
  /** Field 6 of the handshake line; absent without TLS. */
  readonly certificate: string | undefined
  readonly close: () => void
}

/** Refused connections that are told of; a neighbour that keeps knocking must not fill the log. */
const MAX_TOLD = 10
const PARENT_CHECK_MS = 1_000

/** Starts to listen for hosts. Resolves when a host can connect. */
export async function receiveHosts(options: ReceiveOptions): Promise<Reception> {
  if (options.wire === 'tcp' && options.clientCertificate === undefined) {
    throw new Error(
      'every process of this machine can reach a tcp port, so the wire tcp needs TLS; its host asked for none. Switch AutoMTLS on in the host',
    )
  }
  return new Receiver(options, await loadTls(options)).start()
}

type Secure = (socket: Socket, signal: AbortSignal) => Promise<Link>

async function loadTls(options: ReceiveOptions): Promise<{ readonly secure: Secure; readonly field: string } | undefined> {
  const { clientCertificate, name } = options
  if (clientCertificate === undefined) return undefined
  const [{ certificateField, createIdentity }, { secureLink }] = await Promise.all([import('./certificate.ts'), import('./tls.ts')])
  const own = createIdentity()
  const secure: Secure = (socket, signal) =>
    secureLink(socket, 'server', own, { certificate: clientCertificate }, { signal, plugin: `the host of ${name}` })
  return { secure, field: certificateField(own.der) }
}

class Receiver {
  readonly #options: ReceiveOptions
  readonly #tls: { readonly secure: Secure; readonly field: string } | undefined
  /** Ends every handshake that is under way. */
  readonly #abort: AbortController = new AbortController()
  /** Links given away that may turn out to be no host's. */
  readonly #pending: Set<Link> = new Set()
  #handshakes = 0
  #open = 0
  #taken = false
  #told = 0
  #stopListening = (): void => {}
  #parentCheck: NodeJS.Timeout | undefined

  constructor(options: ReceiveOptions, tls: { readonly secure: Secure; readonly field: string } | undefined) {
    this.#options = options
    this.#tls = tls
  }

  async start(): Promise<Reception> {
    const { wire, where, socketName, socketGroup } = this.#options
    const listener = await listen(
      wire === 'unix' ? { network: wire, directory: where, socketName, group: socketGroup } : { network: wire, ports: where },
      socket => this.#receive(socket),
    )
    this.#stopListening = listener.close
    if (this.#options.watchParent) this.#watchParent()
    return { address: listener.address, certificate: this.#tls?.field, close: () => this.#close() }
  }

  #receive(socket: Socket): void {
    const refused = (this.#taken && !this.#options.persistent) || this.#pending.size + this.#handshakes >= MAX_PENDING_CONNECTIONS
    if (refused) socket.destroy()
    else if (this.#tls === undefined) this.#receivePlain(socket)
    else void this.#receiveSecure(socket, this.#tls.secure)
  }

  /** Given away at once, since the plugin may be the one that speaks first; a connection that ends without a byte never was a host. */
  #receivePlain(socket: Socket): void {
    const bare = socketLink({ socket })
    let heard = false
    const link = watchLink(bare, {
      received: () => {
        heard = true
        this.#pending.delete(bare)
        this.#take()
      },
      closed: cause => {
        this.#pending.delete(bare)
        if (heard) this.#leave(cause)
      },
    })
    this.#pending.add(bare)
    this.#options.onLink(link, false)
  }

  async #receiveSecure(socket: Socket, secure: Secure): Promise<void> {
    this.#handshakes++
    try {
      const link = await secure(socket, this.#abort.signal)
      if (this.#abort.signal.aborted || (this.#taken && !this.#options.persistent)) return link.destroy()
      this.#take()
      this.#options.onLink(watchLink(link, { closed: cause => this.#leave(cause) }), true)
    } catch (cause) {
      // Who connects and leaves without a byte only looked whether somebody is there: a host that reattaches does.
      if (!this.#abort.signal.aborted && socket.bytesRead > 0) this.#tell(cause)
    } finally {
      this.#handshakes--
    }
  }

  #take(): void {
    this.#taken = true
    this.#open++
    if (this.#options.persistent) return
    this.#stopListening()
    for (const link of this.#pending) link.destroy()
  }

  #leave(cause: Error | undefined): void {
    this.#open--
    if (!this.#options.persistent) this.#lose(cause)
  }

  #lose(cause: Error | undefined): void {
    this.#close()
    this.#options.onLost(cause)
  }

  #tell(cause: unknown): void {
    if (this.#told++ < MAX_TOLD) this.#options.say(`refused a connection: ${isPluginError(cause) ? cause.message : String(cause)}`)
  }

  /** An orphan gets another parent. Source: what go-plugin's own plugins do not do, and so outlive a host that was killed. */
  #watchParent(): void {
    const parent = process.ppid
    const check = (): void => {
      if (process.ppid !== parent && this.#open === 0) this.#lose(undefined)
    }
    this.#parentCheck = setInterval(check, PARENT_CHECK_MS).unref()
  }

  #close(): void {
    clearInterval(this.#parentCheck)
    this.#stopListening()
    this.#abort.abort()
  }
}
