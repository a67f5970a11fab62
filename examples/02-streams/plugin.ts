// The plugin: whatever reads and writes streams in Node does so here as well.
import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { serve } from 'plugwire/plugin'
import { type Lab, lab, type Reading } from './lab.ts'

const noiseChunk = Buffer.alloc(65_536, 'noise ')

class Laboratory implements Lab {
  readonly #counting = new EventEmitter()

  async digest(bytes: Readable): Promise<string> {
    const hash = createHash('sha256')
    await pipeline(bytes, hash)
    return hash.digest('hex')
  }

  async compress(bytes: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
    return bytes.pipeThrough(new CompressionStream('gzip'))
  }

  async noise(): Promise<Readable> {
    return new Readable({
      highWaterMark: 4 * noiseChunk.length,
      read() {
        while (this.push(noiseChunk));
      },
    })
  }

  async *means(readings: AsyncIterable<Reading>): AsyncIterable<Reading> {
    const seen = new Map<string, { sum: number; count: number }>()
    for await (const { sensor, celsius } of readings) {
      const { sum, count } = seen.get(sensor) ?? { sum: 0, count: 0 }
      seen.set(sensor, { sum: sum + celsius, count: count + 1 })
      yield { sensor, celsius: (sum + celsius) / (count + 1) }
    }
  }

  async *count(): AsyncIterable<number> {
    let counted = 0
    try {
      for (;;) yield ++counted
    } finally {
      this.#counting.emit('left', counted)
    }
  }

  async counted(): Promise<number> {
    const [counted] = (await once(this.#counting, 'left')) as [number]
    return counted
  }
}

await serve(lab, { lab: () => new Laboratory() })
