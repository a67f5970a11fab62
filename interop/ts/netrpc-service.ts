// What the peers serve over net/rpc, in TypeScript: what go/netrpc_plugin.go does.

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout } from 'node:timers/promises'
import type { Factories } from 'plugwire'
import type { FactoryContext } from 'plugwire/plugin'
import { Counter, type Entry, type netrpcContract, type Poured } from './netrpc-contract.ts'
import { pieces, Sum } from './pattern.ts'
import { crash, pluginEnvironment, print } from './plugin-process.ts'

class KeyValue {
  readonly #entries = new Map<string, Entry>()

  Put(entry: Entry): Entry {
    const stored = { ...entry, Revision: (this.#entries.get(entry.Key)?.Revision ?? 0n) + 1n }
    this.#entries.set(entry.Key, stored)
    return stored
  }

  Get(key: string): Entry {
    const found = this.#entries.get(key)
    if (found === undefined) throw new Error(`no such key: ${key}`)
    return found
  }

  All(prefix: string): Map<string, Entry> {
    return new Map([...this.#entries].filter(([key]) => key.startsWith(prefix)))
  }

  Delete(key: string): boolean {
    return this.#entries.delete(key)
  }

  Any<V>(values: V): V {
    return values
  }
}

const pouredOf = ({ bytes, crc }: Sum): Poured => ({ Bytes: bytes, Crc: crc })

export const netrpcFactories: Factories<typeof netrpcContract, FactoryContext> = {
  2: {
    kv: () => new KeyValue(),
    counter: () => new Counter(0n),
    broker: () => ({
      async CallBack({ Id: counter, Times }) {
        let sum = 0n
        for (let i = 0; i < Times; i++) sum = await counter.Add(1n)
        await counter[Symbol.asyncDispose]()
        return sum
      },
      Open: start => new Counter(start),
      async Pour({ Id: target, Bytes }) {
        const sum = new Sum()
        await pipeline(Readable.from(pieces(Number(Bytes), sum), { objectMode: false }), target)
        return pouredOf(sum)
      },
      async Drain(source) {
        const sum = new Sum()
        for await (const chunk of source) sum.add(chunk)
        return pouredOf(sum)
      },
    }),
    faults: (_configuration, { logger, version }) => ({
      Big: data => data,
      Reverse: report => ({
        ...report,
        Rows: report.Rows.toReversed(),
        Parent: {
          Title: 'reversed',
          Made: { seconds: -62_135_596_800n, nanoseconds: 0, offsetSeconds: undefined },
          Rows: [],
          Totals: new Map(),
          Matrix: [],
          Checksum: new Uint8Array(4),
          Huge: null,
          Ratio: { re: 0, im: 0 },
          Parent: report.Parent,
          Extra: new Map(),
        },
      }),
      Sleep: ms => setTimeout(ms, {}),
      Print({ Stdout, Stderr, Raw }) {
        print({ stdout: Stdout, stderr: Stderr, raw: Raw })
        return {}
      },
      Log({ Level, Message, Fields }) {
        logger[Level as 'info'](Message, Object.fromEntries(Fields))
        return {}
      },
      Panic: text => crash(text),
      Exit: code => process.exit(code),
      About: () => ({ Language: 'typescript', Pid: process.pid, Version: version, PluginEnvironment: pluginEnvironment }),
    }),
  },
}
