// A parser that never comes to an end, and does not even listen any more. On purpose, to show that a deadline is enough.
import { serve } from 'plugwire/plugin'
import { type Parser, parsers } from '../contract.ts'

class StuckParser implements Parser {
  async parse(): Promise<void> {
    for (;;);
  }
}

await serve(parsers, { parser: () => new StuckParser() })
