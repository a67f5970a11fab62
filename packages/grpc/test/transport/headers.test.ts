import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { formatTimeout, parseTimeout } from '../../src/transport/deadline.ts'
import { GrpcError, isGrpcError } from '../../src/transport/grpc-error.ts'
import { addMetadata, addStatus, decodeMessage, encodeMessage, readMetadata, readStatus } from '../../src/transport/headers.ts'
import { Metadata } from '../../src/transport/metadata.ts'
import { decodeStatusDetails, encodeStatusDetails } from '../../src/transport/status-details.ts'

describe('grpc-message', () => {
  test('any text survives, as printable ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), text => {
        const encoded = encodeMessage(text)
        assert.match(encoded, /^[\x20-\x7e]*$/)
        assert.equal(decodeMessage(encoded), Buffer.from(text).toString())
      }),
    )
  })

  test('what is not properly encoded stays', () => {
    for (const [text, meaning] of [
      ['100%', '100%'],
      ['%zz %4', '%zz %4'],
      ['%41%', 'A%'],
      ['%c3%bc', 'ü'],
      ['%ff', '\ufffd'],
      ['nope%3A yes', 'nope: yes'],
    ] as const) {
      assert.equal(decodeMessage(text), meaning)
    }
  })
})

describe('metadata', () => {
  test('bytes are read with and without padding, and joined by commas', () => {
    const metadata = readMetadata(['a-bin', 'AP8=', 'a-bin', 'AP8', 'b-bin', 'AQ==, Ag,Aw', 'text', 'x, y'])
    assert.deepEqual(metadata.getAll('a-bin'), [Buffer.from([0, 255]), Buffer.from([0, 255])])
    assert.deepEqual(metadata.getAll('b-bin'), [Buffer.from([1]), Buffer.from([2]), Buffer.from([3])])
    assert.deepEqual([...metadata].at(-1), ['text', 'x, y'])
  })

  test('what is sent is what is read', () => {
    const sent = new Metadata({ 'X-Text': 'a', many: ['1', '2'], 'raw-bin': Uint8Array.of(1, 2, 3, 4) })
    const headers: Record<string, string | string[]> = {}
    addMetadata(headers, sent)
    const raw = Object.entries(headers).flatMap(([name, values]) => [values].flat().flatMap(value => [name, value]))
    assert.deepEqual(
      [...readMetadata(raw)],
      [
        ['x-text', 'a'],
        ['many', '1'],
        ['many', '2'],
        ['raw-bin', Buffer.from([1, 2, 3, 4])],
      ],
    )
  })

  test('headers of the protocol are not metadata, in either direction', () => {
    const came = readMetadata([':status', '200', 'content-type', 'application/grpc', 'grpc-status', '0', 'te', 'trailers', 'own', '1'])
    assert.deepEqual([...came], [['own', '1']])
    const headers = { 'content-type': 'application/grpc' }
    addMetadata(headers, new Metadata({ 'content-type': 'text/html', connection: 'close', 'user-agent': 'me' }))
    assert.deepEqual(headers, { 'content-type': 'application/grpc' })
  })

  test('what cannot travel is refused where it is set', () => {
    for (const [name, value] of [
      ['with space', 'x'],
      ['', 'x'],
      ['grpc-status', '0'],
      ['text', 'ä'],
      ['text', 'line\nbreak'],
      ['text', Uint8Array.of(1)],
      ['raw-bin', 'text'],
      [':path', '/'],
    ] as const) {
      assert.throws(() => new Metadata().append(name, value), TypeError)
    }
  })

  test('names are found in any case, and change as a map does', () => {
    const metadata = new Metadata({ Name: 'a' }).append('NAME', 'b').set('other', 'c')
    assert.deepEqual([metadata.get('nAme'), metadata.getAll('name'), metadata.size, metadata.has('OTHER')], ['a', ['a', 'b'], 2, true])
    assert.equal(metadata.delete('Name'), true)
    assert.equal(metadata.get('__proto__'), undefined)
    assert.deepEqual([...metadata], [['other', 'c']])
  })
})

describe('status', () => {
  const none = () => new Metadata()

  test('is read whatever it looks like', () => {
    assert.equal(readStatus({ 'grpc-status': '0' }, none), undefined)
    assert.equal(readStatus({}, none), null)
    assert.equal(readStatus({ 'grpc-status': '5', 'grpc-message': 'a%20b' }, none)?.message, 'a b')
    for (const text of ['', 'x', '-1', '1.5', '99999999999']) assert.equal(readStatus({ 'grpc-status': text }, none)?.code, 2)
    assert.deepEqual(
      [readStatus({ 'grpc-status': '77' }, none)?.code, readStatus({ 'grpc-status': '77' }, none)?.codeName],
      [77, 'UNKNOWN'],
    )
  })

  test('goes with its details and metadata', () => {
    const details = [{ typeUrl: 'type/A', value: Uint8Array.of(9) }]
    const headers: Record<string, string> = {}
    addStatus(headers, new GrpcError('NOT_FOUND', 'ä', { details, metadata: { own: 'x' } }))
    const error = readStatus(headers, none) as GrpcError
    assert.deepEqual([error.code, error.codeName, error.message, error.details], [5, 'NOT_FOUND', 'ä', details])
    assert.equal(headers['own'], 'x')
    assert.equal(isGrpcError(error, 'NOT_FOUND') && isGrpcError(error, 5) && isGrpcError(error), true)
    assert.equal(isGrpcError(error, 'ABORTED') || isGrpcError(new Error('x')), false)
  })

  test('details survive, and garbage is none', () => {
    const detail = fc.record({ typeUrl: fc.string(), value: fc.uint8Array({ maxLength: 300 }) }, { noNullPrototype: true })
    fc.assert(
      fc.property(fc.array(detail, { maxLength: 5 }), details => {
        assert.deepEqual(decodeStatusDetails(encodeStatusDetails(3, 'message', details)), details)
      }),
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), bytes => void decodeStatusDetails(bytes)))
  })
})

describe('grpc-timeout', () => {
  test('is written with at most eight digits, never too early', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), ms => {
        const text = formatTimeout(ms)
        assert.match(text, /^\d{1,8}[HMSm]$/)
        assert.ok((parseTimeout(text) as number) >= Math.min(ms, 99_999_999 * 3_600_000))
      }),
    )
    assert.deepEqual([formatTimeout(-5), formatTimeout(0.2), formatTimeout(1_500)], ['0m', '1m', '1500m'])
  })

  test('is read in every unit, and nothing else is', () => {
    const units = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000001 }
    for (const [unit, ms] of Object.entries(units)) assert.equal(parseTimeout(`12${unit}`), 12 * ms)
    for (const text of ['', '5', 'm', '123456789m', '-1m', '1.5S', '1s', '1m ']) assert.equal(parseTimeout(text), undefined)
  })
})

test('a console shows what is in metadata', () => {
  assert.equal(inspect(new Metadata({ 'x-trace': ['1', '2'] })), "Map(1) { 'x-trace' => [ '1', '2' ] }")
})
