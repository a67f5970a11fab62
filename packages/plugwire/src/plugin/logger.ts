// Structured logs of a plugin: records that reach the host's logger, or stderr where no host of ours listens.

import { encodeLogLine, type LogLevel, type LogRecord, messageOf } from '../wire/log-record.ts'

/** Writes records. Each method takes a message and fields, which may be anything that can travel. */
export interface PluginLogger {
  trace(message: string, fields?: Readonly<Record<string, unknown>>): void
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** A logger whose records carry these fields and this name, too. */
  child(name: string, fields?: Readonly<Record<string, unknown>>): PluginLogger
}

/** Where records go; false when they cannot go there now. */
export type LogSink = (record: LogRecord) => boolean

/** Records kept until a host has connected. */
const MAX_KEPT = 1_000

const kept: LogRecord[] = []
let sink: LogSink | undefined
let dropped = 0

/** @internal Sends records to the host from now on; undefined when it is gone. */
export function setLogSink(next: LogSink | undefined): void {
  sink = next
  if (next === undefined) return
  for (const record of kept.splice(0)) emit(record)
}

/** @internal Takes a sink away, unless another has replaced it. */
export function unsetLogSink(gone: LogSink): void {
  if (sink === gone) sink = undefined
}

function emit(record: LogRecord): void {
  if (sink === undefined) {
    if (kept.length < MAX_KEPT) kept.push(record)
    else dropped++
    return
  }
  if (dropped > 0) {
    const notice = {
      level: 'warn',
      message: `${dropped} log records were dropped, the host did not take them in time`,
      fields: { dropped },
      time: record.time,
    } as const
    if (!sink(notice)) {
      dropped++
      return
    }
    dropped = 0
  }
  if (!sink(record)) dropped++
}

/** @internal Writes a record where a host that is not ours reads it. */
export function logToStderr(record: LogRecord): boolean {
  process.stderr.write(`${encodeLogLine(record)}\n`)
  return true
}

/** @internal A logger that gives its records to `take`. */
export function createLogger(
  module: string | undefined,
  common: Readonly<Record<string, unknown>>,
  take: (record: LogRecord) => void,
): PluginLogger {
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      take({
        level,
        message: messageOf(message),
        fields: { ...common, ...fields },
        time: new Date(),
        ...(module !== undefined && { module }),
      })
  return {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (name, fields = {}) => createLogger(module === undefined ? name : `${module}.${name}`, { ...common, ...fields }, take),
  }
}

/**
 * The logger of this plugin. Its records reach the host's logger with level, message, fields and time.
 * Until a host has connected up to 1,000 are kept; when the host takes them too slowly, records are dropped and counted.
 */
export const logger: PluginLogger = createLogger(undefined, {}, emit)
