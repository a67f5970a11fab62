// Connects to the address that a plugin's handshake names, after a look at whether it may be that one.

import * as net from 'node:net'
import * as path from 'node:path'
import type { LastWords } from '../errors.ts'
import { PluginError } from '../errors.ts'
import type { Network } from '../wire/handshake.ts'
import { parseTcpAddress } from '../wire/handshake.ts'
import { checkSocketPath } from './socket-directory.ts'

export interface Address {
  /** The plugin's name, for texts. */
  readonly plugin: string
  readonly network: Network
  readonly address: string
  /** The directory in which a socket must lie: one that the host made and nobody else may enter. */
  readonly within?: string | undefined
  /** Whether an address beyond the loopback is taken; only for plugins that are not ours, which may run in a container. */
  readonly anyHost?: boolean
}

/**
 * Opens one connection.
 *
 * @param lastWords What is known of the plugin when it fails.
 * @throws PluginError `ERR_CONNECT`, `ERR_SOCKET_PATH_TOO_LONG`.
 */
export async function connectTo(to: Address, lastWords?: () => LastWords): Promise<net.Socket> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new PluginError(
      'ERR_CONNECT',
      { plugin: to.plugin, address: to.address, reason, ...lastWords?.() },
      cause === undefined ? undefined : { cause },
    )
  }
  let socket: net.Socket
  if (to.network === 'unix') {
    if (to.within !== undefined && path.dirname(path.resolve(to.address)) !== to.within)
      fail(`its socket does not lie in ${to.within}, which was made for it`)
    checkSocketPath(to.address)
    socket = net.connect({ path: to.address })
  } else if (to.network === 'tcp') {
    const { host, port } = parseTcpAddress(to.address) ?? fail('it is no host and port')
    if (to.anyHost !== true && !isLoopback(host)) fail('it is not on this machine')
    socket = net.connect({ host, port, noDelay: true })
  } else {
    return fail(`there is nothing to connect to on the wire ${to.network}`)
  }
  try {
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  } catch (cause) {
    return fail(reasonOf(cause), cause)
  }
  // An error may come before the next owner listens; a broken connection is told by its end as well.
  socket.on('error', () => {})
  return socket
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)

/** The system's word for a failure where there is one. */
export const reasonOf = (cause: unknown): string =>
  cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) || cause.name : String(cause)
