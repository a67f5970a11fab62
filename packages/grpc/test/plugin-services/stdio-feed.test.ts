import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StdioData } from '../../src/plugin-services/control-messages.ts'
import { StdioFeed, type StdioSink } from '../../src/plugin-services/stdio-feed.ts'

/** A feed, and the sink that it gave to the process. */
function feed(kept: readonly [1 | 2, string][] = []): {
  feed: StdioFeed
  print: (channel: 1 | 2, text: string) => void
  attached: () => boolean
} {
  let sink: StdioSink | undefined
  const made = new StdioFeed(given => {
    sink = given
    for (const [channel, text] of given === undefined ? [] : kept) given?.(channel, Buffer.from(text))
  })
  return { feed: made, print: (channel, text) => sink?.(channel, Buffer.from(text)), attached: () => sink !== undefined }
}

const never = new AbortController().signal

async function take(pieces: AsyncIterator<StdioData, void>, bytes: number): Promise<string> {
  let text = ''
  while (text.length < bytes) {
    const { value, done } = await pieces.next()
    if (done) break
    text += Buffer.from(value.data).toString()
  }
  return text
}

describe('what a plugin prints', () => {
  test('arrives in order, by channel', async () => {
    const { feed: it, print } = feed()
    const pieces = it.read(never)
    const first = pieces.next()
    print(1, 'a')
    assert.deepEqual({ ...(await first).value, data: 'a' }, { channel: 1, data: 'a' })
    print(1, 'b')
    print(1, 'c')
    print(2, 'd')
    print(1, 'e')
    const seen: string[] = []
    for (let index = 0; index < 3; index += 1) {
      const { value } = await pieces.next()
      seen.push(`${value?.channel}${Buffer.from(value?.data ?? []).toString()}`)
    }
    assert.deepEqual(seen, ['1bc', '2d', '1e'])
  })

  test('before any host came is kept by the process, and told first', async () => {
    const { feed: it, print, attached } = feed([[1, 'before ']])
    assert.equal(attached(), false)
    const pieces = it.read(never)
    const text = take(pieces, 12)
    print(1, 'after')
    assert.equal(await text, 'before after')
  })

  test('goes to every host', async () => {
    const { feed: it, print } = feed()
    const [one, two] = [it.read(never), it.read(never)]
    const both = [take(one, 5), take(two, 5)]
    print(1, 'hello')
    assert.deepEqual(await Promise.all(both), ['hello', 'hello'])
  })

  test('is kept for the next host when one leaves without having taken it', async () => {
    const { feed: it, print, attached } = feed()
    const leaving = new AbortController()
    const one = it.read(leaving.signal)
    const first = take(one, 1)
    print(1, '1')
    await first
    print(1, '2')
    leaving.abort()
    assert.equal((await one.next()).done, true)
    assert.equal(attached(), false)
    assert.equal(await take(it.read(never), 1), '2')
  })

  test('never waits for a slow host: the oldest is dropped and counted', async () => {
    const { feed: it, print } = feed()
    const pieces = it.read(never)
    const first = pieces.next()
    print(1, 'x')
    await first
    const block = 'y'.repeat(1024 * 1024)
    for (let index = 0; index < 40; index += 1) print(1, block)
    print(2, 'the end')
    const dropped = it.takeDroppedBytes()
    assert.ok(dropped >= 24 * 1024 * 1024, `${dropped} bytes were dropped`)
    assert.equal(it.takeDroppedBytes(), 0)
    it.end()
    let taken = 0
    let last = ''
    for await (const { data } of pieces) {
      taken += data.length
      last = Buffer.from(data).toString()
    }
    assert.equal(taken + dropped, 40 * block.length + 'the end'.length)
    assert.equal(last, 'the end')
  })

  test('takes little room however small the prints are', async () => {
    const { feed: it, print } = feed()
    const pieces = it.read(never)
    const first = pieces.next()
    print(1, 'x')
    await first
    for (let index = 0; index < 100_000; index += 1) print(1, 'z')
    it.end()
    let messages = 0
    let bytes = 0
    for await (const { data } of pieces) {
      messages += 1
      bytes += data.length
    }
    assert.equal(bytes, 100_000)
    assert.ok(messages < 200, `${messages} messages`)
  })

  test('is drained when the last piece has been taken, or the time is up', async () => {
    const { feed: it, print } = feed()
    const pieces = it.read(never)
    const first = pieces.next()
    print(1, 'x')
    await first
    await it.drained(1)
    print(1, 'y')
    const taken = pieces.next()
    const drained = it.drained(60_000)
    await taken
    void pieces.next()
    await drained
  })
})
