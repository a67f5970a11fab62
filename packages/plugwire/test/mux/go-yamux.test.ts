// Our session against the real hashicorp/yamux, in both roles, over a unix socket.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import * as net from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Stream } from '../../src/mux/stream.ts'
import { Ending } from '../fixtures/sessions.ts'

const run = promisify(execFile)
const source = fileURLToPath(new URL('../../../test/fixtures/mux/yamux-peer/', import.meta.url))

/** Builds the Go program once for each state of its source, outside of the tree; undefined where there is no Go. */
async function build(): Promise<string | undefined> {
  try {
    await run('go', ['version'])
  } catch {
    return undefined
  }
  const state = createHash('sha256')
  for (const file of ['main.go', 'go.mod', 'go.sum']) state.update(readFileSync(join(source, file)))
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const program = join(cache, 'plugwire-interop', `yamux-peer-${state.digest('hex').slice(0, 16)}`)
  if (!existsSync(program)) await run('go', ['build', '-o', program, '.'], { cwd: source })
  return program
}

const program = await build()
const skip = program === undefined && 'CI must not skip: there is no go on the path'

/** Starts the program and waits for its connection. */
async function withGo(
  role: 'serve' | 'drive',
  use: (socket: net.Socket, exited: Promise<{ code: number; stdout: string }>) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'pw-go-'))
  const server = net.createServer({ pauseOnConnect: true }).listen(join(directory, 's'))
  await once(server, 'listening')
  const child = spawn(program as string, [join(directory, 's'), role], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    let stdout = ''
    child.stdout.on('data', chunk => {
      stdout += String(chunk)
    })
    const exited = once(child, 'close').then(([code]) => ({ code: code as number, stdout }))
    const [socket] = (await once(server, 'connection')) as [net.Socket]
    server.close()
    await use(socket, exited)
  } finally {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
}

async function echo(stream: Stream): Promise<void> {
  for (;;) {
    const chunk = await stream.read()
    if (chunk === undefined) break
    if (!stream.write(chunk)) await stream.drained()
  }
  stream.end()
}

async function exchange(stream: Stream, size: number): Promise<void> {
  const sent = randomBytes(size)
  const writing = (async () => {
    for (let at = 0; at < size; at += 100_000) if (!stream.write(sent.subarray(at, at + 100_000))) await stream.drained()
    stream.end()
  })()
  const received: Uint8Array[] = []
  for await (const chunk of stream) received.push(chunk)
  await writing
  assert.ok(Buffer.concat(received).equals(sent), `${size} bytes came back as others`)
}

test('Go opens streams, we serve them', { skip }, async () => {
  await withGo('drive', async (socket, exited) => {
    const { session } = new Ending(socket, { role: 'server', acceptBacklog: 1_000, onStream: stream => void echo(stream) })
    assert.ok((await session.ping()) >= 0)
    assert.deepEqual(await exited, { code: 0, stdout: 'ok\n' })
    session.destroy()
  })
})

test('we open streams, Go serves them', { skip }, async () => {
  await withGo('serve', async (socket, exited) => {
    const { session } = new Ending(socket, { role: 'client' })
    assert.ok((await session.ping()) >= 0)
    await exchange(session.open(), 16 << 20)
    const half = session.open()
    half.write(Buffer.from('half'))
    half.end()
    assert.equal(String(await half.read()), 'half')
    assert.equal(await half.read(), undefined)
    await Promise.all(Array.from({ length: 250 }, () => exchange(session.open(), randomInt(200_000))))
    const gone = session.open()
    gone.write(Buffer.from('x'))
    await gone.read()
    gone.reset()
    assert.ok((await session.ping()) >= 0)
    assert.equal(session.streamCount, 0)
    session.close()
    assert.equal((await exited).code, 0)
  })
})
