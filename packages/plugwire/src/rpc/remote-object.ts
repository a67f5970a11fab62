// What the holder of a reference has in its hands: an object with the methods that were offered, each a call.

import { PluginError } from '../errors.ts'
import { DISPOSE_METHOD } from '../wire/call-frames.ts'
import type { CallOptions } from './call-context.ts'

/** Makes calls; the connection. */
export interface Caller {
  call(target: number, method: number, args: readonly unknown[], options: CallOptions | undefined, name: string): Promise<unknown>
  /** No more calls will be made on the target: gives back the references held. */
  release(held: Held): void
  /** The same, but the call that disposes the object gives them back. */
  forgetImport(held: Held): void
}

/** How often the other side has sent one of its exports to us, and not yet got it back. */
export interface Held {
  readonly id: number
  readonly name: string
  count: number
  released: boolean
  /** It came as an argument, so that its loss needs no warning. */
  readonly lent: boolean
}

interface State {
  readonly caller: Caller
  readonly held: Held
  readonly methods: readonly string[]
  /** The methods as messages name them: `store.get`. */
  readonly labels: readonly string[]
  readonly options: CallOptions | undefined
  /** The object whose collection would release the reference; kept alive by those made from it with `withOptions`. */
  readonly origin?: object
  /** What looks at results, by method name; for schemas. */
  readonly checks?: ReadonlyMap<string, (value: unknown) => unknown>
}

/** Base of every remote object. Its classes are made at run time, one for each list of methods. */
class RemoteObject {
  readonly #state: State

  constructor(state: State) {
    this.#state = state
  }

  static state(object: RemoteObject): State {
    return object.#state
  }

  static is(value: object): value is RemoteObject {
    return #state in value
  }

