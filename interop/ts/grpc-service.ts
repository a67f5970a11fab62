// What the peers serve over gRPC, in TypeScript: what go/grpc_plugin.go does.

import { setTimeout } from 'node:timers/promises'
import { bindClient, GrpcError } from '@plugwire/grpc'
import type { Factories } from 'plugwire'
import type { FactoryContext } from 'plugwire/plugin'
import { Counter, counterFrom, type Entry, type grpcContract, payloadOf, type Total } from './grpc-contract.ts'
import { crash, pluginEnvironment, print } from './plugin-process.ts'

const entries = new Map<string, Required<Entry>>()
let running = 0
let cancelled = 0

export const grpcFactories: Factories<typeof grpcContract, FactoryContext> = {
  3: {
    kv: () => ({
      get({ key }, context) {
        const entry = entries.get(key)
        if (entry !== undefined) return entry
        const bytes = Buffer.from(key)
        context.setTrailer({ 'peer-key-bin': bytes })
        // plugwire.interop.NotFound with its one field, for keys shorter than 128 bytes
        const detail = {
          typeUrl: 'type.googleapis.com/plugwire.interop.NotFound',
          value: Buffer.concat([Buffer.of(0x0a, bytes.length), bytes]),
        }
        throw new GrpcError('NOT_FOUND', `no such key: ${key}`, { details: [detail] })
      },
      put({ key, value = new Uint8Array(), tags = {} }, context) {
        const note = context.metadata.get('peer-note')
        if (note !== undefined) {
          context.setHeader({ 'peer-note': note })
          context.setTrailer({ 'peer-note-end': note })
        }
        const stored = { key, value, tags, revision: (entries.get(key)?.revision ?? 0n) + 1n }
        entries.set(key, stored)
        return stored
      },
      delete: ({ key }) => ({ existed: entries.delete(key) }),
    }),
    streams: () => ({
      *down({ count, size }) {
        for (let index = 0; index < count; index++) yield { index, payload: payloadOf(index, size) }
      },
      async sum(numbers) {
        const total: Total = { sum: 0n, count: 0n }
        for await (const { value } of numbers) {
          total.sum += BigInt(value)
          total.count++
        }
        return total
      },
      echo: items => items,
    }),
    broker: () => broker => ({
      async callBack({ brokerId, times }, context) {
        const channel = await broker.for(context).dial(brokerId)
        try {
          const counter = await bindClient(Counter, channel)
          let total: Total = { sum: 0n, count: 0n }
          for (let i = 0; i < times; i++) total = await counter.add({ value: 1 }, { signal: context.signal })
          return total
        } finally {
          await channel.close()
        }
      },
      async open({ value }, context) {
        const mine = broker.for(context)
        const brokerId = mine.nextId()
        await mine.serve(brokerId, registrar => registrar.add(Counter, counterFrom(BigInt(value))))
        return { brokerId }
      },
    }),
    empty: () => ({}),
    faults: (_configuration, { logger, version }) => ({
      big: ({ data }) => ({ data }),
      async sleep({ ms }, { signal }) {
        running++
        try {
          await setTimeout(ms, undefined, { signal })
          return {}
        } catch {
          cancelled++
          throw signal.reason
        } finally {
          running--
        }
      },
      sleepers: () => ({ running, cancelled }),
      print(texts) {
        print(texts)
        return {}
      },
      log({ level, message, fields }) {
        logger[level as 'info'](message, fields)
        return {}
      },
      panic: ({ text }) => crash(text),
      exit: ({ code }) => process.exit(code),
      about: () => ({ language: 'typescript', pid: BigInt(process.pid), version, pluginEnvironment }),
    }),
  },
}
