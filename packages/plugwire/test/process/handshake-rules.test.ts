// Every rule by which a host reads the handshake line, each with its error: of plugins that speak plugwire, and of go-plugin's.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import { certificateField, createIdentity } from '../../src/process/certificate.ts'
import type { StartOptions } from '../../src/process/start.ts'
import { World } from '../fixtures/started.ts'

type Row = [line: string, options: Partial<StartOptions>, outcome: ErrorCode | 'started', reason?: RegExp]

const own = { protocols: ['plugwire'], tls: false } as const
const go = { protocols: ['grpc', 'netrpc'], tls: false } as const
const at = 'tcp|127.0.0.1:9'
const junk = 'j?'.repeat(25)
const certificate = certificateField(createIdentity().der)

const rules: Record<string, Row[]> = {
  'fewer than four parts': [
    ['1|1|unix', own, 'ERR_HANDSHAKE_LINE', /3 of at least 4/],
    ['1|1|unix', go, 'ERR_HANDSHAKE_LINE', /3 of at least 4/],
    ['1|', go, 'ERR_HANDSHAKE_LINE', /2 of at least 4/],
  ],
  'another core protocol': [
    [`2|1|${at}|plugwire|`, own, 'ERR_CORE_VERSION'],
    [`0|1|${at}|grpc|`, go, 'ERR_CORE_VERSION'],
    ['5|0|unix', go, 'ERR_CORE_VERSION'],
  ],
  'a version that is no integer': ['one', '', '-1', '1.0', '0x1', '99999999999'].flatMap((version): Row[] => [
    [`1|${version}|${at}|plugwire|`, own, 'ERR_HANDSHAKE_LINE', /is no number/],
    [`1|${version}|${at}|grpc|`, go, 'ERR_HANDSHAKE_LINE', /is no number/],
  ]),
  'a version that the host has not': [
    [`1|0|${at}|plugwire|`, own, 'ERR_VERSION_MISMATCH'],
    [`1|0|${at}|grpc|`, go, 'ERR_VERSION_MISMATCH'],
    [`1|7|${at}|grpc|`, go, 'ERR_VERSION_MISMATCH'],
  ],
  'a network that is none': ['udp', 'unixgram', '', 'TCP'].flatMap((network): Row[] => [
    [`1|1|${network}|127.0.0.1:9|plugwire|`, own, 'ERR_HANDSHAKE_LINE', /is none of/],
    [`1|1|${network}|127.0.0.1:9|grpc|`, go, 'ERR_HANDSHAKE_LINE', /is none of/],
  ]),
  'a wire that only ours have': [
    ['1|1|fd|3|grpc|', go, 'ERR_HANDSHAKE_LINE', /descriptor 3/],
    ['1|1|stdio|-|grpc|', go, 'ERR_HANDSHAKE_LINE', /stdin/],
    ['1|1|stdio|-|grpc|', { ...go, wire: 'stdio' }, 'ERR_HANDSHAKE_LINE', /needs an address/],
  ],
  'an address': [
    ['1|1|tcp|:9|plugwire|', own, 'ERR_CONNECT', /ECONNREFUSED/],
    ['1|1|tcp|:9|grpc|', go, 'started'],
    ['1|1|tcp|plugins.example:9|grpc|', go, 'started'],
    ['1|1|tcp|9|grpc|', go, 'ERR_HANDSHAKE_LINE', /no host:port/],
    ['1|1|tcp|127.0.0.1:0|grpc|', go, 'ERR_HANDSHAKE_LINE', /no host:port/],
    ['1|1|tcp|127.0.0.1:70000|grpc|', go, 'ERR_HANDSHAKE_LINE', /no host:port/],
    ['1|1|unix||grpc|', go, 'ERR_HANDSHAKE_LINE', /no socket path/],
  ],
  'a protocol': [
    [`1|1|${at}|grpc|`, own, 'ERR_PROTOCOL_UNSUPPORTED'],
    [`1|1|${at}|plugwire|`, go, 'ERR_PROTOCOL_UNSUPPORTED'],
    [`1|1|${at}|ttrpc|`, go, 'ERR_PROTOCOL_UNSUPPORTED'],
    [`1|1|${at}`, { ...go, protocols: ['grpc'] }, 'ERR_PROTOCOL_UNSUPPORTED'],
    [`1|1|${at}`, go, 'started'],
    [`1|1|${at}|`, go, 'started'],
  ],
  'a certificate': [
    // Up to fifty characters it is none.
    [`1|1|${at}|grpc|${junk}`, go, 'started'],
    [`1|1|${at}|grpc|${junk}`, { ...go, tls: true }, 'ERR_TLS', /sent no certificate/],
    [`1|1|${at}|grpc|${junk}?`, go, 'ERR_HANDSHAKE_LINE', /not base64/],
    [`1|1|${at}|plugwire|${junk}?`, own, 'ERR_HANDSHAKE_LINE', /not base64/],
    [`1|1|${at}|grpc|`, { ...go, tls: true }, 'ERR_TLS', /sent no certificate.*AutoMTLS/],
    [`1|1|${at}|grpc`, { ...go, tls: true }, 'ERR_TLS', /sent no certificate/],
    [`1|1|${at}|plugwire|`, { ...own, tls: true }, 'ERR_TLS', /sent no certificate/],
    [`1|1|${at}|grpc|${'A'.repeat(60)}`, { ...go, tls: true }, 'ERR_TLS'],
    [`1|1|${at}|grpc|${'A'.repeat(61)}`, { ...go, tls: true }, 'ERR_TLS'],
    [`1|1|${at}|plugwire|${'A'.repeat(60)}`, { ...own, tls: true }, 'ERR_TLS'],
    [`1|1|${at}|grpc|${certificate}`, { ...go, tls: true }, 'started'],
    [`1|1|${at}|grpc|${certificate}`, go, 'ERR_TLS', /did not ask for/],
    [`1|1|${at}|plugwire|${certificate}`, own, 'ERR_TLS', /did not ask for/],
    [`1|1|${at}|grpc|${certificate}`, { ...go, tls: true, tlsOptions: {} }, 'ERR_TLS', /did not ask for/],
  ],
  'brokered connections in one, asked for': [
    ...['', '|', '|maybe', '|false', '|0', '|F'].map(
      (seventh): Row => [`1|1|${at}|grpc|${seventh}`, { ...go, multiplex: true }, 'ERR_BROKER_MULTIPLEX'],
    ),
    ...['true', 'T', '1', 'TRUE'].map((word): Row => [`1|1|${at}|grpc||${word}`, { ...go, multiplex: true }, 'started']),
    [`1|1|${at}|netrpc|`, { ...go, multiplex: true }, 'started'],
  ],
  'brokered connections in one, not asked for': ['maybe', 'false', 'true'].map((word): Row => [`1|1|${at}|grpc||${word}`, go, 'started']),
  'more parts than there are': [
    [`1|1|${at}|grpc||true|x|y|z`, go, 'started'],
    [`  1|1|${at}|grpc|  \r`, go, 'started'],
  ],
}

