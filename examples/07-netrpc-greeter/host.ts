// The host: the same lines for a plugin in Go and for one in TypeScript; then a host in Go says the same of the one in TypeScript.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { isRemoteError, launch } from 'plugwire/host'
import { greeterInGo } from './go.ts'
import { greeter } from './greeter.ts'

const inGo = greeterInGo()
const inTypeScript = fileURLToPath(new URL('./plugin.js', import.meta.url))

async function use(command: { command: string; args?: string[] }): Promise<void> {
  await using plugin = await launch(greeter, command, { logger: false })
  await using remote = await plugin.dispense('greeter')

  console.log(' ', await remote.Greet({ Name: 'Ada', Times: 2 }))
  await remote.Greet({ Name: '', Times: 1 }).catch(error => {
    if (isRemoteError(error)) console.log('  refused:', error.message)
  })
  const cards = await remote.Visit({ Places: ['Oslo', 'Quito'], Card: place => console.log('  a card from', place) })
  console.log(' ', cards, 'cards')
  console.log(' ', await text(await remote.Letter('Ada')))
}

console.log('TypeScript runs Go, with AutoMTLS:')
await use({ command: inGo, args: ['plugin'] })
console.log('TypeScript runs TypeScript, over the same protocol:')
await use({ command: inTypeScript })
console.log('Go runs TypeScript:')
const host = spawn(inGo, ['host', process.execPath, inTypeScript], { stdio: ['ignore', 'inherit', 'inherit'] })
const [code] = await once(host, 'exit')
process.exitCode = code as number
