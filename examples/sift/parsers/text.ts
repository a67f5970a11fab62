// Prose and markdown: words, headings, the longest line.
import type { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { type Finding, type Parser, parsers } from '../contract.ts'
import { Findings, increment, linesOf } from './reading.ts'

/** Shorter words say little about a text. */
const MIN_LETTERS = 5
const common = new Set(['about', 'after', 'other', 'their', 'there', 'these', 'those', 'where', 'which', 'while', 'would'])

class TextParser implements Parser {
  async parse(file: string, bytes: Readable, report: (batch: Finding[]) => Promise<void>): Promise<void> {
    const findings = new Findings(file, report)
    const words = new Map<string, number>()
    let lines = 0
    let count = 0
    let headings = 0
    let longest = ''
    let fenced = false
    for await (const line of linesOf(bytes)) {
      lines++
      if (line.length > longest.length) longest = line
      if (/^\s*(?:```|~~~)/.test(line)) fenced = !fenced
      if (fenced) continue
      const heading = /^#{1,6}\s+(.+)$/.exec(line)?.[1]
      if (heading !== undefined) {
        headings++
        await findings.add('heading', 1, heading)
      }
      for (const [word] of line.toLowerCase().matchAll(/\p{L}+/gu)) {
        count++
        if (word.length >= MIN_LETTERS && !common.has(word)) increment(words, word)
      }
    }
    await findings.add('lines of text', lines)
    await findings.add('words', count)
    await findings.add('headings', headings)
    await findings.add('longest line', longest.length, `${file}: ${longest.trim().slice(0, 40)}`)
    await findings.addAll('word', words)
    await findings.flush()
  }
}

await serve(parsers, { parser: () => new TextParser() })