  /** Disposes the object over there and waits for it. Calling it twice is fine. */
  [Symbol.asyncDispose](): Promise<void> {
    return dispose(this.#state)
  }

  /** Begins to dispose the object over there. */
  [Symbol.dispose](): void {
    dispose(this.#state).catch(() => undefined)
  }
}

async function dispose({ caller, held }: State): Promise<void> {
  if (held.released) return
  held.released = true
  caller.forgetImport(held)
  // With how many references that gives back: others may be on their way here, and are given back in their turn.
  await caller.call(held.id, DISPOSE_METHOD, [held.count], undefined, `${held.name}[Symbol.asyncDispose]`)
}

function invoke(state: State, method: number, args: readonly unknown[]): Promise<unknown> {
  const { held } = state
  if (held.released) return Promise.reject(new PluginError('ERR_REFERENCE_RELEASED', { what: held.name }))
  const name = state.methods[method] as string
  const result = state.caller.call(held.id, method, args, state.options, state.labels[method] as string)
  const check = state.checks?.get(name)
  return check === undefined ? result : streamable(result.then(check))
}

/**
 * A call may turn out to return an async iterable, and the caller cannot know before the answer comes: so the promise of every call
 * can be iterated as it is, `for await (const change of store.watch(''))`, as well as awaited.
 */
export function streamable(promise: Promise<unknown>): Promise<unknown> {
  ;(promise as Promise<unknown> & AsyncIterable<unknown>)[Symbol.asyncIterator] = iterateResult
  return promise
}

function iterateResult(this: Promise<unknown>): AsyncIterator<unknown> {
  let inner: AsyncIterator<unknown> | undefined
  const begin = async (): Promise<AsyncIterator<unknown>> => {
    const value = (await this) as AsyncIterable<unknown> | undefined
    const iterate = value?.[Symbol.asyncIterator]
    if (iterate === undefined) throw new TypeError('the method did not return an async iterable')
    inner = iterate.call(value)
    return inner
  }
  return {
    next: () => (inner === undefined ? begin().then(iterator => iterator.next()) : inner.next()),
    async return(value) {
      const iterator = inner ?? (await begin().catch(() => undefined))
      await iterator?.return?.()
      return { done: true, value }
    },
  }
}

/** @internal The same remote object, whose results are looked at before they are handed out. */
export function withChecks(remote: object, checks: ReadonlyMap<string, (value: unknown) => unknown>): object {
  const state = RemoteObject.state(remote as RemoteObject)
  return new (classFor(state.methods))({ ...state, checks, origin: remote })
}

/** What a miss finds: asking for a method that was not offered gives one that rejects, by name, with what there is. */
const missing = new Proxy(Object.prototype, {
  get(target, name, receiver) {
    // `then` must stay absent, or `await remote` would call it. Symbols and what every object has are looked up as usual.
    if (typeof name === 'symbol' || name === 'then' || name in target) return Reflect.get(target, name, receiver)
    if (!RemoteObject.is(receiver as object)) return undefined
    const { held, methods } = RemoteObject.state(receiver as RemoteObject)
    return () => Promise.reject(new PluginError('ERR_METHOD_NOT_FOUND', { method: name, kind: held.name, methods }))
  },
})
Object.setPrototypeOf(RemoteObject.prototype, missing)

type RemoteClass = new (state: State) => RemoteObject
const classes = new Map<string, RemoteClass>()
/** Lists of methods come from the other side: keep the classes of so many, make the others each time. */
const MAX_CLASSES = 1_000

function classFor(methods: readonly string[]): RemoteClass {
  const key = methods.join('\n')
  const known = classes.get(key)
  if (known !== undefined) return known
  const made = class Remote extends RemoteObject {}
  for (const [index, name] of methods.entries()) {
    // Not left out of the list, for methods are called by their place in it.
    if (name === 'then' || name === 'constructor') continue
    Object.defineProperty(made.prototype, name, {
      value: {
        [name](this: RemoteObject, ...args: unknown[]): Promise<unknown> {
          return invoke(RemoteObject.state(this), index, args)
        },
      }[name],
      writable: true,
      configurable: true,
    })
  }
  if (classes.size < MAX_CLASSES) classes.set(key, made)
  return made
}

/** @internal Makes the object for a reference. */
export function createRemoteObject(caller: Caller, held: Held, methods: readonly string[]): object {
  return new (classFor(methods))({ caller, held, methods, labels: methods.map(name => `${held.name}.${name}`), options: undefined })
}

/** @internal Makes the function for a reference to a function. */
export function createRemoteFunction(caller: Caller, held: Held): (...args: unknown[]) => Promise<unknown> {
  const remote = (...args: unknown[]): Promise<unknown> =>
    held.released
      ? Promise.reject(new PluginError('ERR_REFERENCE_RELEASED', { what: held.name }))
      : caller.call(held.id, 0, args, undefined, held.name)
  const release = (): void => {
    if (held.released) return
    held.released = true
    caller.release(held)
  }
  Object.defineProperties(remote, {
    [Symbol.dispose]: { value: release },
    [Symbol.asyncDispose]: { value: async () => release() },
  })
  functions.set(remote, { caller, held })
  return remote
}

const functions = new WeakMap<object, { caller: Caller; held: Held }>()

/** @internal Whose export this object or function is, when it is remote. */
export function heldBy(value: object): { caller: Caller; held: Held } | undefined {
  if (typeof value === 'function') return functions.get(value)
  return RemoteObject.is(value) ? RemoteObject.state(value) : undefined
}

/** @internal The methods of a remote object, to offer it on. */
export function remoteMethods(value: object): readonly string[] | undefined {
  return typeof value === 'object' && RemoteObject.is(value) ? RemoteObject.state(value).methods : undefined
}

/**
 * The same remote object, with options for the calls made through it.
 *
 * `await withOptions(store, { timeoutMs: 500 }).get('k')`. Options given before are kept unless they are given again.
 */
export function withOptions<T extends object>(remote: T, options: CallOptions): T {
  if (!RemoteObject.is(remote)) throw new TypeError('withOptions takes a remote object, such as dispense returns')
  const state = RemoteObject.state(remote)
  const { timeoutMs } = options
  if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs <= 0xffff_ffff)) {
    throw new RangeError(`timeoutMs is a number of milliseconds above 0, not ${timeoutMs}`)
  }
  return new (classFor(state.methods))({
    ...state,
    options: { ...state.options, ...options },
    origin: state.origin ?? remote,
  }) as object as T
}

/** The names of the methods that a remote object has. */
export function methodsOf(remote: object): readonly string[] {
  const methods = remoteMethods(remote)
  if (methods === undefined) throw new TypeError('methodsOf takes a remote object, such as dispense returns')
  return methods
}
