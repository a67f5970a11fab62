// Where a plugin's records go when the application gives no logger of its own: the host's stderr, a line each.

import type { Logger, PluginRecord } from '../process/output.ts'
import type { LogLevel, LogRecord } from '../wire/log-record.ts'

const rank: Readonly<Record<LogLevel, number>> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4 }

/**
 * Writes lines of output as they are and records as `level message field=value`, each behind the plugin's name, to the host's stderr.
 *
 * @param least Records of lower levels are dropped. Default `info`. Lines of output are always written.
 */
export function stderrLogger(least: LogLevel = 'info'): Logger {
  return record => {
    if (record.stream === 'log' && rank[record.level] < rank[least]) return
    process.stderr.write(`[${record.plugin}] ${lineOf(record)}\n`)
  }
}

function lineOf(record: PluginRecord): string {
  if (record.stream !== 'log') return record.message
  const fields = Object.entries(record.fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return [record.level, ...(record.module === undefined ? [] : [`${record.module}:`]), record.message, ...fields].join(' ')
}

/** @internal A record as it came over the connection, looked at before the application sees it; undefined when it is none. */
export function checkedRecord(
  plugin: string,
  level: unknown,
  message: unknown,
  fields: unknown,
  time: unknown,
  module: unknown,
): PluginRecord | undefined {
  if (typeof level !== 'string' || !Object.hasOwn(rank, level) || typeof message !== 'string') return undefined
  const record: LogRecord = {
    level: level as LogLevel,
    message,
    fields: typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : {},
    time: new Date(typeof time === 'number' && Number.isFinite(time) ? time : Date.now()),
    ...(typeof module === 'string' && { module }),
  }
  return { ...record, plugin, stream: 'log' }
}
