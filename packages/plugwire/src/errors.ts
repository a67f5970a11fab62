// Every failure that plugwire itself reports: a code for programs, facts for handlers, a sentence for people.
// Errors thrown by the other side's own code arrive as `RemoteError` (remote-error.ts), never as one of these.

/** What is known of a plugin process when something went wrong with it. */
export interface LastWords {
  /** Exit code, null while it runs or when a signal ended it. */
  readonly exitCode: number | null
  /** The signal that ended it, e.g. `SIGKILL`. */
  readonly signal: string | null
  /** The last lines of its stdout, at most `limits.tailBytes`. Empty when stdout was inherited. */
  readonly stdoutTail: string
  /** The last lines of its stderr, at most `limits.tailBytes`. Empty when stderr was inherited. */
  readonly stderrTail: string
}

/** Why something was not accepted, without a full stop; and what to do about it, as a sentence. */
interface Refusal {
  readonly reason: string
  readonly remedy: string
}

/** Facts that are a sentence by themselves. Packages beside the core report these, so that their codes cost no start anything. */
export interface PlainFacts {
  /** What it is about: a file, an address, a name. */
  readonly subject: string
  /** What is wrong with it, as half a sentence. */
  readonly reason: string
  /** What to do, as a sentence or more. */
  readonly remedy: string
}

