// The plugin of the net/rpc rows, in TypeScript.

import { pipeline } from 'node:stream/promises'
import { serve } from 'plugwire/plugin'
import { source } from '../plugwire/source.ts'
import { netrpcEcho } from './contract.ts'

await serve(netrpcEcho, {
  1: {
    echo: () => ({
      Small: value => value,
      Record: value => value,
      Bytes: value => value,
      async Upload(bytes) {
        let counted = 0
        for await (const chunk of bytes) counted += (chunk as Uint8Array).length
        return counted
      },
      async Download({ Id, Bytes }) {
        await pipeline(source(Number(Bytes)), Id)
        return Bytes
      },
    }),
  },
})
