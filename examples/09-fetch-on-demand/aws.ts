// The plugin: a command of that program, with the terminal of whoever uses it.

import { type CommandLine, command } from '@plugwire/store/command'
import { serve } from 'plugwire/plugin'

/** Put there when it is bundled. */
declare const VERSION: string

const run: CommandLine['run'] = async (args, { name }) => {
  if (args[0] !== 'regions') {
    console.error(`usage: ${name} regions`)
    return 2
  }
  console.log(`eu-central-1 us-east-1 (aws ${VERSION})`)
  return 0
}

await serve(command, { command: () => ({ run }) })