/** Facts carried by each code. Adding a code means adding a row here, a sentence below and a row in docs/errors.md. */
export interface ErrorFacts {
  // ---- contract
  ERR_CONTRACT: { reason: string }
  ERR_KIND_NOT_FOUND: { kind: string; kinds: readonly string[] }
  // ---- launch and handshake
  ERR_PLUGIN_NOT_FOUND: { path: string; remedy: string }
  ERR_PLUGIN_NOT_EXECUTABLE: { path: string; remedy: string }
  ERR_PLUGIN_START: { command: string; reason: string; remedy: string }
  ERR_TYPESCRIPT_UNSUPPORTED: { path: string; runtime: string; remedy: string }
  ERR_LAUNCH_ABORTED: { plugin: string } & Partial<LastWords>
  ERR_HANDSHAKE_TIMEOUT: { plugin: string; timeoutMs: number } & LastWords
  ERR_HANDSHAKE_EXIT: { plugin: string; remedy: string } & LastWords
  ERR_HANDSHAKE_LINE: { plugin: string; line: string; reason: string; remedy: string } & LastWords
  ERR_CORE_VERSION: { plugin: string; pluginCore: string; hostCore: string; remedy: string } & Partial<LastWords>
  ERR_VERSION_MISMATCH: {
    plugin: string
    pluginVersions: readonly number[]
    hostVersions: readonly number[]
    remedy: string
  } & Partial<LastWords>
  ERR_PROTOCOL_UNSUPPORTED: {
    plugin: string
    protocol: string
    supported: readonly string[]
    line: string
    remedy: string
  } & Partial<LastWords>
  ERR_BROKER_MULTIPLEX: { plugin: string; line: string; remedy: string } & Partial<LastWords>
  ERR_SOCKET_PATH_TOO_LONG: { path: string; bytes: number; maxBytes: number; remedy: string }
  ERR_PORT_RANGE: { minPort: number; maxPort: number; reason: string }
  ERR_CONNECT: { plugin: string; address: string; reason: string } & Partial<LastWords>
  ERR_TLS: { plugin: string; reason: string } & Partial<LastWords>
  ERR_REATTACH: { plugin: string; reason: string; remedy: string }
  // ---- a plugin's life
  ERR_PLUGIN_EXITED: { plugin: string } & LastWords
  ERR_PLUGIN_CLOSED: { plugin: string }
  // ---- mux
  ERR_MUX_FRAME: { reason: string; offset: number }
  ERR_MUX_WINDOW: { streamId: number; allowedBytes: number; receivedBytes: number }
  ERR_MUX_STREAM: { streamId: number; reason: string }
  ERR_MUX_KEEPALIVE: { timeoutMs: number }
  ERR_MUX_GO_AWAY: { goAwayCode: number; reason: string }
  ERR_MUX_LIMIT: { limit: string; max: number }
  ERR_STREAM_RESET: { streamId: number }
  ERR_STREAM_CLOSED: { streamId: number }
  ERR_SESSION_CLOSED: { reason: string }
  // ---- the brokers of go-plugin
  ERR_BROKER_TIMEOUT: { brokerId: number; reason: string; timeoutMs: number }
  ERR_BROKER_REFUSED: { brokerId: number; reason: string }
  // ---- go-plugin over gRPC
  ERR_NOT_SERVING: PlainFacts & { status: number }
  // ---- calls
  ERR_CALL_FRAME: { reason: string; offset: number }
  ERR_CALL_TIMEOUT: { method: string; timeoutMs: number }
  ERR_CALL_CANCELLED: { method: string }
  ERR_CALL_LIMIT: { limit: string; max: number }
  ERR_METHOD_NOT_FOUND: { method: string; kind: string; methods: readonly string[] }
  ERR_ARGUMENTS_INVALID: { method: string; issues: readonly string[] }
  ERR_RESULT_INVALID: { method: string; issues: readonly string[] }
  ERR_REFERENCE_RELEASED: { what: string }
  // ---- values
  ERR_VALUE_UNSUPPORTED: { path: string; type: string; remedy: string }
  ERR_VALUE_CYCLE: { path: string; target: string }
  ERR_VALUE_DEPTH: { path: string; maxDepth: number }
  ERR_VALUE_THROWS: { path: string; reason: string }
  ERR_VALUE_TOO_LARGE: { bytes: number; maxBytes: number }
  ERR_VALUE_MALFORMED: { reason: string; offset: number }
  // ---- gob
  ERR_GOB_TYPE: { path: string; expected: string; found: string }
  ERR_GOB_VALUE: { path: string; reason: string }
  ERR_GOB_LIMIT: { path: string; limit: string; max: number }
  ERR_GOB_MALFORMED: { path: string; reason: string; offset: number }
  // ---- trust
  ERR_VERIFIED_PLACE: Refusal & { plugin: string }
  ERR_CHECKSUM: Refusal & { expected: string; actual: string }
  ERR_SIGNATURE_MALFORMED: Refusal
  ERR_SIGNATURE_INVALID: Refusal & { fingerprint: string }
  ERR_SIGNATURE_MISSING: Refusal & { plugin: string }
  ERR_SIGNATURE_KEY: Refusal
  ERR_MANIFEST_MALFORMED: Refusal & { offset: number }
  ERR_MANIFEST_FIELD: Refusal & { path: string }
  ERR_MANIFEST_EXPIRED: Refusal & { plugin: string; version: string; notAfter: string }
  ERR_MANIFEST_PLATFORM: Refusal & { plugin: string; platform: string; platforms: readonly string[] }
  ERR_TRUST_POLICY: Refusal
  ERR_TRUST_UNKNOWN_SIGNER: Refusal & { plugin: string; publisher: string; fingerprints: readonly string[] }
  ERR_TRUST_SIGNER_CHANGED: Refusal & { plugin: string; before: string; now: string }
  ERR_TRUST_REVOKED: Refusal & { plugin: string; what: string }
  ERR_TRUST_DOWNGRADE: Refusal & { plugin: string; version: string; highest: string }
  ERR_TRUST_OTHER_PLUGIN: Refusal & { expected: string; actual: string }
  ERR_TRUST_REPLACED: Refusal & { plugin: string; version: string; before: string; now: string }
  ERR_TRUST_FILE: Refusal & { path: string; expected: string; actual: string }
  ERR_TRUST_STATEMENT: Refusal
  ERR_TRUST_STORE: Refusal & { path: string }
  ERR_LOCK_MALFORMED: Refusal & { path: string }
  ERR_LOCK_BUSY: Refusal & { path: string; owner: string; waitedMs: number }
  ERR_LOCK_WRITE: Refusal & { path: string }
  // ---- discovery
  ERR_DISCOVER_PATTERN: { pattern: string; reason: string }
  ERR_DISCOVER_NONE: PlainFacts & { refusals: readonly string[] }
  // ---- sources
  ERR_SOURCE_ADDRESS: PlainFacts
  ERR_SOURCE_NOT_FOUND: PlainFacts & { versions: readonly string[] }
  ERR_SOURCE_OFFLINE: PlainFacts
  ERR_SOURCE_UNREACHABLE: PlainFacts & { status: number | null; attempts: number }
  ERR_SOURCE_REDIRECT: PlainFacts & { to: string }
  ERR_SOURCE_LIMIT: PlainFacts & { limit: string; max: number }
  ERR_SOURCE_MALFORMED: PlainFacts
  ERR_SOURCE_DIGEST: PlainFacts & { expected: string; actual: string }
  ERR_SOURCE_SIGNATURE: PlainFacts
  ERR_SOURCE_PLATFORM: PlainFacts & { platforms: readonly string[] }
  // ---- archives
  ERR_ARCHIVE_MALFORMED: PlainFacts & { offset: number }
  ERR_ARCHIVE_UNSAFE: PlainFacts & { entry: string }
  ERR_ARCHIVE_LIMIT: PlainFacts & { limit: string; max: number }
  // ---- the store
  ERR_STORE_FULL: PlainFacts
  ERR_STORE_CORRUPT: PlainFacts & { digest: string }
  ERR_STORE_MISSING: PlainFacts & { digest: string }
  ERR_STORE_IO: PlainFacts
  ERR_STORE_ROOT: PlainFacts
}

