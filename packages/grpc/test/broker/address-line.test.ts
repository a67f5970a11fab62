import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { isPluginError } from 'plugwire'
import { addressLine, ask, named } from './support.ts'

const refused = (error: unknown): boolean => isPluginError(error, 'ERR_BROKER_REFUSED')

describe('a peer that announces addresses', () => {
  test('finds one dial for each announcement, and the newest counts', async t => {
    const { line, hear, place } = await addressLine(t, 200)
    const { createGrpcServer } = await import('../../src/transport/server.ts')
    const serve = async (name: string): Promise<string> => {
      const server = createGrpcServer()
      named(name)(server)
      t.after(() => server.destroy())
      const { address } = await place.listen(socket => {
        socket.resume()
        server.inject(socket)
      })
      return address
    }
    const [old, current] = [await serve('old'), await serve('current')]
    hear({ serviceId: 1, network: 'unix', address: old })
    hear({ serviceId: 1, network: 'unix', address: current })
    assert.equal(await ask(await line.dial(1)), 'current')
    await assert.rejects(line.dial(1), (error: unknown) => isPluginError(error, 'ERR_BROKER_TIMEOUT'))
  })

  test('cannot name another kind of network, or an address where nobody is', async t => {
    const { line, hear, place } = await addressLine(t)
    hear({ serviceId: 1, network: 'udp', address: '127.0.0.1:1' })
    await assert.rejects(line.dial(1), refused)
    hear({ serviceId: 2, network: 'unix', address: `${place.directory}/none` })
    await assert.rejects(line.dial(2), refused)
  })

  test('that accepts and hangs up, or says nothing, or something else, costs that dial', async t => {
    const { line, hear, place } = await addressLine(t)
    const hangsUp = await place.listen(socket => socket.destroy())
    hear({ serviceId: 1, network: 'unix', address: hangsUp.address })
    const silent = await place.listen(() => {})
    hear({ serviceId: 2, network: 'unix', address: silent.address })
    const chatty = await place.listen(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    hear({ serviceId: 3, network: 'unix', address: chatty.address })
    await Promise.all([1, 2, 3].map(id => assert.rejects(line.dial(id), refused)))
  })

  test('that ends in the middle of a dial ends the dial at once', async t => {
    const { line, hear, place } = await addressLine(t)
    const silent = await place.listen(() => {})
    hear({ serviceId: 1, network: 'unix', address: silent.address })
    const dialling = assert.rejects(line.dial(1))
    await new Promise(setImmediate)
    line.end()
    await dialling
  })

  test('for ids that nobody asks for takes room for a thousand', async t => {
    const { line, hear, place } = await addressLine(t)
    const { address } = await place.listen(socket => socket.destroy())
    for (let id = 1; id <= 50_000; id += 1) hear({ serviceId: id, network: 'unix', address })
    await assert.rejects(line.dial(1, { timeoutMs: 50 }), (error: unknown) => isPluginError(error, 'ERR_BROKER_TIMEOUT'))
    await assert.rejects(line.dial(50_000), refused)
  })

  test('that knocks is not heard', async t => {
    const { line, hear, said } = await addressLine(t)
    hear({ serviceId: 1, knock: { knock: true, ack: false, error: '' } })
    hear({ serviceId: 1, knock: { knock: true, ack: true, error: 'x' } })
    await line.serve(1, named('a'))
    assert.equal((await said.next()).value?.network, 'unix')
  })
})

test('listeners and their files are gone with the conversation', async t => {
  const { line, place } = await addressLine(t)
  await line.serve(1, named('a'))
  const two = await line.serve(2, named('b'))
  assert.equal(readdirSync(place.directory).length, 2)
  await two.close()
  assert.equal(readdirSync(place.directory).length, 1)
  line.end()
  assert.deepEqual(readdirSync(place.directory), [])
})
