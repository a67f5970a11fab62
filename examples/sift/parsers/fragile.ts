// A parser that cannot be trusted: the first comment in a JSON file brings its whole process down. On purpose, to show what becomes of the rest.
import type { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { type Parser, parsers } from '../contract.ts'
import { linesOf } from './reading.ts'

class FragileParser implements Parser {
  async parse(file: string, bytes: Readable): Promise<void> {
    let number = 0
    for await (const line of linesOf(bytes)) {
      number++
      if (!line.includes('//')) continue
      console.error(`fragile: a comment in ${file}, line ${number}. I did not expect that`)
      process.exit(70)
    }
  }
}

await serve(parsers, { parser: () => new FragileParser() })
