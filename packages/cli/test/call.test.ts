import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { bin, fixture, lines, plugwire, run } from './command.ts'

const shop = fixture('shop.js')
const directory = mkdtempSync(join(tmpdir(), 'plugwire-call-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const file = (name: string, content: string): string => {
  writeFileSync(join(directory, name), content)
  return join(directory, name)
}

const call = (method: string, ...rest: string[]) => plugwire(['call', shop, method, ...rest])
const jsonOf = async (method: string, ...rest: string[]): Promise<unknown[]> => {
  const { code, stdout, stderr } = await call(method, ...rest, '--json')
  assert.equal(code, 0, stderr)
  return lines(stdout)
}

test('arguments are JSON, the result is shown', async () => {
  const { code, stdout } = await call('store.echo', '"a"', '{"b":[1,true,null]}')
  assert.equal(code, 0)
  assert.equal(stdout, "[ 'a', { b: [ 1, true, null ] } ]\n")
  assert.equal((await call('store.nothing')).stdout, 'undefined\n')
})

test('values without JSON go there and come back', async () => {
  const values = [
    { $bytes: 'aGk=' },
    { $date: '2026-01-31T12:00:00.000Z' },
    { $map: [[{ $set: [1] }, 'x']] },
    { $bigint: '12345678901234567890' },
    { $number: 'NaN' },
    { $number: '-0' },
    { $undefined: true },
    { $regexp: ['a+', 'gi'] },
    { $url: 'https://example.org/' },
    { $array: 'Float64Array', values: [0.5, 1] },
    { $object: { $date: 'a plain key' } },
    { $error: { name: 'TypeError', message: 'bad', code: 'E_BAD' } },
  ]
  assert.deepEqual(await jsonOf('store.echo', JSON.stringify(values)), [values])
})

test('each way to give an argument', async () => {
  assert.deepEqual(await jsonOf('store.echo', 'bytes:hi'), [{ $bytes: 'aGk=' }])
  assert.deepEqual(await jsonOf('store.echo', 'base64:aGk='), [{ $bytes: 'aGk=' }])
  assert.deepEqual(await jsonOf('store.echo', 'hex:6869'), [{ $bytes: 'aGk=' }])
  assert.deepEqual(await jsonOf('store.echo', `@${file('a.json', '{"a":1}')}`), [{ a: 1 }])
  assert.deepEqual(await jsonOf('store.typeOf', `bytes:@${file('b.bin', 'xyz')}`), ['Uint8Array'])
  assert.deepEqual(await jsonOf('store.sum', `items:@${file('n.ndjson', '1\n2\n\n3\n')}`), [6])
  assert.deepEqual(await jsonOf('store.length', `stream:@${file('s.bin', 'x'.repeat(300_000))}`), [300_000])
  const stdin = await plugwire(['call', shop, 'store.echo', '@-', '--json'], { input: '{"from":"stdin"}' })
  assert.deepEqual(lines(stdin.stdout), [{ from: 'stdin' }])
  const rows = await plugwire(['call', shop, 'store.sum', 'items:@-'], { input: '20\n22\n' })
  assert.equal(rows.stdout, '42\n')
})

test('a bare word is refused before anything starts, and how to quote it is said', async () => {
  const { code, stdout, stderr } = await call('store.echo', "it's")
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /^CLI_USAGE: it's is no JSON/)
  assert.ok(stderr.includes(`'"it'\\''s"'`), stderr)
})

test('other arguments that cannot be read', async () => {
  for (const [argument, says] of [
    ['hex:123', /pairs of the digits/],
    ['base64:?', /is not base64/],
    ['@/no/such/file', /cannot be read: ENOENT/],
    ['items:nowhere', /a stream is read from a file/],
    ['{"$bigint":1}', /\$bigint is a text/],
    ['{"$function":"f"}', /cannot be written as JSON|what cannot be/],
  ] as const) {
    const { code, stderr } = await call('store.echo', argument)
    assert.equal(code, 2, argument)
    assert.match(stderr, says)
  }
  assert.equal((await call('store')).code, 2)
})

test('the configuration reaches the instance', async () => {
  assert.deepEqual(await jsonOf('store.region', '--config', '{"region":"eu"}'), ['eu'])
  assert.deepEqual(await jsonOf('strict.hello', '--config', '{"region":"us"}'), ['us'])
})

test('items are printed one a line', async () => {
  assert.equal((await call('store.count', '3')).stdout, '1\n2\n3\n')
  assert.deepEqual(await jsonOf('store.count', '3'), [1, 2, 3])
})

test('a stream of bytes goes to stdout as it is', async () => {
  const { code, stdout } = await call('store.bytes', '200000')
  assert.equal(code, 0)
  assert.equal(stdout, 'a'.repeat(200_000))
})

test('a text can be had raw', async () => {
  assert.equal((await call('store.echo', '"plain"', '--raw')).stdout, 'plain')
})

test('Ctrl-C ends a stream, and the generator of the plugin knows', async () => {
  const { code, stderr } = await plugwire(['call', shop, 'store.tick', '--json'], { interruptAt: '3\n' })
  assert.equal(code, 130)
  assert.match(stderr, /tick ended/)
})

test('Ctrl-C cancels a call, and the method of the plugin sees it', async () => {
  const { code, stdout, stderr } = await plugwire(['call', shop, 'store.wait'], { interruptAt: 'waiting' })
  assert.deepEqual([code, stdout], [130, ''])
  assert.match(stderr, /cancelled/)
})

test('a callback is printed until Ctrl-C', async () => {
  const { code, stdout } = await plugwire(['call', shop, 'store.onTick', 'callback:', '--json'], { interruptAt: '3\n' })
  assert.equal(code, 130)
  assert.deepEqual(lines(stdout).slice(0, 4), [0, 1, 2, 3])
})

test('a call that takes too long is given up', async () => {
  const { code, stderr } = await call('store.wait', '--timeout', '50', '--json', '--quiet')
  assert.equal(code, 1)
  assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'ERR_CALL_TIMEOUT')
})

