// JSON of any size, in one pass and without building it: how deep it goes and which keys it has.
import type { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { type Finding, type Parser, type ParserConfig, parsers } from '../contract.ts'
import { Findings, increment, linesOf } from './reading.ts'

/** A string, a colon that makes the string before it a key, a bracket; other things do not matter here. No string spans lines. */
const tokens = /"(?:[^"\\]|\\.)*"|[[\]{}:]/g

class JsonParser implements Parser {
  readonly #lineComment: string | undefined

  constructor({ lineComment }: ParserConfig) {
    this.#lineComment = lineComment
  }

  async parse(file: string, bytes: Readable, report: (batch: Finding[]) => Promise<void>): Promise<void> {
    const findings = new Findings(file, report)
    const keys = new Map<string, number>()
    let depth = 0
    let deepest = 0
    let before = ''
    for await (const line of linesOf(bytes)) {
      if (this.#lineComment !== undefined && line.trimStart().startsWith(this.#lineComment)) continue
      for (const [token] of line.matchAll(tokens)) {
        if (token === '{' || token === '[') deepest = Math.max(deepest, ++depth)
        else if (token === '}' || token === ']') depth--
        else if (token === ':') increment(keys, before.slice(1, -1))
        if (depth < 0) throw new SyntaxError(`${file} closes a bracket that it has not opened`)
        before = token
      }
    }
    if (depth > 0) throw new SyntaxError(`${file} leaves ${depth} brackets open`)
    await findings.add(
      'json keys',
      [...keys.values()].reduce((sum, count) => sum + count, 0),
    )
    await findings.add('depth', deepest, file)
    await findings.addAll('key', keys)
    await findings.flush()
  }
}

await serve(parsers, { parser: config => new JsonParser(config) })
