// The host: lends the plugin an object and some functions, cancels what takes too long, and looks at errors by their code.
import { byRef, isPluginError, isRemoteError, launch, withOptions } from 'plugwire/host'
import { kitchen, type Pantry, type Storey } from './kitchen.ts'

class Larder implements Pantry {
  readonly #grams = new Map([
    ['flour', 600],
    ['milk', 1_000],
    ['eggs', 200],
  ])

  async take(ingredient: string, grams: number): Promise<void> {
    const left = (this.#grams.get(ingredient) ?? 0) - grams
    if (left < 0) throw Object.assign(new Error(`${-left} g of ${ingredient} are missing`), { code: 'E_OUT_OF_STOCK', ingredient })
    this.#grams.set(ingredient, left)
  }
}

await using plugin = await launch(kitchen, new URL('./plugin.js', import.meta.url))
await using remote = await plugin.dispense('kitchen')

// An object and a function, called by the plugin while its own call is under way.
const larder = byRef(new Larder())
console.log('cooked:', await remote.cook('pancakes', larder, step => console.log(' ', step)))

// #region errors
// Errors keep their name, message, code and own properties, wherever they were thrown. Decide by code, never by message.
for (const dish of ['pancakes', 'soup']) {
  try {
    await remote.cook(dish, larder, () => {})
  } catch (error) {
    if (!isRemoteError(error)) throw error
    console.log(`${error.name} ${error.code}: ${error.message}`, error.data)
  }
}
// #endregion

// A signal travels like any other argument.
const enough = new AbortController()
const simmering = remote.simmer(enough.signal)
enough.abort('it smells done')
console.log(await simmering)

// #region deadline
// A deadline and metadata for single calls. The method over there sees an aborted signal, and why.
try {
  await withOptions(remote, { timeoutMs: 50, metadata: { table: 'table 7' } }).bake(1)
} catch (error) {
  if (!isPluginError(error, 'ERR_CALL_TIMEOUT')) throw error
  console.log(`${error.code}: ${error.message}`)
  console.log('the plugin saw:', await remote.afterBaking())
}
// #endregion

// To any depth: the host calls the plugin, which calls the host, which calls the plugin …
let calls = 0
const storey: Storey = async (storeys, other) => {
  calls++
  return storeys === 0 ? 'host: top' : await other(storeys - 1, storey)
}
console.log(await remote.stack(200, storey), 'after', calls, 'calls into the host')
