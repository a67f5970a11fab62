// Smoke program: a host and a plugin, both under this runtime, on the default wire and on a Unix socket with TLS.

import assert from 'node:assert/strict'
import { launch } from 'plugwire/host'
import { smoke } from '../fixtures/smoke.ts'

const file = new URL('../fixtures/smoke-plugin.js', import.meta.url)

for (const wire of ['fd', 'unix'] as const) {
  const plugin = await launch(smoke, file, { wire, logger: false })
  const [bench, other] = await Promise.all([plugin.dispense('bench', { region: 'eu' }), plugin.dispense('bench', { region: 'us' })])
  assert.deepEqual([await bench.configured(), await other.configured()], [{ region: 'eu' }, { region: 'us' }])

  const value = { text: 'wörter', list: [1, -0.5, null, true], map: new Map([['a', 1n]]), at: new Date(5), bytes: new Uint8Array([1, 2]) }
  assert.deepEqual(await bench.echo(value), value)
  const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => bench.echo({ index })))
  assert.deepEqual(answers.at(-1), { index: 199 })

  const seen: number[] = []
  for await (const number of bench.count(1_000_000)) {
    seen.push(number)
    if (number === 99) break
  }
  assert.equal(seen.length, 100)
  const upTo = async function* (limit: number) {
    for (let number = 0; number < limit; number++) yield number
  }
  assert.equal(await bench.sum(upTo(500)), 124_750)
  assert.equal(await bench.twice(async word => word.toUpperCase()), 'AB')
  await assert.rejects(bench.fail(), { name: 'TypeError', message: 'as asked', code: 'E_ASKED' })

  let received = 0
  for await (const chunk of await bench.bytes(3_000_000)) received += (chunk as Uint8Array).length
  assert.equal(received, 3_000_000)

  await bench[Symbol.asyncDispose]()
  await assert.rejects(bench.echo(1), { code: 'ERR_REFERENCE_RELEASED' })
  assert.equal(await plugin.close(), 'told')
  assert.equal((await plugin.exited).exitCode, 0)
}
