// A listener of a plugin: a socket file or a loopback port, chosen by go-plugin's rules, gone without a trace however the process ends.
// Knows nothing of what travels over the connections. Source: go-plugin server.go `serverListener`.

import * as fs from 'node:fs'
import { chmod, chown, mkdtemp, readFile } from 'node:fs/promises'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PluginError } from '../errors.ts'
import { parsePortRange } from '../wire/environment.ts'
import { atEnd } from './at-end.ts'

export interface UnixListenOptions {
  readonly network: 'unix'
  /** Where the socket goes. Empty: a fresh directory under the temporary one that only this user may enter, removed at the end. */
  readonly directory: string
  /** Name of the socket file. Default: `plugin` and a random part, as other listeners may stand in the same directory. */
  readonly socketName?: string | undefined
  /** A group, by name or number, that may connect too; the file then has mode 0660. */
  readonly group?: string | undefined
}

export interface TcpListenOptions {
  readonly network: 'tcp'
  /** `min-max`, tried in order; `0-0` lets the system choose. */
  readonly ports: string
}

export interface Listener {
  /** A path, or `127.0.0.1:port`. */
  readonly address: string
  /** Stops listening and removes what was made. Connections stay. Twice is fine. */
  close(): void
}

/**
 * Listens, on nothing but this machine.
 *
 * @param onConnection Gets each connection paused: nothing is read before it says so. An 'error' of it is already listened for.
 * @throws PluginError `ERR_SOCKET_PATH_TOO_LONG`, `ERR_PORT_RANGE`; errors of the system as they are.
 */
export async function listen(options: UnixListenOptions | TcpListenOptions, onConnection: (socket: net.Socket) => void): Promise<Listener> {
  const server = net.createServer({ pauseOnConnect: true }, socket => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  return options.network === 'unix' ? listenUnix(server, options) : listenTcp(server, options.ports)
}

/** Bytes of a socket path without its final zero: `sun_path` has 108 on Linux, 104 on macOS and the BSDs. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103

async function listenUnix(server: net.Server, options: UnixListenOptions): Promise<Listener> {
  const gid = options.group === undefined ? undefined : await groupId(options.group)
  const own = options.directory === '' ? await mkdtemp(join(tmpdir(), 'plugwire-')) : undefined
  const name =
    options.socketName ??
    `plugin${process
      .getBuiltinModule('node:crypto')
      .randomInt(2 ** 47)
      .toString(36)}`
  const path = join(own ?? options.directory, name)
  const leftover = new Leftover(path, own)
  try {
    checkPath(path, own !== undefined)
    await start(server, { path })
    if (gid !== undefined) {
      await chown(path, -1, gid)
      await chmod(path, 0o660)
      if (own !== undefined) {
        await chown(own, -1, gid)
        await chmod(own, 0o710)
      }
    }
  } catch (cause) {
    server.close()
    // Somebody else's socket of that name stays.
    if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE') leftover.forget()
    leftover.remove()
    throw cause
  }
  return {
    address: path,
    close() {
      server.close()
      leftover.remove()
    },
  }
}

/** Checked before use: too long a path is cut by some systems without a word, and then nobody can connect. */
function checkPath(path: string, own: boolean): void {
  const bytes = Buffer.byteLength(path)
  if (bytes <= MAX_PATH_BYTES) return
  const remedy = own ? 'Set TMPDIR to a shorter directory for the plugin.' : 'Give the host a shorter directory for its sockets.'
  throw new PluginError('ERR_SOCKET_PATH_TOO_LONG', { path, bytes, maxBytes: MAX_PATH_BYTES, remedy })
}

async function listenTcp(server: net.Server, ports: string): Promise<Listener> {
  const range = parsePortRange(ports)
  if (range === undefined) {
    const [minPort = Number.NaN, maxPort = Number.NaN] = ports.split('-').map(Number)
    throw new PluginError('ERR_PORT_RANGE', {
      minPort,
      maxPort,
      reason: `${JSON.stringify(ports)} is no range min-max of ports up to 65535`,
    })
  }
  for (let port = range.minPort; port <= range.maxPort; port++) {
    try {
      await start(server, { host: '127.0.0.1', port })
      const { port: chosen } = server.address() as net.AddressInfo
      return { address: `127.0.0.1:${chosen}`, close: () => void server.close() }
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code !== 'EADDRINUSE' && code !== 'EACCES') throw cause
    }
  }
  throw new PluginError('ERR_PORT_RANGE', { ...range, reason: 'each is in use, or needs rights that the plugin has not' })
}

function start(server: net.Server, where: net.ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.removeListener('error', reject)
      // E.g. no descriptors left for one more connection: that connection is lost, the listener is not.
      server.on('error', () => {})
      resolve()
    })
  })
}

/** Node cannot ask the system's user database; /etc/group answers for all but directory services. */
async function groupId(group: string): Promise<number> {
  if (/^\d{1,10}$/.test(group)) return Number(group)
  const entries = await readFile('/etc/group', 'utf8').catch(() => '')
  const gid = entries
    .split('\n')
    .find(entry => entry.startsWith(`${group}:`))
    ?.split(':')[2]
  if (gid === undefined) throw new Error(`the group ${JSON.stringify(group)} is not in /etc/group; name its number instead`)
  return Number(gid)
}

/** A socket file, and perhaps the directory made for it, that must not stay behind. */
class Leftover {
  readonly #directory: string | undefined
  readonly #forget: () => void
  #path: string | undefined

  constructor(path: string, directory: string | undefined) {
    this.#path = path
    this.#directory = directory
    this.#forget = atEnd(() => this.#removeNow())
  }

  /** The file is not ours after all. */
  forget(): void {
    this.#path = undefined
  }

  remove(): void {
    this.#forget()
    this.#removeNow()
    this.#path = undefined
  }

  #removeNow(): void {
    // Both may be gone already: closing a listener removes its file, a host removes its directory.
    if (this.#path !== undefined) fs.rmSync(this.#path, { force: true })
    if (this.#directory !== undefined) fs.rmSync(this.#directory, { force: true, recursive: true })
  }
}
