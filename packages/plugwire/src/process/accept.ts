// The plugin's side of a launch: reads what the host says in the environment, answers with the handshake line, and hands over one
// link for each host that connects. Knows nothing of sessions and calls. Stands on the way of every plugin's start: what only some wires
// need (listeners, TLS, certificates) is imported when such a wire is asked for.

import type * as net from 'node:net'
import type { Link } from '../mux/link.ts'
import type { HostVariable } from '../wire/environment.ts'
import { negotiate, parseHostVariable, parseVersions, scrubbedNames, Variable } from '../wire/environment.ts'
import type { Network } from '../wire/handshake.ts'
import { CORE_VERSION, encodeHandshake, parseBoolean } from '../wire/handshake.ts'
import type { ReattachConfig } from '../wire/reattach-config.ts'
import type { ForeignHost, ForeignLaunch, ForeignOutput, ForeignReception } from './accept-foreign.ts'
import type { ServedProtocol } from './driver.ts'
import type { CapturedOutput } from './own-output.ts'
import { captureOutput, tellLastWords } from './own-output.ts'
import { pollingLink } from './polling-link.ts'
import { socketLink } from './socket-link.ts'
import { hideStdin, stdioDuplex, stdioLink } from './stdio-link.ts'
import { watchLink } from './watched-link.ts'

/** One host that has connected. */
export interface HostConnection {
  /** Not opened yet; owned by whoever receives it. */
  readonly link: Link
  /** The contract version that was negotiated. */
  readonly version: number
  readonly wire: Network
  /** Whether the link is encrypted and its other end proved to be the host. */
  readonly secure: boolean
}

export interface AcceptOptions {
  /** The contract's name, for texts. */
  readonly name: string
  /** What the host puts into the environment to show that it means this plugin. No secret: it tells a launch from a run by hand. */
  readonly cookie: { readonly key: string; readonly value: string }
  /** Contract versions that this plugin serves, at least one. */
  readonly versions: readonly number[]
  /** The protocol that a version's kinds travel by. Default: ours. */
  readonly protocolOf?: (version: number) => string
  /** Serves a protocol that is not ours. */
  readonly serveForeign?: (host: ForeignHost, output: ForeignOutput | undefined) => Promise<ServedProtocol>
  /** The plugin encrypts with certificates of its own: what the host offers is not used, and none is announced. */
  readonly ownTls?: boolean
  /** The process goes on when a host of another protocol is gone: such a host comes back. */
  readonly outlivesHost?: boolean
  /** A person started this process, and starts the host later: no cookie is asked for. */
  readonly debug?: { readonly version: number; readonly onReattach: (config: ReattachConfig) => void } | undefined
  /** What is printed, as a line of its own, for somebody who asks with PLUGWIRE_DESCRIBE instead of launching. */
  readonly describe?: () => string
  /** A host connected. On the wires `fd` and `stdio` without TLS it is called before `acceptHost` returns. */
  readonly onHost: (connection: HostConnection) => void
  /** The host is gone and none can come any more; called at most once, and never after `close()`. */
  readonly onLost: (cause?: Error) => void
}

/** A plugin that has introduced itself, or is about to. */
export interface AcceptedHost {
  readonly version: number
  readonly wire: Network
  /** True when the plugin outlives its host: hosts come one after the other, and the loss of one is not `onLost`. */
  readonly detached: boolean
  /** The address of the handshake line; undefined until a listener has one. */
  readonly address: string | undefined
  /** On the `stdio` wire what the plugin itself writes to stdout; undefined elsewhere, where stdout is free. */
  readonly stdout: CapturedOutput | undefined
  /** Stops listening and watching, and removes the socket file. Links that were handed over stay open. Twice is fine. */
  close(): void
}

/** What the environment says about this launch. */
interface Launch {
  readonly version: number
  readonly wire: Network
  readonly address: string
  readonly guard: number | undefined
  readonly detached: boolean
  /** False when the host is not ours and only knows go-plugin's rules. */
  readonly plugwire: boolean
  readonly clientCertificate: string | undefined
  readonly socketGroup: string | undefined
  readonly pollMicroseconds?: number | undefined
  readonly foreign?: ForeignLaunch
}

/**
 * Introduces this process to the host that started it.
 *
 * Ends the process with exit code 1 and a text on stderr when it was not started by a host of this contract, or by one that cannot be
 * served. Takes the variables of the launch, and the cookie, out of `process.env`, so that a host inside this plugin starts clean.
 */
export function acceptHost(options: AcceptOptions): AcceptedHost {
  const accepted = new Accepted(options, readLaunch(options))
  accepted.start()
  return accepted
}

