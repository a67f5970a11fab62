// The broker by its bytes and its times: ids, acknowledgements, and everything that a peer can do wrong with them.

import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import type { Stream } from 'plugwire/mux'
import { coded, Peers } from '../fixtures/peers.ts'

/** Everything that arrives until so many bytes have. */
function bytesOf(stream: Stream, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let all = Buffer.alloc(0)
    stream.consume({
      chunk(bytes, start, end) {
        all = Buffer.concat([all, bytes.subarray(start, end)])
        if (all.length >= count) resolve(all)
      },
      end: () => resolve(all),
      fail: reject,
    })
    stream.resume()
  })
}

const ended = (stream: Stream): Promise<string> =>
  new Promise(resolve => {
    stream.consume({ chunk() {}, end: () => resolve('ended'), fail: cause => resolve(cause.code) })
    stream.resume()
  })

describe('the broker', () => {
  test('says an id as four bytes, the lowest first, and gets the same back', async () => {
    await using peers = await Peers.make()
    const stream = peers.host.session.open()
    stream.write(Buffer.from('2a000000', 'hex'))
    stream.write(Buffer.from('mine'))
    const accepted = await peers.plugin.broker.accept(42)
    accepted.write(Buffer.from('yours'))
    assert.equal((await bytesOf(stream, 9)).toString('latin1'), '*\0\0\0yours')
    assert.equal(String(await bytesOf(accepted, 4)), 'mine')
  })

  test('gives ids from 1 on each side, and either may accept and dial first', async () => {
    await using peers = await Peers.make()
    const { host, plugin } = peers
    assert.deepEqual([host.broker.nextId(), host.broker.nextId(), plugin.broker.nextId()], [1, 2, 1])
    const [a, b] = await Promise.all([host.broker.accept(1), plugin.broker.dial(1)])
    const later = host.broker.dial(1)
    await peers.host.session.ping()
    const [c, d] = await Promise.all([plugin.broker.accept(1), later])
    a.write(Buffer.from('to the plugin'))
    c.write(Buffer.from('to the host'))
    assert.equal(String(await bytesOf(b, 13)), 'to the plugin')
    assert.equal(String(await bytesOf(d, 11)), 'to the host')
  })

  test('takes an id that comes in pieces, with the first bytes behind it', async () => {
    await using peers = await Peers.make()
    const stream = peers.host.session.open()
    for (const byte of [7, 0, 0, 0, 0x68, 0x69]) {
      stream.write(Buffer.from([byte]))
      await peers.host.session.ping()
    }
    assert.equal(String(await bytesOf(await peers.plugin.broker.accept(7), 2)), 'hi')
  })

  test('lets an id be dialled or accepted by one at a time', async () => {
    await using peers = await Peers.make()
    const { host, plugin } = peers
    const first = host.broker.dial(5)
    await assert.rejects(host.broker.dial(5), coded('ERR_BROKER_REFUSED'))
    const [accepted] = await Promise.all([plugin.broker.accept(5), first])
    const waiting = plugin.broker.accept(6)
    await assert.rejects(plugin.broker.accept(6), coded('ERR_BROKER_REFUSED'))
    accepted.reset()
    await Promise.all([waiting, host.broker.dial(6)])
  })

  test('closes a second stream of the same id and keeps the first', async () => {
    await using peers = await Peers.make()
    const [first, second] = [peers.host.session.open(), peers.host.session.open()]
    for (const stream of [first, second]) stream.write(Buffer.from('09000000', 'hex'))
    assert.equal(await ended(second), 'ERR_STREAM_RESET')
    const accepted = await peers.plugin.broker.accept(9)
    assert.equal((await bytesOf(first, 4)).toString('hex'), '09000000')
    accepted.end()
    assert.match(String(peers.warnings), /dialled twice/)
  })

  test('refuses another id as an answer, and a stream that is closed instead of answered', async () => {
    await using peers = await Peers.make()
    const streams: Stream[] = []
    mock.method(peers.plugin.broker, 'take', (stream: Stream) => streams.push(stream))
    const wrong = peers.host.broker.dial(3)
    const closed = peers.host.broker.dial(4)
    const reset = peers.host.broker.dial(5)
    await peers.host.session.ping()
    const [three, four, five] = streams as [Stream, Stream, Stream]
    three.write(Buffer.from('04000000', 'hex'))
    four.end()
    five.reset()
    for (const dial of [wrong, closed, reset]) await assert.rejects(dial, coded('ERR_BROKER_REFUSED'))
  })

  test('gives up what nobody wants after five seconds, and nothing else waits for it', async t => {
    await using peers = await Peers.make()
    const { host, plugin } = peers
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const silent = host.session.open()
    silent.write(Buffer.from('01', 'hex'))
    const unwanted = host.broker.dial(100)
    const lonely = plugin.broker.accept(200)
    unwanted.catch(() => undefined)
    lonely.catch(() => undefined)
    await host.session.ping()
    // What is in order goes on meanwhile.
    const [accepted] = await Promise.all([plugin.broker.accept(1), host.broker.dial(1)])
    accepted.reset()
    t.mock.timers.tick(5_000)
    await assert.rejects(unwanted, coded('ERR_BROKER_REFUSED'))
    await assert.rejects(lonely, coded('ERR_BROKER_TIMEOUT'))
    assert.equal(await ended(silent), 'ERR_STREAM_RESET')
    assert.deepEqual([host.session.streamCount, plugin.session.streamCount], [0, 0])
  })

  test('gives up a dial that is not answered, and does not dial that id again', async t => {
    await using peers = await Peers.make()
    mock.method(peers.plugin.broker, 'take', () => undefined)
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const dial = peers.host.broker.dial(8)
    t.mock.timers.tick(10_000)
    await assert.rejects(dial, coded('ERR_BROKER_TIMEOUT'))
    await assert.rejects(peers.host.broker.dial(8), coded('ERR_BROKER_REFUSED'))
  })

  test('keeps no more than 256 streams that nobody has accepted', async () => {
    await using peers = await Peers.make()
    const streams = Array.from({ length: 300 }, (_, index) => {
      const stream = peers.host.session.open()
      if (index % 2 === 0) stream.write(Buffer.from([index & 255, index >> 8, 1, 0]))
      return stream
    })
    await peers.host.session.ping()
    await peers.host.session.ping()
    assert.equal(streams.filter(({ failure }) => failure !== undefined).length, 300 - 256)
    // Nor do they fill the log.
    assert.equal(peers.warnings.length, 21)
    assert.match(peers.warnings.at(-1) ?? '', /too many to be told of each/)
  })

  test('ends every wait with the session', async () => {
    await using peers = await Peers.make()
    const { host, plugin } = peers
    const waits = [plugin.broker.accept(1), host.broker.accept(1), host.broker.dial(77)]
    await host.session.ping()
    const settled = Promise.allSettled(waits)
    host.session.close()
    for (const wait of await settled) assert.ok(wait.status === 'rejected' && coded('ERR_SESSION_CLOSED')(wait.reason))
    await assert.rejects(host.broker.accept(2), coded('ERR_SESSION_CLOSED'))
    await assert.rejects(host.broker.dial(2), coded('ERR_SESSION_CLOSED'))
  })
})
