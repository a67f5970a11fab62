// The plugin of the net/rpc rows, in TypeScript.

import { flow, serve } from 'plugwire/plugin'
import { countBorrowed, countOwned } from '../plugwire/count.ts'
import { source } from '../plugwire/source.ts'
import { netrpcEcho } from './contract.ts'

await serve(netrpcEcho, {
  1: {
    echo: () => ({
      Small: value => value,
      Record: value => value,
      Bytes: value => value,
      Upload: bytes => countBorrowed(flow(bytes)),
      UploadOwned: bytes => countOwned(bytes),
      Download: bytes => source(Number(bytes)),
    }),
  },
})
