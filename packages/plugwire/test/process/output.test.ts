import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { MAX_LOG_LINE_BYTES, MAX_LOG_LINES_PER_SECOND, MAX_UNREAD_OUTPUT_BYTES, TAIL_BYTES } from '../../src/limits.ts'
import type { PluginRecord } from '../../src/process/output.ts'
import { LineLog, Output, Tail } from '../../src/process/output.ts'
import { LinkText, World } from '../fixtures/started.ts'

describe('output of a real plugin', () => {
  test('in mode log it comes line by line, structured where it is', async () => {
    await using world = new World()
    const plugin = await world.odd('talks on stdout and stderr')
    await plugin.close({ tell: () => plugin.link?.close() })
    const said = world.records.map(({ stream, level, message, plugin }) => ({ stream, level, message, plugin }))
    assert.deepEqual(
      said.filter(({ stream }) => stream === 'stdout'),
      [
        { stream: 'stdout', level: 'info', message: 'one', plugin: 'odd' },
        { stream: 'stdout', level: 'info', message: 'two', plugin: 'odd' },
        { stream: 'stdout', level: 'info', message: 'three without an end', plugin: 'odd' },
      ],
    )
    assert.deepEqual(
      said.filter(({ stream }) => stream === 'stderr'),
      [
        { stream: 'stderr', level: 'warn', message: 'hot', plugin: 'odd' },
        { stream: 'stderr', level: 'info', message: '{"@message":5}', plugin: 'odd' },
        { stream: 'stderr', level: 'error', message: '[ERROR] bad', plugin: 'odd' },
      ],
    )
    const hot = world.records.find(({ message }) => message === 'hot')
    assert.deepEqual(hot?.fields, { degrees: 300 })
    assert.equal(hot?.module, 'oven')
    assert.equal(hot?.time.toISOString(), '2026-01-02T03:04:05.678Z')
  })

  test('in mode pipe it is a stream of its bytes', async () => {
    await using world = new World()
    const plugin = await world.odd('talks on stdout and stderr', '', { stdout: 'pipe' })
    let text = ''
    plugin.stdout?.on('data', chunk => {
      text += String(chunk)
    })
    const ended = once(plugin.stdout!, 'end')
    await plugin.close({ tell: () => plugin.link?.close() })
    await ended
    assert.equal(text, 'one\ntwo\nthree without an end')
    assert.equal(plugin.lastWords().stdoutTail, text)
  })

  test('nobody reads 16 MiB: the plugin goes on, little is kept, and what was dropped is told', async () => {
    await using world = new World()
    const plugin = await world.odd('floods stderr, then echoes', '', { stderr: 'pipe' })
    plugin.hold()
    const reader = new LinkText(plugin.link!)
    plugin.link?.write([Buffer.from('still here')])
    await reader.until(({ text }) => text === 'still here')
    await plugin.close({ tell: () => plugin.link?.close() })
    let text = ''
    for await (const chunk of plugin.stderr!) text += String(chunk)
    assert.match(text.slice(0, 80), /^\[\d+ earlier bytes were dropped because nobody read them\]\n/)
    assert.match(text.slice(-30), /stderr\nthe last line\n$/)
    assert.ok(text.length <= MAX_UNREAD_OUTPUT_BYTES + 100)
    assert.ok(plugin.lastWords().stderrTail.length <= TAIL_BYTES)
  })

  test('a logger is spared a flood, and hears how much it was spared', async () => {
    await using world = new World()
    const plugin = await world.odd('floods stderr, then echoes')
    await plugin.close({ tell: () => plugin.link?.close() })
    const all = 16 * 150_000
    const dropped = world.records.reduce((sum, { fields }) => sum + Number(fields['droppedLines'] ?? 0), 0)
    assert.ok(dropped > 0 && dropped < all)
    assert.ok(world.records.length + dropped >= all)
  })

  test('after the handshake nothing on stdout is taken for one, and nothing is too much', async () => {
    await using world = new World()
    const plugin = await world.odd('writes handshakes and more on stdout afterwards', '', { stdout: 'pipe' })
    plugin.hold()
    plugin.link?.write([Buffer.from('go')])
    let text = ''
    for await (const chunk of plugin.stdout!) {
      text += String(chunk)
      if (text.endsWith('the end\n')) plugin.link?.close()
    }
    assert.equal(text.length, '1|1|unix|/tmp/other|plugwire|\n'.length + 200_000 * 'many words\n'.length + '1|2|3\nthe end\n'.length)
  })

  test('a logger that throws harms nobody', async () => {
    await using world = new World()
    const logger = (): never => {
      throw new Error('disk full')
    }
    const plugin = await world.odd('talks on stdout and stderr', '', { logger })
    assert.equal(await plugin.close({ tell: () => plugin.link?.close() }), 'told')
  })
})

