import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { FirstLine, StdoutLines } from '../../src/process/handshake-lines.ts'
import { encodeHostVariable, negotiate, parseHostVariable, parsePortRange, parseVersions } from '../../src/wire/environment.ts'
import type { Handshake } from '../../src/wire/handshake.ts'
import { encodeHandshake, looksLikeHandshake, parseHandshake, parseTcpAddress } from '../../src/wire/handshake.ts'

const certificate = 'MIIB'.repeat(20)

describe('the handshake line', () => {
  const golden: [line: string, handshake: Handshake][] = [
    [
      '1|2|fd|3|plugwire||false|1,2',
      { coreVersion: 1, version: 2, network: 'fd', address: '3', protocol: 'plugwire', multiplex: false, versions: [1, 2] },
    ],
    [
      `1|1|unix|/tmp/pw-AbC/s|plugwire|${certificate}|false|1`,
      {
        coreVersion: 1,
        version: 1,
        network: 'unix',
        address: '/tmp/pw-AbC/s',
        protocol: 'plugwire',
        certificate,
        multiplex: false,
        versions: [1],
      },
    ],
    [
      '1|1|stdio|-|plugwire||false|1',
      { coreVersion: 1, version: 1, network: 'stdio', address: '-', protocol: 'plugwire', multiplex: false, versions: [1] },
    ],
  ]
  for (const [line, handshake] of golden) {
    test(line.slice(0, 40), () => {
      assert.equal(encodeHandshake(handshake), line)
      assert.deepEqual(parseHandshake(line), handshake)
    })
  }

  test('of Go plugins, old and new', () => {
    const go = { coreVersion: 1, version: 1, network: 'unix', address: '/tmp/plugin1', versions: [1] }
    assert.deepEqual(parseHandshake(' 1|1|unix|/tmp/plugin1 \r'), { ...go, protocol: 'netrpc' })
    assert.deepEqual(parseHandshake('1|1|unix|/tmp/plugin1|grpc|'), { ...go, protocol: 'grpc' })
    assert.deepEqual(parseHandshake(`1|1|unix|/tmp/plugin1|grpc|${certificate}|true`), {
      ...go,
      protocol: 'grpc',
      certificate,
      multiplex: true,
    })
    assert.deepEqual(parseHandshake('1|1|unix|/tmp/plugin1|grpc|junk|T'), { ...go, protocol: 'grpc', multiplex: true })
    assert.deepEqual(parseHandshake('1|1|unix|/tmp/plugin1|grpc||maybe|x,y|more'), { ...go, protocol: 'grpc' })
  })

  test('of another core protocol is told from a broken one', () => {
    assert.deepEqual(parseHandshake('5|0|unix|/tmp/packer'), { fault: 'core', reason: 'core protocol 5', core: '5' })
    assert.equal((parseHandshake('one|0|unix|/tmp/x') as { fault: string }).fault, 'line')
    assert.equal((parseHandshake('') as { fault: string }).fault, 'line')
    assert.equal((parseHandshake('1|1|unix|/a\0b') as { fault: string }).fault, 'line')
  })

  test('parses or is at fault, whatever it is', () => {
    fc.assert(fc.property(fc.string(), text => typeof parseHandshake(text) === 'object'))
    fc.assert(fc.property(fc.array(fc.string()), fields => typeof parseHandshake(['1', '1', ...fields].join('|')) === 'object'))
  })

  test('addresses of tcp', () => {
    assert.deepEqual(parseTcpAddress(':1234'), { host: '127.0.0.1', port: 1234 })
    assert.deepEqual(parseTcpAddress('[::1]:80'), { host: '::1', port: 80 })
    assert.deepEqual(parseTcpAddress('localhost:65535'), { host: 'localhost', port: 65_535 })
    for (const bad of ['', '1234', 'host:', 'host:0', 'host:65536', '::1:80', 'a b:1', '[x]:1'])
      assert.equal(parseTcpAddress(bad), undefined, bad)
  })

  test('looks like one when it begins with a number and a bar', () => {
    assert.ok(looksLikeHandshake('1|x') && looksLikeHandshake(' 12|'))
    assert.ok(!looksLikeHandshake('hello') && !looksLikeHandshake('|1') && !looksLikeHandshake('1 | 2') && !looksLikeHandshake('v1|2'))
  })
})

