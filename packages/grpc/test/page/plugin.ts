// #region plugin
import { bindClient, GrpcError } from '@plugwire/grpc'
import { serve } from 'plugwire/plugin'
import { kv, Progress } from './contract.ts'

const values = new Map<string, string>()

await serve(kv, {
  1: {
    store: () => ({
      get({ key }) {
        const value = values.get(key)
        if (value === undefined) throw new GrpcError('NOT_FOUND', `no ${key}`)
        return { value }
      },
      put({ key, value }, context) {
        values.set(key, value)
        context.setTrailer({ 'kv-size': String(values.size) })
        return {}
      },
      async *watch({ prefix }) {
        for (const [key, value] of values) if (key.startsWith(prefix)) yield { key, value }
      },
    }),
    loader: () => broker => ({
      async load({ lines, progress }, context) {
        const channel = await broker.for(context).dial(progress) // `for`: the broker of the host that calls
        const { report } = await bindClient(Progress, channel)
        for (const [index, line] of lines.entries()) {
          values.set(line, '')
          await report({ count: index + 1 }) // runs in the host
        }
        await channel.close()
        return { count: lines.length }
      },
    }),
  },
})
// #endregion
