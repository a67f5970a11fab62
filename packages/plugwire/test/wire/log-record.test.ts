import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { LogRecord } from '../../src/wire/log-record.ts'
import { encodeLogLine, LogLines, parseLogLine } from '../../src/wire/log-record.ts'

const time = new Date('2026-11-23T02:17:51.796Z')
const record: LogRecord = { level: 'warn', message: 'hot', fields: { degrees: 300, of: ['a', { b: null }] }, time, module: 'kitchen.oven' }

describe('a log line', () => {
  test('is written as hclog writes it', () => {
    const line =
      '{"@level":"warn","@message":"hot","@timestamp":"2026-11-23T02:17:51.796000Z","@module":"kitchen.oven","degrees":300,"of":["a",{"b":null}]}'
    assert.equal(encodeLogLine(record), line)
    assert.deepEqual(parseLogLine(line), record)
  })

  test('of a Go plugin is read', () => {
    const line =
      '{"@level":" DEBUG ","@message":"plugin address","@timestamp":"2026-11-23T03:17:51.796460+01:00","address":"/tmp/plugin1","@caller":"a.go:5"}'
    assert.deepEqual(parseLogLine(line), {
      level: 'debug',
      message: 'plugin address',
      fields: { address: '/tmp/plugin1', '@caller': 'a.go:5' },
      time,
    })
  })

  test('that is none is none, and never throws', () => {
    for (const bad of [
      '',
      'text',
      '{',
      '{}',
      '[]',
      'null',
      '5',
      '{"@message":5}',
      '{"@level":"warn","@message":5}',
      '{"@level":{},"@message":"x"}',
      '{"@level":"all","@message":"x"}',
      '{"@level":"constructor","@message":"x"}',
      '{"@level":"warn","@message":"x","@timestamp":5}',
      '{"@level":"warn","@message":"x","@timestamp":"2026-11-23T02:17:51.796Z"}',
      '{"@level":"warn","@message":"x","@timestamp":"2026-99-23T02:17:51.796000Z"}',
      '['.repeat(50_000),
      `${'{"a":'.repeat(50_000)}`,
    ]) {
      assert.equal(parseLogLine(bad), undefined, bad.slice(0, 60))
    }
    fc.assert(fc.property(fc.string(), text => parseLogLine(`{${text}`) === undefined || true))
    fc.assert(fc.property(fc.json(), text => parseLogLine(text) === undefined || true))
  })

  test('with a field named like a prototype changes none', () => {
    const parsed = parseLogLine('{"@level":"info","@message":"x","__proto__":{"polluted":true},"constructor":1}')
    assert.equal(Object.getPrototypeOf(parsed?.fields), Object.prototype)
    assert.deepEqual(Object.keys(parsed?.fields ?? {}), ['__proto__', 'constructor'])
    assert.ok(!('polluted' in (parsed?.fields ?? {})))
  })

  test('says every field, also one that JSON cannot', () => {
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const fields = {
      '@message': 5,
      big: 5n,
      cycle,
      thrown: new RangeError('far'),
      fn: () => 1,
      sym: Symbol('s'),
      gone: undefined,
      throws: {
        get x() {
          throw new Error('no')
        },
      },
    }
    const line = encodeLogLine({ ...record, fields })
    const parsed = parseLogLine(line)
    assert.equal(parsed?.message, 'hot')
    assert.equal(parsed?.fields['message'], 5)
    assert.equal(parsed?.fields['big'], '5')
    assert.match(String(parsed?.fields['thrown']), /RangeError: far/)
    assert.equal(parsed?.fields['cycle'], '[a value that has no JSON]')
    assert.equal(parsed?.fields['throws'], '[a value that has no JSON]')
    assert.ok(!line.includes('\n'))
    assert.ok(parseLogLine(encodeLogLine({ ...record, time: new Date(Number.NaN) })))
  })

  test('goes there and back', () => {
    const level = fc.constantFrom('trace', 'debug', 'info', 'warn', 'error')
    const name = fc.string().filter(key => !key.startsWith('@'))
    const when = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
    fc.assert(
      fc.property(level, fc.string(), fc.dictionary(name, fc.jsonValue()), when, (level, message, fields, time) => {
        const record = { level: level as 'info', message, fields: JSON.parse(JSON.stringify(fields)) as Record<string, unknown>, time }
        assert.deepEqual(parseLogLine(encodeLogLine(record)), { ...record, fields: { ...record.fields } })
      }),
    )
  })
})

test('plain lines have the level they name; behind a panic they are errors', () => {
  const lines = new LogLines()
  const levels = ['hello', '[WARN] x', '[ERR] x', 'panic: oh', 'goroutine 1', '[INFO] x', encodeLogLine(record), 'main.go:5'].map(
    line => lines.parse(line).level,
  )
  assert.deepEqual(levels, ['debug', 'warn', 'debug', 'error', 'error', 'info', 'warn', 'error'])
  assert.equal(new LogLines('info').parse('hello').level, 'info')
})
