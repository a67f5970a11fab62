// The proof of docs/protocol.md: a plugin in another language, written from that page, under the product's host.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { contract } from 'plugwire'
import { launch } from 'plugwire/host'

interface Echo {
  back<T>(value: T): Promise<T>
  fail(message: string): Promise<never>
  count(to: number): AsyncIterable<{ number: number; config: unknown }>
}

const snake = contract({ name: 'snake', version: 1, cookie: { key: 'PLUGWIRE_SNAKE', value: 'a-snake' } })
const script = fileURLToPath(new URL('../../../test/fixtures/protocol/plugin.py', import.meta.url))

function python(): string | undefined {
  try {
    return execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

const interpreter = python()
const skip = interpreter === undefined && 'no python3 on this machine'

test('a plugin in Python, written from the page, is dispensed, called and closed', { skip }, async () => {
  const lines: string[] = []
  const plugin = await launch(
    snake,
    { command: interpreter as string, args: [script] },
    { logger: record => void lines.push(record.message) },
  )
  try {
    assert.equal((await plugin.describe()).name, 'snake')
    const echo = (await plugin.dispense('echo', { colour: 'green' })) as object as Echo & AsyncDisposable
    const values: unknown[] = [
      ...[0, 127, 128, -1, 2 ** 31, 1.5, -0, Number.POSITIVE_INFINITY, null, undefined, true, false],
      ...['', 'short', 'é', '€uro 😀', 'x'.repeat(5_000), '\ud800'],
      ...[
        [],
        [1, [2, [3]]],
        { a: 1, b: { c: [null] } },
        new Uint8Array([1, 2, 3]),
        new Date(0),
        new Map([['k', 1]]),
        new Set([1]),
        12n ** 40n,
      ],
    ]
    for (const value of values) assert.deepEqual(await echo.back(value), value)
    // Shapes: the same keys again and again, and several calls at once.
    const records = Array.from({ length: 200 }, (_, id) => ({ id, name: `n${id}`, tags: ['a'] }))
    assert.deepEqual(await Promise.all(records.map(record => echo.back(record))), records)
    const large = 'y'.repeat(300_000)
    assert.equal(await echo.back(large), large, 'arguments and result on streams of their own')
    const bytes = new Uint8Array(2_000_000).map((_, index) => index * 7)
    assert.deepEqual(await echo.back(bytes), bytes)
    await assert.rejects(echo.fail('no such egg'), { name: 'ValueError', message: 'no such egg' })
    await assert.rejects(plugin.dispense('frog'), { code: 'ERR_KIND_NOT_FOUND', facts: { kind: 'frog', kinds: ['echo'] } })

    const seen: number[] = []
    for await (const item of echo.count(1_000)) {
      assert.deepEqual(item.config, { colour: 'green' })
      seen.push(item.number)
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 1_000 }, (_, n) => n),
    )
    for await (const item of echo.count(1_000_000)) if (item.number === 100) break

    assert.ok((await plugin.ping()) >= 0)
    await echo[Symbol.asyncDispose]()
    await assert.rejects(echo.back(1), { code: 'ERR_REFERENCE_RELEASED' })
  } finally {
    assert.equal(await plugin.close(), 'told')
  }
  assert.equal((await plugin.exited).exitCode, 0)
  assert.deepEqual(lines.filter(line => line === 'left').length, 2)
})
