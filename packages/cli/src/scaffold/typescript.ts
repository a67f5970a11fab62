// The sources of a new project in TypeScript. `npm start` compiles and runs them as they stand here.

export function typescriptFiles(name: string): [string, string][] {
  return [
    [
      'src/greeter.ts',
      `// What host and plugin agree on. Both import this file; there is nothing to generate.

import { contract, type Kind } from 'plugwire'

export interface Greeter {
  greet(name: string): Promise<string>
  /** One number after the other, down to 1. Leaving the loop early runs the plugin's \`finally\`. */
  countdown(from: number): AsyncIterable<number>
}

export interface GreeterConfig {
  greeting: string
}

export const greeting = contract<{ greeter: Kind<Greeter, GreeterConfig> }>({ name: '${name}', version: 1 })
`,
    ],
    [
      'src/plugin.ts',
      `// The plugin: a process of its own, started by its host. Each dispense makes a new instance.

import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from 'plugwire/plugin'
import { type Greeter, type GreeterConfig, greeting } from './greeter.ts'

class PoliteGreeter implements Greeter {
  readonly #config: GreeterConfig

  constructor(config: GreeterConfig) {
    this.#config = config
  }

  async greet(name: string): Promise<string> {
    return \`\${this.#config.greeting}, \${name}!\`
  }

  async *countdown(from: number): AsyncGenerator<number> {
    for (let left = from; left > 0; left--) {
      yield left
      await sleep(100)
    }
  }
}

await serve(greeting, { greeter: config => new PoliteGreeter(config) })
`,
    ],
    [
      'src/host.ts',
      `// The host: starts the plugin and uses it like a local object.

import { launch } from 'plugwire/host'
import { greeting } from './greeter.ts'

await using plugin = await launch(greeting, new URL('./plugin.js', import.meta.url))
console.log(\`the plugin is process \${plugin.pid}\`)

await using english = await plugin.dispense('greeter', { greeting: 'Hello' })
await using french = await plugin.dispense('greeter', { greeting: 'Bonjour' })
console.log(await english.greet('world'))
console.log(await french.greet('le monde'))

for await (const left of english.countdown(3)) console.log(left)
`,
    ],
    [
      'src/greeter.test.ts',
      `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launch } from 'plugwire/host'
import { greeting } from './greeter.ts'

const file = new URL('./plugin.js', import.meta.url)

test('greets, each instance in its own way', async () => {
  await using plugin = await launch(greeting, file)
  await using english = await plugin.dispense('greeter', { greeting: 'Hello' })
  await using french = await plugin.dispense('greeter', { greeting: 'Bonjour' })
  assert.equal(await english.greet('world'), 'Hello, world!')
  assert.equal(await french.greet('world'), 'Bonjour, world!')
})

test('counts down, until the host has heard enough', async () => {
  await using plugin = await launch(greeting, file)
  await using greeter = await plugin.dispense('greeter', { greeting: 'Hello' })
  const seen: number[] = []
  for await (const left of greeter.countdown(1_000)) {
    seen.push(left)
    if (seen.length === 3) break
  }
  assert.deepEqual(seen, [1_000, 999, 998])
})
`,
    ],
  ]
}
