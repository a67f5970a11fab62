// One structured log record and its line of JSON as hclog writes it, which is what Go plugins put on stderr and Go hosts read there.
// Pure, and total: no line and no field makes it throw. Source: hclog intlogger.go `logJSON`, go-plugin log_entry.go and client.go `logStderr`.

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

export interface LogRecord {
  readonly level: LogLevel
  readonly message: string
  /** Everything else that was said, by name. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly time: Date
  /** The dotted name of the logger within the plugin; the plugin's own name is its host's matter. */
  readonly module?: string
}

const levels: ReadonlySet<string> = new Set<LogLevel>(['trace', 'debug', 'info', 'warn', 'error'])
const reserved: ReadonlySet<string> = new Set(['@message', '@level', '@timestamp', '@module'])

/**
 * Encodes a record as one line, without its newline.
 *
 * A field that JSON cannot say is written as text; one that uses a reserved name loses its `@`, since a second `@message` that is no string
 * crashes Go hosts.
 */
export function encodeLogLine(record: LogRecord): string {
  const entries: [string, unknown][] = [
    ['@level', record.level],
    ['@message', messageOf(record.message)],
    ['@timestamp', timestamp(record.time)],
  ]
  if (record.module !== undefined) entries.push(['@module', record.module])
  for (const [name, value] of Object.entries(record.fields)) entries.push([reserved.has(name) ? name.slice(1) : name, sayable(value)])
  return JSON.stringify(Object.fromEntries(entries))
}

/** Reads a line. Undefined when it is no record: no object of JSON, or one without a level, with a message or a time of a wrong type. */
export function parseLogLine(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return undefined // Text that happens to begin with a brace.
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
  const own = new Map<string, unknown>(Object.entries(parsed))
  const level = own.get('@level')
  const message = own.get('@message') ?? ''
  const stamp = own.get('@timestamp')
  const module = own.get('@module')
  if (typeof level !== 'string' || typeof message !== 'string') return undefined
  const word = level.trim().toLowerCase()
  if (!levels.has(word)) return undefined
  const time = stamp === undefined ? new Date() : typeof stamp === 'string' ? parseTimestamp(stamp) : undefined
  if (time === undefined) return undefined
  for (const name of ['@level', '@message', '@timestamp']) own.delete(name)
  if (typeof module === 'string') own.delete('@module')
  // fromEntries defines properties, so a field called __proto__ stays a field.
  return { level: word as LogLevel, message, fields: Object.fromEntries(own), time, ...(typeof module === 'string' && { module }) }
}

/**
 * Makes a record of every line of one stderr, by go-plugin's rules: a line of hclog keeps its level; `[WARN] …` and its kin name one; after
 * `panic: ` or `fatal error: ` all plain lines are errors, for a Go stack trace follows; anything else has the plain level.
 */
export class LogLines {
  readonly #plainLevel: LogLevel
  #panicking = false

  /** @param plainLevel The level of a line that says nothing about it; go-plugin takes `debug`. */
  constructor(plainLevel: LogLevel = 'debug') {
    this.#plainLevel = plainLevel
  }

  parse(line: string): LogRecord {
    return parseLogLine(line) ?? { level: this.#levelOf(line), message: line, fields: {}, time: new Date() }
  }

  #levelOf(line: string): LogLevel {
    const named = /^\[(TRACE|DEBUG|INFO|WARN|ERROR)\]/.exec(line)?.[1]
    if (named !== undefined) return named.toLowerCase() as LogLevel
    if (line.startsWith('panic: ') || line.startsWith('fatal error: ')) this.#panicking = true
    return this.#panicking ? 'error' : this.#plainLevel
  }
}

/** Go's layout `2006-01-02T15:04:05.000000Z07:00`: six digits, or a Go host cannot read it. */
function timestamp(time: Date): string {
  return Number.isNaN(time.getTime()) ? timestamp(new Date()) : `${time.toISOString().slice(0, -1)}000Z`
}

function parseTimestamp(text: string): Date | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})\d{3}(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (match === null) return undefined
  const time = new Date(`${match[1]}.${match[2]}${match[3]}`)
  return Number.isNaN(time.getTime()) ? undefined : time
}

/** A message as text: of a caller without types it may be anything, and what is no text crashes Go hosts. */
export function messageOf(value: unknown): string {
  if (typeof value === 'string') return value
  const said = value === undefined ? undefined : sayable(value)
  return typeof said === 'string' ? said : String(JSON.stringify(said))
}

/** The value as JSON has it, taken once so that a getter cannot answer differently later; else its text. */
function sayable(value: unknown): unknown {
  try {
    if (value instanceof Error) return String(value.stack ?? value.message)
    if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function') return String(value)
    const json = JSON.stringify(value) as string | undefined
    return json === undefined ? undefined : JSON.parse(json)
  } catch {
    // A cycle, a BigInt within, a getter that throws: a log line must never fail for it.
    return '[a value that has no JSON]'
  }
}
