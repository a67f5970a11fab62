// A host of go-plugin that is killed tells its plugins nothing. Go's own plugins live on; ours see that their parent has changed.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { storeContract } from '../fixtures/store-contract.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url))
const linux = process.platform === 'linux' ? false : 'looks at processes through /proc'

for (const connected of [false, true]) {
  test(`a plugin ends with a host that was killed, ${connected ? 'connected' : 'before it connected'}`, { skip: linux }, async () => {
    const { key, value } = storeContract.cookie
    const host = spawn(process.execPath, [fixture('careless-host'), fixture('store-plugin'), key, value], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(host.stdout, 'data')) as [Buffer]
    const [pid = '', , , , address = ''] = line.toString().split('|')
    const socket = connected ? connect(address) : undefined
    if (socket !== undefined) await once(socket, 'connect')
    host.kill('SIGKILL')
    await once(host, 'exit')
    socket?.destroy()
    // Nobody is its parent now who could tell of its end.
    while (existsSync(`/proc/${pid}`)) await sleep(50)
    assert.ok(!existsSync(address), 'it left its socket behind')
  })
}
