// Starts plugins by hand, as a host that is no good would.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { bindClient } from '../../src/service/bind.ts'
import { openChannel } from '../../src/transport/channel.ts'
import type { Channel } from '../../src/transport/seam.ts'
import { Store, storeContract } from '../fixtures/store-contract.ts'

export interface ByHand {
  readonly child: ChildProcess
  /** The handshake line. */
  readonly line: string
  readonly address: string
  connect(): Promise<Socket>
  /** A connection of its own. */
  host(): Promise<Host>
  /** What it wrote to the real stderr. */
  readonly stderr: () => string
  readonly exited: Promise<number | null>
}

export interface Host {
  readonly channel: Channel
  readonly calls: Awaited<ReturnType<typeof bindClient<typeof Store>>>
}

export async function startByHand(t: TestContext, environment: Record<string, string> = {}, fixture = 'store-plugin'): Promise<ByHand> {
  const { key, value } = storeContract.cookie
  const directory = await mkdtemp(join(tmpdir(), 'by-hand-'))
  const child = spawn(process.execPath, [fileURLToPath(new URL(`../fixtures/${fixture}.js`, import.meta.url))], {
    // Its sockets go here, since who is killed cannot remove them.
    env: { PATH: process.env['PATH'], TMPDIR: directory, [key]: value, PLUGIN_PROTOCOL_VERSIONS: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = new Promise<number | null>(resolve => child.once('close', resolve))
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  const [first] = (await once(child.stdout, 'data')) as [Buffer]
  const line = first.toString().trimEnd()
  const address = line.split('|')[3] as string
  const sockets = new Set<Socket>()
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    child.kill('SIGKILL')
    await exited
    await rm(directory, { recursive: true })
  })
  const open = async (): Promise<Socket> => {
    const socket = connect(address)
    sockets.add(socket)
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  return {
    child,
    line,
    address,
    exited,
    connect: open,
    stderr: () => stderr,
    async host() {
      const channel = openChannel(open)
      return { channel, calls: await bindClient(Store, channel) }
    },
  }
}