function readLaunch(options: AcceptOptions): Launch {
  const { env } = process
  const { key, value } = options.cookie
  if (options.debug !== undefined) return debugLaunch(options, options.debug.version)
  if (key === '' || value === '') {
    refuse(`The plugin ${options.name} has an empty magic cookie, so no host can tell it from another program. Give its contract a cookie.`)
  }
  if (env[key] !== value) {
    // The cookie goes first: a stray variable must not keep a host from its plugin.
    if (env[Variable.describe] && options.describe !== undefined) introduce(options.describe())
    refuse(env[Variable.host] === undefined ? runByHand(options.name) : otherContract(options))
  }

  const hostText = env[Variable.host]
  const hostVersions = parseVersions(env[Variable.versions] ?? '')
  const socketDir = env[Variable.socketDir] ?? ''
  const ports = `${env[Variable.minPort] || 0}-${env[Variable.maxPort] || 0}`
  const multiplexText = env[Variable.multiplexGrpc]
  const common = {
    version: negotiate(options.versions, hostVersions.versions),
    clientCertificate: env[Variable.clientCertificate] || undefined,
    socketGroup: env[Variable.socketGroup] || undefined,
  }
  for (const name of scrubbedNames) delete env[name]
  delete env[key]

  if (hostVersions.skipped.length > 0) say(`${Variable.versions}: ${JSON.stringify(hostVersions.skipped.join(','))} is no version, skipped`)
  const windows = process.platform === 'win32'
  const [network, where] = windows ? (['tcp', ports] as const) : (['unix', socketDir] as const)
  const protocol = options.protocolOf?.(common.version) ?? 'plugwire'
  const foreign = protocol !== 'plugwire' && {
    foreign: {
      ...common,
      ...(options.ownTls && { clientCertificate: undefined }),
      protocol,
      socketDir,
      ports,
      // Whatever its value, the host is answered: source go-plugin server.go `Serve`.
      multiplex: multiplexText ? (parseBoolean(multiplexText) ?? false) : undefined,
      plugwire: hostText !== undefined,
      versions: options.versions,
      debug: false,
      outlivesHost: options.outlivesHost ?? false,
    },
  }
  if (hostText === undefined)
    return { ...common, wire: network, address: where, guard: undefined, detached: false, plugwire: false, ...foreign }
  const host = parseHostVariable(hostText)
  if ('reason' in host)
    refuse(`${Variable.host}=${JSON.stringify(hostText)} cannot be read: ${host.reason}. Update plugwire in the plugin ${options.name}.`)
  const { wire, address, guard, pollMicroseconds } = host
  if (foreign) {
    // The descriptor that would have carried our protocol still tells that the host is gone.
    const watched = wire === 'fd' ? Number(address) : guard
    const outlives = { foreign: { ...foreign.foreign, outlivesHost: host.detached || foreign.foreign.outlivesHost } }
    return {
      ...common,
      wire: network,
      address: where,
      guard: host.detached ? undefined : watched,
      detached: host.detached,
      plugwire: true,
      ...outlives,
    }
  }
  checkUnderstood(options.name, host)
  const listens = wire === 'unix' || wire === 'tcp'
  return { ...common, wire, address, guard, detached: host.detached && listens, plugwire: true, pollMicroseconds }
}

function debugLaunch(options: AcceptOptions, version: number): Launch {
  const network = process.platform === 'win32' ? 'tcp' : 'unix'
  const common = { version, clientCertificate: undefined, socketGroup: undefined, plugwire: false }
  const protocol = options.protocolOf?.(version) ?? 'plugwire'
  const foreign = {
    ...common,
    protocol,
    socketDir: '',
    ports: '0-0',
    multiplex: undefined,
    versions: options.versions,
    debug: true,
    outlivesHost: true,
  }
  return { ...common, wire: network, address: '', guard: undefined, detached: true, foreign }
}

function checkUnderstood(name: string, host: HostVariable): void {
  if (!host.coreVersions.includes(CORE_VERSION)) {
    refuse(
      `The plugin ${name} speaks core protocol ${CORE_VERSION}, its host speaks ${host.coreVersions.join(', ')}. ` +
        'Build both with the same major version of plugwire.',
    )
  }
  if (!host.protocols.includes('plugwire')) {
    refuse(`The plugin ${name} speaks the protocol plugwire, its host asks for ${host.protocols.join(', ') || 'none'}.`)
  }
}

const runByHand = (name: string): string => {
  const file = process.argv[1] ?? name
  return [
    `This program is a plugin (${name}). It does nothing by itself: a host program starts it and talks to it.`,
    '',
    `  To try it by hand:       plugwire inspect ${file}`,
    `  To use it in a program:  await launch(contract, ${JSON.stringify(file)})   // from 'plugwire/host'`,
  ].join('\n')
}

