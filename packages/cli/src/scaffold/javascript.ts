// The sources of a new project in plain JavaScript, with types as JSDoc. They run as they stand here, on any Node from 20.19, which has no
// `await using` yet; so what was launched is closed in a `finally`.

export function javascriptFiles(name: string): [string, string][] {
  return [
    [
      'src/greeter.js',
      `// What host and plugin agree on. Both import this file; there is nothing to generate.

import { contract } from 'plugwire'

/**
 * @typedef {object} Greeter
 * @property {(name: string) => Promise<string>} greet
 * @property {(from: number) => AsyncIterable<number>} countdown One number after the other, down to 1. Leaving the loop early runs
 * the plugin's \`finally\`.
 */

/** @typedef {{ greeting: string }} GreeterConfig */

/** @type {import('plugwire').Contract<import('plugwire').OneVersion<{ greeter: import('plugwire').Kind<Greeter, GreeterConfig> }>>} */
export const greeting = contract({ name: '${name}', version: 1 })
`,
    ],
    [
      'src/plugin.js',
      `// The plugin: a process of its own, started by its host. Each dispense makes a new instance.

import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from 'plugwire/plugin'
import { greeting } from './greeter.js'

class PoliteGreeter {
  #config

  /** @param {import('./greeter.js').GreeterConfig} config */
  constructor(config) {
    this.#config = config
  }

  /** @param {string} name */
  async greet(name) {
    return \`\${this.#config.greeting}, \${name}!\`
  }

  /** @param {number} from */
  async *countdown(from) {
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
      'src/host.js',
      `// The host: starts the plugin and uses it like a local object.

import { launch } from 'plugwire/host'
import { greeting } from './greeter.js'

const plugin = await launch(greeting, new URL('./plugin.js', import.meta.url))
try {
  console.log(\`the plugin is process \${plugin.pid}\`)

  const english = await plugin.dispense('greeter', { greeting: 'Hello' })
  const french = await plugin.dispense('greeter', { greeting: 'Bonjour' })
  console.log(await english.greet('world'))
  console.log(await french.greet('le monde'))

  for await (const left of english.countdown(3)) console.log(left)
} finally {
  await plugin.close()
}
`,
    ],
    [
      'src/greeter.test.js',
      `import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launch } from 'plugwire/host'
import { greeting } from './greeter.js'

/** @type {import('plugwire/host').Plugin<typeof greeting>} */
let plugin
before(async () => {
  plugin = await launch(greeting, new URL('./plugin.js', import.meta.url))
})
after(() => plugin?.close())

test('greets, each instance in its own way', async () => {
  const english = await plugin.dispense('greeter', { greeting: 'Hello' })
  const french = await plugin.dispense('greeter', { greeting: 'Bonjour' })
  assert.equal(await english.greet('world'), 'Hello, world!')
  assert.equal(await french.greet('world'), 'Bonjour, world!')
})

test('counts down, until the host has heard enough', async () => {
  const greeter = await plugin.dispense('greeter', { greeting: 'Hello' })
  /** @type {number[]} */
  const seen = []
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
