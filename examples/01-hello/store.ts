// The contract: what host and plugin agree on. Both import this file; the interface in it is all the schema there is.
import { contract, type Kind } from 'plugwire'

export interface Change {
  key: string
  value: Uint8Array
}

export interface Store {
  get(key: string): Promise<Uint8Array | undefined>
  put(key: string, value: Uint8Array): Promise<void>
  watch(prefix: string): AsyncIterable<Change> // a stream out
  load(rows: AsyncIterable<Change>): Promise<number> // a stream in
  onEvict(listener: (key: string) => void): Promise<void> // a callback into the host
}

export const kv = contract<{ store: Kind<Store, { region: string }> }>({ name: 'kv', version: 1 })
