import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Inbox } from '../../src/transport/inbox.ts'

function inbox() {
  const calls: string[] = []
  const box = new Inbox<string>({
    decode: message => {
      if (String(message) === 'bad') throw new Error('cannot be read')
      return String(message)
    },
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    cancel: () => calls.push('cancel'),
  })
  return { box, calls, push: (text: string) => box.push(Buffer.from(text)) }
}

test('messages are read in order, before and after they come', async () => {
  const { box, push } = inbox()
  const early = [box.next(), box.next()]
  for (const text of ['1', '2', '3']) push(text)
  box.end()
  assert.deepEqual(
    (await Promise.all(early)).map(({ value }) => value),
    ['1', '2'],
  )
  const rest: string[] = []
  for await (const message of box) rest.push(message)
  assert.deepEqual(rest, ['3'])
  assert.equal((await box.next()).done, true)
})

test('a failure comes after what came before it, and once', async () => {
  const { box, push } = inbox()
  push('1')
  box.fail(new Error('broken'))
  assert.equal((await box.next()).value, '1')
  await assert.rejects(box.next(), /broken/)
  assert.equal((await box.next()).done, true)
})

test('of several that wait one gets the failure', async () => {
  const { box } = inbox()
  const first = box.next()
  const second = box.next()
  box.fail(new Error('broken'))
  await assert.rejects(first, /broken/)
  assert.equal((await second).done, true)
})

test('who does not read makes the source wait, and reading lets it go on', async () => {
  const { box, calls } = inbox()
  const message = Buffer.alloc(100_000, 'x')
  for (let index = 0; index < 5; index++) box.push(message)
  assert.deepEqual(calls, ['pause'])
  for (let index = 0; index < 5; index++) await box.next()
  assert.deepEqual(calls, ['pause', 'resume'])
})

test('messages without bytes take room, too', () => {
  const { box, calls } = inbox()
  for (let index = 0; index < 10_000; index++) box.push(Buffer.alloc(0))
  assert.deepEqual(calls, ['pause'])
})

test('leaving cancels the source once, and not when it had ended', async () => {
  const { box, calls, push } = inbox()
  push('1')
  push('2')
  for await (const _ of box) break
  assert.deepEqual(calls, ['cancel'])
  await box.return()
  assert.deepEqual(calls, ['cancel'])
  const ended = inbox()
  ended.box.end()
  await ended.box.return()
  assert.deepEqual(ended.calls, [])
})

test('disposing is leaving', async () => {
  const { box, calls } = inbox()
  {
    await using _ = box
  }
  assert.deepEqual(calls, ['cancel'])
})

test('a message that cannot be read ends the stream', async () => {
  const { box, calls, push } = inbox()
  push('bad')
  push('good')
  await assert.rejects(box.next(), /cannot be read/)
  assert.equal((await box.next()).done, true)
  assert.deepEqual(calls, ['cancel'])
})

test('thousands of unread messages are read in time that grows with their number', async () => {
  const { box, push } = inbox()
  for (let index = 0; index < 50_000; index++) push(`${index}`)
  box.end()
  let count = 0
  for await (const message of box) assert.equal(message, `${count++}`)
  assert.equal(count, 50_000)
})
