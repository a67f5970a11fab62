import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { LinkReader } from '../../src/mux/link.ts'
import { pollingLink, pollMicroseconds } from '../../src/process/polling-link.ts'
import { MemoryLink } from '../fixtures/memory-link.ts'

/** What makes the loop look at its descriptors without waiting for them. */
const isAwake = (): boolean => process.getActiveResourcesInfo().includes('Immediate')

/** The loop has nothing left of an earlier link. */
async function asleep(): Promise<void> {
  while (isAwake()) await turn()
}

function polling(microseconds: number): { memory: MemoryLink; link: ReturnType<typeof pollingLink>; texts: string[] } {
  const memory = new MemoryLink()
  const link = pollingLink(memory, microseconds)
  const target = Buffer.alloc(16)
  const texts: string[] = []
  const reader: LinkReader = {
    buffer: () => target,
    received: bytes => texts.push(target.toString('latin1', 0, bytes)),
    written() {},
    closed: cause => texts.push(`closed${cause === undefined ? '' : ` ${cause.message}`}`),
  }
  link.open(reader)
  return { memory, link, texts }
}

test('bytes pass in both directions, and the end with its cause', () => {
  const { memory, link, texts } = polling(1)
  memory.receive(Buffer.from('in'))
  assert.equal(link.write([Buffer.from('out')]), true)
  memory.reader?.closed(new Error('gone'))
  assert.deepEqual(texts, ['in', 'closed gone'])
  assert.equal(String(memory.written), 'out')
})

for (const way of ['received', 'sent']) {
  test(`a message ${way} keeps the process awake, the end of the link lets it sleep`, async () => {
    await asleep()
    const { memory, link } = polling(1_000_000)
    if (way === 'sent') link.write([Buffer.from('out')])
    else memory.receive(Buffer.from('in'))
    assert.equal(isAwake(), true)
    await turn()
    assert.equal(isAwake(), true)
    memory.reader?.closed()
    await turn()
    assert.equal(isAwake(), false)
  })
}

test('after its time the process sleeps', async () => {
  const { memory } = polling(1)
  memory.receive(Buffer.from('in'))
  await asleep()
})

test('the option is on, off or whole microseconds', () => {
  const given = [undefined, false, true, { microseconds: 7 }, { microseconds: 1_000_000 }]
  assert.deepEqual(given.map(pollMicroseconds), [0, 0, 50, 7, 1_000_000])
  for (const microseconds of [0, -1, 1.5, Number.NaN, 1_000_001]) assert.ok(Number.isNaN(pollMicroseconds({ microseconds })))
})
