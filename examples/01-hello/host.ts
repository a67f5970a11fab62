// The host: starts the plugin and uses what is in it like local objects.
import { launch } from 'plugwire/host'
import { kv } from './store.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

await using plugin = await launch(kv, new URL('./plugin.js', import.meta.url))
await using eu = await plugin.dispense('store', { region: 'eu' })
await using us = await plugin.dispense('store', { region: 'us' }) // same process, another instance

await eu.put('user/1', bytes('Ada'))
console.log('eu:', new TextDecoder().decode(await eu.get('user/1')), '| us:', await us.get('user/1'))

await us.onEvict(key => console.log('evicted in us:', key)) // called by the plugin
const rows = async function* () {
  for (const key of ['a', 'b', 'c', 'd']) yield { key, value: bytes(key) }
}
console.log('loaded into us:', await us.load(rows())) // pulled by the plugin

const writing = setInterval(() => eu.put('user/2', bytes('Grace')), 10)
for await (const change of eu.watch('user/')) {
  console.log('eu changed:', change.key)
  break // ends the loop in the plugin as well: its finally runs
}
clearInterval(writing)
