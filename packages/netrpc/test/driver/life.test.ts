// From the first stream to the last: instances and their ends, hosts that come and go, and endings of every kind. Real processes.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPluginError } from 'plugwire'
import { socketLink } from 'plugwire/driver'
import { isRemoteError, launch, reattach, reattachConfig } from 'plugwire/host'
import { Session } from 'plugwire/mux'
import { life, more } from '../fixtures/life-contract.ts'

const path = fileURLToPath(new URL('../fixtures/life-plugin.js', import.meta.url))
const options = { tls: false, logger: false } as const

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise(resolve => setImmediate(resolve))
}

/** A plugin that no host started, and where it is. */
async function alone(): Promise<{ config: ReturnType<typeof reattachConfig> } & AsyncDisposable> {
  const child = spawn(process.execPath, [path, '--debug'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return {
    config: reattachConfig(line),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

describe('instances', () => {
  test('are made for each dispense, and disposed when the host gives them back', async () => {
    await using plugin = await launch(life, path, options)
    await using witness = await plugin.dispense('instance')
    for (let made = 1; made <= 3; made++) {
      const instance = await plugin.dispense('instance')
      await instance[Symbol.asyncDispose]()
      await until(async () => (await witness.Disposed()) === made)
      await assert.rejects(instance.Disposed(), error => isPluginError(error, 'ERR_REFERENCE_RELEASED'))
    }
  })

  test('of kinds that the plugin does not have, or cannot make, are refused with its words', async () => {
    await using plugin = await launch(more, path, options)
    await assert.rejects(plugin.dispense('absent'), error => isRemoteError(error) && error.message === 'unknown plugin type: absent')
    await assert.rejects(plugin.dispense('failing'), error => isRemoteError(error) && error.message === 'no licence')
    await assert.rejects(plugin.dispense('nobody' as 'instance'), error => isPluginError(error, 'ERR_KIND_NOT_FOUND'))
    await using instance = await plugin.dispense('instance')
    assert.equal(await instance.Ask(question => `${question} well.`), 'well? well.')
  })
})

describe('endings', () => {
  test('let calls in flight be told, and no new ones be made', async () => {
    const plugin = await launch(life, path, options)
    const instance = await plugin.dispense('instance')
    const waiting = assert.rejects(instance.Wait(60_000), error => isPluginError(error, 'ERR_PLUGIN_CLOSED'))
    const closed = plugin.close()
    await assert.rejects(instance.Wait(1), error => isPluginError(error, 'ERR_PLUGIN_CLOSED'))
    await assert.rejects(plugin.dispense('instance'), error => isPluginError(error, 'ERR_PLUGIN_CLOSED'))
    assert.equal(await closed, 'told')
    await waiting
    assert.equal((await plugin.exited).exitCode, 0)
  })

  test('of the process reject with how it ended', async () => {
    const plugin = await launch(life, path, options)
    const instance = await plugin.dispense('instance')
    const waiting = instance.Wait(60_000)
    process.kill(plugin.pid, 'SIGKILL')
    await assert.rejects(waiting, error => isPluginError(error, 'ERR_PLUGIN_EXITED') && error.facts.signal === 'SIGKILL')
    await assert.rejects(instance.Wait(1), error => isPluginError(error, 'ERR_PLUGIN_EXITED'))
    await plugin.close()
  })
})

describe('a plugin that runs already', () => {
  test('serves one host after the other and several at once, each with its own instances', async () => {
    await using running = await alone()
    const [first, second] = [await reattach(life, running.config, options), await reattach(life, running.config, options)]
    const one = await first.dispense('instance')
    const two = await second.dispense('instance')
    assert.equal(await one.Wait(1), 1)
    await first.close()
    await until(async () => (await two.Disposed()) === 1)
    assert.equal(await two.Wait(2), 2)
    await second.close()
    const third = await reattach(life, running.config, options)
    assert.ok((await third.ping()) > 0)
    assert.equal(await (await third.dispense('instance')).Disposed(), 2)
    await third.close()
  })

  test('may be reached over TCP as well', async () => {
    await using running = await alone()
    const { String: path } = running.config.Addr
    // Plugins listen on TCP where there is Windows; here somebody passes it on.
    const listener = net.createServer(socket => {
      const inner = net.connect(path)
      for (const end of [socket, inner]) end.on('error', () => undefined)
      socket.pipe(inner).pipe(socket)
    })
    await once(listener.listen(0, '127.0.0.1'), 'listening')
    const Addr = { Network: 'tcp', String: `127.0.0.1:${(listener.address() as net.AddressInfo).port}` }
    const host = await reattach(life, { ...running.config, Addr }, options)
    const instance = await host.dispense('instance')
    assert.equal(await instance.Ask(() => 'over TCP'), 'over TCP')
    await host.close()
    listener.close()
  })

  test('does not mind who only looks, who says nothing, or who breaks the control stream', async () => {
    await using running = await alone()
    const { String: address } = running.config.Addr
    const connect = async (): Promise<net.Socket> => {
      const socket = net.connect(address)
      await once(socket, 'connect')
      return socket
    }
    const looker = await connect()
    looker.destroy()
    const silent = await connect()
    const noise = await connect()
    noise.on('error', () => undefined).end('GET / HTTP/1.1\r\n\r\n')
    let ended: (() => void) | undefined
    const over = new Promise<void>(resolve => {
      ended = resolve
    })
    const session = new Session(socketLink({ socket: await connect() }), { role: 'client', onEnded: () => ended?.() })
    const control = session.open()
    session.open()
    session.open()
    control.write(Buffer.from('ff00ff00ff00', 'hex'))
    control.consume({ chunk() {}, end: () => session.close(), fail: () => session.close() })
    await over
    const host = await reattach(life, running.config, options)
    assert.ok((await host.ping()) > 0)
    await host.close()
    silent.destroy()
  })

  test('does not wait for a host that reads nothing of what it prints', async () => {
    // Started as a host in Go does it: only then its output goes over the connection.
    const env = { ...process.env, [life.cookie.key]: life.cookie.value, PLUGIN_PROTOCOL_VERSIONS: '1' }
    const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'inherit'], env })
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
    const [, version, network, address, protocol] = line.split('|') as [string, string, string, string, string]
    assert.deepEqual([version, network, protocol], ['1', 'unix', 'netrpc'])
    const Addr = { Network: network, String: address }
    const config = { Protocol: protocol, ProtocolVersion: 1, Pid: child.pid as number, Test: true, Addr }
    const host = await reattach(life, config, options)
    const instance = await host.dispense('instance')
    // Who came last gets the output, and this one never reads.
    const socket = net.connect(address)
    await once(socket, 'connect')
    const session = new Session(socketLink({ socket }), { role: 'client' })
    for (let stream = 0; stream < 3; stream++) session.open()
    await session.ping()
    for (let round = 0; round < 40; round++) await instance.Print('x'.repeat(100_000))
    assert.equal(await instance.Wait(1), 1)
    session.close()
    await host.close()
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
})