describe('what is written before and behind the line', () => {
  const stdout = Buffer.from('loading…\nwarning: 5 | 6\n1|1|unix|/tmp/x|grpc|\nbehind')

  test('is the same at every cut', () => {
    for (let cut = 0; cut <= stdout.length; cut++) {
      let preamble = ''
      let found = ''
      let rest = ''
      const lines = new StdoutLines(bytes => {
        preamble += Buffer.from(bytes).toString('latin1')
      })
      for (const chunk of [stdout.subarray(0, cut), stdout.subarray(cut)]) {
        if (found !== '') {
          rest += String(chunk)
          continue
        }
        const scan = lines.push(chunk)
        if (scan.found === 'line') {
          found = scan.line
          rest += Buffer.from(scan.rest).toString()
        }
      }
      assert.equal(Buffer.from(preamble, 'latin1').toString(), 'loading…\nwarning: 5 | 6\n')
      assert.equal(found, '1|1|unix|/tmp/x|grpc|')
      assert.equal(rest, 'behind')
    }
  })

  test('on descriptor 3 the first line counts, at every cut and from memory that is used again', () => {
    const bytes = Buffer.from('1|1|fd|3|plugwire|\nsession')
    for (let cut = 0; cut <= bytes.length; cut++) {
      const first = new FirstLine()
      const memory = Buffer.from(bytes)
      const scans = [first.push(memory.subarray(0, cut))]
      if (scans[0]?.found === 'nothing') {
        memory.fill(0, 0, cut)
        scans.push(first.push(memory.subarray(cut)))
      }
      const last = scans.at(-1)
      assert.ok(last?.found === 'line')
      assert.equal(last.line, '1|1|fd|3|plugwire|')
      assert.equal(Buffer.from(last.rest).toString(), 'session'.slice(0, Math.max(0, (scans.length === 1 ? cut : bytes.length) - 19)))
    }
  })
})

describe('the variables of a launch', () => {
  const golden: [text: string, variable: ReturnType<typeof parseHostVariable>][] = [
    ['1|fd|3|plugwire|', { coreVersions: [1], wire: 'fd', address: '3', protocols: ['plugwire'], detached: false }],
    [
      '1|unix|/tmp/pw-AbC/|plugwire|3',
      { coreVersions: [1], wire: 'unix', address: '/tmp/pw-AbC/', protocols: ['plugwire'], guard: 3, detached: false },
    ],
    [
      '1,2|tcp|10000-25000|plugwire,other|3',
      { coreVersions: [1, 2], wire: 'tcp', address: '10000-25000', protocols: ['plugwire', 'other'], guard: 3, detached: false },
    ],
    ['1|stdio|-|plugwire|', { coreVersions: [1], wire: 'stdio', address: '-', protocols: ['plugwire'], detached: false }],
    [
      '1|unix|/run/dir/|plugwire||detached',
      { coreVersions: [1], wire: 'unix', address: '/run/dir/', protocols: ['plugwire'], detached: true },
    ],
    [
      '1|unix|/run/dir/|plugwire||detached|poll=50',
      { coreVersions: [1], wire: 'unix', address: '/run/dir/', protocols: ['plugwire'], detached: true, pollMicroseconds: 50 },
    ],
  ]
  for (const [text, variable] of golden) {
    test(text, () => {
      assert.ok(!('reason' in variable))
      assert.equal(encodeHostVariable(variable), text)
      assert.deepEqual(parseHostVariable(text), variable)
    })
  }

  test('that cannot be read say why; words that are not known are for later', () => {
    for (const bad of [
      '',
      '1',
      'x|fd|3|p|',
      '1|fd|three|p|',
      '1|tcp|9-8|p|',
      '1|tcp|1|p|',
      '1|unix||p|',
      '1|pigeon|3|p|',
      '1|fd|3|p|three',
    ]) {
      assert.ok('reason' in parseHostVariable(bad), bad)
    }
    assert.deepEqual(parseHostVariable('1|fd|3|plugwire||later|words|poll=0|poll=x'), parseHostVariable('1|fd|3|plugwire|'))
    fc.assert(fc.property(fc.string(), text => typeof parseHostVariable(text) === 'object'))
  })

  test('port ranges and version lists', () => {
    assert.deepEqual(parsePortRange('0-0'), { minPort: 0, maxPort: 0 })
    for (const bad of ['', '1', '1-', '2-1', '1-65536', '-1-2']) assert.equal(parsePortRange(bad), undefined, bad)
    assert.deepEqual(parseVersions('1, 3,x,,-2,5'), { versions: [1, 3, 5], skipped: ['x', '-2'] })
  })

  test('the highest common version is agreed on, without one the lowest of the plugin is announced', () => {
    assert.equal(negotiate([1, 2, 4], [4, 2, 9]), 4)
    assert.equal(negotiate([3, 2], [1]), 2)
    assert.equal(negotiate([3, 2], []), 2)
  })
})