for (const [rule, rows] of Object.entries(rules)) {
  describe(rule, () => {
    for (const [line, options, outcome, reason] of rows) {
      test(`${line.replace(certificate, '<certificate>').slice(0, 60)} ${JSON.stringify(options)}: ${outcome}`, async () => {
        await using world = new World()
        const start = world.odd('line on stdout', line, options)
        if (outcome === 'started') {
          const { handshake, link } = await start
          assert.equal(link, undefined)
          assert.equal(handshake.protocol, line.includes('grpc') ? 'grpc' : 'netrpc')
          return
        }
        const { facts, message } = await world.fails(outcome, start)
        if (reason !== undefined) assert.match('reason' in facts ? facts.reason : message, reason)
        if (outcome === 'ERR_HANDSHAKE_LINE') assert.equal((facts as { line: string }).line.trim(), line.trim())
      })
    }
  })
}

test('a line that does not begin with a number is output, and the plugin is still awaited', async () => {
  await using world = new World()
  const start = world.odd('line on stdout', `x|1|${at}|grpc|`, { ...go, startTimeoutMs: 1_000 })
  const { facts } = await world.fails('ERR_HANDSHAKE_TIMEOUT', start)
  assert.equal(facts.stdoutTail, `x|1|${at}|grpc|\n`)
})
