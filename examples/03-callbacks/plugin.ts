// The plugin: calls back into its host, listens to signals, throws errors of its own.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Implementation } from 'plugwire'
import { callContext, isPluginError, serve } from 'plugwire/plugin'
import { type Kitchen, kitchen } from './kitchen.ts'

const recipes = new Map([['pancakes', { flour: 250, milk: 500, eggs: 150 }]])

class UnknownDish extends Error {
  override readonly name = 'UnknownDish'
  readonly code = 'E_UNKNOWN_DISH'
  readonly known: string[] = [...recipes.keys()]
}

let afterBaking: (what: string) => void
const baked = new Promise<string>(resolve => {
  afterBaking = resolve
})

const chef: Implementation<Kitchen> = {
  async cook(dish, pantry, tell) {
    const recipe = recipes.get(dish)
    if (recipe === undefined) throw new UnknownDish(`nobody here can cook ${dish}`)
    for (const [ingredient, grams] of Object.entries(recipe)) {
      await tell(`taking ${grams} g of ${ingredient}`)
      await pantry.take(ingredient, grams) // runs in the host; what it throws comes back as an error, here and then there
    }
    return dish
  },

  async simmer(enough) {
    if (!enough.aborted) await once(enough, 'abort')
    return `stopped: ${enough.reason}`
  },

  async bake(minutes) {
    const call = callContext() // before the first await
    try {
      await sleep(minutes * 60_000, undefined, { signal: call?.signal })
      return 'done'
    } catch (cause) {
      const reason = call?.signal.reason
      afterBaking(`${isPluginError(reason) ? reason.code : reason}, for ${call?.metadata['table']}`)
      throw cause
    }
  },

  afterBaking: () => baked,

  stack: async (storeys, other) => (storeys === 0 ? 'plugin: top' : await other(storeys - 1, chef.stack)),
}

await serve(kitchen, { kitchen: () => chef })
