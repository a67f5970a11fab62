// Which methods of an object the other side may call. Made once, when the object is offered; calls look nothing else up.

/** Something callable, by number. */
export interface MethodTable {
  readonly names: readonly string[]
  readonly functions: readonly ((...args: unknown[]) => unknown)[]
}

const tables = new WeakMap<object, MethodTable>()

/**
 * The methods of an object: functions of its own and of its classes, up to and without `Object.prototype`.
 *
 * Left out: names that begin with `_`, `constructor`, `then` (an object with it would be taken for a promise), getters and
 * setters (reading them could do anything), symbols, and what the contract calls private with `#`, which no one can see.
 */
export function methodTable(object: object): MethodTable {
  const prototype = Object.getPrototypeOf(object) as object | null
  const own = Object.keys(object).length > 0 || prototype === Object.prototype || prototype === null
  const inherited = prototype === null || prototype === Object.prototype ? undefined : prototype
  // Instances of one class without properties of their own share one table.
  const cached = !own && inherited !== undefined ? tables.get(inherited) : undefined
  if (cached !== undefined) return cached
  const found = new Map<string, (...args: unknown[]) => unknown>()
  for (
    let level: object | null = object;
    level !== null && level !== Object.prototype;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (found.has(name) || !offered(name)) continue
      const value = Object.getOwnPropertyDescriptor(level, name)?.value as unknown
      // Set even when it is no function: an own value hides the method of its class.
      found.set(name, (typeof value === 'function' ? value : undefined) as (...args: unknown[]) => unknown)
    }
  }
  for (const [name, value] of found) if (value === undefined) found.delete(name)
  const table: MethodTable = { names: [...found.keys()], functions: [...found.values()] }
  if (!own && inherited !== undefined) tables.set(inherited, table)
  return table
}

const offered = (name: string): boolean => name !== 'constructor' && name !== 'then' && !name.startsWith('_')
