// A host that lends its plugin the terminal, and tells what the plugin sees.
import { launch } from 'plugwire/host'
import { stage } from './stage.ts'

await using plugin = await launch(stage, new URL('./plugin.js', import.meta.url), { terminal: true })
await using actor = await plugin.dispense('stage')
console.log(JSON.stringify(await actor.terminal()))
