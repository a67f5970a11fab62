import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { isPluginError } from 'plugwire'
import type { ConnInfo } from '../../src/plugin-services/control-messages.ts'
import { openChannel } from '../../src/transport/channel.ts'
import { createGrpcServer } from '../../src/transport/server.ts'
import { ask, knockLine, knockLines, named } from './support.ts'

const knock = { knock: true, ack: false, error: '' }
const yes = { knock: true, ack: true, error: '' }
const refused = (error: unknown): boolean => isPluginError(error, 'ERR_BROKER_REFUSED')

describe('a peer that answers knocks', () => {
  test('with a reason, with neither yes nor no, or with an address, refuses', async t => {
    const { line, hear, said } = await knockLine(t)
    const answers: Partial<ConnInfo>[] = [
      { knock: { ...yes, error: 'not today' } },
      { knock: { knock: false, ack: true, error: '' } },
      { knock: { knock: false, ack: false, error: '' } },
      { network: 'unix', address: '/tmp/x' },
    ]
    for (const [index, answer] of answers.entries()) {
      const dialling = assert.rejects(line.dial(index), refused)
      assert.deepEqual((await said.next()).value?.knock, knock)
      hear({ serviceId: index, ...answer })
      await dialling
    }
  })

  test('that were never made is not heard: no stream is opened', async t => {
    const { hear, connections } = await knockLine(t)
    for (let id = 0; id < 100; id += 1) hear({ serviceId: id, knock: yes })
    assert.equal(connections[0].streamCount, 0)
  })

  test('too late gets the stream that it counts on, so that the order of streams holds', async t => {
    const { line, hear, said, connections } = await knockLine(t, 50)
    await assert.rejects(line.dial(1), (error: unknown) => isPluginError(error, 'ERR_BROKER_TIMEOUT'))
    assert.equal((await said.next()).value?.serviceId, 1)
    const arrived: string[] = []
    const expect = (name: string): void => void connections[1].expect(() => arrived.push(name), 5_000)
    expect('one')
    hear({ serviceId: 1, knock: yes })
    expect('two')
    const two = assert.rejects(line.dial(2, { timeoutMs: 1_000 }))
    assert.equal((await said.next()).value?.serviceId, 2)
    hear({ serviceId: 2, knock: yes })
    await two
    assert.deepEqual(arrived, ['one', 'two'])
  })

  test('and then dies, or says nothing on the stream, costs that dial', async t => {
    const { line, hear, said, connections } = await knockLine(t)
    connections[1].expect(() => {}, 5_000)
    const silent = assert.rejects(line.dial(1), refused)
    await said.next()
    hear({ serviceId: 1, knock: yes })
    await silent
    const dying = assert.rejects(line.dial(2))
    await said.next()
    hear({ serviceId: 2, knock: yes })
    connections[1].destroy()
    await dying
  })
})

describe('a side that dials', () => {
  test('knocks again only when the stream before has shown a sign of life, or for a while none', async t => {
    const { line, hear, said, connections } = await knockLine(t)
    const arrived: Duplex[] = []
    const dials = [1, 2, 3].map(id => line.dial(id).catch(() => {}))
    const heard: number[] = []
    const listening = (async () => {
      for (let count = 0; count < 3; count += 1) heard.push((await said.next()).value?.serviceId ?? 0)
    })()
    await new Promise(setImmediate)
    assert.deepEqual(heard, [1])
    connections[1].expect(connection => arrived.push(connection), 5_000)
    hear({ serviceId: 1, knock: yes })
    while (arrived.length === 0) await new Promise(setImmediate)
    assert.deepEqual(heard, [1])
    const server = createGrpcServer()
    named('one')(server)
    server.inject(arrived[0] as Duplex)
    while (heard.length < 2) await new Promise(setImmediate)
    // The second is not answered at all.
    await listening
    assert.deepEqual(heard, [1, 2, 3])
    line.end()
    await Promise.all(dials)
    server.destroy()
  })
})

describe('a peer that knocks', () => {
  test('and opens nothing keeps the place of its stream only for a while', async t => {
    const { line, hear, said, connections } = await knockLine(t, 50)
    await line.serve(1, named('one'))
    await line.serve(2, named('two'))
    hear({ serviceId: 1, knock })
    assert.deepEqual((await said.next()).value?.knock, yes)
    await new Promise(resolve => setTimeout(resolve, 100))
    hear({ serviceId: 2, knock })
    assert.deepEqual((await said.next()).value?.knock, yes)
    const channel = openChannel(async () => connections[1].open())
    assert.equal(await ask(channel), 'two')
    channel.destroy()
  })

  test('is answered only when somebody serves', async t => {
    const { line, hear, said, connections } = await knockLine(t)
    for (let id = 1; id <= 5; id += 1) hear({ serviceId: id, knock })
    await line.serve(3, named('three'))
    assert.deepEqual((await said.next()).value, { serviceId: 3, network: '', address: '', knock: yes })
    const channel = openChannel(async () => connections[1].open())
    assert.equal(await ask(channel), 'three')
    channel.destroy()
  })

  test('for what is served no longer hears so at once', async t => {
    const { line, hear, said } = await knockLine(t)
    await (await line.serve(1, named('one'))).close()
    hear({ serviceId: 1, knock })
    assert.equal((await said.next()).value?.knock?.error, 'it is served no longer')
  })

  test('without end is refused beyond a bound', async t => {
    const { line, hear, said } = await knockLine(t)
    await line.serve(1, named('one'))
    for (let time = 0; time < 300; time += 1) hear({ serviceId: 1, knock })
    for (let id = 100; id < 2_000; id += 1) hear({ serviceId: id, knock })
    const errors: string[] = []
    for (let time = 0; time < 300 + 876; time += 1) errors.push((await said.next()).value?.knock?.error ?? '')
    assert.equal(errors.filter(error => error === '').length, 256)
    assert.equal(errors.filter(error => error === 'too many streams are expected').length, 44)
    assert.equal(errors.filter(error => error === 'too many ids that nobody serves').length, 876)
  })

  test('and reads no answers loses its broker, not the process', async t => {
    const { line, hear } = await knockLine(t)
    await (await line.serve(1, named('one'))).close()
    for (let time = 0; time < 5_000; time += 1) hear({ serviceId: 1, knock })
    assert.equal(line.ended, true)
  })

  test('and whose service was closed meanwhile has its stream ended, and no other', async t => {
    const { line, hear, said, connections } = await knockLine(t)
    const one = await line.serve(1, named('one'))
    await line.serve(2, named('two'))
    hear({ serviceId: 1, knock })
    hear({ serviceId: 2, knock })
    await said.next()
    await said.next()
    await one.close()
    const [first, second] = [1, 2].map(() => openChannel(async () => connections[1].open(), { afterLoss: 'fail' }))
    await assert.rejects(ask(first!))
    assert.equal(await ask(second!), 'two')
    second!.destroy()
  })
})

test('a stream that nobody agreed on is reset', async t => {
  const { connections } = await knockLines(t)
  const stream = connections[1].open()
  stream.on('error', () => {})
  await new Promise(resolve => stream.once('close', resolve))
})
