// The plugin of the plugwire rows.

import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { echo } from './contract.ts'
import { source } from './source.ts'

const swallowed: Record<string, number> = {}

await serve(echo, {
  echo: () => ({
    echo: value => value,
    echoRecord: value => value,
    echoBytes: bytes => bytes,
    async swallow(name: string, bytes: Readable) {
      let counted = 0
      bytes.on('data', (chunk: Uint8Array) => {
        counted += chunk.length
        swallowed[name] = counted
      })
      await once(bytes, 'end')
      return counted
    },
    swallowed: () => swallowed,
    produce: totalBytes => source(totalBytes),
  }),
})
