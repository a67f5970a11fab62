// The plugin of the plugwire rows.

import { flow, serve } from 'plugwire/plugin'
import { echo } from './contract.ts'
import { countBorrowed, countOwned } from './count.ts'
import { source } from './source.ts'

const swallowed: Record<string, number> = {}

await serve(echo, {
  echo: () => ({
    echo: value => value,
    echoRecord: value => value,
    echoBytes: bytes => bytes,
    swallow(bytes, chunks, name) {
      const seen = (counted: number) => {
        if (name !== undefined) swallowed[name] = counted
      }
      return chunks === 'borrowed' ? countBorrowed(flow(bytes), seen) : countOwned(bytes, seen)
    },
    swallowed: () => swallowed,
    produce: totalBytes => source(totalBytes),
  }),
})
