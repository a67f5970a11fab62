import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  type ConnInfo,
  decodeConnInfo,
  decodeStdioData,
  encodeConnInfo,
  encodeStdioData,
} from '../../src/plugin-services/control-messages.ts'
import { healthCheck } from '../../src/plugin-services/health.ts'
import { isGrpcError } from '../../src/transport/grpc-error.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const hex = (encoded: Uint8Array): string => Buffer.from(encoded).toString('hex')

describe('control messages', () => {
  // What Go's programs sent, without the five bytes before each message.
  const captured: readonly { readonly name: string; readonly hex: string; readonly info: ConnInfo }[] = [
    {
      name: 'an address',
      hex: '0801 1204 756e6978 1a15 2f746d702f706c7567696e31333530393435353635',
      info: { serviceId: 1, network: 'unix', address: '/tmp/plugin1350945565', knock: undefined },
    },
    {
      name: 'a knock',
      hex: '0801 2202 0801',
      info: { serviceId: 1, network: '', address: '', knock: { knock: true, ack: false, error: '' } },
    },
    {
      name: 'an answer',
      hex: '0801 2204 0801 1001',
      info: { serviceId: 1, network: '', address: '', knock: { knock: true, ack: true, error: '' } },
    },
  ]
  for (const { name, hex: text, info } of captured) {
    test(`${name} is written and read as Go does`, () => {
      assert.equal(hex(encodeConnInfo(info)), hex(bytes(text)))
      assert.deepEqual(decodeConnInfo(bytes(text)), info)
    })
  }

  test('health is asked for and answered as Go does', () => {
    assert.equal(hex(healthCheck.requestSerialize({ service: 'plugin' })), '0a06706c7567696e')
    assert.deepEqual(healthCheck.responseDeserialize(bytes('0801')), { status: 1 })
    assert.deepEqual(healthCheck.responseDeserialize(bytes('')), { status: 0 })
  })

  test('everything comes back as it was', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 })
    const knock = fc.record({ knock: fc.boolean(), ack: fc.boolean(), error: text }, { noNullPrototype: true })
    const infos = fc.record(
      {
        serviceId: fc.integer({ min: 0, max: 0xffff_ffff }),
        network: text,
        address: text,
        knock: fc.option(knock, { nil: undefined }),
      },
      { noNullPrototype: true },
    )
    fc.assert(fc.property(infos, info => assert.deepEqual(decodeConnInfo(encodeConnInfo(info)), info)))
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 }), fc.uint8Array(), (channel, data) => {
        const decoded = decodeStdioData(encodeStdioData({ channel, data }))
        assert.equal(decoded.channel, channel)
        assert.deepEqual(Uint8Array.from(decoded.data), data)
      }),
    )
  })

  test('fields of a newer peer are passed over', () => {
    // 15: varint, 16: fixed64, 17: bytes, 18: fixed32
    const later = bytes('78 01 8101 0102030405060708 8a01 02 ffff 9501 01020304')
    assert.equal(decodeConnInfo(Buffer.concat([later, bytes('0805')])).serviceId, 5)
  })

  test('whatever comes is a message or an error with a code', () => {
    const check = (input: Uint8Array): void => {
      try {
        decodeConnInfo(Buffer.from(input))
      } catch (error) {
        assert.ok(isGrpcError(error, 'INTERNAL'))
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check))
    const whole = encodeConnInfo(captured[0]!.info)
    for (let length = 0; length < whole.length; length += 1) check(whole.subarray(0, length))
  })

  test('a text that is longer than any address is refused', () => {
    const info = encodeConnInfo({ serviceId: 1, network: 'unix', address: 'x'.repeat(5_000), knock: undefined })
    assert.throws(
      () => decodeConnInfo(info),
      (error: unknown) => isGrpcError(error, 'INTERNAL'),
    )
  })
})
