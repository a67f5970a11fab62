// The host: sends a file, gets one back, exchanges items, and steers two downloads while they run.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { flow, launch } from 'plugwire/host'
import { lab, type Reading } from './lab.ts'

const file = new URL('../../../package-lock.json', import.meta.url)

await using plugin = await launch(lab, new URL('./plugin.js', import.meta.url))
await using remote = await plugin.dispense('lab')

// Bytes in: a Node stream is simply an argument.
const { size } = await stat(file)
console.log(`digest of ${size} bytes: ${(await remote.digest(createReadStream(file))).length} hex digits`)

// Bytes in and out at once: web streams. Nothing of the file is ever in memory as a whole, on either side.
let compressed = 0
for await (const chunk of await remote.compress(Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>))
  compressed += chunk.length
console.log(`compressed to ${compressed} bytes`)

// Items in and out. The plugin asks for the next reading when it has room for it.
async function* readings(): AsyncIterable<Reading> {
  for (const celsius of [20, 22, 27]) yield { sensor: 'roof', celsius }
}
for await (const { sensor, celsius } of remote.means(readings())) console.log(`mean of ${sensor}: ${celsius}`)

// Leaving the loop stops the producer. It was a little ahead, never far: 64 items at most.
const counted = remote.counted()
for await (const number of remote.count()) if (number === 10) break
console.log(`read 10 and left; the plugin had counted to ${await counted}`)

// Two downloads share the connection. Weights and ceilings may change at any moment, from either side.
const fast = await remote.noise()
const slow = await remote.noise()
const received = new Map<Readable, number>()
for (const stream of [fast, slow]) stream.on('data', (chunk: Buffer) => received.set(stream, (received.get(stream) ?? 0) + chunk.length))

async function measure(what: string): Promise<void> {
  await sleep(100) // what is on its way was sent before the change
  received.clear()
  const started = performance.now()
  await sleep(300)
  const seconds = (performance.now() - started) / 1_000
  const [a, b] = [fast, slow].map(stream => (received.get(stream) ?? 0) / 1e6 / seconds) as [number, number]
  console.log(`${what}: ${a.toFixed(0)} MB/s and ${b.toFixed(0)} MB/s (${(a / b).toFixed(1)} : 1)`)
}

await measure('equal weights')
flow(fast).weight = 3
await measure('weight 3 to 1')
flow(fast).weight = 1
flow(slow).maxBytesPerSecond = 20_000_000
await measure('a ceiling of 20 MB/s')
for (const stream of [fast, slow]) stream.destroy()
