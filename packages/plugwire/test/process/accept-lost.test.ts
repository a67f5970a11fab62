import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Directory, dial, Text } from '../fixtures/launched.ts'

/** A host in a process of its own, and the plugin it has started; the plugin's stderr ends up here, and ends when both are gone. */
async function hosted(variable: string, connect: boolean) {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env
  const program = fileURLToPath(new URL('../fixtures/host-of-echo.js', import.meta.url))
  const child = spawn(process.execPath, [program, variable, connect ? 'connect' : 'wait'], { stdio: ['ignore', 'pipe', 'pipe'], env })
  const [stdout, stderr] = [new Text(child.stdout), new Text(child.stderr)]
  const pid = Number((await stdout.until(/^pid (\d+)$/m))[1])
  await stdout.until(/^ready$/m)
  return {
    pid,
    stderr,
    async kill() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

describe('a host that is killed takes its plugin with it', { skip: process.platform === 'win32' && 'no SIGKILL' }, () => {
  const cases: [string, (directory: string) => string, boolean][] = [
    ['fd', () => '1|fd|3|plugwire|', true],
    ['stdio', () => '1|stdio|-|plugwire|', true],
    ['unix', directory => `1|unix|${directory}/|plugwire|3`, true],
    ['unix, before it connected', directory => `1|unix|${directory}/|plugwire|3`, false],
    ['unix without a guard, before it connected', directory => `1|unix|${directory}/|plugwire|`, false],
    ['tcp with TLS', () => '1|tcp|0-0|plugwire|3', true],
    ['tcp, before it connected', () => '1|tcp|0-0|plugwire|3', false],
    ['one that only knows go-plugin', () => 'go', true],
  ]
  for (const [name, variable, connect] of cases) {
    test(name, async () => {
      using directory = new Directory()
      const host = await hosted(variable(directory.path), connect)
      await host.kill()
      assert.equal(await host.stderr.end(), 'lost\n')
      assert.ok(!existsSync(`${directory.path}/s`))
    })
  }

  test('but not a detached one, which the next host finds', async () => {
    using directory = new Directory()
    const host = await hosted(`1|unix|${directory.path}/|plugwire||detached`, true)
    try {
      await host.kill()
      const session = dial('unix', `${directory.path}/s`)
      session.write('again')
      await new Text(session).until(/^v1 again$/)
      session.destroy()
    } finally {
      process.kill(host.pid, 'SIGTERM')
    }
    assert.equal(await host.stderr.end(), '')
    assert.ok(!existsSync(`${directory.path}/s`))
  })
})
