// What both ways of brokering have in common.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { isPluginError } from 'plugwire'
import type { Line } from '../../src/broker/line.ts'
import { addressLines, ask, knockLines, named } from './support.ts'

const ways: Record<string, (t: TestContext, meetingMs?: number) => Promise<[Line, Line]>> = {
  'by address': addressLines,
  'by knocking': async (t, meetingMs) => (await knockLines(t, meetingMs)).lines,
}

for (const [name, lines] of Object.entries(ways)) {
  describe(`a brokered connection ${name}`, () => {
    test('is served and dialled, in either order and direction', async t => {
      const [one, two] = await lines(t)
      await one.serve(1, named('served first'))
      assert.equal(await ask(await two.dial(1)), 'served first')
      const dialling = one.dial(1)
      await two.serve(1, named('dialled first'))
      assert.equal(await ask(await dialling), 'dialled first')
    })

    test('reaches the right service when many are made at once, to and fro', async t => {
      const [one, two] = await lines(t)
      const meet = async (server: Line, client: Line, id: number, first: 'serve' | 'dial'): Promise<void> => {
        const name = `${id} ${first}`
        if (first === 'serve') await server.serve(id, named(name))
        const dialling = client.dial(id)
        if (first === 'dial') await server.serve(id, named(name))
        assert.equal(await ask(await dialling), name)
      }
      const meetings: Promise<void>[] = []
      for (let id = 1; id <= 40; id += 1) {
        meetings.push(meet(one, two, id, id % 2 ? 'serve' : 'dial'), meet(two, one, id, id % 3 ? 'dial' : 'serve'))
      }
      await Promise.all(meetings)
    })

    test('that nobody serves times out by itself and spoils no other', async t => {
      const [one, two] = await lines(t, 200)
      const nobody = [7, 7, 8, 9].map(id => assert.rejects(two.dial(id), (error: unknown) => isPluginError(error, 'ERR_BROKER_TIMEOUT')))
      for (let id = 20; id < 30; id += 1) {
        await one.serve(id, named(String(id)))
        assert.equal(await ask(await two.dial(id)), String(id))
      }
      await Promise.all(nobody)
      await one.serve(7, named('seven'))
      assert.equal(await ask(await two.dial(7)), 'seven')
    })

    test('can be given up', async t => {
      const [one, two] = await lines(t)
      const abort = new AbortController()
      const dialling = two.dial(1, { signal: abort.signal })
      abort.abort(new Error('enough'))
      await assert.rejects(dialling, { message: 'enough' })
      await assert.rejects(two.dial(1, { signal: abort.signal }), { message: 'enough' })
      await one.serve(2, named('two'))
      assert.equal(await ask(await two.dial(2)), 'two')
    })

    test('is served once at a time', async t => {
      const [one] = await lines(t)
      const served = await one.serve(1, named('a'))
      await assert.rejects(one.serve(1, named('b')), (error: unknown) => isPluginError(error, 'ERR_BROKER_REFUSED'))
      await served.close()
      await served.closed
      await one.serve(1, named('b'))
    })

    test('ends with the conversation', async t => {
      const [one, two] = await lines(t)
      const served = await one.serve(1, named('a'))
      const channel = await two.dial(1)
      assert.equal(await ask(channel), 'a')
      const waiting = assert.rejects(two.dial(2), (error: unknown) => isPluginError(error, 'ERR_SESSION_CLOSED'))
      two.end()
      await waiting
      await served.closed
      assert.equal(one.ended, true)
      await assert.rejects(ask(channel))
      assert.equal(channel.state, 'closed')
      await assert.rejects(one.serve(3, named('c')), (error: unknown) => isPluginError(error, 'ERR_SESSION_CLOSED'))
      await assert.rejects(one.dial(3), (error: unknown) => isPluginError(error, 'ERR_SESSION_CLOSED'))
    })

    test('is made again when it was lost', async t => {
      const [one, two] = await lines(t)
      const served = await one.serve(1, named('first'))
      const channel = await two.dial(1)
      assert.equal(await ask(channel), 'first')
      await served.close()
      await assert.rejects(ask(channel))
    })
  })
}
