// The plugin of the gRPC rows.

import { serve } from 'plugwire/plugin'
import { bytesOf, chunkBytes } from '../harness/samples.ts'
import { grpcEcho } from './contract.ts'

await serve(grpcEcho, {
  1: {
    echo: () => ({
      small: value => value,
      record: value => value,
      bytes: chunk => chunk,
      async upload(chunks) {
        let bytes = 0
        for await (const { data } of chunks) bytes += data.length
        return { bytes }
      },
      async *download({ bytes }) {
        const chunk = { data: bytesOf(chunkBytes) }
        for (let left = bytes; left > 0; left -= chunkBytes) yield chunk
      },
    }),
  },
})
