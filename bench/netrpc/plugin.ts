// The plugin of the net/rpc rows, in TypeScript.

import { pipeline } from 'node:stream/promises'
import { serve } from 'plugwire/plugin'
import { countOwned } from '../plugwire/count.ts'
import { source } from '../plugwire/source.ts'
import { netrpcEcho } from './contract.ts'

await serve(netrpcEcho, {
  1: {
    echo: () => ({
      Small: value => value,
      Record: value => value,
      Bytes: value => value,
      Upload: bytes => countOwned(bytes),
      async Download({ Id, Bytes }) {
        await pipeline(source(Number(Bytes)), Id)
        return Bytes
      },
    }),
  },
})