const otherContract = ({ name, cookie }: AcceptOptions): string =>
  `This program is a plugin of the contract ${name}, but its host launched it for another one: the host set no ${cookie.key}=${cookie.value}. ` +
  'Launch it with its own contract, or give both the same name (or the same cookie).'

const ignore = (): void => {}
const interrupts: readonly NodeJS.Signals[] = process.platform === 'win32' ? ['SIGINT', 'SIGBREAK'] : ['SIGINT']

class Accepted implements AcceptedHost {
  readonly version: number
  readonly wire: Network
  readonly detached: boolean
  readonly #options: AcceptOptions
  readonly #launch: Launch
  #address: string | undefined
  #stdout: CapturedOutput | undefined
  #guard: net.Socket | undefined
  #closeListener: (() => void) | undefined
  #ended = false

  constructor(options: AcceptOptions, launch: Launch) {
    this.#options = options
    this.#launch = launch
    this.version = launch.version
    this.wire = launch.wire
    this.detached = launch.detached
  }

  get address(): string | undefined {
    return this.#address
  }

  get stdout(): CapturedOutput | undefined {
    return this.#stdout
  }

  start(): void {
    const { foreign } = this.#launch
    if (foreign?.debug) return void this.#serveForeign(foreign, undefined).catch((cause: unknown) => this.#fail(cause))
    // Ctrl-C reaches every process of a terminal; what it means is the host's to decide. Source: go-plugin server.go `Serve`.
    for (const signal of interrupts) process.on(signal, ignore)
    const { wire, guard } = this.#launch
    if (guard !== undefined) this.#watch(guard)
    if (foreign !== undefined) this.#startForeign(foreign).catch((cause: unknown) => this.#fail(cause))
    else if (wire === 'fd') this.#acceptDescriptor()
    else if (wire === 'stdio') this.#acceptStdio()
    else this.#listen().catch((cause: unknown) => this.#fail(cause))
  }

