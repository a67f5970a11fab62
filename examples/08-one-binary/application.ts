// What the program does when it is started by its user: launches itself, once as each of its plugins.

import { launch } from 'plugwire/host'
import { carried } from 'plugwire/program'
import { textTool } from './text-tool.ts'

export async function run(): Promise<void> {
  const text = process.argv.slice(2).join(' ')
  const processes = new Set([process.pid])
  for (const name of ['upper', 'count']) {
    await using plugin = await launch(textTool, carried(name), { name })
    await using tool = await plugin.dispense('tool')
    console.log(`${name}: ${await tool.apply(text)}`)
    processes.add(await tool.pid())
  }
  console.log(`processes: ${processes.size}`)
}
