// One program that is several: an application and the plugins it carries, shipped as one file. The application starts itself again, with a mark
// that says which plugin it is to be. Stands on the way of every start of such a program, so it imports nothing.

import type { Command } from '../process/command.ts'

/** The plugins of a program, by name: what runs when it is started as that plugin. Import the plugin's code in there, so that only it is loaded. */
export interface ProgramPlugins {
  readonly [name: string]: () => unknown
}

/** Comes first among the arguments of a program that is started as one of its plugins. */
const MARK = '--plugwire-plugin='

/**
 * Runs a program, or the one of its plugins as which it was started:
 * `await main(() => import('./app.js'), { plugins: { store: () => import('./store.js') } })`, where `store.js` calls `serve` as any plugin does.
 *
 * @throws TypeError when it was started as a plugin that it has not.
 */
export async function main(program: () => unknown, options: { readonly plugins: ProgramPlugins }): Promise<void> {
  const place = process.argv.findIndex((argument, index) => index > 0 && index <= 2 && argument.startsWith(MARK))
  if (place < 0) return void (await program())
  const [mark = ''] = process.argv.splice(place, 1)
  const name = mark.slice(MARK.length)
  const plugin = Object.hasOwn(options.plugins, name) ? options.plugins[name] : undefined
  if (plugin === undefined) {
    throw new TypeError(`this program has no plugin ${JSON.stringify(name)}; it has: ${Object.keys(options.plugins).join(', ') || 'none'}`)
  }
  await plugin()
}

/**
 * A plugin that this program carries, for `launch`: `await launch(kv, carried('store'))`. It is this very program, started again; bundled to one file and
 * as a single executable, too.
 */
export function carried(name: string, args: readonly string[] = []): Command {
  const sea = (process.getBuiltinModule as (name: string) => { isSea(): boolean } | undefined)('node:sea')
  // A single executable and a compiled program are their own runtime; else the runtime needs to be told the file.
  const script = sea?.isSea() || process.argv[1] === undefined || process.argv[1] === process.execPath ? [] : [process.argv[1]]
  const execArgv = script.length > 0 ? process.execArgv.filter(argument => !argument.startsWith('--inspect')) : []
  return { command: process.execPath, args: [...execArgv, ...script, `${MARK}${name}`, ...args] }
}
