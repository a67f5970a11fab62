// The plugin's side of a launch in a protocol that is not ours, as hosts of go-plugin expect it: listeners where the environment says,
// the handshake line on stdout, output and log records on their ways. What is spoken over the connections is the driver's matter.
// Source: go-plugin server.go `Serve`.

import { CORE_VERSION, encodeGoHandshake, encodeHandshake } from '../wire/handshake.ts'
import type { ReattachConfig } from '../wire/reattach-config.ts'
import { certificateField, createIdentity } from './certificate.ts'
import type { ForeignService, MutualTls, ServedProtocol, SideListener } from './driver.ts'
import { listen } from './listen.ts'
import type { CapturedOutput } from './own-output.ts'

/** What the environment says about a launch in another protocol. */
export interface ForeignLaunch {
  readonly version: number
  readonly protocol: string
  /** Where sockets go; empty: into fresh directories. */
  readonly socketDir: string
  readonly socketGroup: string | undefined
  /** `min-max`. */
  readonly ports: string
  readonly clientCertificate: string | undefined
  /** Whether the host asked for brokered connections inside the main one; undefined when it did not speak of it. */
  readonly multiplex: boolean | undefined
  /** The host is one of ours: it understands all eight fields. */
  readonly plugwire: boolean
  /** Contract versions that this plugin serves. */
  readonly versions: readonly number[]
  /** No host started this process: no line is written, and output stays where it is. */
  readonly debug: boolean
  /** The process goes on when its host is gone. */
  readonly outlivesHost: boolean
}

/** The part of a `ForeignService` that is a matter of this process. */
export type ForeignHost = Pick<
  ForeignService,
  'version' | 'listen' | 'connectTo' | 'tls' | 'multiplex' | 'onOutput' | 'hostCame' | 'hostLeft'
>

export interface ForeignOptions {
  /** The contract's name, for texts. */
  readonly name: string
  readonly serve: (host: ForeignHost) => Promise<ServedProtocol>
  /** The host is gone and none can come any more. */
  readonly onLost: () => void
}

/** A plugin that hosts can reach. */
export interface ForeignReception {
  readonly reattach: ReattachConfig
  close(): void
}

const PARENT_CHECK_MS = 1_000

/** Output of this process on its way to a host, and the real descriptors behind it. */
export class ForeignOutput {
  readonly #stdout: CapturedOutput
  readonly #stderr: CapturedOutput

  constructor(stdout: CapturedOutput, stderr: CapturedOutput) {
    this.#stdout = stdout
    this.#stderr = stderr
    // A host that is gone reads nothing; that it is gone is told elsewhere.
    for (const { original } of [this.#stdout, this.#stderr]) original.on('error', () => {})
  }

  /** One line to the real stderr, where a host reads log records. Always true: it has been written. */
  logLine(line: string): boolean {
    this.#stderr.original.write(`${line}\n`)
    return true
  }

  handshakeLine(line: string): void {
    this.#stdout.original.write(`${line}\n`)
  }

  setSink(sink: ((descriptor: 1 | 2, bytes: Uint8Array) => void) | undefined): void {
    this.#stdout.setSink(sink && (bytes => sink(1, bytes)))
    this.#stderr.setSink(sink && (bytes => sink(2, bytes)))
  }
}

/** A directory that a host of ours made for this plugin alone goes with its last socket: the host may have been killed. */
function removeEmpty(directory: string): void {
  try {
    if (/[\\/]pw-[^\\/]+$/.test(directory)) process.getBuiltinModule('node:fs').rmdirSync(directory)
  } catch {
    // Something is still in it, or the host was quicker.
  }
}

/** Gets the driver to serve, and introduces the plugin. */
export async function receiveForeign(
  launch: ForeignLaunch,
  options: ForeignOptions,
  output: ForeignOutput | undefined,
): Promise<ForeignReception> {
  const { name } = options
  const windows = process.platform === 'win32'
  const network = windows ? 'tcp' : 'unix'
  const identity = launch.clientCertificate === undefined ? undefined : createIdentity()
  const tls: MutualTls | undefined = identity && { identity, peerCertificate: launch.clientCertificate as string }
  const where = windows
    ? ({ network: 'tcp', ports: launch.ports } as const)
    : ({ network: 'unix', directory: launch.socketDir, group: launch.socketGroup } as const)

  let hosts = 0
  const parent = process.ppid
  const orphaned = (): void => {
    if (process.ppid === parent || hosts > 0) return
    clearInterval(watch)
    options.onLost()
  }
  // An orphan gets another parent. Go's own plugins do not look, and so outlive a host that was killed.
  const watch = launch.debug || launch.outlivesHost ? undefined : setInterval(orphaned, PARENT_CHECK_MS).unref()

  const served = await options.serve({
    version: launch.version,
    async listen(onConnection): Promise<SideListener> {
      const listener = await listen(where, onConnection)
      const close = (): void => {
        listener.close()
        if (launch.plugwire && !launch.outlivesHost) removeEmpty(launch.socketDir)
      }
      return { network, address: listener.address, close }
    },
    connectTo: async (to, address) => (await import('./dial-host.ts')).dialHost(name, to, address),
    tls,
    multiplex: launch.multiplex ?? false,
    onOutput: sink => output?.setSink(sink),
    hostCame: () => void hosts++,
    hostLeft: () => void hosts--,
  })
  const handshake = {
    coreVersion: CORE_VERSION,
    version: launch.version,
    network: served.network,
    address: served.address,
    protocol: launch.protocol,
    ...(identity !== undefined && { certificate: certificateField(identity.der) }),
    ...(launch.multiplex !== undefined && served.multiplex !== undefined && { multiplex: served.multiplex }),
  } as const
  output?.handshakeLine(launch.plugwire ? encodeHandshake({ ...handshake, versions: launch.versions }) : encodeGoHandshake(handshake))
  return {
    reattach: {
      Protocol: launch.protocol,
      ProtocolVersion: launch.version,
      Pid: process.pid,
      Test: launch.debug,
      Addr: { Network: served.network, String: served.address },
    },
    close: () => clearInterval(watch),
  }
}
