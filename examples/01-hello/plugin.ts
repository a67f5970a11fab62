// The plugin: a program of its own, started by its host. Run by hand it says what it is, and ends.
import { serve } from 'plugwire/plugin'
import { MemoryStore } from './memory-store.ts'
import { kv } from './store.ts'

await serve(kv, { store: config => new MemoryStore(config) }) // a new instance for every dispense