  close(): void {
    if (this.#ended) return
    this.#ended = true
    for (const signal of interrupts) process.removeListener(signal, ignore)
    this.#guard?.destroy()
    this.#closeListener?.()
  }

  /** The way of every launch by default: nothing here waits for anything. */
  #acceptDescriptor(): void {
    const descriptor = Number(this.#launch.address)
    checkDescriptor(descriptor)
    this.#address = this.#launch.address
    const writeLine = (line: string): void => void process.getBuiltinModule('node:fs').writeSync(descriptor, line)
    if (this.#launch.clientCertificate !== undefined) {
      this.#secure(() => openSocket({ fd: descriptor, readable: true, writable: true }), writeLine).catch((cause: unknown) =>
        this.#fail(cause),
      )
      return
    }
    try {
      writeLine(this.#line(undefined))
    } catch (cause) {
      // The host ended between its launch and this line.
      queueMicrotask(() => this.#lose(cause as Error))
      return
    }
    this.#handOver(socketLink({ fd: descriptor }), false)
    // The link will need it, and now the disk is busy with the code of the session.
    process.getBuiltinModule('node:net')
  }

  #acceptStdio(): void {
    // A terminal or a file cannot carry a session.
    for (const descriptor of [0, 1]) checkDescriptor(descriptor)
    this.#address = this.#launch.address
    const stdout = captureOutput('stdout')
    this.#stdout = stdout
    const writeLine = (line: string): void => void stdout.original.write(line)
    hideStdin()
    if (this.#launch.clientCertificate !== undefined) {
      this.#secure(() => stdioDuplex(stdout.original), writeLine).catch((cause: unknown) => this.#fail(cause))
      return
    }
    writeLine(this.#line(undefined))
    this.#handOver(stdioLink(stdout.original), false)
  }

  /** TLS over the one connection there is: the line travels in clear text, everything behind it does not. */
  async #secure(open: () => import('node:stream').Duplex, writeLine: (line: string) => void): Promise<void> {
    const [{ certificateField, createIdentity }, { secureLink }] = await Promise.all([import('./certificate.ts'), import('./tls.ts')])
    if (this.#ended) return
    const own = createIdentity()
    writeLine(this.#line(certificateField(own.der)))
    const peer = { certificate: this.#launch.clientCertificate as string }
    this.#handOver(await secureLink(open(), 'server', own, peer, { plugin: this.#options.name }), true)
  }

  async #startForeign(launch: ForeignLaunch): Promise<void> {
    // At once: whatever else comes first on stdout is taken for the handshake.
    const [stdout, stderr] = [captureOutput('stdout'), captureOutput('stderr')]
    // Before anything is waited for: the application may end or fail in the turn in which it serves.
    tellLastWords(stderr)
    const { ForeignOutput } = await import('./accept-foreign.ts')
    await this.#serveForeign(launch, new ForeignOutput(stdout, stderr))
  }

  async #serveForeign(launch: ForeignLaunch, output: ForeignOutput | undefined): Promise<void> {
    const { receiveForeign } = await import('./accept-foreign.ts')
    const { name, serveForeign, debug } = this.#options
    if (serveForeign === undefined) throw new Error(`nothing here speaks the protocol ${launch.protocol}`)
    const reception: ForeignReception = await receiveForeign(
      launch,
      { name, serve: host => serveForeign(host, output), onLost: () => this.#lose(undefined) },
      output,
    )
    if (this.#ended) return reception.close()
    this.#address = reception.reattach.Addr.String
    this.#closeListener = reception.close
    debug?.onReattach(reception.reattach)
  }

  async #listen(): Promise<void> {
    const { receiveHosts } = await import('./receive.ts')
    const { wire, address, clientCertificate, detached, plugwire, socketGroup, guard } = this.#launch
    const reception = await receiveHosts({
      name: this.#options.name,
      wire: wire as 'unix' | 'tcp',
      where: address,
      // In a directory that the host made for this launch alone the name need not be random, and a short one fits longer directories.
      socketName: plugwire ? 's' : undefined,
      socketGroup,
      clientCertificate,
      persistent: detached || !plugwire,
      watchParent: guard === undefined && !detached,
      onLink: (link, secure) => this.#give(link, secure),
      onLost: cause => this.#lose(cause),
      say,
    })
    if (this.#ended) return reception.close()
    this.#closeListener = reception.close
    this.#address = reception.address
    writeStdout(this.#line(reception.certificate))
  }

  #line(certificate: string | undefined): string {
    const line = encodeHandshake({
      coreVersion: CORE_VERSION,
      version: this.version,
      network: this.wire,
      address: this.#address as string,
      protocol: 'plugwire',
      ...(certificate !== undefined && { certificate }),
      multiplex: false,
      versions: this.#options.versions,
    })
    return `${line}\n`
  }

  #handOver(link: Link, secure: boolean): void {
    this.#give(watchLink(link, { closed: cause => this.#lose(cause) }), secure)
  }

  #give(plain: Link, secure: boolean): void {
    if (this.#ended) return plain.destroy()
    const { pollMicroseconds } = this.#launch
    const link = pollMicroseconds === undefined ? plain : pollingLink(plain, pollMicroseconds)
    this.#options.onHost({ link, version: this.version, wire: this.wire, secure })
  }

  /** The descriptor carries nothing; its end says that the host is gone, however it went. */
  #watch(descriptor: number): void {
    checkDescriptor(descriptor)
    const guard = openSocket({ fd: descriptor, readable: true, writable: false })
    guard.on('error', ignore).on('close', () => this.#lose(undefined))
    guard.resume().unref()
    this.#guard = guard
  }

  #lose(cause: Error | undefined): void {
    if (this.#ended) return
    this.close()
    this.#options.onLost(cause)
  }

  /** No host ever came, and none can. */
  #fail(cause: unknown): void {
    if (this.#ended) return
    refuse(`The plugin ${this.#options.name} cannot be reached by its host: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

const openSocket = (options: net.SocketConstructorOpts): net.Socket => new (process.getBuiltinModule('node:net').Socket)(options)

/** A launcher in between (sudo, a shell, a container) may close the descriptors that the host passes; then the number means something else here. */
function checkDescriptor(descriptor: number): void {
  try {
    const status = process.getBuiltinModule('node:fs').fstatSync(descriptor)
    if (status.isSocket() || status.isFIFO()) return
  } catch {
    // Not open: the same as open for something else.
  }
  refuse(
    `Descriptor ${descriptor}, which the host promised to its plugin, leads to no host here: something between the two closed or replaced it. ` +
      'Ask the host for another wire.',
  )
}

/** A line of less than PIPE_BUF bytes is written at once or not at all, so it cannot tear what others write. */
function writeStdout(line: string): void {
  try {
    process.getBuiltinModule('node:fs').writeSync(1, line)
  } catch {
    // A full pipe that was made non-blocking: the stream waits until there is room.
    process.stdout.write(line)
  }
}

function say(text: string): void {
  try {
    process.getBuiltinModule('node:fs').writeSync(2, `${text}\n`)
  } catch {
    // Nobody reads stderr; there is no other place to say it.
  }
}

/** The empty line in front ends one that the plugin may have begun. */
function introduce(line: string): never {
  writeStdout(`\n${line}\n`)
  process.exit(0)
}

function refuse(text: string): never {
  say(text)
  process.exit(1)
}