export type ErrorCode = keyof ErrorFacts

const tail = (f: LastWords): string => {
  const ended = f.signal !== null ? `ended by ${f.signal}` : f.exitCode !== null ? `exit code ${f.exitCode}` : 'still running'
  const words = [f.stderrTail && `last stderr:\n${indent(f.stderrTail)}`, f.stdoutTail && `last stdout:\n${indent(f.stdoutTail)}`].filter(
    Boolean,
  )
  return `(${ended})${words.length > 0 ? `\n${words.join('\n')}` : ', it wrote nothing on stdout or stderr'}`
}
/** The same for an error that may come without last words, and for a process that may well be in order. */
const words = (f: Partial<LastWords>): string => (f.stderrTail ? `\nlast stderr:\n${indent(f.stderrTail)}` : '')
const indent = (text: string): string => text.trimEnd().replace(/^/gm, '  | ')
const list = (items: readonly (string | number)[]): string => (items.length === 0 ? 'none' : items.join(', '))

const refusal = (f: Refusal): string => `${f.reason}. ${f.remedy}`

type WordedCode = { [C in ErrorCode]: ErrorFacts[C] extends PlainFacts ? never : C }[ErrorCode]

const sentences: { [C in WordedCode]: (facts: ErrorFacts[C]) => string } = {
  ERR_CONTRACT: f => f.reason,
  ERR_KIND_NOT_FOUND: f => `no kind ${JSON.stringify(f.kind)}; the plugin serves: ${list(f.kinds)}`,
  ERR_PLUGIN_NOT_FOUND: f => `no plugin at ${f.path}. ${f.remedy}`,
  ERR_PLUGIN_NOT_EXECUTABLE: f => `${f.path} cannot be executed. ${f.remedy}`,
  ERR_PLUGIN_START: f => `could not start ${f.command}: ${f.reason}. ${f.remedy}`,
  ERR_TYPESCRIPT_UNSUPPORTED: f => `${f.runtime} cannot run ${f.path} as it is. ${f.remedy}`,
  ERR_LAUNCH_ABORTED: f => `the launch of ${f.plugin} was aborted`,
  ERR_HANDSHAKE_TIMEOUT: f => `${f.plugin} wrote no handshake line within ${f.timeoutMs} ms ${tail(f)}`,
  ERR_HANDSHAKE_EXIT: f => `${f.plugin} exited before its handshake ${tail(f)}\n${f.remedy}`,
  ERR_HANDSHAKE_LINE: f =>
    `${f.plugin} wrote a handshake line that cannot be used, ${JSON.stringify(f.line)}: ${f.reason}. ${f.remedy} ${tail(f)}`,
  ERR_CORE_VERSION: f => `${f.plugin} speaks core protocol ${f.pluginCore}, this host speaks ${f.hostCore}. ${f.remedy}`,
  ERR_VERSION_MISMATCH: f =>
    `${f.plugin} serves contract version ${list(f.pluginVersions)}, this host understands ${list(f.hostVersions)}. ${f.remedy}`,
  ERR_PROTOCOL_UNSUPPORTED: f => `${f.plugin} speaks ${f.protocol}, the contract understands ${list(f.supported)}. ${f.remedy}`,
  ERR_BROKER_MULTIPLEX: f => `${f.plugin} does not say that it can broker connections inside one connection. ${f.remedy}${words(f)}`,
  ERR_SOCKET_PATH_TOO_LONG: f => `the socket path ${f.path} has ${f.bytes} bytes, this system allows ${f.maxBytes}. ${f.remedy}`,
  ERR_PORT_RANGE: f => `no port between ${f.minPort} and ${f.maxPort}: ${f.reason}`,
  ERR_CONNECT: f => `could not connect to ${f.plugin} at ${f.address}: ${f.reason}${words(f)}`,
  ERR_TLS: f => `the encrypted link to ${f.plugin} failed: ${f.reason}${words(f)}`,
  ERR_REATTACH: f => `could not reattach to ${f.plugin}: ${f.reason}. ${f.remedy}`,
  ERR_PLUGIN_EXITED: f => `${f.plugin} exited ${tail(f)}`,
  ERR_PLUGIN_CLOSED: f => `${f.plugin} was closed by its host`,
  ERR_MUX_FRAME: f => `${f.reason} at byte ${f.offset} of the connection`,
  ERR_MUX_WINDOW: f => `stream ${f.streamId} received ${f.receivedBytes} bytes with ${f.allowedBytes} allowed`,
  ERR_MUX_STREAM: f => `stream ${f.streamId}: ${f.reason}`,
  ERR_MUX_KEEPALIVE: f => `the peer did not answer a ping within ${f.timeoutMs} ms`,
  ERR_MUX_GO_AWAY: f => `the peer ended the session: ${f.reason} (go-away ${f.goAwayCode})`,
  ERR_MUX_LIMIT: f => `more than ${f.max} ${f.limit}`,
  ERR_STREAM_RESET: f => `stream ${f.streamId} was reset`,
  ERR_STREAM_CLOSED: f => `stream ${f.streamId} is closed for writing`,
  ERR_SESSION_CLOSED: f => `the connection is closed: ${f.reason}`,
  ERR_BROKER_TIMEOUT: f => `brokered connection ${f.brokerId}: ${f.reason} within ${f.timeoutMs} ms`,
  ERR_BROKER_REFUSED: f => `brokered connection ${f.brokerId}: ${f.reason}`,
  ERR_CALL_FRAME: f => `${f.reason} at byte ${f.offset} of the call stream`,
  ERR_CALL_TIMEOUT: f => `${f.method} did not finish within ${f.timeoutMs} ms`,
  ERR_CALL_CANCELLED: f => `${f.method} was cancelled`,
  ERR_CALL_LIMIT: f => `more than ${f.max} ${f.limit}`,
  ERR_METHOD_NOT_FOUND: f => `${f.kind} has no method ${JSON.stringify(f.method)}; it has: ${list(f.methods)}`,
  ERR_ARGUMENTS_INVALID: f => `the arguments of ${f.method} do not fit its schema: ${f.issues.join('; ')}`,
  ERR_RESULT_INVALID: f => `the result of ${f.method} does not fit its schema: ${f.issues.join('; ')}`,
  ERR_REFERENCE_RELEASED: f => `${f.what} was released`,
  ERR_VALUE_UNSUPPORTED: f => `${f.path} is ${f.type} and cannot travel between processes. ${f.remedy}`,
  ERR_VALUE_CYCLE: f => `${f.path} points back to ${f.target}; cyclic values cannot travel between processes`,
  ERR_VALUE_DEPTH: f => `${f.path} is nested deeper than ${f.maxDepth} levels`,
  ERR_VALUE_THROWS: f => `reading ${f.path} threw: ${f.reason}`,
  ERR_VALUE_TOO_LARGE: f =>
    `the value has at least ${f.bytes} bytes, at most ${f.maxBytes} may travel; pass a stream instead, or raise the limit`,
  ERR_VALUE_MALFORMED: f => `malformed value: ${f.reason} at byte ${f.offset}`,
  ERR_GOB_TYPE: f => `${f.path} is ${f.found} where ${f.expected} is expected`,
  ERR_GOB_VALUE: f => `${f.path} ${f.reason}`,
  ERR_GOB_LIMIT: f => `${f.path} has more than ${f.max} ${f.limit}`,
  ERR_GOB_MALFORMED: f => `malformed gob: ${f.reason} in ${f.path}, at byte ${f.offset} of the stream`,
  ERR_VERIFIED_PLACE: refusal,
  ERR_CHECKSUM: refusal,
  ERR_SIGNATURE_MALFORMED: refusal,
  ERR_SIGNATURE_INVALID: refusal,
  ERR_SIGNATURE_MISSING: refusal,
  ERR_SIGNATURE_KEY: refusal,
  ERR_MANIFEST_MALFORMED: refusal,
  ERR_MANIFEST_FIELD: refusal,
  ERR_MANIFEST_EXPIRED: refusal,
  ERR_MANIFEST_PLATFORM: refusal,
  ERR_TRUST_POLICY: refusal,
  ERR_TRUST_UNKNOWN_SIGNER: refusal,
  ERR_TRUST_SIGNER_CHANGED: refusal,
  ERR_TRUST_REVOKED: refusal,
  ERR_TRUST_DOWNGRADE: refusal,
  ERR_TRUST_OTHER_PLUGIN: refusal,
  ERR_TRUST_REPLACED: refusal,
  ERR_TRUST_FILE: refusal,
  ERR_TRUST_STATEMENT: refusal,
  ERR_TRUST_STORE: refusal,
  ERR_LOCK_MALFORMED: refusal,
  ERR_LOCK_BUSY: refusal,
  ERR_LOCK_WRITE: refusal,
  ERR_DISCOVER_PATTERN: f => `the pattern ${f.pattern} is malformed: ${f.reason}`,
}