test("what the plugin throws is shown as the plugin's", async () => {
  const people = await call('store.fail')
  assert.equal(people.code, 1)
  assert.equal(people.stderr, 'the plugin threw RangeError (SOLD_OUT): out of stock\n')
  const { stderr } = await call('store.fail', '--json')
  assert.deepEqual(JSON.parse(stderr), {
    error: { code: 'SOLD_OUT', message: 'out of stock', origin: 'plugin', thrower: 'method', name: 'RangeError', facts: { left: 0 } },
  })
  assert.match((await call('store.fail', '--debug')).stderr, /at .*shop/)
})

test('a method or kind that does not exist: those that do are named', async () => {
  const method = await call('store.buy')
  assert.equal(method.code, 1)
  assert.match(method.stderr, /ERR_METHOD_NOT_FOUND: store has no method "buy"; it has: echo, /)
  assert.match((await call('shelf.get')).stderr, /ERR_KIND_NOT_FOUND: no kind "shelf"; the plugin serves: store, strict/)
  assert.equal((await call('store.constructor')).code, 1)
})

test('a plugin that dies during the call', async () => {
  const { code, stderr } = await call('store.crash', '--json')
  assert.equal(code, 1)
  const { error } = JSON.parse(stderr) as { error: { code: string; facts: { exitCode: number } } }
  assert.deepEqual([error.code, error.facts.exitCode], ['ERR_PLUGIN_EXITED', 7])
})

test('output of the plugin never mixes with the result', async () => {
  const { stdout, stderr } = await plugwire(['call', fixture('prints-junk.js'), 'model.load', '--json'])
  assert.equal(stdout, 'true\n')
  assert.match(stderr, /\[chatty\] loading the model/)
  const quiet = await plugwire(['call', fixture('prints-junk.js'), 'model.load', '--quiet'])
  assert.equal(quiet.stderr, '')
})

test('a reader that leaves ends the stream, quietly', async () => {
  const { code, stdout, stderr } = await run('sh', ['-c', `'${process.execPath}' '${bin}' call '${shop}' store.tick --json | head -2`])
  assert.deepEqual([code, stdout], [0, '0\n1\n'])
  assert.equal(stderr, '[shop] tick ended\n')
})

test('bad input that is found during the call is the fault of the command line', async () => {
  const rows = await plugwire(['call', shop, 'store.sum', 'items:@-', '--json'], { input: '1\nnot json\n' })
  assert.equal(rows.code, 2)
  const { error } = JSON.parse(rows.stderr) as { error: { code: string; origin: string; message: string } }
  assert.equal(error.code, 'CLI_USAGE')
  assert.equal(error.origin, 'command')
  assert.match(error.message, /^line 2 of items:@- holds no JSON/)
  const bytes = await call('store.length', `stream:@${directory}`)
  assert.equal(bytes.code, 2)
  assert.match(bytes.stderr, /CLI_USAGE: stream:@.* cannot be read: /)
})

test('a callback answers what it was given', async () => {
  const outcome = await plugwire(['call', shop, 'store.ask', 'callback:{"yes":true}', '--json'], { interruptAt: 'yes' })
  assert.equal(outcome.code, 130, outcome.stderr)
  assert.deepEqual(new Set(lines(outcome.stdout).map(value => JSON.stringify(value))), new Set(['1', '{"yes":true}']))
  assert.equal((await call('store.ask', 'callback:yes')).code, 2)
})

test('a factory that misses its configuration', async () => {
  const { code, stderr } = await call('strict.hello')
  assert.equal(code, 1)
  assert.match(
    stderr,
    /^the factory of strict threw TypeError: a region is needed\nIf it needs a configuration, give one with --config JSON\.\n/,
  )
  const given = await call('strict.hello', '--config', '{"region":1}')
  assert.equal(given.stderr, 'the factory of strict threw TypeError: a region is needed\n')
})