describe('lines', () => {
  const lines = (chunks: readonly Uint8Array[]): string[] => {
    const records: PluginRecord[] = []
    const log = new LineLog('p', 'stdout', record => void records.push(record))
    for (const chunk of chunks) log.push(chunk)
    log.end()
    return records.map(({ message }) => message)
  }

  test('are the same however the bytes are cut', () => {
    const text = Buffer.from('grüße\r\n\nа б\n€uro')
    for (let cut = 0; cut <= text.length; cut++)
      assert.deepEqual(lines([text.subarray(0, cut), text.subarray(cut)]), ['grüße', 'а б', '€uro'])
  })

  test('that are too long are cut, and no character with them', () => {
    const text = `x${'€'.repeat(MAX_LOG_LINE_BYTES)}`
    const pieces = lines([Buffer.from(`${text}\nnext\n`)])
    assert.equal(pieces.pop(), 'next')
    assert.equal(pieces.length, Math.ceil((MAX_LOG_LINE_BYTES * 3 + 1) / MAX_LOG_LINE_BYTES))
    assert.equal(pieces.join(''), text)
    assert.ok(pieces.every(piece => Buffer.byteLength(piece) <= MAX_LOG_LINE_BYTES + 3))
  })

  test('of another second are logged again', t => {
    t.mock.method(performance, 'now', () => now)
    let now = 0
    const records: PluginRecord[] = []
    const log = new LineLog('p', 'stdout', record => void records.push(record))
    log.push(Buffer.from('a\n'.repeat(MAX_LOG_LINES_PER_SECOND + 5)))
    assert.equal(records.length, MAX_LOG_LINES_PER_SECOND)
    now = 1_000
    log.push(Buffer.from('b\n'))
    assert.deepEqual(
      records.slice(MAX_LOG_LINES_PER_SECOND).map(({ message, fields }) => [message, fields['droppedLines']]),
      [
        [`more than ${MAX_LOG_LINES_PER_SECOND} lines in a second, the rest was dropped`, 5],
        ['b', undefined],
      ],
    )
  })
})

describe('the tail', () => {
  test('is everything as long as that is little', () => {
    const tail = new Tail()
    for (let index = 0; index < 200; index++) tail.push(Buffer.from(`${index}\n`))
    assert.equal(tail.text, Array.from({ length: 200 }, (_, index) => `${index}\n`).join(''))
  })

  test('begins with a whole line, or at least with a whole character', () => {
    const ofLines = new Tail()
    for (let index = 0; index < 5_000; index++) ofLines.push(Buffer.from(`line ${index}\n`))
    assert.match(ofLines.text, /^line \d+\n/)
    assert.ok(Buffer.byteLength(ofLines.text) > TAIL_BYTES - 20)
    for (let pad = 0; pad < 3; pad++) {
      const ofOneLine = new Tail()
      ofOneLine.push(Buffer.from(`${'€'.repeat(TAIL_BYTES)}${'.'.repeat(pad)}`))
      assert.match(ofOneLine.text, /^€+\.*$/)
    }
  })
})

test('a reader that is slow stops the source, and starts it again', async () => {
  let paused = 0
  let resumed = 0
  const output = new Output({ mode: 'pipe', plugin: 'p', stream: 'stdout' }, { pause: () => paused++, resume: () => resumed++ })
  const readable = output.readable!
  const chunk = Buffer.alloc(256 * 1024, 'y')
  readable.read() // Somebody is there.
  for (let index = 0; index < 8; index++) output.write(chunk)
  assert.equal(paused, 1)
  output.end()
  let bytes = 0
  for await (const part of readable) bytes += (part as Buffer).length
  assert.equal(bytes, 8 * chunk.length)
  assert.equal(resumed, 1)
})
