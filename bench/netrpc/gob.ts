// gob beside JSON: the same record of about 1 KiB, back and forth in this process, in turns.

import { Decoder, Encoder } from '@plugwire/netrpc/gob'
import { build } from '../harness/samples.ts'
import type { Figures } from '../harness/subject.ts'
import { build as schema } from './contract.ts'
import { toGo } from './record.ts'

/** Records in one turn. */
const TURN = 200

/** How many times the rate of JSON. */
export function measureGob(milliseconds: number): Figures {
  const value = toGo(build)
  const encoder = new Encoder()
  const decoder = new Decoder()
  // The types travel once for each stream.
  decoder.push(encoder.encode(schema, value))
  decoder.next(schema)
  const bytes = encoder.encode(schema, value)
  const text = JSON.stringify(value)
  const work = {
    gobEncode: () => encoder.encode(schema, value).length,
    jsonEncode: () => JSON.stringify(value).length,
    gobDecode() {
      decoder.push(bytes)
      return decoder.next(schema)?.value.Number
    },
    jsonDecode: () => (JSON.parse(text) as typeof value).Number,
  }
  const spent = { gobEncode: 0, jsonEncode: 0, gobDecode: 0, jsonDecode: 0 }
  const names = Object.keys(work) as (keyof typeof work)[]
  const started = performance.now()
  do {
    for (const name of names) {
      const run = work[name]
      const before = performance.now()
      for (let turn = 0; turn < TURN; turn++) run()
      spent[name] += performance.now() - before
    }
  } while (performance.now() - started < milliseconds)
  return { encode: spent.jsonEncode / spent.gobEncode, decode: spent.jsonDecode / spent.gobDecode }
}
