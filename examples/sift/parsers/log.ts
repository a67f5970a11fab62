// Logs: how many lines of each level, and how many in each hour.
import type { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { type Finding, type Parser, parsers } from '../contract.ts'
import { Findings, increment, linesOf } from './reading.ts'

const level = /\b(TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL)\b/
const hour = /\b(\d{4}-\d\d-\d\d)[T ](\d\d):\d\d/

class LogParser implements Parser {
  async parse(file: string, bytes: Readable, report: (batch: Finding[]) => Promise<void>): Promise<void> {
    const findings = new Findings(file, report)
    const levels = new Map<string, number>()
    const hours = new Map<string, number>()
    let lines = 0
    for await (const line of linesOf(bytes)) {
      lines++
      const found = level.exec(line)?.[1]
      if (found !== undefined) increment(levels, found)
      const time = hour.exec(line)
      if (time !== null) increment(hours, `${time[1]} ${time[2]}:00`)
    }
    await findings.add('log lines', lines)
    await findings.addAll('level', levels)
    await findings.addAll('hour', hours)
    await findings.flush()
  }
}

await serve(parsers, { parser: () => new LogParser() })
