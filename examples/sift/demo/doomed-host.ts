// A host that is going to be killed: tells which processes there are, and waits for it.
import { launch } from 'plugwire/host'
import { stage } from './stage.ts'

const plugin = await launch(stage, new URL('./plugin.js', import.meta.url))
const actor = await plugin.dispense('stage')
console.log(JSON.stringify([plugin.pid, await actor.startSomethingLong()]))
setInterval(() => {}, 1_000)
