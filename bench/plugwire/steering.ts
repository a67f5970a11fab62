// How exactly weights and ceilings hold, in both directions, when they are changed while data flows.

import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Remote } from 'plugwire'
import { flow } from 'plugwire/host'
import type { Figures } from '../harness/subject.ts'
import type { Echo } from './contract.ts'
import { countBorrowed } from './count.ts'
import { source } from './source.ts'

/** More than any slice can move. */
const endless = 2 ** 40

/** A stream under way: the end that this process steers, and how far the other end has counted. */
interface Running {
  readonly stream: Readable
  counted(): Promise<number>
}

async function uploading(remote: Remote<Echo>, name: string): Promise<Running> {
  const stream = source(endless)
  const swallowed = remote.swallow(stream, 'borrowed', name)
  // It never ends: it is destroyed, and the call with it.
  swallowed.catch(() => {})
  return { stream, counted: async () => (await remote.swallowed())[name] ?? 0 }
}

async function downloading(remote: Remote<Echo>): Promise<Running> {
  const stream = await remote.produce(endless)
  let counted = 0
  // It never ends either.
  countBorrowed(flow(stream), bytes => {
    counted = bytes
  }).catch(() => {})
  return { stream, counted: async () => counted }
}

const ways: readonly ((remote: Remote<Echo>, name: string) => Promise<Running>)[] = [uploading, downloading]

/** Bytes per second of each, between two looks. What flows in the first moments after a change was decided before it. */
async function rates(running: readonly Running[], milliseconds: number): Promise<number[]> {
  const look = () => Promise.all(running.map(({ counted }) => counted()))
  await sleep(100)
  const before = await look()
  const started = performance.now()
  await sleep(milliseconds)
  const after = await look()
  const seconds = (performance.now() - started) / 1_000
  return after.map((bytes, index) => (bytes - (before[index] as number)) / seconds)
}

export async function measureWeights(remote: Remote<Echo>, milliseconds: number): Promise<Figures> {
  const figures: Figures = { error: 0 }
  for (const way of ways) {
    const [heavy, light] = [await way(remote, 'heavy'), await way(remote, 'light')]
    for (const [a, b] of [
      [3, 1],
      [1, 3],
    ] as const) {
      flow(heavy.stream).weight = a
      flow(light.stream).weight = b
      const [first, second] = (await rates([heavy, light], milliseconds)) as [number, number]
      const asked = a / b
      const measured = first / second
      figures[`${way.name}${a}to${b}`] = measured
      figures.error = Math.max(figures.error as number, Math.abs(measured / asked - 1))
    }
    heavy.stream.destroy()
    light.stream.destroy()
  }
  return figures
}

export async function measureCeiling(remote: Remote<Echo>, milliseconds: number): Promise<Figures> {
  const figures: Figures = { error: 0 }
  for (const way of ways) {
    const running = await way(remote, 'ceiling')
    for (const megabytes of [80, 20]) {
      flow(running.stream).maxBytesPerSecond = megabytes * 1_000_000
      const [measured] = (await rates([running], Math.max(milliseconds, 200))) as [number]
      figures[`${way.name}${megabytes}`] = measured / 1_000_000
      figures.error = Math.max(figures.error as number, Math.abs(measured / (megabytes * 1_000_000) - 1))
    }
    running.stream.destroy()
  }
  return figures
}
