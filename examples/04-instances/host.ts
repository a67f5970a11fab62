// The host: many instances in one process, and one program for plugins of two generations.
import { isRemoteError, launch } from 'plugwire/host'
import { counters } from './counter.ts'

await using today = await launch(counters, new URL('./plugin.js', import.meta.url), {
  logger: record => console.log(`  log: ${record.message}`, record.stream === 'log' ? record.fields : ''),
})
await using old = await launch(counters, new URL('./old-plugin.js', import.meta.url))

// Each dispense makes an instance of its own, with its own configuration; all live in the one process.
console.log(`version ${today.version}`)
if (today.version !== 2) throw new Error('a plugin of today speaks version 2')
const hits = await today.dispense('counter', { name: 'hits', from: 0 })
await using stock = await today.dispense('counter', { name: 'stock', from: 100 })
await hits.count(1)
await hits.count(2)
await stock.count(-10)
for await (const value of stock.history()) console.log('stock was', value)

// They end one by one; the others go on.
await hits[Symbol.asyncDispose]()
console.log('stock is still there:', await stock.count(-10))

// A factory may refuse.
try {
  await today.dispense('counter', { name: 'broken', from: Number.NaN })
} catch (error) {
  if (!isRemoteError(error)) throw error
  console.log(`${error.name}: ${error.message}`)
}

// A thousand are no matter: an instance is an object, not a process.
const many = await Promise.all(Array.from({ length: 1_000 }, (_, from) => old.dispense('counter', { name: `${from}`, from })))
console.log(`${many.length} instances in process ${old.pid}`)
await Promise.all(many.map(counter => counter[Symbol.asyncDispose]()))

// The compiler knows which version has which methods, so a host handles the old one as long as it likes.
console.log(`version ${old.version}`)
if (old.version === 1) {
  await using counter = await old.dispense('counter', { name: 'old', from: 40 })
  console.log('the old way:', await counter.add(2))
}
