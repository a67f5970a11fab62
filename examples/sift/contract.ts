// What sift and its plugins agree on. A parser reads one kind of file, a sink does something with what parsers find.
import type { Readable } from 'node:stream'
import { contract, type Kind } from 'plugwire'

/** One thing that was found in a file. */
export interface Finding {
  file: string
  /** What was measured, e.g. `words` or `heading`. */
  measure: string
  value: number
  /** What the value belongs to, when a file has many of them: the word, the module, the hour. */
  text?: string
}

export interface Parser {
  /**
   * Reads a file to its end and reports what it finds, a batch at a time. The parser waits until a batch was taken, so a slow sink
   * slows the parser, and the parser slows the reading of its file.
   */
  parse(file: string, bytes: Readable, report: (batch: Finding[]) => Promise<void>): Promise<void>
}

/** What makes one instance of a parser different from another in the same process. */
export interface ParserConfig {
  /** What begins a comment, for parsers that look for comments. */
  lineComment?: string
  /** What an import looks like; its first group is the module. */
  importPattern?: RegExp
}

export const parsers = contract<{ parser: Kind<Parser, ParserConfig> }>({ name: 'sift-parser', version: 1 })

export interface Row {
  label: string
  value: number
}

export interface Sink {
  /** Takes findings until there are no more; then `result` is complete. */
  consume(findings: AsyncIterable<Finding>): Promise<void>
  result(): Promise<Row[]>
}

export const sinks = contract<{
  /** Adds the values of everything that has no text, by measure. */
  summary: Kind<Sink, undefined>
  /** The texts of one measure with the highest sums. */
  top: Kind<Sink, { measure: string; count: number }>
  /** Writes every finding to a file. */
  file: Kind<Sink, { path: string; format: 'csv' | 'jsonl' }>
}>({ name: 'sift-sink', version: 1 })
