// What the compiler says of kinds: types follow from schemas, an interface is held against them, and what is wrong is refused. Compiled, never run.

import type { Readable } from 'node:stream'
import { callback, method, netrpc, nothing, reader, remote } from '@plugwire/netrpc'
import { bytes, int, int64, slice, string, struct } from '@plugwire/netrpc/gob'
import { contract, type RemoteOf } from 'plugwire'
import { launch, withOptions } from 'plugwire/host'
import { serve } from 'plugwire/plugin'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_equal: Equal<A, B>): void => undefined

// ---- types from schemas

const store = netrpc({
  Get: method(string, bytes),
  Put: method(struct({ Key: string, Value: bytes }), nothing),
  Count: method(nothing, int64),
  Watch: method(struct({ Prefix: string, Changed: callback(slice(string), nothing) }), nothing),
  Load: method(reader(), int),
})
const kv = contract({ name: 'kv', versions: { 1: { store } } })

async function host(): Promise<void> {
  const plugin = await launch(kv, 'kv')
  const held = await plugin.dispense('store')
  same<typeof held, RemoteOf<typeof kv, 'store'>>(true)
  same<Awaited<ReturnType<typeof held.Get>>, Uint8Array>(true)
  same<Awaited<ReturnType<typeof held.Count>>, bigint>(true)
  const done: undefined | void = await held.Put({ Key: 'k', Value: new Uint8Array() })
  await held.Count()
  await held.Watch({ Prefix: '', Changed: keys => void keys.length })
  await held.Load(process.stdin)
  await held.Load((async function* () {})())
  await withOptions(held, { timeoutMs: 10 }).Count()
  await using owned = held
  void [owned, done]
  // @ts-expect-error a key is a string
  await held.Get(3)
  // @ts-expect-error an argument is missing
  await held.Get()
  // @ts-expect-error no such method
  await held.Delete('k')
  // @ts-expect-error no such field
  await held.Put({ Name: 'k' })
}

void serve(kv, {
  1: {
    store: () => ({
      Get: async key => new Uint8Array(key.length),
      Put({ Key, Value }) {
        same<typeof Key, string>(true)
        same<typeof Value, Uint8Array>(true)
      },
      Count: () => 3,
      async Watch({ Changed }) {
        await Changed(['k'])
        Changed[Symbol.dispose]()
      },
      Load(source) {
        same<typeof source, Readable>(true)
        return 1
      },
    }),
  },
})
// @ts-expect-error a method is missing
void serve(kv, { 1: { store: () => ({ Get: () => new Uint8Array(), Put() {}, Count: () => 3, async Watch() {} }) } })
// @ts-expect-error the result is bytes
void serve(kv, { 1: { store: () => ({ Get: () => 'text', Put() {}, Count: () => 3, async Watch() {}, Load: () => 1 }) } })

// ---- an interface of the application's own

interface Greeter {
  /** Documented where it is declared. */
  Greet(name: string): Promise<string>
  Names(): string[]
  Follow(said: (text: string) => Promise<void>): Promise<void>
}

const greeter = netrpc<Greeter>({
  Greet: method(string, string),
  Names: method(nothing, slice(string)),
  Follow: method(callback(string, nothing), nothing),
})
const greeting = contract({ name: 'greeting', versions: { 1: { greeter } } })

async function greet(): Promise<void> {
  const held = await (await launch(greeting, 'greeter')).dispense('greeter')
  same<Awaited<ReturnType<typeof held.Greet>>, string>(true)
  same<Awaited<ReturnType<typeof held.Names>>, string[]>(true)
  await held.Follow(async text => void text)
}

class Polite implements Greeter {
  async Greet(name: string): Promise<string> {
    return name
  }
  Names(): string[] {
    return []
  }
  async Follow(said: (text: string) => Promise<void>): Promise<void> {
    await said('hello')
  }
}
void serve(greeting, { 1: { greeter: () => new Polite() } })

netrpc<Greeter>({
  // @ts-expect-error a name is no number
  Greet: method(int, string),
  Names: method(nothing, slice(string)),
  Follow: method(callback(string, nothing), nothing),
})
// @ts-expect-error a method is missing
netrpc<Greeter>({ Greet: method(string, string), Names: method(nothing, slice(string)) })
// @ts-expect-error two arguments
netrpc<{ Add(a: number, b: number): number }>({ Add: method(int, int) })

const counted = remote<{ Add(value: number): number }>({ Add: method(int, int) })
void netrpc({ Open: method(nothing, counted), Use: method(counted, nothing) })

void [host, greet]
