// Source code: lines, comments, imports. What a comment and an import look like is told by the configuration, so that one process serves
// an instance for each language.
import type { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { type Finding, type Parser, type ParserConfig, parsers } from '../contract.ts'
import { Findings, increment, linesOf } from './reading.ts'

class CodeParser implements Parser {
  readonly #lineComment: string
  readonly #importPattern: RegExp | undefined

  constructor({ lineComment = '//', importPattern }: ParserConfig) {
    this.#lineComment = lineComment
    this.#importPattern = importPattern
  }

  async parse(file: string, bytes: Readable, report: (batch: Finding[]) => Promise<void>): Promise<void> {
    const findings = new Findings(file, report)
    const imports = new Map<string, number>()
    let lines = 0
    let comments = 0
    let blank = 0
    for await (const line of linesOf(bytes)) {
      lines++
      const text = line.trim()
      if (text === '') blank++
      else if (text.startsWith(this.#lineComment) || /^(?:\/\*|\*)/.test(text)) comments++
      const module = this.#importPattern?.exec(text)?.[1]
      if (module !== undefined && !module.startsWith('.')) increment(imports, module)
    }
    await findings.add('lines of code', lines - comments - blank)
    await findings.add('lines of comment', comments)
    await findings.addAll('import', imports)
    await findings.flush()
  }
}

await serve(parsers, { parser: config => new CodeParser(config) })