function sentence<C extends ErrorCode>(code: C, facts: ErrorFacts[C]): string {
  const told = (sentences as { readonly [code: string]: ((facts: ErrorFacts[C]) => string) | undefined })[code]
  if (told !== undefined) return told(facts)
  const { subject, reason, remedy } = facts as PlainFacts
  return `${subject}: ${reason}. ${remedy}`
}

const brand = Symbol.for('plugwire/error')

/** Every failure that plugwire itself reports; decide by `code`, never by the message. */
export class PluginError<C extends ErrorCode = ErrorCode> extends Error {
  declare readonly name: 'PluginError'
  readonly code: C
  readonly facts: ErrorFacts[C]

  constructor(code: C, facts: ErrorFacts[C], options?: ErrorOptions) {
    super(sentence(code, facts), options)
    this.code = code
    this.facts = facts
  }

  static {
    Object.defineProperties(this.prototype, { name: { value: 'PluginError' }, [brand]: { value: true } })
  }
}

/** True for any copy of plugwire's error, whichever copy of the library made it; with a code it also narrows `facts`. */
export function isPluginError<C extends ErrorCode = ErrorCode>(value: unknown, code?: C): value is PluginError<C> {
  return value instanceof Error && brand in value && (code === undefined || ('code' in value && value.code === code))
}
