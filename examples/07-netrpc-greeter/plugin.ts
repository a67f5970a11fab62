// The plugin: a plain class. A host in Go takes it for one of its own kind.
import { Readable } from 'node:stream'
import { serve } from 'plugwire/plugin'
import { greeter } from './greeter.ts'

class Greeter {
  Greet({ Name, Times }: { Name: string; Times: number }): string {
    if (Name === '') throw new Error('nobody to greet')
    return Array(Times).fill(`hello ${Name}`).join(' ')
  }

  async Visit({ Places, Card }: { Places: string[]; Card: (place: string) => Promise<void> }): Promise<number> {
    for (const place of Places) await Card(place)
    return Places.length
  }

  Letter(name: string): Readable {
    return Readable.from([`dear ${name}, `, 'this letter has 3 pages'])
  }
}

await serve(greeter, { 1: { greeter: () => new Greeter() } })
